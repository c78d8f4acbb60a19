"""The records that stages hand each other, one JSON object per line.

    {"id": "…", "source": "gsm8k", "messages": [{"role": "user", "content": "…"}, …]}

The same conversation is trained on, shown as a demonstration, answered, judged and rated. Unknown keys
are kept. A line that cannot be read is an error that names file and line, never a missing row.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from boresight.errors import UserError
from boresight.files import whole_file

ROLES = ("system", "user", "assistant")


class Record(BaseModel):
    """A line of a file; keys we do not know are kept."""

    model_config = ConfigDict(extra="allow")


class Message(Record):
    """One turn. An assistant message with `"train": false` is context, not a target."""

    role: Literal["system", "user", "assistant"]
    content: str
    train: bool = True


class Conversation(Record):
    """Messages in order, with where they come from. An id left out becomes a hash of the messages."""

    id: str = ""
    source: str = ""
    messages: list[Message] = Field(min_length=1)

    @model_validator(mode="after")
    def _name_by_content(self) -> Self:
        if not self.id:
            text = json.dumps([(m.role, m.content) for m in self.messages], ensure_ascii=False)
            self.id = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return self


class Response(Record):
    """A model's answer to the prompt of conversation `id`; `draw` counts samples of the same prompt."""

    id: str
    prompt: list[Message]
    output: str
    model: str
    draw: int = 0
    reference: str | None = None
    finish_reason: Literal["stop", "length"] = "stop"


class Judgment(Record):
    """What a judge said of responses, named by id and model; `score` or `preference` as the task asks."""

    id: str
    models: list[str]
    judge: str
    score: float | None = None
    preference: float | None = None
    verdict: str = ""


class Rating(Record):
    """What a person said of responses, named by id and model."""

    id: str
    models: list[str]
    rater: str
    answers: dict[str, Any]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_records(path: Path, kind: type[AnyRecord]) -> Iterator[AnyRecord]:
    """Read a JSON Lines file, one record at a time; blank lines are passed over.

    Raises:
        UserError: the file is missing or empty, or a line is not such a record; names file and line.
    """
    number = 0
    for number, line in enumerate_lines(path):
        yield parse_record(line, kind, f"{path}:{number}")
    if not number:
        raise UserError(f"{path}: the file is empty")


def enumerate_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1.

    Raises:
        UserError: the file cannot be opened or is not UTF-8; names file and line.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number}: not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{path}: {os.strerror(error.errno or 0)}") from error


def parse_record(line: str, kind: type[AnyRecord], place: str) -> AnyRecord:
    """One line as a record.

    Raises:
        UserError: with `place` in front.
    """
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise UserError(f"{place}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first thing wrong with a record, in words."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "json_invalid":
            # Of a text of one line; which line of the file it is the place says.
            said = re.sub(r" at line \d+ column", " at column", first["ctx"]["error"])
            return f"malformed JSON ({said})"
        case "missing":
            return f"`{where}` is missing"
        case "literal_error" if where.endswith("role"):
            return f"unknown role {first['input']!r} at {where}; expected one of {', '.join(ROLES)}"
        case _:
            return f"{where}: {first['msg']}" if where else first["msg"]


def write_records(path: Path | str, records: Iterable[Record]) -> int:
    """Write JSON Lines that appear whole or not at all; returns their number."""
    count = 0
    with whole_file(Path(path)) as file:
        for record in records:
            file.write(record.model_dump_json(exclude_unset=True).encode() + b"\n")
            count += 1
    return count
