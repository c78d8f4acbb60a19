"""Lengths of conversations in the shape of LongAlign's mixture, scaled to any maximum.

The mixture is ShareGPT, mean about 1,400 tokens and cut at 8,192, with about a tenth of long rows spread
evenly over 8k-64k. Scaled to a maximum L: nine rows in ten log-normal with median L/64 (mean about L/46),
at most L/8; one in ten uniform from L/8 to L.
"""

from statistics import NormalDist

import numpy as np

SPREAD = 0.8
"""Standard deviation of the logarithm of the short lengths."""
SHORTEST = 8


def longalign_lengths(rows: int, maximum: int, seed: int = 0) -> np.ndarray:
    """Lengths in random order, int64.

    Evenly spaced quantiles, not draws, so that a few rows already have the shape of many.
    """
    tail = max(1, round(rows / 10))
    middles = (np.arange(rows - tail) + 0.5) / (rows - tail)
    normal = np.array([NormalDist().inv_cdf(q) for q in middles])
    short = np.clip(np.exp(np.log(maximum / 64) + SPREAD * normal), SHORTEST, maximum / 8)
    long = maximum * (1 / 8 + 7 / 8 * (np.arange(tail) + 0.5) / tail)
    return np.random.default_rng(seed).permutation(np.concatenate([short, long]).astype(np.int64))
