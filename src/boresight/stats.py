"""Statistics: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 10_000


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def proportion(successes: int, total: int) -> Interval:
    """The share of successes with its Wilson score interval, all in 0 … 1.

    Raises:
        ValueError: `total` is zero, or there are more successes than that.
    """
    ends = binomtest(successes, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(successes / total, float(ends.low), float(ends.high))


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Interval:
    """mean(a) - mean(b) of outcomes paired by item, with a percentile bootstrap over the items.

    Args:
        a: outcomes 0 or 1, shape (items,); boolean or numeric.
        b: outcomes of the same items in the same order.

    Raises:
        ValueError: the shapes differ, or there are no items.
    """
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"outcomes must be paired: shapes {a.shape} and {b.shape}")
    differences, counts = np.unique(a.astype(float) - b.astype(float), return_counts=True)
    # Drawing items with replacement draws how often each of the few distinct differences comes up:
    # a multinomial, so no (resamples, items) array is ever made.
    drawn = np.random.default_rng(seed).multinomial(len(a), counts / len(a), size=RESAMPLES)
    low, high = np.quantile(drawn @ differences / len(a), [0.025, 0.975])
    return Interval(float(differences @ counts / len(a)), float(low), float(high))
