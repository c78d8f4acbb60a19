"""A recipe file: which model, which data, which template, how to train.

    model: pocket
    template: tulu
    max_length: 1024
    data:
      - {source: gsm8k, path: train.jsonl}
    train: {epochs: 2, learning_rate: 1.0e-3}

Whatever a recipe gets wrong is refused with file, line and, for a name, the nearest valid one.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from boresight.chat import Template
from boresight.data.hub import PREFIX, below
from boresight.data.sources import SOURCES
from boresight.errors import UserError
from boresight.settings_file import load_settings, nearest
from boresight.train.settings import Extend, Positive, TrainSettings


class DataFile(BaseModel):
    """One file of conversations, of rows of a published format, or, to pretrain on, of plain documents."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: Path
    """The file, or a token store of `boresight data tokenise`, alone; a relative path starts at the recipe's
    directory, or, set on the command line, here."""
    source: str = "messages"
    """Its format: `messages` for our own records, or a source's name. Documents to pretrain on are a `.txt`
    file or JSON Lines with a `text`, and need none."""
    limit: Positive | None = None
    """Only the first so many conversations or documents."""

    @field_validator("path")
    @classmethod
    def _lies_here(cls, path: Path) -> Path:
        if str(path).startswith(PREFIX):
            get = f"boresight data import SOURCE {path} -o data.jsonl"
            raise ValueError(f"a run trains on files, which it knows again; first `{get}`")
        return path

    @field_validator("source")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SOURCES:
            raise ValueError(f"unknown source {name!r}{nearest(name, SOURCES)}")
        return name


class Recipe(BaseModel):
    """Everything that decides a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str
    """A directory, a hub id, or `pocket`."""
    template: Template = "tulu"
    """The chat template to train and to save: `tulu`, `chatml`, or the tokenizer's `own`."""
    max_length: Positive = 2048
    """Most tokens of a conversation; of a longer one, the middle of its longest user message is cut."""
    data: list[DataFile] = Field(min_length=1)
    """The files to train on, taken together."""
    stage: Literal["finetune", "pretrain"] = "finetune"
    """`pretrain` continues on plain documents, every token a target; `finetune` trains on conversations."""
    track: list[Literal["tensorboard", "wandb"]] = []
    """Where else to send the metrics, besides metrics.jsonl."""
    ranks: Positive = 1
    """GPUs the recipe is meant for: what `--dry-run` and `boresight plan` count with. Training takes what
    torchrun gives it."""
    train: TrainSettings = TrainSettings()
    """The optimizer step, and the loop around it."""
    extend: Extend | None = None
    """Stretch the model's context first."""

    @field_validator("extend")
    @classmethod
    def _adapters_alone_cannot_carry_it(cls, extend: Extend | None, others: ValidationInfo) -> Extend | None:
        train = others.data.get("train")
        if extend and train and train.lora and not train.lora.merge:
            raise ValueError("adapters alone cannot carry an extended context; set train.lora.merge: true")
        return extend


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply `key=value` overrides with dotted keys, e.g. `train.epochs=1`.

    Raises:
        UserError: names file and line, or the override, and what would be valid.
    """

    def start_at_the_recipe(values: dict[str, Any]) -> None:
        data = values.get("data")
        for file in data if isinstance(data, list) else []:
            if isinstance(file, dict) and "path" in file:
                file["path"] = below(path.parent, file["path"])

    return load_settings(path, Recipe, overrides, start_at_the_recipe)


def check_fits(recipe: Recipe, context: int | None) -> None:
    """Refuse conversations longer than the model's positions reach.

    Raises:
        UserError: `max_length` is over the model's context.
    """
    if context is not None and recipe.max_length > context:
        raise UserError(
            f"max_length: {recipe.max_length} is longer than the context of {recipe.model}, {context} tokens"
        )
