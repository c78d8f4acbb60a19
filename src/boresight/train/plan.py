"""The plan of a step: which sequences an optimizer step draws, and how they are cut up.

A step's set of sequences depends on the seed and the recipe alone. Strategies only cut that set into
micro-batches, so every strategy on any number of ranks computes the same gradient, up to rounding.
The plan is made from lengths and target counts; every rank makes the same one and nothing is exchanged.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heappop, heappush, heapreplace
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from boresight.train.settings import Strategy, TrainSettings

Sequences = np.ndarray
"""Indices of sequences in the token store, int64."""
PADDED: tuple[Strategy, ...] = ("padded", "sorted")
"""Strategies whose micro-batches are padded rows; those of the others are one packed row."""
ROUND_START = 0.01
"""What starting a round costs, as a share of a full micro-batch: weights to gather, kernels to launch."""
CLOSE_ENOUGH = 1.001
"""Of the least possible time; below, no other cut is tried."""


class MicroBatch(NamedTuple):
    """Sequences that go through the model together: as padded rows, or end to end in one packed row."""

    sequences: Sequences
    padded: bool


class Step(NamedTuple):
    """One optimizer step. `weights[k]` is what each target of `sequences[k]` weighs in the loss;
    `ranks[r]` are the micro-batches of rank r, the same number on every rank (some may be empty)."""

    number: int
    epoch: int
    sequences: Sequences
    weights: np.ndarray
    ranks: list[list[MicroBatch]]


class Cost(NamedTuple):
    """Cost of a sequence of n tokens, `linear`·n + `quadratic`·n², in multiply-adds of a forward pass."""

    linear: float
    quadratic: float

    def of(self, lengths: np.ndarray) -> np.ndarray:
        """Cost of each length, float64, same shape."""
        n = lengths.astype(np.float64)
        return self.linear * n + self.quadratic * n * n


def sequence_weights(target_counts: np.ndarray, alpha: float) -> np.ndarray:
    """The weight of each target of each sequence, w_i = N_i^(-α) / Σ_j N_j^(1-α).

    α = 1 is LongAlign's equation 2 (every sequence counts the same), α = 0 the mean over tokens.

    Args:
        target_counts: N_i of every sequence in the step, all at least 1.
    """
    n = target_counts.astype(np.float64)
    return n**-alpha / np.sum(n ** (1 - alpha))


class Plan:
    """All steps of a training run, made from lengths alone.

    Args:
        lengths: tokens of each sequence.
        target_counts: targets of each sequence.
        cost: what a sequence costs the model, for `balanced`.
        ranks: number of micro-batches that are computed at the same time in each step.
        sequences: indices of those that may be drawn, all unless given.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        target_counts: np.ndarray,
        settings: TrainSettings,
        cost: Cost,
        ranks: int = 1,
        sequences: Sequences | None = None,
    ):
        assert len(lengths) == len(target_counts) > 0 and target_counts.min() > 0
        assert sequences is None or len(sequences) > 0
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.target_counts = np.asarray(target_counts, dtype=np.int64)
        self.settings = settings
        self.cost = cost
        self.ranks = ranks
        self.sequences = sequences
        self.capacity = settings.tokens_per_micro_batch

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        if self.settings.steps is not None:
            return self.settings.steps
        if self.settings.tokens_per_step is None:
            return self.settings.epochs * -(-self._drawn // self.settings.sequences_per_step)
        return sum(len(self._step_starts(self._order(e))) for e in range(self.settings.epochs))

    def steps(self, first: int = 0) -> Iterator[Step]:
        """Steps `first`, `first` + 1, … to the end; each epoch is a new permutation, used once and whole."""
        for number, (epoch, chosen) in enumerate(islice(self.draws(), first, None), first):
            yield self._step(number, epoch, chosen)

    def draws(self) -> Iterator[tuple[int, Sequences]]:
        """Epoch and sequences of every step of the run, before they are cut up."""
        left = self.total_steps
        for epoch in count():
            order = self._order(epoch)
            starts = self._step_starts(order)
            for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True):
                yield epoch, order[start:end]
                left -= 1
                if not left:
                    return

    def slots(self, step: Step) -> int:
        """Token slots of a step over all ranks, padding included."""
        return sum(self.row_lengths(batch).sum().item() for rank in step.ranks for batch in rank)

    def row_lengths(self, batch: MicroBatch) -> np.ndarray:
        """Lengths as the model sees them: of padded rows the widest, of packed sequences their own."""
        lengths = self.lengths[batch.sequences]
        return np.full_like(lengths, lengths.max(initial=0)) if batch.padded else lengths

    @property
    def _drawn(self) -> int:
        return len(self.lengths) if self.sequences is None else len(self.sequences)

    def _order(self, epoch: int) -> Sequences:
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(self._drawn)
        return order if self.sequences is None else self.sequences[order]

    def _step_starts(self, order: Sequences) -> np.ndarray:
        """Where in an epoch's order each step starts. By tokens, a step closes once it has its share."""
        if self.settings.tokens_per_step is None:
            return np.arange(0, len(order), self.settings.sequences_per_step)
        tokens_before = np.cumsum(self.lengths[order]) - self.lengths[order]
        return np.unique(tokens_before // self.settings.tokens_per_step, return_index=True)[1]

    def _step(self, number: int, epoch: int, chosen: Sequences) -> Step:
        weights = sequence_weights(self.target_counts[chosen], self.settings.alpha)
        strategy = self.settings.batching
        # Dealt in turn: neighbours share a round, and those are alike in cost or balanced to be.
        batches = [MicroBatch(group, strategy in PADDED) for group in self.cut(chosen, strategy)]
        batches += [MicroBatch(chosen[:0], strategy in PADDED)] * (-len(batches) % self.ranks)
        ranks = [batches[rank :: self.ranks] for rank in range(self.ranks)]
        return Step(number, epoch, chosen, weights, ranks)

    def cut(self, chosen: Sequences, strategy: Strategy) -> list[Sequences]:
        """Cut one step's sequences into micro-batches, a round after another; each lands in exactly one."""
        lengths = self.lengths[chosen]
        match strategy:
            case "padded":
                groups = rows_within(lengths, self.capacity)
            case "sorted":
                by_length = np.argsort(lengths, kind="stable")
                groups = [by_length[g] for g in rows_within(lengths[by_length], self.capacity)]
            case "packed":
                groups = best_fit(lengths, self.capacity)
            case "balanced":
                groups = balance(lengths, self.cost.of(lengths), self.capacity, self.ranks)
        return [chosen[group] for group in groups]


def rows_within(lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    """Split rows, in the order given, so that each batch padded to its longest row fits the capacity."""
    groups: list[np.ndarray] = []
    start, longest = 0, 0
    for i, n in enumerate(lengths):
        longest = max(longest, int(n))
        if longest * (i + 1 - start) > capacity and i > start:
            groups.append(np.arange(start, i))
            start, longest = i, int(n)
    return [*groups, np.arange(start, len(lengths))]


def best_fit(lengths: np.ndarray, capacity: int) -> list[np.ndarray]:
    """Best-fit decreasing: each sequence, longest first, into the fullest pack that still has room."""
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, pack), kept sorted
    for i in np.argsort(-lengths, kind="stable"):
        n = int(lengths[i])
        at = bisect_left(room, (n, 0))
        if at == len(room):
            packs.append([])
            room.append((capacity, len(packs) - 1))
        free, pack = room.pop(at)
        packs[pack].append(int(i))
        insort(room, (free - n, pack))
    return [np.array(pack) for pack in packs]


def balance(lengths: np.ndarray, costs: np.ndarray, capacity: int, ranks: int) -> list[np.ndarray]:
    """Cut a step into rounds of `ranks` micro-batches that keep all ranks busy, under the token cap.

    Ranks move in lockstep: a round lasts as long as its costliest micro-batch, so the sum of those is what
    we make small. Few rounds are tried first; one more has to save more than it takes to start it.

    Args:
        costs: of each sequence; must not fall where lengths rise.

    Returns:
        Micro-batches, the first `ranks` for the first round and so on; the last round may have fewer.
    """
    longest_first = np.argsort(-lengths, kind="stable")
    start = ROUND_START * capacity * costs.sum() / lengths.sum()
    limit = max(costs.sum() / ranks, costs.max())
    fewest = -(-int(lengths.sum()) // (capacity * ranks))
    best: list[np.ndarray] = []
    least = math.inf
    for rounds in sorted({1, fewest, fewest + 1, fewest + 2}):
        batches, time = _rounds(longest_first, lengths, costs, capacity, ranks, rounds)
        if time + start * (len(batches) // ranks) < least:
            best, least = batches, time + start * (len(batches) // ranks)
        if time <= CLOSE_ENOUGH * limit:
            break
    return best


def _rounds(
    order: np.ndarray, lengths: np.ndarray, costs: np.ndarray, capacity: int, ranks: int, rounds: int
) -> tuple[list[np.ndarray], float]:
    """Fill one round after another, about `rounds` of them; returns micro-batches and their time.

    Each has a pace, the cost of the longest sequence left or, if that is more, an even share of all that is
    left. So what a long sequence takes is time that the other ranks use, and later rounds are short. The
    last one takes as much as the cap allows.
    """
    batches: list[np.ndarray] = []
    time = 0.0
    while len(order):
        pace = math.inf
        if rounds > 1:
            share = costs[order].sum() / (ranks * rounds) * (1 + 1e-9)  # rounding must not keep out the last
            pace = max(costs[order[0]], share)
        filled, order, costliest = _fill(order, lengths[order], costs[order], capacity, ranks, pace)
        batches += filled
        time += costliest
        rounds -= 1
    return batches, time


def _fill(
    order: np.ndarray, lengths: np.ndarray, costs: np.ndarray, capacity: int, ranks: int, pace: float
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Each sequence, longest first, into the cheapest of a round's micro-batches that has room for it.

    Returns:
        The micro-batches, the sequences that found no room, and the cost of the costliest micro-batch.
    """
    shorter, cheaper = (-lengths).tolist(), (-costs).tolist()  # ascending, as bisect needs
    sequences = order.tolist()
    batches: list[list[int]] = [[] for _ in range(min(ranks, len(order)))]
    left: list[int] = []
    open_ = [(0.0, 0, b) for b in range(len(batches))]  # (cost, tokens, micro-batch)
    # A micro-batch without room for this sequence waits for the first that is short and cheap enough.
    waiting: list[tuple[int, tuple[float, int, int]]] = []
    i = 0
    while i < len(sequences):
        while waiting and waiting[0][0] <= i:
            heappush(open_, heappop(waiting)[1])
        if not open_:
            fits = waiting[0][0]
            left += sequences[i:fits]
            i = fits
            continue
        cost, tokens, b = open_[0]
        fits = max(bisect_left(shorter, tokens - capacity), bisect_left(cheaper, cost - pace))
        if fits > i and tokens:  # an empty one takes anything: a sequence over the cap goes alone
            heappush(waiting, (fits, heappop(open_)))
            continue
        batches[b].append(sequences[i])
        heapreplace(open_, (cost - cheaper[i], tokens - shorter[i], b))
        i += 1
    costliest = max(cost for cost, _, _ in [*open_, *(batch for _, batch in waiting)])
    return [np.array(b, dtype=np.int64) for b in batches], np.array(left, dtype=np.int64), costliest
