"""Reading a row's fields, with errors that name the place."""

from typing import Any

from boresight.errors import UserError
from boresight.records import Conversation, Message


def text(row: dict[str, Any], key: str, place: str, default: str | None = None) -> str:
    """The string under `key`.

    Raises:
        UserError: it is missing and has no default, or is no string.
    """
    value = row.get(key, default)
    if value is None:
        raise UserError(f"{place}: `{key}` is missing")
    if not isinstance(value, str):
        raise UserError(f"{place}: `{key}` is {type(value).__name__}, expected text")
    return value


def turn(source: str, prompt: str, answer: str) -> Conversation:
    """A conversation of one prompt and one answer."""
    return Conversation(
        source=source,
        messages=[Message(role="user", content=prompt), Message(role="assistant", content=answer)],
    )
