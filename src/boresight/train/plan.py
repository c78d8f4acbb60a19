"""The plan of a step: which sequences an optimizer step draws, and how they are cut up.

A step's set of sequences depends on the seed and the recipe alone. Strategies only cut that set into
micro-batches, so every strategy on any number of ranks computes the same gradient, up to rounding.
The plan is made from lengths and target counts; every rank makes the same one and nothing is exchanged.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from boresight.train.settings import Strategy, TrainSettings

Sequences = np.ndarray
"""Indices of sequences in the token store, int64."""


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
        ranks: number of processes that share each step.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        target_counts: np.ndarray,
        settings: TrainSettings,
        cost: Cost,
        ranks: int = 1,
    ):
        assert len(lengths) == len(target_counts) > 0 and target_counts.min() > 0
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.target_counts = np.asarray(target_counts, dtype=np.int64)
        self.settings = settings
        self.cost = cost
        self.ranks = ranks
        self.capacity = settings.tokens_per_micro_batch

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        if self.settings.steps is not None:
            return self.settings.steps
        return sum(len(self._step_starts(self._order(e))) for e in range(self.settings.epochs))

    def steps(self, first: int = 0) -> Iterator[Step]:
        """Steps `first`, `first` + 1, … to the end; each epoch is a new permutation, used once and whole."""
        total, number = self.total_steps, 0
        for epoch in count():
            order = self._order(epoch)
            for chosen in np.split(order, self._step_starts(order)[1:]):
                if number == total:
                    return
                if number >= first:
                    yield self._step(number, epoch, chosen)
                number += 1

    def _order(self, epoch: int) -> Sequences:
        return np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.lengths))

    def _step_starts(self, order: Sequences) -> np.ndarray:
        """Where in an epoch's order each step starts. By tokens, a step closes once it has its share."""
        if self.settings.tokens_per_step is None:
            return np.arange(0, len(order), self.settings.sequences_per_step)
        tokens_before = np.cumsum(self.lengths[order]) - self.lengths[order]
        return np.unique(tokens_before // self.settings.tokens_per_step, return_index=True)[1]

    def _step(self, number: int, epoch: int, chosen: Sequences) -> Step:
        weights = sequence_weights(self.target_counts[chosen], self.settings.alpha)
        strategy = self.settings.batching
        groups = self.cut(chosen, strategy)
        padded = strategy in ("padded", "sorted")
        # Neighbours in a round are alike in size, so ranks wait little for each other.
        batches = [MicroBatch(group, padded) for group in groups]
        batches += [MicroBatch(chosen[:0], padded)] * (-len(batches) % self.ranks)
        ranks = [batches[rank :: self.ranks] for rank in range(self.ranks)]
        return Step(number, epoch, chosen, weights, ranks)

    def cut(self, chosen: Sequences, strategy: Strategy) -> list[Sequences]:
        """Cut one step's sequences into micro-batches; every sequence lands in exactly one."""
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
    """Even out the cost over ranks × k micro-batches under the token cap, for the smallest k that fits."""
    rounds = max(1, -(-int(lengths.sum()) // (capacity * ranks)))
    while True:
        if groups := _costliest_first(lengths, costs, capacity, rounds * ranks):
            groups.sort(key=lambda group: -costs[group].sum())
            return groups
        rounds += 1


def _costliest_first(
    lengths: np.ndarray, costs: np.ndarray, capacity: int, bins: int
) -> list[np.ndarray] | None:
    """Costliest sequence first, each to the cheapest bin with room; None when one finds no room."""
    heap = [(0.0, b) for b in range(bins)]
    members: list[list[int]] = [[] for _ in range(bins)]
    tokens = [0] * bins
    for i in np.argsort(-costs, kind="stable"):
        full = []
        # An empty bin takes anything: a sequence over the cap goes alone.
        while heap and 0 < tokens[heap[0][1]] > capacity - lengths[i]:
            full.append(heapq.heappop(heap))
        if not heap:
            return None
        cost, b = heapq.heappop(heap)
        members[b].append(int(i))
        tokens[b] += int(lengths[i])
        for entry in [*full, (cost + float(costs[i]), b)]:
            heapq.heappush(heap, entry)
    return [np.array(m, dtype=np.int64) for m in members]
