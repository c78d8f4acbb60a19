"""One file per published format, each turning a row into conversations.

{"question": "…", "answer": "…"}  →  Conversation(source="gsm8k", messages=[user, assistant])
"""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from boresight.data.sources.gsm8k import gsm8k
from boresight.data.sources.instructions import instructions
from boresight.data.sources.messages import messages
from boresight.errors import UserError
from boresight.records import Conversation, enumerate_lines

Row = dict[str, Any]
SOURCES: dict[str, Callable[[Row, str], list[Conversation]]] = {
    "messages": messages,
    "gsm8k": gsm8k,
    "instructions": instructions,
}
"""By name: a row and its place, file and line, to the conversations in it. A row that is not of the format
is a UserError that names the place."""


def import_file(path: Path, source: str) -> Iterator[Conversation]:
    """Conversations of a file, JSON Lines or one JSON list.

    Raises:
        UserError: a row cannot be read; names file and line (of a list, the row).
    """
    empty = True
    for row, place in _rows(path):
        for conversation in SOURCES[source](row, place):
            empty = False
            yield conversation
    if empty:
        raise UserError(f"{path}: the file is empty")


def _rows(path: Path) -> Iterator[tuple[Row, str]]:
    lines = enumerate_lines(path)
    first = next(lines, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        yield from _list_rows(path)
        return
    for number, line in chain([first], lines):
        yield _parse(line, f"{path}:{number}"), f"{path}:{number}"


def _list_rows(path: Path) -> Iterator[tuple[Row, str]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: malformed JSON ({error.msg})") from error
    for index, row in enumerate(rows):
        place = f"{path}: row {index + 1}"
        yield _an_object(row, place), place


def _parse(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: malformed JSON ({error.msg} at column {error.colno})") from error
    return _an_object(row, place)


def _an_object(row: object, place: str) -> Row:
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row
