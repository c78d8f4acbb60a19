"""Agreement on labels against scikit-learn, brute force, and examples worked by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from boresight.stats import proportion
from boresight.stats.labels import compare_labels

UNITS = st.lists(st.lists(st.integers(1, 4), min_size=0, max_size=4), min_size=1, max_size=20)
# Krippendorff (2011), section C: four observers, twelve units, values 1 to 5, missing ones left out.
KRIPPENDORFF = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4],
    [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip


def compared(units, values=(1, 2, 3, 4), level="nominal", clusters=None):
    return compare_labels(units, values, np.arange(len(units)) if clusters is None else clusters, level)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs(level, alpha):
    found = compared(KRIPPENDORFF, (1, 2, 3, 4, 5), level)
    assert found.alpha.value == pytest.approx(alpha, abs=5e-4)
    assert found.units == 11
    assert found.alpha.low < found.alpha.value < found.alpha.high


def distance(a: int, b: int, level: str, everyone: list[int]) -> float:
    if level == "nominal":
        return float(a != b)
    if level == "interval":
        return float(a - b) ** 2
    low, high = sorted((a, b))
    between = sum(low <= each <= high for each in everyone)
    return (between - (everyone.count(a) + everyone.count(b)) / 2) ** 2


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@given(UNITS)
@settings(max_examples=30, deadline=None)
def test_alpha_is_what_pairs_one_by_one_give(level, units):
    found = compared(units, level=level)
    paired = [unit for unit in units if len(unit) > 1]
    assert (found is None) == (not paired)
    everyone = [label for unit in paired for label in unit]
    if len(set(everyone)) < 2:
        assert found is None or np.isnan(found.alpha.value)
        return
    observed = sum(
        distance(a, b, level, everyone) / (len(unit) - 1) for unit in paired for a, b in permutations(unit, 2)
    )
    n = len(everyone)
    expected = sum(distance(a, b, level, everyone) for a, b in permutations(everyone, 2))
    alpha = 1 - (observed / n) / (expected / (n * (n - 1)))
    assert found.alpha.value == pytest.approx(alpha, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=30))
@settings(max_examples=30, deadline=None)
def test_kappa_of_two_raters_is_scikit_learns(pairs):
    a, b = zip(*pairs, strict=True)
    found = compared(pairs)
    if len(set(a + b)) == 1:
        assert np.isnan(found.kappa.value)
    else:
        assert found.kappa.value == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


@given(st.lists(st.lists(st.integers(1, 3), min_size=3, max_size=3), min_size=2, max_size=15))
@settings(max_examples=30, deadline=None)
def test_of_three_raters_every_two_count(units):
    found = compared(units)
    first, second = zip(
        *[(unit[i], unit[j]) for unit in units for i, j in ((0, 1), (0, 2), (1, 2))], strict=True
    )
    assert found.raw.value == pytest.approx(np.mean(np.equal(first, second)))
    if len(set(first + second)) > 1:
        assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_a_unit_weighs_the_same_however_many_raters_it_has():
    # Three of three pairs differ, the one pair agrees: (0 + 1) / 2, not 1 / 4.
    assert compared([[1, 2, 3], [1, 1]]).raw.value == pytest.approx(0.5)


def test_a_tie_costs_half():
    # Worked by hand: agree, a tie against a side, opposite sides, two ties: (1 + ½ + 0 + 1) / 4.
    found = compared([[-1, -1], [0, 1], [-1, 1], [0, 0]], (-1, 0, 1))
    assert found.tie_discounted.value == 2.5 / 4
    assert found.raw.value == 2 / 4


def test_five_units_that_all_agree_or_none_does_leave_doubt():
    assert compared([[1, 1]] * 5).raw == proportion(5, 5)
    assert compared([[1, 2]] * 5).raw == proportion(0, 5)


def test_resamples_draw_whole_clusters():
    rng = np.random.default_rng(0)
    agree = np.repeat(rng.integers(0, 2, 40), 25)  # 25 units of a prompt all agree, or none does
    units = [[1, 1] if same else [1, 2] for same in agree]
    apart = compared(units, clusters=np.arange(1000)).raw
    together = compared(units, clusters=np.repeat(np.arange(40), 25)).raw
    assert together.high - together.low > 3 * (apart.high - apart.low)


@pytest.mark.parametrize("units", [[[1, 9]], [[1, 1], [1, 1]]])
def test_what_cannot_be_compared_is_refused(units):
    with pytest.raises(ValueError, match=r"cannot be|clusters"):
        compare_labels(units, (1, 2), np.array([0]), "nominal")
