"""A MODEL as the user names it: a directory, a hub id, or `pocket`."""

from importlib.resources import files
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from boresight.errors import UserError

POCKET = Path(str(files("boresight"))) / "pocket" / "base"
"""The model that comes with the package."""


def resolve(model: str) -> str:
    """The path or hub id that transformers loads for a MODEL.

    Raises:
        UserError: a directory without a model in it, or no such directory.
    """
    if model == "pocket":
        return str(POCKET)
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{model}: a directory without a model (no config.json)")
    elif path.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"{model}: no such model directory")
    return str(path) if path.is_dir() else model


def load_config(model: str) -> PreTrainedConfig:
    """The configuration of a MODEL.

    Raises:
        UserError: it cannot be found or read.
    """
    try:
        return AutoConfig.from_pretrained(resolve(model))
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: no model can be loaded: {_first_line(error)}") from error


def load_tokenizer(model: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a MODEL.

    Raises:
        UserError: there is none, or it is not one of the Rust tokenizers that give character offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(model))
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: no tokenizer can be loaded: {_first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"{model}: its tokenizer gives no character offsets, which training targets need")
    if tokenizer.eos_token is None:
        raise UserError(f"{model}: its tokenizer has no end-of-sequence token")
    return tokenizer


def load_model(model: str, attention: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The weights of a MODEL, on the CPU.

    Args:
        attention: name of an attention implementation known to transformers.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(
            resolve(model), attn_implementation=attention, dtype=dtype
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: no model can be loaded: {_first_line(error)}") from error


def context_length(config: PreTrainedConfig) -> int | None:
    """Most tokens the model's positions reach, if its configuration says."""
    return getattr(config, "max_position_embeddings", None)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
