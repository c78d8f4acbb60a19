"""Settings in YAML, with overrides: whatever is wrong is refused with file and line, or the override.

A name that is not known is answered with the nearest valid one.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import isclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from boresight.errors import UserError

Schema = TypeVar("Schema", bound=BaseModel)
Location = tuple[Any, ...]
"""Keys and indices from the top of a file to a value, as pydantic gives them."""


class Loader(yaml.SafeLoader):
    """Refuses a mapping with the same key twice, as YAML does; PyYAML would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As PyYAML's, whose error it raises at the second key of one name."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise ComposerError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node


def load_settings(
    path: Path,
    schema: type[Schema],
    overrides: list[str] | None = None,
    anchor: Callable[[dict[str, Any]], None] = lambda values: None,
) -> Schema:
    """Read a file and apply `key=value` overrides with dotted keys, e.g. `train.epochs=1`.

    Args:
        anchor: changes the file's values in place before the overrides, as to say where relative paths begin.

    Raises:
        UserError: names file and line, or the override, and what would be valid.
    """
    name = schema.__name__.lower()
    try:
        text = path.read_text(encoding="utf-8")
        node, values = yaml.compose(text, Loader), yaml.load(text, Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}:{line}: not YAML: the character {chr(error.character)!r}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not YAML: {error.problem}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a {name} is a mapping of keys to values")
    anchor(values)
    set_by = {_override(values, override, name): override for override in overrides or []}

    def place(location: Location) -> str:
        said = next((by for key, by in set_by.items() if location[: len(key)] == key), None)
        return f"--set {said}" if said else f"{path}:{_line(node, location)}"

    return read_settings(values, schema, place)


def read_settings(
    values: Mapping[str, Any], schema: type[Schema], place: Callable[[Location], str]
) -> Schema:
    """What would stand in a file.

    Raises:
        UserError: names the `place` of what is wrong, and what would be valid.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        # A misspelled key is both unknown and missing; the unknown one says more.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise UserError(f"{place(first['loc'])}: {_explain(dict(first), schema)}") from error


def _override(values: dict[str, Any], override: str, name: str) -> Location:
    """Set one dotted key in place; returns it as pydantic would locate it."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value")
    location = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    at: Any = values
    try:
        for part in location[:-1]:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
        at[location[-1]] = yaml.load(value, Loader)
    except (IndexError, TypeError, AttributeError) as error:
        raise UserError(f"--set {override}: the {name} has no such place") from error
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is not YAML") from error
    return location


def _explain(error: dict[str, Any], schema: type[BaseModel]) -> str:
    location = error["loc"]
    name = ".".join(map(str, location))
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key {name!r}{nearest(str(location[-1]), _keys_beside(schema, location))}"
        case "missing":
            return f"{name!r} is missing"
        case "value_error":
            return f"{name}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{name}: {error['msg']}, not {error['input']!r}"


def _line(node: yaml.Node | None, location: Location) -> int:
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


def _keys_beside(schema: type[BaseModel], location: Location) -> list[str]:
    """The valid keys where an unknown one stands."""
    for part in location[:-1]:
        if part in schema.model_fields:
            schema = _schema_in(schema.model_fields[part].annotation) or schema
    return list(schema.model_fields)


def _schema_in(annotation: Any) -> type[BaseModel] | None:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_schema_in, get_args(annotation))), None)


def nearest(name: str, valid: Any) -> str:
    """«; did you mean 'x'?», or the valid names when none is near."""
    if close := get_close_matches(name, list(valid), n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    return f"; valid are {', '.join(sorted(valid))}"
