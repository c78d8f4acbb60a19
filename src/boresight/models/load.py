"""A MODEL as the user names it: a directory, a hub id, or `pocket`."""

import json
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from boresight.errors import UserError
from boresight.extras import require

POCKET = Path(str(files("boresight"))) / "pocket" / "base"
"""The model that comes with the package."""
ADAPTER_CONFIG = "adapter_config.json"


def resolve(model: str) -> str:
    """The path or hub id that transformers loads for a MODEL.

    Raises:
        UserError: a directory without a model in it, or no such directory.
    """
    if model == "pocket":
        return str(POCKET)
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / ADAPTER_CONFIG).is_file():
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
        return AutoConfig.from_pretrained(adapted(model) or resolve(model))
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: no model can be loaded: {_reason(model, error)}") from error


def load_tokenizer(model: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a MODEL.

    Raises:
        UserError: there is none, or it is not one of the Rust tokenizers that give character offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve(model))
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: no tokenizer can be loaded: {_reason(model, error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"{model}: its tokenizer gives no character offsets, which training targets need")
    if tokenizer.eos_token is None:
        raise UserError(f"{model}: its tokenizer has no end-of-sequence token")
    return tokenizer


def load_model(
    model: str,
    attention: str | None,
    dtype: torch.dtype | Literal["auto"] = torch.float32,
    config: PreTrainedConfig | None = None,
) -> PreTrainedModel:
    """The weights of a MODEL, on the CPU; adapters are merged into those of their base.

    Args:
        attention: name of an attention implementation known to transformers; None for the model's own choice.
        dtype: of the weights; `auto` is that of the files.
        config: to use instead of the model's own, as for a longer context.

    Raises:
        UserError: it cannot be loaded.
    """
    base = adapted(model)
    # Adapters are added in float32 and rounded once, with the weights.
    loads = {"attn_implementation": attention, "dtype": torch.float32 if base else dtype}
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base or resolve(model), config=config, **loads
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{model}: no model can be loaded: {_reason(model, error)}") from error
    if not base:
        return loaded
    merged = _merged(loaded, Path(resolve(model)))
    return merged if dtype == "auto" else merged.to(dtype)


def empty_model(
    config: PreTrainedConfig, attention: str, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """A model on the meta device: shapes without weights.

    Raises:
        UserError: it is no causal language model.
    """
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype)
    except ValueError as error:
        raise UserError(f"{config.model_type}: not a causal language model") from error


def adapted(model: str) -> str | None:
    """What the adapters in a MODEL's directory go on top of; None if it is no directory of adapters alone.

    Raises:
        UserError: that base cannot be read from it, or is a directory that is gone.
    """
    directory = Path(resolve(model))
    if not (directory / ADAPTER_CONFIG).is_file() or (directory / "config.json").is_file():
        return None
    try:
        return resolve(json.loads((directory / ADAPTER_CONFIG).read_text())["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{model}: {ADAPTER_CONFIG} does not name the adapters' base") from error
    except UserError as error:
        raise UserError(f"{model}: the base of its adapters: {error}") from error


def _merged(base: PreTrainedModel, directory: Path) -> PreTrainedModel:
    """`base` with a directory's adapters added to its weights, in place."""
    peft = require("peft", "peft")
    try:
        model: PreTrainedModel = peft.PeftModel.from_pretrained(base, str(directory)).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{directory}: the adapters cannot be merged: {_first_line(error)}") from error
    model.requires_grad_(True)  # peft has frozen the base
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return model


def opening(tokenizer: PreTrainedTokenizerFast) -> str:
    """The text of the token that the tokenizer puts before every text; empty if it puts none."""
    begins = tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if begins else ""


def context_length(config: PreTrainedConfig) -> int | None:
    """Most tokens the model's positions reach, if its configuration says."""
    return getattr(config, "max_position_embeddings", None)


def _reason(model: str, error: Exception) -> str:
    near = "; did you mean 'pocket'?" if get_close_matches(model, ["pocket"]) else ""
    return f"{_first_line(error)}{near}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
