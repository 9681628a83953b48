"""Differences of optimizers are found if they are there, and rarely if they are not."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from optsuite.statistics.differences import (
    compare,
    probability_of_improvement,
    relative_gap,
)
from optsuite.statistics.seeds_needed import FEWEST_SEEDS, seeds_needed
from optsuite.statistics.sign_flip import ALPHA, sign_flip

N_DRAWS, N_SEEDS, N_OPTIMIZERS = 2_000, 12, 6


def test_sign_flip_test_tries_every_pattern_of_signs() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(0.4, 1, size=(5, 9))
    patterns = np.array(list(itertools.product((-1, 1), repeat=9)))
    one = [(np.abs(patterns @ row) >= abs(row.sum()) - 1e-12).mean() for row in differences]
    assert [sign_flip(row[None])[0] for row in differences] == pytest.approx(one)
    sizes = np.linalg.norm(differences, axis=1)
    largest = (np.abs(patterns @ differences.T) / sizes).max(axis=1)
    together = [
        (largest >= abs(row.sum()) / size - 1e-12).mean()
        for row, size in zip(differences, sizes, strict=True)
    ]
    assert sign_flip(differences).tolist() == pytest.approx(together)
    assert (np.array(together) >= np.array(one)).all()
    assert sign_flip(np.ones((1, 12))) == pytest.approx(2 / 2**12)
    assert sign_flip(np.stack([np.zeros(12), np.ones(12)])).tolist() == pytest.approx(
        [1.0, 2 / 2**12]
    )


def test_with_many_seeds_patterns_are_drawn() -> None:
    rng = np.random.default_rng(4)
    differences = rng.normal(0.3, 1, size=(4, 40))
    expected = [stats.ttest_1samp(row, 0).pvalue for row in differences]
    assert [sign_flip(row[None])[0] for row in differences] == pytest.approx(expected, abs=0.02)


def null(rng: np.random.Generator, kind: str, n_optimizers: int = N_OPTIMIZERS) -> np.ndarray:
    """Paired scores (seeds, optimizers) of optimizers that do not differ."""
    difficulty = rng.lognormal(0, 0.5, size=(N_SEEDS, 1))
    shape = (N_SEEDS, n_optimizers)
    noise = rng.lognormal(0, 1, size=shape) if kind == "skewed" else rng.standard_t(2, size=shape)
    scores = 10 + difficulty + noise
    return np.round(scores) if kind == "ties" else scores


@pytest.mark.parametrize(
    ("kind", "n_optimizers"),
    [("heavy-tailed", 6), ("skewed", 6), ("ties", 6), ("heavy-tailed", 2), ("heavy-tailed", 26)],
)
def test_absent_differences_are_rarely_found(kind: str, n_optimizers: int) -> None:
    rng = np.random.default_rng(5)
    pairs = np.array(list(itertools.combinations(range(n_optimizers), 2)))
    alarms, n_draws = 0, N_DRAWS // (1 if n_optimizers == N_OPTIMIZERS else 4)
    for _ in range(n_draws):
        scores = null(rng, kind, n_optimizers)
        alarms += bool(
            (sign_flip((scores[:, pairs[:, 0]] - scores[:, pairs[:, 1]]).T) <= ALPHA).any()
        )
    assert alarms / n_draws <= 0.05
    found = [d.kind for _ in range(100) for d in compare(null(rng, kind), 0.0).values()]
    assert found.count("worse") / len(found) <= 0.01


def test_absent_differences_beside_real_ones_are_rarely_found() -> None:
    rng = np.random.default_rng(14)
    pairs = np.array(list(itertools.combinations(range(8), 2)))
    alike = (pairs < 4).all(axis=1)
    alarms = 0
    for _ in range(500):
        scores = null(rng, "skewed", 8) + 20 * np.maximum(0, np.arange(8) - 3)
        p = sign_flip((scores[:, pairs[:, 0]] - scores[:, pairs[:, 1]]).T)
        alarms += bool((p[alike] <= ALPHA).any())
        assert (p[~alike] <= ALPHA).mean() > 0.5
    assert alarms / 500 <= 0.05


def test_clear_leader_is_found() -> None:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(N_DRAWS // 4):
        scores = (
            10
            + rng.lognormal(0, 0.5, size=(N_SEEDS, 1))
            + rng.normal(0, 1 / math.sqrt(2), size=(N_SEEDS, N_OPTIMIZERS))
        )
        scores[:, 0] -= 1.5  # standard deviations of the paired noise, which is 1
        found += compare(scores, 0.01)[1, 0].kind == "worse"
    assert found / (N_DRAWS // 4) >= 0.8


def test_pairs_are_judged_by_certainty_and_size() -> None:
    base = np.array([1.0, 1.2, 0.9, 1.1, 1.0, 0.95, 1.05, 1.15, 0.85, 1.0, 1.1, 0.9])
    found = compare(np.column_stack([base, base * 1.5, base * 1.001, base]), 0.01)
    assert (found[1, 0].kind, found[0, 1].kind) == ("worse", "better")
    assert found[1, 0].gap == pytest.approx(0.5)
    assert found[0, 1].gap == -found[1, 0].gap
    assert found[2, 0].kind == "tied"  # certain, and too small to matter
    assert found[3, 0].kind == "tied"  # the same
    assert compare(np.ones((3, 1)), 0.01) == {}
    assert compare(np.empty((0, 3)), 0.01) == {}


def test_collapse_of_one_optimizer_is_no_certain_win_for_the_other() -> None:
    one = np.array([1.0] * 9 + [50.0] * 3)  # lower in the middle, far worse on average
    for n in (1, 10):
        found = compare(np.tile(np.column_stack([one, np.full(12, 1.1)]), (n, 1)), 0.01)
        assert (found[0, 1].kind, found[0, 1].seeds_needed) == ("open", None)


def test_failures_decide_if_interquartile_means_are_alike() -> None:
    one = np.linspace(1.0, 1.11, 12)
    other = one * 1.001
    assert compare(np.column_stack([other, one]), 0.01)[0, 1].kind == "tied"
    other[-3:] = 9.0
    found = compare(np.column_stack([other, one]), 0.01)[0, 1]
    assert found.kind == "worse"
    assert found.gap == pytest.approx(other.mean() / one.mean() - 1)
    other = one * 1.0
    other[-1] = 9.0  # a single one is not certain, and no tie either
    assert compare(np.column_stack([other, one]), 0.01)[0, 1].kind == "open"


@pytest.mark.parametrize(("n_optimizers", "n_seeds"), [(6, 6), (26, 12), (64, 18)])
def test_certain_differences_are_found_among_many_optimizers(
    n_optimizers: int, n_seeds: int
) -> None:
    ladder = 1.1 ** np.arange(n_optimizers) * np.ones((n_seeds, 1))
    pairs = np.array(list(itertools.combinations(range(n_optimizers), 2)))
    assert (sign_flip((ladder[:, pairs[:, 0]] - ladder[:, pairs[:, 1]]).T) <= ALPHA).all()


def test_seeds_needed_for_a_tie_are_estimated() -> None:
    rng = np.random.default_rng(13)
    one = 1 + 0.02 * rng.normal(size=12)
    other = rng.permutation(one)
    found = compare(np.column_stack([one, other]), 0.01)[0, 1]
    assert found.kind == "open"
    assert found.seeds_needed is not None
    assert 1 <= found.seeds_needed <= 200
    more = np.tile(np.column_stack([one, other]), (1 + -(-found.seeds_needed // 12), 1))
    assert compare(more, 0.01)[0, 1].kind == "tied"


def test_seeds_needed_for_a_difference_are_estimated() -> None:
    assert 2 * 0.5**FEWEST_SEEDS <= ALPHA < 2 * 0.5 ** (FEWEST_SEEDS - 1)
    rng = np.random.default_rng(7)
    paired = rng.normal(0.5, 1, size=12)
    more = seeds_needed(paired, 15)
    assert more is not None
    assert more > 0
    z = stats.norm.ppf(1 - ALPHA / 30) + stats.norm.ppf(0.8)
    assert 12 + more == math.ceil((z * paired.std(ddof=1) / paired.mean()) ** 2)
    assert seeds_needed(np.zeros(12), 15) is None
    assert seeds_needed(np.array([1.0]), 1) == 5


def test_relative_gap_is_relative_to_the_smaller() -> None:
    assert float(relative_gap(3.0, 2.0)) == -float(relative_gap(2.0, 3.0)) == 0.5
    assert relative_gap(-2.0, -3.0) == pytest.approx(1 / 3)
    assert relative_gap(np.array([1.0, 0.0, 0.5]), np.array([0.0, 1.0, -0.01])).tolist() == [
        math.inf,
        -math.inf,
        math.inf,
    ]
    assert relative_gap(0.0, 0.0) == 0.0


def test_probability_of_improvement_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(8)
    one, other = rng.normal(size=12), rng.normal(0.5, 1, size=10)
    u = stats.mannwhitneyu(other, one).statistic
    assert probability_of_improvement(one, other) == pytest.approx(u / 120)
    assert probability_of_improvement(one, one) == 0.5
