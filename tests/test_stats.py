import numpy as np
import pytest
from scipy.stats import norm

from boresight.stats import paired_difference, proportion


def test_wilson_worked_by_hand():
    # 8 of 10 with z = 1.959964: centre (0.8 + z²/20) / (1 + z²/10), half-width from Wilson (1927).
    value, low, high = proportion(8, 10)
    assert value == 0.8
    assert (low, high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


@pytest.mark.parametrize(("successes", "total"), [(0, 7), (7, 7), (1, 3), (446, 480), (50_000, 100_000)])
def test_wilson_against_its_formula(successes, total):
    z, p = norm.ppf(0.975), successes / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert proportion(successes, total) == pytest.approx((p, centre - half, centre + half), abs=1e-12)


@pytest.mark.parametrize("p", [0.05, 0.4, 0.93])
def test_wilson_covers_the_truth(p):
    draws = np.random.default_rng(1).binomial(100, p, size=400)
    covered = [low <= p <= high for _, low, high in (proportion(int(k), 100) for k in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


def test_a_proportion_of_nothing_is_refused():
    with pytest.raises(ValueError):
        proportion(0, 0)


def test_paired_difference_against_a_bootstrap_item_by_item():
    rng = np.random.default_rng(2)
    a, b = rng.random(60) < 0.8, rng.random(60) < 0.4
    chosen = rng.integers(60, size=(20_000, 60))
    means = a[chosen].mean(1) - b[chosen].mean(1)
    value, low, high = paired_difference(a, b)
    assert value == pytest.approx(a.mean() - b.mean())
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1 / 60 + 1e-9)


def test_pairing_narrows_the_interval():
    b = np.random.default_rng(3).random(200) < 0.5
    a = b.copy()
    a[:10] = True
    shuffled = np.random.default_rng(4).permutation(b)
    paired, unpaired = paired_difference(a, b), paired_difference(a, shuffled)
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 3


def test_paired_difference_covers_the_truth():
    rng = np.random.default_rng(5)
    covered = []
    for trial in range(200):
        hard = rng.random(150)
        a, b = hard < 0.7, hard + rng.normal(0, 0.2, 150) < 0.5
        truth = 0.7 - 0.5  # P(U + e < ½) = ½ by symmetry
        _, low, high = paired_difference(a, b, seed=trial)
        covered.append(low <= truth <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.045)


def test_paired_difference_is_a_function_of_its_seed_and_antisymmetric():
    a, b = np.array([1, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    assert paired_difference(a, b, 7) == paired_difference(a, b, 7)
    assert paired_difference(a, b).value == -paired_difference(b, a).value
    assert paired_difference(a, a) == (0, 0, 0)


@pytest.mark.parametrize("b", [np.ones(3), np.ones((2, 1))])
def test_outcomes_that_do_not_pair_are_refused(b):
    with pytest.raises(ValueError):
        paired_difference(np.ones(2), b)


def test_no_outcomes_are_refused():
    with pytest.raises(ValueError):
        paired_difference(np.ones(0), np.ones(0))
