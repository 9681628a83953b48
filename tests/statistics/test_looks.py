"""Looking several times finds what is there, for less, and nothing that is not there."""

import itertools
import math

import numpy as np
import pytest
from calibrate.judge import looked

from optsuite.statistics import differences, sign_flip
from optsuite.statistics.differences import compare, to_continue
from optsuite.statistics.looks import looks_at, n_evaluated, sequential_test, spent
from optsuite.statistics.sign_flip import ALPHA

LOOKS = (12, 24, 36)
N_OPTIMIZERS = 6
PAIRS = list(itertools.combinations(range(N_OPTIMIZERS), 2))


def noise(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Paired scores (36, 6); the differences of two optimizers have a standard deviation of 1."""
    shape = (LOOKS[-1], N_OPTIMIZERS)
    own = {
        "normal": lambda: rng.normal(size=shape),
        "heavy-tailed": lambda: rng.standard_t(3, size=shape) / math.sqrt(3),
        "skewed": lambda: rng.exponential(size=shape) - 1,
    }[kind]()
    return 100 + rng.normal(size=(LOOKS[-1], 1)) + own / math.sqrt(2)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer patterns of signs and resamples, which is 8 times as fast."""
    monkeypatch.setattr(sign_flip, "N_DRAWN", 2**10)
    monkeypatch.setattr(differences, "N_RESAMPLES", 100)


def test_looks_are_multiples_of_the_first() -> None:
    assert looks_at(12, 36) == LOOKS
    assert looks_at(12, 30) == (12, 24, 30)
    assert looks_at(12, 0) == looks_at(12, 12) == (12,)
    assert spent(LOOKS) == pytest.approx([1 / 27, 8 / 27, 1])
    assert spent((12,)) == [1]


def test_single_look_is_the_sign_flip_test() -> None:
    scores = np.random.default_rng(0).normal(size=(12, N_OPTIMIZERS))
    paired = np.stack([scores[:, i] - scores[:, j] for i, j in PAIRS])
    assert sequential_test(scores, (12,)) == pytest.approx(sign_flip.sign_flip(paired))


def test_pair_is_judged_on_the_seeds_that_both_have() -> None:
    rng = np.random.default_rng(1)
    scores = noise(rng, "normal")
    scores[:, 0] -= 1.2
    scores[12:, 3:] = np.nan
    scores[24:, 2] = np.nan
    assert n_evaluated(scores) == [36, 36, 24, 12, 12, 12]
    p = dict(zip(PAIRS, sequential_test(scores, LOOKS), strict=True))
    alone = sequential_test(np.where(np.arange(36)[:, None] < 12, scores, np.nan), LOOKS)
    of_first = dict(zip(PAIRS, alone, strict=True))
    assert p[0, 3] == of_first[0, 3]
    assert p[0, 1] < of_first[0, 1]
    found = compare(scores, 0.0, LOOKS)
    assert found[0, 1].kind == "better"
    assert found[0, 3] == compare(scores[:12], 0.0, LOOKS)[0, 3]


def test_only_open_pairs_that_may_be_settled_go_on() -> None:
    rng = np.random.default_rng(2)
    base = 1 + rng.normal(0, 0.02, size=12)
    scores = np.column_stack(
        [
            base,
            base * 1.015 + rng.normal(0, 0.02, size=12),  # may be settled
            base * 2,  # worse than all others
        ]
    )
    assert to_continue(scores, 0.01, LOOKS) == {0, 1}
    noisy = np.column_stack([base, 1 + rng.normal(0.03, 3, size=12)])
    assert to_continue(noisy, 0.01, (12, 13)) == set()
    assert to_continue(base[:, None], 0.01, LOOKS) == set()


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "skewed"])
def test_absent_differences_are_rarely_found_at_any_look(kind: str) -> None:
    rng = np.random.default_rng(3)
    n_draws, alarms = 100, 0
    for _ in range(n_draws):
        alarms += bool(
            (sequential_test(looked(noise(rng, kind), 0.0, LOOKS), LOOKS) <= ALPHA).any()
        )
    # At 5 %, 9 or more of 100 happen once in 16 times.
    assert alarms / n_draws <= 0.08


@pytest.mark.usefixtures("coarse")
def test_differences_are_found_with_fewer_seeds_than_all() -> None:
    rng = np.random.default_rng(4)
    n_draws = 40
    found, n_seeds = 0.0, 0.0
    for _ in range(n_draws):
        scores = noise(rng, "normal")
        scores[:, 0] -= 1.0
        trained = looked(scores, 0.0, LOOKS)
        verdicts = compare(trained, 0.0, LOOKS)
        found += float(np.mean([verdicts[0, j].kind == "better" for j in range(1, 6)]))
        n_seeds += float(np.mean(n_evaluated(trained)))
    assert found / n_draws >= 0.9
    assert n_seeds / n_draws < 33
