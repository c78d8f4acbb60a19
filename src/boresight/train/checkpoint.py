"""Checkpoints to resume from: weights, optimizer and random state, in a directory that appears whole."""

import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from transformers import PreTrainedModel

FOLDER = "checkpoints"


def save_checkpoint(run: Path, step: int, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> None:
    """Write the state after `step` steps, then remove the checkpoints before it."""
    directory = run / FOLDER / f"step-{step:08d}"
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _one_process_is_enough():
            save(_state(model, optimizer), checkpoint_id=partial)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for older in _finished(run)[:-1]:
        shutil.rmtree(older)


def load_checkpoint(run: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest checkpoint in place; returns the number of steps done, 0 without one."""
    if not (finished := _finished(run)):
        return 0
    state = _state(model, optimizer)
    with _one_process_is_enough():
        load(state, checkpoint_id=finished[-1])
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
    torch.set_rng_state(state["random"])
    return int(finished[-1].name.removeprefix("step-"))


def remove_checkpoints(run: Path) -> None:
    """Remove all checkpoints of a run."""
    going = run / f"{FOLDER}.partial"
    if (run / FOLDER).exists():
        shutil.rmtree(going, ignore_errors=True)
        (run / FOLDER).rename(going)  # killed half-way, no broken checkpoint is left to resume from
    shutil.rmtree(going, ignore_errors=True)


@contextmanager
def _one_process_is_enough() -> Iterator[None]:
    """Without the warning that torch gives when no process group is there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _finished(run: Path) -> list[Path]:
    return sorted(p for p in (run / FOLDER).glob("step-*") if re.fullmatch(r"step-\d+", p.name))


def _state(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments, "random": torch.get_rng_state()}
