"""How far several raters agree on labels: shares, Cohen's κ and Krippendorff's α, with bootstrap intervals.

    compare_labels(units, [1, 2, 3, 4, 5], clusters, level="ordinal").alpha  # Interval(0.61, 0.52, 0.69)

Of a unit with more than two labels every two count, and each unit weighs the same. All is computed from
tables of how often two labels meet, so a resample of whole clusters is a sum of tables.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from boresight.stats.intervals import ENDS, Interval, wilson
from boresight.stats.raters import verdict_agreement

RESAMPLES = 2_000
AT_ONCE = 2**22
Level = Literal["nominal", "ordinal", "interval"]


class LabelAgreement(NamedTuple):
    """What raters share. κ and α of raters who all give one and the same label are no numbers."""

    units: int
    """With two labels or more."""
    clusters: int
    raw: Interval
    """The share of equal labels."""
    tie_discounted: Interval
    """1 where two labels are on the same side of the middle, ½ where exactly one is the middle, else 0."""
    kappa: Interval
    """Cohen (1960): beyond what chance brings, by the first and the second raters' shares of labels."""
    alpha: Interval
    """Krippendorff (2011, «Computing Krippendorff's alpha-reliability»)."""


def compare_labels(
    units: Sequence[Sequence[float]],
    values: Sequence[float],
    clusters: np.ndarray,
    level: Level,
    seed: int = 0,
) -> LabelAgreement | None:
    """Compare the labels of units; None where no unit has two.

    Args:
        units: the labels of each unit, in an order of the raters that is the same for all.
        values: all labels there can be, ascending.
        clusters: what unit belongs to which, any labels, shape (units,).
        level: how far apart two labels are for α.

    Raises:
        ValueError: a label is none of `values`, or the lengths differ.
    """
    if len(units) != len(clusters):
        raise ValueError(f"{len(units)} units and {len(clusters)} clusters")
    several = [at for at, labels in enumerate(units) if len(labels) > 1]
    if not several:
        return None
    place = {value: at for at, value in enumerate(values)}
    if unknown := {label for at in several for label in units[at]} - place.keys():
        raise ValueError(f"labels that there cannot be: {sorted(unknown)}")
    _, cluster = np.unique(clusters[several], return_inverse=True)
    met = np.zeros((2, int(cluster.max()) + 1, len(values), len(values)))
    for at, own in zip(several, cluster, strict=True):
        labels = [place[label] for label in units[at]]
        pairs = list(combinations(labels, 2))
        for first, second in pairs:
            met[0, own, first, second] += 1 / len(pairs)
            # In α a unit weighs as many as it has labels.
            met[1, own, first, second] += 1 / (len(labels) - 1)
            met[1, own, second, first] += 1 / (len(labels) - 1)
    scale = np.array(values, float)
    points = verdict_agreement(*np.meshgrid(scale - np.median(scale), scale - np.median(scale)))
    tables, coincidences = met

    def drawn(found: Callable[[np.ndarray], np.ndarray], of: np.ndarray) -> Interval:
        return _bootstrap(found, of, seed)

    def share(points: np.ndarray) -> Interval:
        found = drawn(lambda met: _share(met, points), tables)
        # Where no cluster differs, resampling shows no spread.
        return found if found.low < found.high else wilson(found.value, len(tables))

    return LabelAgreement(
        len(several), len(tables), share(np.eye(len(scale))), share(points), drawn(_kappa, tables),
        drawn(lambda met: _alpha(met, scale, level), coincidences),
    )  # fmt: skip


def _share(tables: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The mean of points [labels, labels] in each table [n, labels, labels]."""
    return np.asarray((tables * points).sum(axis=(1, 2)) / tables.sum(axis=(1, 2)))


def _kappa(tables: np.ndarray) -> np.ndarray:
    """Of tables of the first against the second rater [n, labels, labels]."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    return np.asarray((np.trace(shares, axis1=1, axis2=2) - chance) / _or_nan(1 - chance))


def _alpha(coincidences: np.ndarray, scale: np.ndarray, level: Level) -> np.ndarray:
    """Of matrices of coincidences [n, labels, labels]: 1 - observed over expected disagreement."""
    counts = coincidences.sum(axis=2)
    if level == "nominal":
        apart = np.broadcast_to(1 - np.eye(len(scale)), coincidences.shape)
    else:
        # The ordinal metric is the difference of the ranks, where equal labels share the mean of theirs.
        ranks = np.cumsum(counts, axis=1) - counts / 2
        at = ranks if level == "ordinal" else np.broadcast_to(scale, ranks.shape)
        apart = (at[:, :, None] - at[:, None, :]) ** 2
    observed = (coincidences * apart).sum(axis=(1, 2))
    expected = np.einsum("nc,nk,nck->n", counts, counts, apart) / (counts.sum(axis=1) - 1)
    return np.asarray(1 - observed / _or_nan(expected))


def _or_nan(divisor: np.ndarray) -> np.ndarray:
    return np.where(divisor > 1e-12, divisor, np.nan)


def _bootstrap(found: Callable[[np.ndarray], np.ndarray], tables: np.ndarray, seed: int) -> Interval:
    """A measure of the sum of tables [clusters, labels, labels], with a percentile interval over clusters.

    Resamples in which it has no value say nothing.
    """
    value = float(found(tables.sum(axis=0)[None])[0])
    if np.isnan(value):
        return Interval(*[float("nan")] * 3)
    # Of many clusters few differ: how often each kind is drawn is a multinomial.
    kinds, counts = np.unique(tables.reshape(len(tables), -1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    at_once = max(1, AT_ONCE // max(kinds.shape))
    drawn = [
        found(
            (rng.multinomial(len(tables), counts / len(tables), size=min(at_once, RESAMPLES - done)) @ kinds)
            .reshape(-1, *tables.shape[1:])
        )
        for done in range(0, RESAMPLES, at_once)
    ]  # fmt: skip
    low, high = np.nanquantile(np.concatenate(drawn), ENDS)
    return Interval(value, float(low), float(high))
