"""Checkpoints to resume from: weights and optimizer state, in a directory that appears whole.

Written by all ranks together, each its shards, to a directory that they all see. They can be read by any
other number of ranks. What is random in a step follows from its number, so no random state is kept.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from transformers import PreTrainedModel

from boresight.errors import UserError
from boresight.train.ranks import Ranks

FOLDER = "checkpoints"
TRAINED_ALONE = StateDictOptions(ignore_frozen_params=True, strict=False)
"""Weights that adapters leave as they are stay in the model's own files."""


def save_checkpoint(
    run: Path, step: int, model: PreTrainedModel, optimizer: torch.optim.Optimizer, ranks: Ranks
) -> None:
    """Write the state after `step` steps, then remove the checkpoints before it."""
    directory = run / FOLDER / f"step-{step:08d}"
    partial = directory.with_name(directory.name + ".partial")
    ranks.alone(lambda: _remove_partial(run))
    try:
        save(_state(model, optimizer), checkpoint_id=partial, process_group=ranks.control)
        ranks.alone(lambda: partial.rename(directory))
    except CheckpointException as error:  # which all ranks raise together
        reason = next(iter(error.failures.values()))[0]
        raise UserError(f"{directory}: the checkpoint could not be written: {reason}") from error
    finally:
        if ranks.first:
            _remove_partial(run)
    for older in _finished(run)[:-1] if ranks.first else []:
        shutil.rmtree(older)


def load_checkpoint(run: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, ranks: Ranks) -> int:
    """Restore the newest checkpoint in place; returns the number of steps done, 0 without one."""
    newest = ranks.once(lambda: next(reversed(_finished(run)), None))
    if newest is None:
        return 0
    state = _state(model, optimizer)
    load(state, checkpoint_id=newest, process_group=ranks.control)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=TRAINED_ALONE,
    )
    return int(newest.name.removeprefix("step-"))


def steps_saved(run: Path) -> int:
    """Steps done at the newest checkpoint, 0 without one."""
    return int(_finished(run)[-1].name.removeprefix("step-")) if _finished(run) else 0


def remove_checkpoints(run: Path) -> None:
    """Remove all checkpoints of a run."""
    going = run / f"{FOLDER}.partial"
    if (run / FOLDER).exists():
        shutil.rmtree(going, ignore_errors=True)
        (run / FOLDER).rename(going)  # killed half-way, no broken checkpoint is left to resume from
    shutil.rmtree(going, ignore_errors=True)


def bytes_needed(model: PreTrainedModel) -> int:
    """Size of one checkpoint: trained weights and two moments."""
    return 3 * sum(int(p.numel() * p.element_size()) for p in model.parameters() if p.requires_grad)


def _remove_partial(run: Path) -> None:
    """What a kill left half-written keeps its space no longer."""
    for stale in (run / FOLDER).glob("*.partial"):
        shutil.rmtree(stale, ignore_errors=True)


def _finished(run: Path) -> list[Path]:
    return sorted(p for p in (run / FOLDER).glob("step-*") if re.fullmatch(r"step-\d+", p.name))


def _state(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer, options=TRAINED_ALONE)
    return {"model": weights, "optimizer": moments}
