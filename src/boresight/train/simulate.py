"""What each batching strategy would waste, from lengths alone."""

from typing import NamedTuple

import numpy as np

from boresight.train.plan import Cost, MicroBatch, Plan
from boresight.train.settings import STRATEGIES, TrainSettings


class Waste(NamedTuple):
    """Of one strategy over one epoch."""

    strategy: str
    padding: float
    """Share of the token slots that hold padding."""
    idle: float
    """Share of the ranks' time spent waiting: in every round the costliest micro-batch sets the pace."""
    micro_batches: int


def simulate(
    lengths: np.ndarray, target_counts: np.ndarray, settings: TrainSettings, cost: Cost, ranks: int = 8
) -> list[Waste]:
    """One epoch under every strategy, on `ranks` ranks."""
    once = settings.model_copy(update={"epochs": 1, "steps": None})
    return [
        _waste(Plan(lengths, target_counts, once.model_copy(update={"batching": s}), cost, ranks))
        for s in STRATEGIES
    ]


def _waste(plan: Plan) -> Waste:
    slots = micro_batches = 0
    paced = used = 0.0
    for step in plan.steps():
        for round_ in zip(*step.ranks, strict=True):
            rows = [_row_lengths(plan, batch) for batch in round_]
            slots += sum(int(r.sum()) for r in rows)
            micro_batches += sum(len(r) > 0 for r in rows)
            costs = [float(plan.cost.of(r).sum()) for r in rows]
            paced += max(costs) * len(costs)
            used += sum(costs)
    tokens = int(plan.lengths.sum())
    return Waste(plan.settings.batching, 1 - tokens / slots, 1 - used / paced, micro_batches)


def _row_lengths(plan: Plan, batch: MicroBatch) -> np.ndarray:
    """Lengths as the model sees them: of padded rows the widest, of packed sequences their own."""
    lengths = plan.lengths[batch.sequences]
    return np.full_like(lengths, lengths.max()) if batch.padded and len(lengths) else lengths
