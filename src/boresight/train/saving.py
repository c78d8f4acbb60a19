"""The finished model on disk, as transformers saves it, and the space it takes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.train import lora
from boresight.train.checkpoint import bytes_needed, steps_saved
from boresight.train.ranks import Ranks
from boresight.train.settings import TrainSettings
from boresight.train.sharding import DTYPES, whole_weights

MODEL, ADAPTER = "model", "adapter"
"""In a run directory. The adapter is kept beside the model it was merged into."""


def require_space(run: Path, model: PreTrainedModel) -> None:
    """Refuse to start when the disk cannot hold a second checkpoint beside the first."""
    there = 1 if steps_saved(run) else 0
    needed = (2 - there) * bytes_needed(model)  # the new one is written before the old one goes
    free = shutil.disk_usage(run).free
    if free < needed:
        raise UserError(f"{run}: needs {needed / 1e9:.1f} GB for checkpoints, {free / 1e9:.1f} GB are free")


def save_trained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    settings: TrainSettings,
    run: Path,
    ranks: Ranks,
) -> None:
    """Save sharded weights as one model: all of it, or adapters alone, or adapters merged into their base."""
    dtype = torch.float32 if settings.lora else DTYPES[settings.precision]
    weights = whole_weights(model, dtype, trained_only=settings.lora is not None)

    def save() -> None:
        if not settings.lora:
            save_model(_plain(model, weights), tokenizer, run / MODEL)
        elif not settings.lora.merge:
            _save_whole(run / MODEL, tokenizer, lambda at: _save_adapters(model, weights, at))
        else:
            _save_whole(run / ADAPTER, tokenizer, lambda at: _save_adapters(model, weights, at))
            whole = lora.merged(run / ADAPTER, DTYPES[settings.precision], model.config)
            save_model(whole, tokenizer, run / MODEL)

    ranks.once(save)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Save weights, tokenizer and chat template in a directory that appears whole."""
    _save_whole(directory, tokenizer, model.save_pretrained)


def _plain(model: PreTrainedModel, weights: dict[str, Tensor]) -> PreTrainedModel:
    """The same model, neither sharded nor copied, around these weights."""
    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(weights, assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _save_adapters(model: PreTrainedModel, weights: dict[str, Tensor], directory: Path) -> None:
    lora.save_adapters(model, weights, directory, base=model.config._name_or_path)


def _save_whole(directory: Path, tokenizer: PreTrainedTokenizerFast, save: Callable[[Path], object]) -> None:
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save(partial)
        tokenizer.save_pretrained(partial)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
