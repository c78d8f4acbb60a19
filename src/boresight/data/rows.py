"""The rows of a file, whatever it is kept in: JSON Lines, one JSON list, Parquet, or a dataset of the hub.

    for row in read_rows("train.jsonl.zst"):
        row.place  # "train.jsonl.zst:17"
        row.value  # {"question": "…", "answer": "…"}

Plain, gzip or zstd, told by the first bytes. Memory holds a row and a piece of the file (of Parquet, a row
group). A row that is no JSON object comes with its error, and the ones after it follow.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow
from pyarrow import parquet

from boresight.data.hub import PREFIX, read_hub, read_saved
from boresight.data.json_list import JsonList, beyond
from boresight.errors import UserError

GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BROKEN = (OSError, EOFError, zlib.error, pyarrow.ArrowException)
"""What reading raises when a file is missing, damaged or ends before its end."""


class Row(NamedTuple):
    """A row with its place; where `error` says what is wrong with it, `value` is what stood there."""

    place: str
    value: Any
    error: str | None = None


def read_rows(path: Path | str) -> Iterator[Row]:
    """The rows of a file, of a saved dataset (a directory), or of `hub:owner/name#config:split`.

    Raises:
        UserError: it is missing, cannot be decompressed, or breaks off; names file and line.
    """
    if str(path).startswith(PREFIX):
        yield from _table_rows(str(path), read_hub(str(path)))
        return
    path = Path(path)
    if path.is_dir():
        yield from _table_rows(str(path), read_saved(path))
        return
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == PARQUET:
            yield from _table_rows(str(path), _parquet(path))
        elif _holds_list(path, magic):
            yield from _list_rows(path, magic)
        else:
            yield from _line_rows(path, magic)
    except BROKEN as error:
        raise UserError(f"{path}: {_reason(error)}") from error


def open_binary(path: Path, magic: bytes) -> BinaryIO:
    """What a file that begins with `magic` holds, decompressed as it is read."""
    if magic.startswith(GZIP):
        return cast(BinaryIO, gzip.open(path))
    if magic == ZSTD:
        # Python's binding of zstd takes a truncated file for a whole one; Arrow's says so.
        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def read_object(path: Path) -> Row:
    """The one JSON object that is a file.

    Raises:
        UserError: the file is missing or cannot be decompressed.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        with open_binary(path, magic) as file:
            return parse(file.read(), path)
    except BROKEN as error:
        raise UserError(f"{path}: {_reason(error)}") from error


def parse(text: bytes, path: Path, line: int = 1) -> Row:
    """One JSON object in UTF-8, which begins on that line of a file."""
    place = f"{path}:{line}"
    try:
        value = json.loads(text.removeprefix(BYTE_ORDER_MARK).decode("utf-8"))
    except UnicodeDecodeError as error:
        return Row(place, text.decode("utf-8", "backslashreplace"), f"not UTF-8 text ({error.reason})")
    except json.JSONDecodeError as error:
        at = f"{path}:{line + error.lineno - 1}"
        what = error.msg.removesuffix(" at")
        return Row(at, text.decode("utf-8"), f"malformed JSON ({what} at column {error.colno})")
    except (RecursionError, ValueError) as error:
        return Row(place, text.decode("utf-8"), f"malformed JSON ({beyond(error)})")
    return _an_object(value, place)


def _holds_list(path: Path, magic: bytes) -> bool:
    with open_binary(path, magic) as file:
        lines = (line.removeprefix(BYTE_ORDER_MARK).strip() for line in file)
        return next(filter(None, lines), b"").startswith(b"[")


def _line_rows(path: Path, magic: bytes) -> Iterator[Row]:
    number = 0
    try:
        with open_binary(path, magic) as file:
            for number, raw in enumerate(file, 1):
                line = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                if line.strip():
                    yield parse(line.strip(), path, number)
    except BROKEN as error:
        raise UserError(f"{path}:{number + 1}: {_reason(error)}") from error


def _list_rows(path: Path, magic: bytes) -> Iterator[Row]:
    with open_binary(path, magic) as file:
        for index, (line, value) in enumerate(JsonList(file, path), 1):
            yield _an_object(value, f"{path}:{line} (row {index})")


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _an_object(value: object, place: str) -> Row:
    if isinstance(value, dict):
        return Row(place, value)
    return Row(place, value, f"expected a JSON object, found {kind(value)}")


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            yield from batch.to_pylist()


def _table_rows(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[Row]:
    index = 0
    try:
        for index, row in enumerate(rows, 1):
            yield Row(f"{name}: row {index}", _without_nulls(row))
    except BROKEN as error:
        raise UserError(f"{name}: row {index + 1}: {_reason(error)}") from error


def _without_nulls(value: Any) -> Any:
    """A table has every column in every row: what a row left out of its JSON comes back as null."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).partition("\n")[0] or type(error).__name__
