"""Summaries of seeds, benchmarks and searches: means, intervals, ranks, profiles, widths."""

import math

import numpy as np
import pytest

from optsuite.statistics.overall import median_gaps, performance_profile
from optsuite.statistics.search import expected_best, width
from optsuite.statistics.seeds import bootstrap_interval, interquartile_mean, is_bimodal

N_DRAWS, N_SEEDS = 2_000, 12


def test_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    assert interquartile_mean([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0]) == 3.5
    assert interquartile_mean([7.0]) == 7.0
    assert math.isnan(interquartile_mean([]))


def test_intervals_are_repeatable_and_hold_the_estimate() -> None:
    values = np.random.default_rng(1).normal(size=12)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low < interquartile_mean(values) < high
    assert bootstrap_interval([2.0] * 5) == (2.0, 2.0)
    assert all(math.isnan(end) for end in bootstrap_interval([2.0]))


@pytest.mark.parametrize("draw", ["normal", "t", "lognormal"])
def test_intervals_cover_the_truth_as_often_as_they_say(draw: str) -> None:
    rng = np.random.default_rng(2)

    def sample(n: int) -> np.ndarray:
        match draw:
            case "normal":
                return rng.normal(size=n)
            case "t":
                return rng.standard_t(3, size=n)
        return rng.lognormal(0, 0.5, size=n)

    truth = interquartile_mean(sample(400_000))
    intervals = [bootstrap_interval(sample(N_SEEDS)) for _ in range(N_DRAWS)]
    assert sum(low < truth < high for low, high in intervals) / N_DRAWS >= 0.92


def test_median_gaps_have_their_interval() -> None:
    clear = np.column_stack([np.full(5, 1.0), np.full(5, 3.0), np.full(5, 2.0)])
    point, low, high = median_gaps([clear, clear])
    assert point.tolist() == low.tolist() == high.tolist() == [0, 2, 1]
    point, low, high = median_gaps([clear, clear[:, ::-1]])
    assert (point.tolist(), low.tolist()) == ([0.5, 2, 0.5], [0, 2, 0])
    point, low, high = median_gaps([clear[:1], clear])
    assert np.isnan(low).all()
    noisy = np.random.default_rng(9).lognormal(size=(12, 3))
    point, low, high = median_gaps([noisy])
    assert ((low <= point) & (point <= high)).all()
    assert (low < high).any()


def test_median_gap_is_ruled_by_no_single_benchmark() -> None:
    near, far = np.full((4, 2), 1.0), np.full((4, 2), 1.0)
    near[:, 1], far[:, 1] = 1.01, 1e6
    point, _, high = median_gaps([near] * 4 + [far])
    assert point[1] == pytest.approx(0.01)
    assert high[1] > 1  # among five other benchmarks most may be like the last
    assert median_gaps([near] * 9 + [far])[2][1] == pytest.approx(0.01)
    far[:, 1] = np.inf
    assert median_gaps([near] * 4 + [far])[0][1] == pytest.approx(0.01)
    point, low, high = median_gaps([far, far])
    assert (point[1], low[1], high[1]) == (np.inf, np.inf, np.inf)


def test_median_gap_is_of_the_benchmarks_that_an_optimizer_has() -> None:
    both, one = np.column_stack([np.full(4, 1.0), np.full(4, 2.0)]), np.full((4, 2), 1.0)
    one[:, 1] = np.nan
    point, low, high = median_gaps([both, one])
    assert point.tolist() == low.tolist() == high.tolist() == [0, 1]


def test_performance_profile_of_example_equals_hand_computation() -> None:
    steps = np.array([[10, 20, np.inf], [30, 30, 60], [np.inf, np.inf, np.inf]])
    assert performance_profile(steps, [1, 2]).tolist() == [[1, 1], [0.5, 1], [0, 0.5]]
    assert np.isnan(performance_profile(steps[2:], [1])).all()


def test_expected_best_of_k_trials_equals_enumeration() -> None:
    assert expected_best(np.array([3.0, 1.0])).tolist() == [2.0, 1.5]
    scores = np.random.default_rng(10).normal(size=9)
    drawn = np.random.default_rng(11).choice(scores, size=(200_000, 4)).min(axis=1).mean()
    assert expected_best(scores)[3] == pytest.approx(drawn, abs=0.01)
    assert expected_best(scores)[0] == pytest.approx(scores.mean())


def test_width_is_in_decades() -> None:
    rates = np.array([0.001, 0.01, 0.1, 1.0])
    assert width(rates, np.array([9.0, 1.0, 1.0, 9.0])) == pytest.approx(1 + 2 * 0.05 / 8)
    assert width(rates, np.array([5.0, 5.0, 5.0, 5.0])) == pytest.approx(3)
    assert width(rates[:1], np.array([1.0])) == 0
    assert math.isnan(width(np.empty(0), np.empty(0)))


def test_two_groups_of_seeds_are_bimodal() -> None:
    assert is_bimodal([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 9.0, 9.1])
    assert not is_bimodal([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.05, 9.1])  # an outlier
    assert not is_bimodal([2.0] * 12)
    assert not is_bimodal([1.0, 1.1, 9.0, 9.1])  # too few to say
    rng = np.random.default_rng(12)
    assert sum(is_bimodal(rng.normal(size=12)) for _ in range(1_000)) < 10
