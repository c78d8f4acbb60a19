"""`boresight data import`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.completion import SOURCES, among
from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Engine, JsonLines, Seed
from boresight.files import check_outputs, whole_file
from boresight.progress import counting

if TYPE_CHECKING:
    from boresight.data.sources import Tally

READINGS = ("fixed", "tulu1")
MANY = 1000
"""Conversations between two looks at the progress."""


def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="The files' format: alpaca, sharegpt, messages, …", autocompletion=among(*SOURCES)
        ),
    ],
    files: Annotated[
        list[str], typer.Argument(help="Files of it, saved datasets, or hub:owner/name#config:split.")
    ],
    output: JsonLines,
    reading: Annotated[
        str,
        typer.Option(
            help="fixed, or tulu1: as open-instruct converted it in 2023, defects and all.",
            autocompletion=among(*READINGS),
        ),
    ] = "fixed",
    rejected: Annotated[
        Path | None, typer.Option(help="Write what is left out here, and go on after malformed rows.")
    ] = None,
    seed: Seed = 42,
    engine: Engine = "local",
    as_json: AsJson = False,
) -> None:
    """Turn a published dataset's own format into conversations.

    Example: boresight data import gsm8k train.jsonl -o gsm8k.jsonl

    Example: boresight data import sharegpt part1.json.gz part2.json.gz -o sharegpt.jsonl --rejected out.jsonl
    """
    from boresight.data.engine import open_engine
    from boresight.data.hub import PREFIX
    from boresight.data.import_pieces import as_line, import_files
    from boresight.data.sources import Reading, Tally, check_source, import_file
    from boresight.errors import UserError
    from boresight.settings_file import nearest

    check_source(source)
    if reading not in READINGS:
        raise UserError(f"unknown reading {reading!r}{nearest(reading, READINGS)}")
    read = (Path(file) for file in files if not file.startswith(PREFIX))
    check_outputs(filter(None, (output, rejected)), read)
    with open_engine(engine) as opened, _rejecting(rejected) as reject:
        tally = Tally(reject=reject)
        how = Reading(published=reading == "tulu1", seed=seed)
        found: Iterator[str]
        if engine == "local":
            # In this process, so that memory holds a row, however large the files.
            found = (as_line(c) for file in files for c in import_file(file, source, how, tally))
        else:
            found = import_files(files, source, how, tally, opened)
        with whole_file(output) as file:
            file.writelines(line.encode() + b"\n" for line in _some(_watched(found), tally))
    counts = {"rows": tally.rows, "conversations": tally.conversations, "dropped": dict(tally.dropped)}
    print_result({"file": str(output), **counts}, as_json, f"{output}: {_describe(tally)}")


def _describe(tally: "Tally") -> str:
    reasons = ", ".join(f"{count:,} × {reason}" for reason, count in tally.dropped.most_common())
    return f"{tally.conversations:,} conversations of {tally.rows:,} rows; left out: {reasons or 'nothing'}"


def _some(found: Iterator[str], tally: "Tally") -> Iterator[str]:
    from boresight.errors import UserError

    yield from found
    if not tally.conversations:
        raise UserError(f"nothing to write: {_describe(tally)}")


def _watched(found: Iterator[str]) -> Iterator[str]:
    with counting("conversations", None) as done:
        for count, line in enumerate(found, 1):
            if count % MANY == 0:
                done(MANY)
            yield line


@contextmanager
def _rejecting(path: Path | None) -> Iterator[Callable[[dict[str, object]], None] | None]:
    """Writes what is left out, as JSON Lines."""
    if path is None:
        yield None
        return
    with whole_file(path) as file:

        def write(row: dict[str, object]) -> None:
            # Escaped to ASCII: what is rejected may hold half a surrogate pair, which UTF-8 cannot.
            file.write(json.dumps(row, default=str).encode() + b"\n")

        yield write
