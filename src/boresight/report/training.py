"""Training runs: how the loss fell, how fast, on what, and what other batching would have wasted."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from boresight.data.store import MANIFEST, TokenStore
from boresight.errors import UserError
from boresight.models.load import load_config
from boresight.records import enumerate_lines, explain
from boresight.report.source import Source
from boresight.train.loop import model_cost
from boresight.train.metrics import METRICS, StepMetrics
from boresight.train.saving import MODEL
from boresight.train.settings import TrainSettings
from boresight.train.simulate import Waste, simulate

TOKENS = "tokens"
RANKS = 8
METRICS_LINE = TypeAdapter(StepMetrics)


@dataclass(frozen=True)
class TrainRun:
    """A training run: its steps, its data, and what each batching strategy would waste on that data."""

    source: Source
    steps: list[StepMetrics]
    store: TokenStore | None
    waste: list[Waste]

    def column(self, name: str) -> np.ndarray:
        """One metric of every step, float64, shape (steps,)."""
        return np.array([getattr(step, name) for step in self.steps], dtype=np.float64)

    def total(self, name: str) -> float:
        """The sum of a metric over the steps."""
        return float(self.column(name).sum())

    @property
    def loss(self) -> np.ndarray:
        """The smoothed loss, shape (steps,)."""
        return smooth(self.column("loss"))

    @property
    def speed(self) -> float:
        """Target tokens a second over the whole run."""
        return self.total("targets") / self.total("seconds")

    @property
    def padding(self) -> float:
        """Share of the token slots that held padding."""
        return self.total("padding") / (self.total("padding") + self.total("tokens"))

    @property
    def strategy(self) -> str:
        """The batching strategy of the run."""
        return train_settings(self.source).batching

    @property
    def tail(self) -> float:
        """Share of the tokens that the longest tenth of the sequences holds."""
        assert self.store is not None
        longest_first = np.sort(self.store.lengths)[::-1]
        return float(longest_first[: math.ceil(len(longest_first) / 10)].sum() / longest_first.sum())

    @property
    def counts(self) -> dict[str, Any]:
        """What became of the rows."""
        return self.store.manifest["counts"] if self.store else {}


def read_training(source: Source) -> TrainRun:
    """A training run; one that is not finished may lack any part.

    Raises:
        UserError: a part of a finished run is missing, or a file cannot be read.
    """
    partial = not source.finished
    metrics, tokens = source.directory / METRICS, source.directory / TOKENS
    steps = [] if partial and not metrics.is_file() else _read_metrics(source)
    store = None if partial and not (tokens / MANIFEST).is_file() else TokenStore(tokens)
    return TrainRun(source, steps, store, _waste(source, store))


def _read_metrics(source: Source) -> list[StepMetrics]:
    path = source.directory / METRICS
    steps = []
    for line_number, line in enumerate_lines(path):
        try:
            steps.append(METRICS_LINE.validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}:{line_number}: {explain(error)}") from error
    if source.finished and not steps:
        raise UserError(f"{path}: the file is empty")
    return steps


def _waste(source: Source, store: TokenStore | None) -> list[Waste]:
    """What each strategy would waste; nothing before there is a model to take the cost from."""
    parameters = source.record.get("counts", {}).get("parameters")
    model = source.directory / MODEL
    if store is None or not parameters or not model.is_dir():
        return []
    cost = model_cost(load_config(str(model)), parameters)
    return simulate(store.lengths, store.target_counts, train_settings(source), cost, RANKS)


def train_settings(source: Source) -> TrainSettings:
    """The settings a training run recorded.

    Raises:
        UserError: they are not training settings.
    """
    fields = dict(source.config.get("train") or {})
    if fields.get("tokens_per_step") is not None:
        fields.pop("sequences_per_step", None)  # a full dump holds both, of which one counts
    try:
        return TrainSettings(**fields)
    except ValidationError as error:
        raise UserError(f"{source.directory}: recipe.train: {explain(error)}") from error


def smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving mean over a twentieth of the values, over fewer at both ends; same shape."""
    window = np.ones(2 * (len(values) // 40) + 1)
    near = np.convolve(np.ones_like(values), window, "same")
    return np.convolve(values, window, "same") / near
