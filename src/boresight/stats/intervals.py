"""Shares and differences with 95 % intervals.

clustered_share(outcomes, prompts)  # several answers to a prompt are one observation, not several
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

RESAMPLES = 10_000
AT_ONCE = 2**22
"""Numbers of a resample held at the same time."""
ENDS = [0.025, 0.975]
SAME = 1e-12


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
    if not 0 <= successes <= total or not total:
        raise ValueError(f"{successes} successes of {total}")
    return wilson(successes / total, total)


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Interval:
    """mean(a) - mean(b) of outcomes paired by item, with a percentile bootstrap over the items.

    Args:
        a: outcomes, shape (items,); boolean or numeric.
        b: outcomes of the same items in the same order.

    Raises:
        ValueError: the shapes differ, or there are no items.
    """
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"outcomes must be paired: shapes {a.shape} and {b.shape}")
    return bootstrap_ratio(a.astype(float) - b.astype(float), np.ones(len(a)), seed)


def clustered_share(outcomes: np.ndarray, clusters: np.ndarray, seed: int = 0) -> Interval:
    """The mean of outcomes that come in clusters, with a percentile bootstrap over whole clusters.

    Where all clusters have the same mean, resampling shows no spread; the interval is then Wilson's, with a
    cluster as one observation.

    Args:
        outcomes: each in 0 … 1, shape (n,).
        clusters: what outcome belongs to which, shape (n,); any labels.

    Raises:
        ValueError: the shapes differ, or there are no outcomes.
    """
    sums, sizes = _by_cluster(outcomes, clusters)
    if np.ptp(sums / sizes) < SAME:
        return wilson(float(sums.sum() / sizes.sum()), len(sums))
    return bootstrap_ratio(sums, sizes, seed)


def macro_mean(outcomes: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """The mean of the groups' means, with a percentile bootstrap over the items within each group.

    With one group it is the mean of the outcomes. Where those of each group are all the same the interval is
    Wilson's, as in `clustered_share`.

    Args:
        outcomes: each in 0 … 1, shape (n,).
        groups: what outcome belongs to which, shape (n,); any labels.

    Raises:
        ValueError: the shapes differ, or there are no outcomes.
    """
    if outcomes.shape != groups.shape or outcomes.ndim != 1 or not len(outcomes):
        raise ValueError(f"an outcome has one group: shapes {outcomes.shape} and {groups.shape}")
    rng = np.random.default_rng(seed)
    means, drawn = [], np.zeros(RESAMPLES)
    for group in np.unique(groups):
        inside = outcomes[groups == group].astype(float)
        drawn += _resampled(rng, *np.unique(inside, return_counts=True)) / len(inside)
        means.append(inside.mean())
    if np.ptp(drawn) < SAME:
        return wilson(float(np.mean(means)), len(outcomes))
    low, high = np.quantile(drawn / len(means), ENDS)
    return Interval(float(np.mean(means)), float(low), float(high))


def clustered_error(outcomes: np.ndarray, clusters: np.ndarray) -> float:
    """The standard error of the mean of outcomes that come in clusters; not a number for one cluster.

    With one outcome a cluster it is the sample standard deviation over √n, as AlpacaEval reports it; in
    general the linearised one of a ratio (Cochran, Sampling Techniques, 1977, §6.3).

    Raises:
        ValueError: the shapes differ, or there are no outcomes.
    """
    sums, sizes = _by_cluster(outcomes, clusters)
    if len(sums) < 2:
        return float("nan")
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (residuals**2).sum()) / sizes.sum())


def bootstrap_ratio(sums: np.ndarray, sizes: np.ndarray, seed: int) -> Interval:
    """sum(sums) / sum(sizes), with a percentile bootstrap over the pairs; both have shape (clusters,)."""
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    drawn = _resampled(np.random.default_rng(seed), kinds, counts)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], ENDS)
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high))


def wilson(share: float, n: int) -> Interval:
    """Wilson's score interval (1927), for a share of any value."""
    z = norm.ppf(ENDS[1])
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return Interval(share, float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0)


def _resampled(rng: np.random.Generator, kinds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over resamples of things of which there are few kinds: `kinds` [k, …] gives [resamples, …]."""
    # Drawing with replacement draws how often each of the few distinct ones comes up: a multinomial, so no
    # (resamples, n) array is ever made.
    n, at_once = counts.sum(), max(1, AT_ONCE // len(kinds))
    parts = [
        rng.multinomial(n, counts / n, size=min(at_once, RESAMPLES - done)) @ kinds
        for done in range(0, RESAMPLES, at_once)
    ]
    return np.concatenate(parts)


def _by_cluster(outcomes: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sizes of the clusters."""
    if outcomes.shape != clusters.shape or outcomes.ndim != 1 or not len(outcomes):
        raise ValueError(f"an outcome has one cluster: shapes {outcomes.shape} and {clusters.shape}")
    _, index = np.unique(clusters, return_inverse=True)
    return np.bincount(index, outcomes.astype(float)), np.bincount(index).astype(float)
