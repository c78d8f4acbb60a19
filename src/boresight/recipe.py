"""A recipe file: which model, which data, which template, how to train.

    model: pocket
    template: tulu
    max_length: 1024
    data:
      - {source: gsm8k, path: train.jsonl}
    train: {epochs: 2, learning_rate: 1.0e-3}

Whatever a recipe gets wrong is refused with file, line and, for a name, the nearest valid one.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from boresight.chat import Template
from boresight.data.sources import SOURCES
from boresight.errors import UserError
from boresight.train.settings import Extend, Positive, TrainSettings


class DataFile(BaseModel):
    """One file of conversations, of rows of a published format, or, to pretrain on, of plain documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    """The file; a relative path starts at the recipe's directory, or, set on the command line, here."""
    source: str = "messages"
    """Its format: `messages` for our own records, or a source's name. Documents to pretrain on are a `.txt`
    file or JSON Lines with a `text`, and need none."""
    limit: Positive | None = None
    """Only the first so many conversations or documents."""

    @field_validator("source")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SOURCES:
            raise ValueError(f"unknown source {name!r}{nearest(name, SOURCES)}")
        return name


class Recipe(BaseModel):
    """Everything that decides a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """A directory, a hub id, or `pocket`."""
    template: Template = "tulu"
    """The chat template to train and to save: `tulu`, `chatml`, or the tokenizer's `own`."""
    max_length: Positive = 2048
    """Most tokens of a conversation; of a longer one, the middle of its longest user message is cut."""
    data: list[DataFile] = Field(min_length=1)
    stage: Literal["finetune", "pretrain"] = "finetune"
    """`pretrain` continues on plain documents, every token a target; `finetune` trains on conversations."""
    track: list[Literal["tensorboard", "wandb"]] = []
    """Where else to send the metrics, besides metrics.jsonl."""
    ranks: Positive = 1
    """GPUs the recipe is meant for: what `--dry-run` and `boresight plan` count with. Training takes what
    torchrun gives it."""
    train: TrainSettings = TrainSettings()
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
    try:
        text = path.read_text(encoding="utf-8")
        node, values = yaml.compose(text), yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not YAML: {error.problem}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys to values")
    for file in values.get("data") or []:
        if isinstance(file, dict) and isinstance(file.get("path"), str):
            file["path"] = str(path.parent / Path(file["path"]).expanduser())
    set_by: dict[tuple[Any, ...], str] = {}
    for override in overrides or []:
        set_by[_override(values, override)] = override
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, path, node, set_by)) from error


def _override(values: dict[str, Any], override: str) -> tuple[Any, ...]:
    """Set one dotted key in place; returns it as pydantic would locate it."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value")
    location = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    at: Any = values
    try:
        for part in location[:-1]:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
        at[location[-1]] = yaml.safe_load(value)
    except (IndexError, TypeError, AttributeError) as error:
        raise UserError(f"--set {override}: the recipe has no such place") from error
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is not YAML") from error
    return location


def _explain(
    error: ValidationError, path: Path, node: yaml.Node | None, set_by: dict[tuple[Any, ...], str]
) -> str:
    # A misspelled key is both unknown and missing; the unknown one says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    location = first["loc"]
    name = ".".join(str(part) for part in location)
    place = f"--set {set_by[location]}" if location in set_by else f"{path}:{_line(node, location)}"
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {name!r}{nearest(str(location[-1]), _keys_beside(location))}"
    if first["type"] == "missing":
        return f"{place}: {name!r} is missing"
    said = first["msg"].removeprefix("Value error, ")
    return (
        f"{place}: {name}: {said}"
        if first["type"] == "value_error"
        else f"{place}: {name}: {said}, not {first['input']!r}"
    )


def _line(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """Line, from 1, of the innermost key of a location that is in the file."""
    line = node.start_mark.line if node else 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _keys_beside(location: tuple[Any, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "train": TrainSettings,
        "data": DataFile,
        "extend": Extend,
    }
    return list(models.get(str(location[0]) if len(location) > 1 else "", Recipe).model_fields)


def nearest(name: str, valid: Any) -> str:
    """«; did you mean 'x'?», or the valid names when none is near."""
    if close := get_close_matches(name, list(valid), n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    return f"; valid are {', '.join(sorted(valid))}"


def check_fits(recipe: Recipe, context: int | None) -> None:
    """Refuse conversations longer than the model's positions reach.

    Raises:
        UserError: `max_length` is over the model's context.
    """
    if context is not None and recipe.max_length > context:
        raise UserError(
            f"max_length: {recipe.max_length} is longer than the context of {recipe.model}, {context} tokens"
        )
