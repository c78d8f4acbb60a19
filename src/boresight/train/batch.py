"""A micro-batch as tensors."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from boresight.data.store import TokenStore
from boresight.train.plan import MicroBatch


class Batch(NamedTuple):
    """What the model and the loss need of one micro-batch.

    `tokens` and `positions` are [rows, tokens]; `segments` the lengths of the sequences in every row.
    `states` are the flat places of the hidden states that predict `targets`, whose loss `weights` weigh.
    """

    tokens: Tensor
    positions: Tensor
    segments: tuple[int, ...]
    states: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return self._replace(
            **{k: v.to(device, non_blocking=True) for k, v in self._asdict().items() if k != "segments"}
        )

    def part(self, index: int, parts: int) -> "Batch":
        """The `index`-th of `parts` equal cuts along the rows, for ranks that share a micro-batch.

        `segments` stay those of the whole rows. Tokens that are missing for an equal cut are added as a
        segment of their own, without a target.
        """
        width = self.tokens.shape[1]
        missing = -width % parts
        own = (width + missing) // parts
        row, column = self.states // width, self.states % width
        mine = column // own == index
        columns = slice(index * own, (index + 1) * own)
        return Batch(
            tokens=pad(self.tokens, (0, missing))[:, columns],
            positions=pad(self.positions, (0, missing))[:, columns],
            segments=(*self.segments, missing) if missing else self.segments,
            states=(row * own + column - index * own)[mine],
            targets=self.targets[mine],
            weights=self.weights[mine],
        )


def collate(store: TokenStore, batch: MicroBatch, weights: dict[int, float]) -> Batch:
    """Lay out a micro-batch.

    Padded rows are filled on the right: under causal attention the fill is never looked at, so no mask
    is needed. An empty micro-batch becomes one token without a target, so that every rank runs the model.

    Args:
        weights: what each target of a sequence weighs, by sequence index.
    """
    rows = [store.sequence(int(i)) for i in batch.sequences] or [(np.zeros(1, int), np.zeros(1, bool))]
    lengths = [len(tokens) for tokens, _ in rows]
    width = max(lengths) if batch.padded else sum(lengths)
    starts = (np.arange(len(rows)) * width) if batch.padded else np.cumsum([0, *lengths[:-1]])
    shape = (len(rows) if batch.padded else 1, width)
    flat, positions = np.zeros(shape[0] * width, dtype=np.int64), np.zeros(shape[0] * width, dtype=np.int64)
    places, target_weights = [], []
    for start, (tokens, marks), sequence in zip(starts, rows, [*batch.sequences, -1], strict=False):
        span = slice(start, start + len(tokens))
        flat[span], positions[span] = tokens, np.arange(len(tokens))
        places.append(start + np.flatnonzero(marks))
        target_weights.append(np.full(len(places[-1]), weights.get(int(sequence), 0.0)))
    at = np.concatenate(places)
    return Batch(
        tokens=torch.from_numpy(flat).view(shape),
        positions=torch.from_numpy(positions).view(shape),
        segments=(width,) if batch.padded else tuple(lengths),
        states=torch.from_numpy(at - 1),
        targets=torch.from_numpy(flat[at]),
        weights=torch.from_numpy(np.concatenate(target_weights)),
    )
