"""`boresight data import`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import console, print_result

if TYPE_CHECKING:
    from boresight.data.sources import Tally
    from boresight.records import Conversation

READINGS = ("fixed", "tulu1")


def import_(
    source: Annotated[str, typer.Argument(help="The files' format: alpaca, sharegpt, messages, …")],
    files: Annotated[
        list[str], typer.Argument(help="Files of it, saved datasets, or hub:owner/name#config:split.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The JSON Lines file to write.")],
    reading: Annotated[
        str, typer.Option(help="fixed, or tulu1: as open-instruct converted it in 2023, defects and all.")
    ] = "fixed",
    rejected: Annotated[
        Path | None, typer.Option(help="Write what is left out here, and go on after malformed rows.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides what is drawn of a source that is sampled.")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn a published dataset's own format into conversations.

    Example: boresight data import gsm8k train.jsonl -o gsm8k.jsonl

    Example: boresight data import sharegpt part1.json.gz part2.json.gz -o sharegpt.jsonl --rejected out.jsonl
    """
    from boresight.data.sources import SOURCES, Reading, Tally, import_file
    from boresight.errors import UserError
    from boresight.records import write_records
    from boresight.settings_file import nearest

    if source not in SOURCES:
        raise UserError(f"unknown source {source!r}{nearest(source, SOURCES)}")
    if reading not in READINGS:
        raise UserError(f"unknown reading {reading!r}{nearest(reading, READINGS)}")
    _check_outputs(output, rejected, files)
    with _writer(rejected) as reject:
        tally = Tally(reject=reject)
        how = Reading(published=reading == "tulu1", seed=seed)
        found = (c for file in files for c in import_file(file, source, how, tally))
        write_records(output, _some(_watched(found, tally), tally))
    counts = {"rows": tally.rows, "conversations": tally.conversations, "dropped": dict(tally.dropped)}
    print_result({"file": str(output), **counts}, as_json, f"{output}: {_describe(tally)}")


def _check_outputs(output: Path, rejected: Path | None, files: list[str]) -> None:
    from boresight.errors import UserError

    read = {Path(file).resolve() for file in files}
    for path in filter(None, (output, rejected)):
        if path.resolve() in read:
            raise UserError(f"{path}: is one of the files to read; name another to write")
    if rejected and rejected.resolve() == output.resolve():
        raise UserError(f"{rejected}: --rejected and --output are the same file")


def _describe(tally: "Tally") -> str:
    reasons = ", ".join(f"{count:,} × {reason}" for reason, count in tally.dropped.most_common())
    return f"{tally.conversations:,} conversations of {tally.rows:,} rows; left out: {reasons or 'nothing'}"


def _some(found: Iterator["Conversation"], tally: "Tally") -> Iterator["Conversation"]:
    from boresight.errors import UserError

    yield from found
    if not tally.conversations:
        raise UserError(f"nothing to write: {_describe(tally)}")


def _watched(found: Iterator["Conversation"], tally: "Tally") -> Iterator["Conversation"]:
    if not console.is_terminal:
        yield from found
        return
    with console.status("reading") as status:
        for conversation in found:
            if tally.conversations % 1000 == 0:
                status.update(f"{tally.conversations:,} conversations")
            yield conversation


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[dict[str, object]], None] | None]:
    """Writes JSON Lines to a file that appears whole or not at all."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            # Escaped to ASCII: what is rejected may hold half a surrogate pair, which UTF-8 cannot.
            yield lambda row: print(json.dumps(row, default=str), file=file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
