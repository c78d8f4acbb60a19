"""Means over groups, against a bootstrap group by group, and the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest

from boresight.stats import clustered_share, macro_mean, proportion


def test_by_hand_and_against_a_bootstrap_group_by_group() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.random(n).round(1) for n in (40, 7, 90)]
    groups = np.repeat(["a", "b", "c"], [40, 7, 90])
    drawn = [np.mean([rng.choice(part, len(part)).mean() for part in parts]) for _ in range(4_000)]
    value, low, high = macro_mean(np.concatenate(parts), groups)
    assert value == pytest.approx(np.mean([part.mean() for part in parts]))
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.012)


def test_one_group_is_a_plain_mean() -> None:
    outcomes = np.random.default_rng(1).integers(0, 2, 400)
    found, wilson = macro_mean(outcomes, np.zeros(400)), proportion(int(outcomes.sum()), 400)
    assert found == pytest.approx(wilson, abs=0.01)
    assert macro_mean(np.zeros(9), np.arange(9)) == proportion(0, 9)
    # Of a group that is all right and one that is all wrong, resampling shows no spread either.
    assert macro_mean(np.repeat([1, 0], 5), np.repeat([1, 0], 5)) == proportion(5, 10)
    with pytest.raises(ValueError, match="one group"):
        macro_mean(np.ones(2), np.ones(3))


def test_intervals_cover_the_mean_of_the_groups() -> None:
    chances, covered = np.array([0.2, 0.5, 0.9, 0.6]), 0
    groups = np.repeat(np.arange(4), 50)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        found = macro_mean((rng.random(200) < chances[groups]).astype(float), groups, seed)
        covered += found.low <= chances.mean() <= found.high
    assert 0.92 <= covered / 300 <= 0.97


@pytest.mark.parametrize(("successes", "total"), [(0, 1), (0, 9), (9, 9), (1, 3), (678, 805), (1, 10**6)])
def test_wilson_is_scipys(successes: int, total: int) -> None:
    found, wilson = proportion(successes, total), binomtest(successes, total).proportion_ci(method="wilson")
    assert found == pytest.approx((successes / total, wilson.low, wilson.high), abs=1e-12)
    for wrong in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(ValueError, match="successes of"):
            proportion(*wrong)


def test_ties_alone_are_not_certain() -> None:
    """Twelve prompts, all of them tied: as wide as six wins of twelve."""
    halves = np.full(12, 0.5)
    assert clustered_share(halves, np.arange(12)) == macro_mean(halves, np.zeros(12)) == proportion(6, 12)
