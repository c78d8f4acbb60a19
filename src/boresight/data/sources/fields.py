"""What the sources share: reading a row's fields, and what becomes of a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from boresight.data.rows import kind
from boresight.records import Conversation, Message

EMPTY_ANSWER, EMPTY_PROMPT, NOT_DRAWN = "an empty answer", "an empty prompt", "not drawn"


class MalformedError(Exception):
    """A row, or a part of it, is not of its source's format; whoever reads the file adds the place."""


@dataclass(frozen=True)
class Drop:
    """A row, or the `part` of it, that its source's rules leave out; `count` when it stands for several."""

    reason: str
    part: object = None
    count: int = 1


@dataclass(frozen=True)
class Reading:
    """How rows are read. `published` repeats what open-instruct's scripts of 2023 did (the `tulu1` reading);
    otherwise their defects are mended. What is drawn depends on `seed` and the row alone, never on the
    order of files or datasets."""

    published: bool = False
    seed: int = 42


Found = Iterable[Conversation | Drop]


def text(row: dict[str, Any], key: str, default: str | None = None) -> str:
    """The string under `key`; null counts as missing.

    Raises:
        MalformedError: it is missing and has no default, or is no string.
    """
    value = row.get(key)
    if value is None:
        value = default
    if value is None:
        raise MalformedError(f"`{key}` is missing")
    if not isinstance(value, str):
        raise MalformedError(f"`{key}` is {kind(value)}, expected text")
    return value


def objects(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under `key`.

    Raises:
        MalformedError: it is missing or something else.
    """
    value = row.get(key)
    if value is None:
        raise MalformedError(f"`{key}` is missing")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"`{key}` is not a list of objects")
    return value


def turn(source: str, prompt: str, answer: str) -> Conversation:
    """A conversation of one prompt and one answer."""
    return Conversation(
        source=source,
        messages=[Message(role="user", content=prompt), Message(role="assistant", content=answer)],
    )


def answered(source: str, prompt: str, answer: str, part: object, reading: Reading) -> Conversation | Drop:
    """The same where both are there; the published scripts let blank ones through."""
    if not reading.published and not answer.strip():
        return Drop(EMPTY_ANSWER, part)
    if not reading.published and not prompt.strip():
        return Drop(EMPTY_PROMPT, part)
    return turn(source, prompt, answer)
