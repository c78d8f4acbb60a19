"""What each way of cutting steps into micro-batches would waste, from lengths alone."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from boresight.train.plan import PADDED, Cost, Plan, best_fit
from boresight.train.settings import STRATEGIES, TrainSettings


class Waste(NamedTuple):
    """Of one strategy over one epoch. Ranks move in lockstep: in every round the costliest micro-batch sets
    the pace. `limit` is the least time any cut of the same steps could take: of each step an even share of
    its cost on every rank, or its costliest sequence where that takes longer.
    """

    strategy: str
    padding: float
    """Share of the token slots that hold padding."""
    idle: float
    """Share of the ranks' time spent waiting."""
    to_ideal: float
    """Time relative to an even share of all sequences' cost on every rank, without padding."""
    to_limit: float
    """Time relative to the limit."""
    dominated: float
    """Share of the steps in which one sequence takes longer than an even share."""
    micro_batches: int
    """Over all ranks and steps, without empty ones."""
    rounds: float
    """Micro-batches of each rank in a step, on average."""
    steps: int


def simulate(
    lengths: np.ndarray, target_counts: np.ndarray, settings: TrainSettings, cost: Cost, ranks: int = 8
) -> list[Waste]:
    """One epoch under every strategy, on `ranks` ranks.

    Args:
        lengths: tokens of each sequence.
        target_counts: targets of each sequence, at least 1.
        cost: what a sequence costs the model.
        ranks: micro-batches computed at the same time.
    """
    once = settings.model_copy(update={"epochs": 1, "steps": None})
    plan = Plan(lengths, target_counts, once, cost, ranks)
    wastes = []
    for strategy in STRATEGIES:
        cuts = (plan.cut(chosen, strategy) for _, chosen in plan.draws())
        steps = ([plan.lengths[sequences] for sequences in cut] for cut in cuts)
        wastes.append(_waste(strategy, steps, cost, ranks))
    return wastes


def simulate_packing(lengths: np.ndarray, settings: TrainSettings, cost: Cost, ranks: int = 8) -> list[Waste]:
    """What others do: pack the whole epoch, then give every rank one pack a step (LongAlign §4.2).

    `next-fit` is LongAlign's own packing, of the sequences in random order; `best-fit` packs the longest
    first and shuffles the packs. The empty rest of a pack is not charged to either.
    """
    random = np.random.default_rng(settings.seed)
    packs = {"next-fit": next_fit(random.permutation(lengths), settings.tokens_per_micro_batch)}
    best = best_fit(lengths, settings.tokens_per_micro_batch)
    packs["best-fit"] = [lengths[best[k]] for k in random.permutation(len(best))]
    return [
        _waste(name, (p[k : k + ranks] for k in range(0, len(p), ranks)), cost, ranks)
        for name, p in packs.items()
    ]


def next_fit(lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    """Lengths in the order given, in packs; a pack closes at the first sequence that has no room in it."""
    ends = np.cumsum(lengths)
    packs: list[np.ndarray] = []
    start = filled = 0
    while start < len(lengths):
        end = max(start + 1, int(np.searchsorted(ends, filled + capacity, "right")))
        packs.append(lengths[start:end])
        start, filled = end, ends[end - 1]
    return packs


def _waste(strategy: str, steps: Iterable[list[np.ndarray]], cost: Cost, ranks: int) -> Waste:
    """From the lengths in every micro-batch of every step, a round after another."""
    counted = np.array([_count(step, strategy in PADDED, cost, ranks) for step in steps])
    tokens, slots, micro_batches, rounds, time, used, share, longest = counted.T
    return Waste(
        strategy,
        padding=float(1 - tokens.sum() / slots.sum()),
        idle=float(1 - used.sum() / (ranks * time.sum())),
        to_ideal=float(time.sum() / share.sum()),
        to_limit=float(time.sum() / np.maximum(share, longest).sum()),
        dominated=float(np.mean(longest > share)),
        micro_batches=int(micro_batches.sum()),
        rounds=float(rounds.mean()),
        steps=len(counted),
    )


def _count(micro_batches: list[np.ndarray], padded: bool, cost: Cost, ranks: int) -> tuple[float, ...]:
    """One step: tokens, slots, micro-batches, rounds; its time, the cost computed, an even share of the
    cost without padding, and the cost of its costliest sequence."""
    lengths = np.concatenate(micro_batches)
    sizes = np.array([len(batch) for batch in micro_batches])
    first = np.cumsum(sizes) - sizes
    # As the model sees them: padded rows are as long as the widest.
    rows = np.repeat(np.maximum.reduceat(lengths, first), sizes) if padded else lengths
    work = np.add.reduceat(cost.of(rows), first)
    slowest = np.maximum.reduceat(work, np.arange(0, len(work), ranks))
    alone = cost.of(lengths)
    return (
        *(lengths.sum(), rows.sum(), len(sizes), len(slowest)),
        *(slowest.sum(), work.sum(), alone.sum() / ranks, alone.max()),
    )
