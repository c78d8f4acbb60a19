"""A run's metrics sent to TensorBoard and Weights & Biases as well, step by step."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Any
from uuid import uuid4

from boresight.errors import UserError
from boresight.extras import require
from boresight.runs import atomic_write
from boresight.train.metrics import StepMetrics

TENSORBOARD, WANDB_ID = "tensorboard", "wandb_id"
"""In the run directory: TensorBoard's event files, and the id that a resumed run goes on under."""
RECIPE_ALONE = {"console": "off", "disable_git": True}
"""wandb is not to record what is printed, nor the address of the git remote: either may hold a key."""
Send = Callable[[StepMetrics], None]


@contextmanager
def tracker(names: list[str], run: Path, config: dict[str, Any], steps_done: int) -> Iterator[Send]:
    """What sends the metrics of a step to each of `names`: tensorboard, wandb.

    Args:
        run: the run directory.
        config: the recipe, shown beside the curves.
        steps_done: steps before this start; later ones that an earlier start sent are replaced.

    Raises:
        UserError: a package is not installed, or Weights & Biases refuses to start.
    """
    with ExitStack() as opened:
        sends = [opened.enter_context(TRACKERS[name](run, config, steps_done)) for name in names]

        def send(metrics: StepMetrics) -> None:
            for each in sends:
                each(metrics)

        yield send


def _numbers(metrics: StepMetrics) -> dict[str, float]:
    """What makes a curve: all but the step itself, the total, and what was not measured."""
    left_out = {"step", "total_steps"}
    return {f"train/{k}": v for k, v in asdict(metrics).items() if k not in left_out and v is not None}


@contextmanager
def _tensorboard(run: Path, config: dict[str, Any], steps_done: int) -> Iterator[Send]:
    require("tensorboard", "track")
    summaries = import_module("torch.utils.tensorboard")
    # A killed run may have sent steps after its last checkpoint; the purge takes them back.
    with summaries.SummaryWriter(str(run / TENSORBOARD), purge_step=steps_done + 1) as writer:
        writer.add_text("recipe", indent(json.dumps(config, indent=2), " " * 4), steps_done)

        def send(metrics: StepMetrics) -> None:
            for name, value in _numbers(metrics).items():
                writer.add_scalar(name, value, metrics.step)

        yield send


@contextmanager
def _wandb(run: Path, config: dict[str, Any], steps_done: int) -> Iterator[Send]:
    wandb = require("wandb", "track")
    if not (run / WANDB_ID).exists():
        atomic_write(run / WANDB_ID, uuid4().hex)
    name = (run / WANDB_ID).read_text(encoding="utf-8")
    try:
        session = wandb.init(
            project="boresight",
            name=run.name,
            id=name,
            resume="allow",
            dir=str(run),
            config=config,
            settings=RECIPE_ALONE,
        )
    except wandb.Error as error:
        said = str(error).rstrip(".")
        raise UserError(f"wandb: {said}; or set WANDB_MODE=offline, and sync the run later") from error
    with session:
        # Steps done again come out the same, and wandb keeps the values that it has of them.
        yield lambda metrics: session.log(_numbers(metrics), step=metrics.step)


TRACKERS: dict[str, Callable[[Path, dict[str, Any], int], AbstractContextManager[Send]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
