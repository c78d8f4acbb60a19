"""One JSON list, however long, a piece at a time.

The standard decoder wants the whole text. Here it is handed what has been read so far, and, when that ends
within a value, as much again: memory holds the longest value and a piece of the file, never the list.
"""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from boresight.errors import UserError

PIECE = 2**18
"""Bytes read together."""
SPACE = re.compile(r"[ \t\n\r]*")
NUMBER = "0123456789.eE+-"
CUT = 16
"""A value that a piece's end cuts is wrong within these many characters of it, or within an open string."""


class JsonList:
    """The values of a list, with the lines they begin on. A broken list is a UserError: past what is broken
    nothing says where the next value begins."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path = file, path
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._values = json.JSONDecoder()
        self._text, self._at, self._line = "", 0, 1

    def __iter__(self) -> Iterator[tuple[int, object]]:
        assert self._next() == "[", "the caller looked"
        self._advance(self._at + 1)
        closed = self._next() == "]"
        while not closed:
            self._next()
            line = self._line
            yield line, self._value()
            if self._next() not in (",", "]"):
                raise self._error("expected a comma or the end of the list")
            closed = self._text[self._at] == "]"
            if not closed:
                self._advance(self._at + 1)
        self._advance(self._at + 1)
        if self._next():
            raise self._error("something follows the list")

    def _next(self) -> str:
        """The next character that is not white space, left where it is; nothing at the end of the file."""
        while True:
            found = SPACE.match(self._text, self._at)
            assert found
            self._advance(found.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(PIECE):
                return ""

    def _value(self) -> object:
        while True:
            try:
                value, end = self._values.raw_decode(self._text, self._at)
                if not self._goes_on(value, end) or not self._read(PIECE):
                    self._advance(end)
                    return value
            except json.JSONDecodeError as error:
                open_string = error.msg.startswith("Unterminated string")
                cut = open_string or error.pos >= len(self._text) - CUT
                wrong = error.pos - self._at
                if not cut or not self._read(max(PIECE, len(self._text) - self._at)):
                    self._advance(self._at + wrong)
                    raise self._error(error.msg.removesuffix(" at")) from error
            except (RecursionError, ValueError) as error:
                raise self._error(beyond(error)) from error

    def _goes_on(self, value: object, end: int) -> bool:
        """Whether a number may be longer than what has been read: 12 of 123, or of 12.5."""
        return isinstance(value, int | float) and self._text[end : end + 1] in NUMBER

    def _advance(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _read(self, size: int) -> bool:
        """Forget what is behind us and read on; whether there was more."""
        raw = self._file.read(size)
        rest = self._text[self._at :]
        try:
            more = self._decode(raw, not raw)
        except UnicodeDecodeError as error:
            line = self._line + rest.count("\n") + error.object[: error.start].count(b"\n")
            raise UserError(f"{self._path}:{line}: not UTF-8 text ({error.reason})") from error
        self._text, self._at = rest + more, 0
        return bool(raw)

    def _error(self, what: str) -> UserError:
        return UserError(f"{self._path}:{self._line}: malformed JSON ({what})")


def beyond(error: RecursionError | ValueError) -> str:
    """What JSON allows and the decoder does not."""
    return "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
