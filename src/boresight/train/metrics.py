"""What a run tells of itself while it trains: metrics.jsonl, a line a step."""

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from boresight.data.store import TokenStore
from boresight.runs import atomic_write

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl. `loss` is the objective of the step, before its update."""

    step: int
    """Steps done, from 1."""
    total_steps: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    sequences: int
    micro_batches: int
    """Over all ranks."""
    tokens: int
    """Real tokens, without padding."""
    padding: int
    """Tokens of padding beside them."""
    targets: int
    seconds: float
    ranks: int = 1
    """Processes that took the step together."""
    held_out_loss: float | None = None
    """The same objective over the held-out conversations, after the update; None where not measured."""


class MetricsFile:
    """metrics.jsonl, written as training goes, by one rank.

    On resuming, lines of steps that are done again are taken back.
    """

    def __init__(self, path: Path, steps_done: int, *, writes: bool = True):
        self._file: TextIO | None = None
        if not writes:
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        atomic_write(path, "".join(lines[:steps_done]))
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: StepMetrics) -> None:
        """Append one step."""
        if self._file:
            self._file.write(json.dumps(asdict(metrics)) + "\n")
            self._file.flush()

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def summary(run: Path, store: TokenStore, parameters: int) -> dict[str, float]:
    """What a finished run counted: steps, first and last loss, median speed, data and parameters."""
    lines = [json.loads(line) for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]
    held_out = {"held_out_loss": lines[-1]["held_out_loss"]} if lines[-1].get("held_out_loss") else {}
    return {
        "steps": len(lines),
        "first_loss": lines[0]["loss"],
        "last_loss": lines[-1]["loss"],
        **held_out,
        "tokens_per_second": statistics.median(line["tokens"] / line["seconds"] for line in lines),
        "targets_per_second": statistics.median(line["targets"] / line["seconds"] for line in lines),
        "sequences": len(store),
        "tokens": int(store.lengths.sum()),
        "targets": int(store.target_counts.sum()),
        "dropped": sum(store.dropped.values()),
        "cut": store.manifest["counts"]["cut"],
        "parameters": parameters,
    }
