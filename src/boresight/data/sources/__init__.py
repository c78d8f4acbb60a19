"""One file per published format, each turning a row into conversations.

{"question": "…", "answer": "…"}  →  Conversation(source="gsm8k", messages=[user, assistant])
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from boresight.data.rows import Row, read_rows
from boresight.data.sources.alpaca import alpaca, code_alpaca, gpt4_alpaca
from boresight.data.sources.baize import baize
from boresight.data.sources.conversations import conversations
from boresight.data.sources.cot import ROWS_OF_A_FILE, cot
from boresight.data.sources.dolly import dolly
from boresight.data.sources.fields import NOT_DRAWN, Drop, Found, MalformedError, Reading
from boresight.data.sources.flan_v2 import flan_v2
from boresight.data.sources.gsm8k import gsm8k
from boresight.data.sources.instructions import instructions
from boresight.data.sources.messages import messages
from boresight.data.sources.oasst1 import oasst1
from boresight.data.sources.prompts import prompts
from boresight.data.sources.self_instruct import self_instruct
from boresight.data.sources.sharegpt import sharegpt
from boresight.data.sources.superni import read_tasks, superni
from boresight.data.sources.unnatural import unnatural
from boresight.errors import UserError
from boresight.records import Conversation, explain
from boresight.settings_file import nearest

__all__ = ["FIXED", "SOURCES", "Reading", "Source", "Tally", "check_source", "import_file", "import_rows"]

MALFORMED = "malformed"
FIXED = Reading()


@dataclass(frozen=True)
class Source:
    """A format: how a row becomes conversations, and where rows come from; `draw` is how many of a file's."""

    convert: Callable[[dict[str, Any], Reading], Found]
    read: Callable[[Path | str], Iterator[Row]] = read_rows
    draw: int | None = None


SOURCES = {
    "superni": Source(superni, read=read_tasks),
    "cot": Source(cot, draw=ROWS_OF_A_FILE),
    "flan_v2": Source(flan_v2),
    "dolly": Source(dolly),
    "oasst1": Source(oasst1),
    "self_instruct": Source(self_instruct),
    "unnatural": Source(unnatural),
    "alpaca": Source(alpaca),
    "code_alpaca": Source(code_alpaca),
    "gpt4_alpaca": Source(gpt4_alpaca),
    "baize": Source(baize),
    "sharegpt": Source(sharegpt),
    "gsm8k": Source(gsm8k),
    "messages": Source(messages),
    "conversations": Source(conversations),
    "instructions": Source(instructions),
    "prompts": Source(prompts),
}
"""By name: the twelve of TÜLU, GSM8K, and four general shapes."""


def check_source(name: str) -> None:
    """See that a format is one of `SOURCES`.

    Raises:
        UserError: it is not; says which is near.
    """
    if name not in SOURCES:
        raise UserError(f"unknown source {name!r}{nearest(name, SOURCES)}")


@dataclass
class Tally:
    """What became of the rows: how many, how many conversations came of them, and what was left out, by
    reason. With `reject`, every row left out is handed to it, and a malformed one ends nothing."""

    rows: int = 0
    conversations: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reject: Callable[[dict[str, object]], None] | None = None

    def drop(self, place: str, drop: Drop, detail: str | None = None) -> None:
        """Count what was left out, and hand it on."""
        self.dropped[drop.reason] += drop.count
        if self.reject:
            more = {"detail": detail} if detail else {"count": drop.count} if drop.count > 1 else {}
            self.reject({"place": place, "reason": drop.reason, **more, "row": drop.part})


def import_file(
    path: Path | str, source: str, reading: Reading = FIXED, tally: Tally | None = None
) -> Iterator[Conversation]:
    """Conversations of a file, as they are read; `tally` counts, if it is given.

    Raises:
        UserError: the file cannot be read or is empty, or a row is malformed and the tally does not take it;
            names file and line.
    """
    tally = tally or Tally()
    before = tally.rows
    yield from import_rows(_drawn(path, SOURCES[source], reading.seed, tally), source, reading, tally)
    if tally.rows == before:
        raise UserError(f"{path}: the file is empty")


def import_rows(rows: Iterable[Row], source: str, reading: Reading, tally: Tally) -> Iterator[Conversation]:
    """Conversations of rows, as they come; `tally` counts.

    Raises:
        UserError: a row is malformed and the tally does not take it; names file and line.
    """
    for row in rows:
        tally.rows += 1
        for found in _convert(row, SOURCES[source], reading, tally):
            if isinstance(found, Drop):
                tally.drop(row.place, found)
            else:
                tally.conversations += 1
                yield found


def _drawn(path: Path | str, source: Source, seed: int, tally: Tally) -> Iterator[Row]:
    rows = source.read(path)
    total = 0 if source.draw is None else sum(1 for _ in source.read(path))
    if source.draw is None or total <= source.draw:
        yield from rows
        return
    # By the file's name: what is drawn of one file does not depend on the others, nor on where they lie.
    drawn = set(Random(f"{seed} {Path(path).name}").sample(range(total), source.draw))
    tally.rows += total - source.draw
    tally.drop(str(path), Drop(NOT_DRAWN, count=total - source.draw))
    yield from (row for index, row in enumerate(rows) if index in drawn)


def _convert(row: Row, source: Source, reading: Reading, tally: Tally) -> list[Conversation | Drop]:
    """What a row gives, all of it or, where a part is malformed, nothing."""
    try:
        if row.error:
            raise MalformedError(row.error)
        found = list(source.convert(row.value, reading))
        for conversation in found:
            if isinstance(conversation, Conversation):
                conversation.model_dump_json()  # cheap, and it fails here rather than where there is no place
        return found
    except MalformedError as error:
        reason = str(error)
    except ValidationError as error:
        reason = explain(error)
    except PydanticSerializationError as error:
        half = "surrogates not allowed" in str(error)
        reason = "half a surrogate pair, which is no text" if half else f"cannot be written as JSON ({error})"
    except RecursionError:
        reason = "nested too deeply"
    if not tally.reject:
        raise UserError(f"{row.place}: {reason}")
    tally.drop(row.place, Drop(MALFORMED, row.value), reason)
    return []
