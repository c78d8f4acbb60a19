"""`boresight data clean`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from boresight.cli.completion import among
from boresight.cli.console import drawn, print_result
from boresight.cli.options import AsJson, Engine, JsonLines
from boresight.progress import counting, printable, say

if TYPE_CHECKING:
    from rich.table import Table

    from boresight.chat import Chat
    from boresight.data.clean_report import Example, Report

DUPLICATES = ("near", "exact", "off")
MANY = 1000
"""Conversations between two looks at the progress."""

Duplicates = Annotated[
    str, typer.Option(help="Remove near or exact duplicates, or off.", autocompletion=among(*DUPLICATES))
]
Similarity = Annotated[
    float, typer.Option(min=0.5, max=1.0, help="Of near duplicates: Jaccard similarity, from 0.5 to 1.")
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        help="Remove what overlaps with an evaluation set: a file of rows, gsm8k=test.jsonl, or a directory "
        "with a folder for each benchmark. May be repeated."
    ),
]
Ngram = Annotated[int, typer.Option(min=1, help="Words in a row that make an overlap.")]
MinLength = Annotated[
    int | None, typer.Option(min=0, help="Least length, in tokens of --model, else in characters.")
]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Greatest length, the same way.")]
Model = Annotated[str | None, typer.Option(help="Whose tokenizer: a directory, a hub id, or pocket.")]
Template = Annotated[
    str | None,
    typer.Option(
        help="Of --model: tulu (the default), chatml, or own.", autocompletion=among("tulu", "chatml", "own")
    ),
]
Languages = Annotated[str | None, typer.Option(help="Remove what is surely in another language: en,zh")]
Refusals = Annotated[bool, typer.Option("--refusals", help="Remove conversations with a refusal.")]
Identification = Annotated[
    bool, typer.Option("--self-identification", help="Remove those that say “I am ChatGPT” and the like.")
]
Phrases = Annotated[
    Path | None, typer.Option(help="A file of phrases for these two, in place of the one that comes along.")
]
Removed = Annotated[Path | None, typer.Option(help="Write what is removed here, with the reasons.")]


def clean(
    files: Annotated[list[Path], typer.Argument(help="Conversations files, in the order that decides.")],
    output: JsonLines,
    duplicates: Duplicates = "near",
    similarity: Similarity = 0.8,
    against: Against = None,
    ngram: Ngram = 13,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    model: Model = None,
    template: Template = None,
    languages: Languages = None,
    refusals: Refusals = False,
    self_identification: Identification = False,
    phrases: Phrases = None,
    removed: Removed = None,
    engine: Engine = "local",
    as_json: AsJson = False,
) -> None:
    """Remove duplicates, overlap with evaluation sets, what is too long, in other languages, or a refusal.

    Example: boresight data clean tulu.jsonl -o clean.jsonl --against benchmarks --removed removed.jsonl

    Example: boresight data clean a.jsonl b.jsonl -o clean.jsonl --languages en,zh --refusals
    """
    from boresight.data.clean import Cleaning
    from boresight.data.clean import clean as remove
    from boresight.data.engine import open_engine
    from boresight.data.evaluation_sets import find_sets, passed_over
    from boresight.data.filters import PHRASES
    from boresight.errors import UserError
    from boresight.settings_file import nearest

    if duplicates not in DUPLICATES:
        raise UserError(f"--duplicates {duplicates}: unknown{nearest(duplicates, DUPLICATES)}")
    _say_passed_over({given: passed_over(given) for given in against or []})
    asked = Cleaning(
        duplicates=cast(Literal["near", "exact", "off"], duplicates),
        similarity=similarity,
        against=tuple(found for given in against or [] for found in find_sets(given)),
        ngram=ngram,
        shortest=min_length,
        longest=max_length,
        chat=_chat(model, template, min_length, max_length),
        languages=_codes(languages),
        refusals=refusals,
        self_identification=self_identification,
        phrases=phrases or PHRASES,
    )
    with open_engine(engine) as opened, counting("conversations", None) as done:

        def tell(rows: int) -> None:
            if rows % MANY == 0:
                done(MANY)

        report = remove(files, output, asked, removed, opened.map, tell)
    print_result(
        {"file": str(output), **report.as_json()}, as_json, f"{_show(report)}{output}: {_kept(report)}"
    )


def _say_passed_over(names: dict[str, list[str]]) -> None:
    for given, folders in names.items():
        if folders:
            listed = ", ".join(folders)
            say(f"{given}: passed over {listed}, which no benchmark is called; NAME=PATH or a file")


def _chat(
    model: str | None, template: str | None, shortest: int | None, longest: int | None
) -> "Chat | None":
    from boresight.errors import UserError
    from boresight.stages.conversations import load_chat

    if model and shortest is None and longest is None:
        raise UserError("--model counts the tokens of a length: give --min-length or --max-length")
    if template and not model:
        raise UserError("--template says how the conversations of --model are written: give --model")
    return load_chat(model, template or "tulu") if model else None


def _codes(languages: str | None) -> frozenset[str]:
    from boresight.errors import UserError

    codes = frozenset(code.strip() for code in (languages or "").split(",") if code.strip())
    if languages is not None and not codes:
        raise UserError("--languages: name at least one, as in en,zh")
    return codes


def _kept(report: "Report") -> str:
    return f"{report.kept:,} of {report.rows:,} conversations"


def _show(report: "Report") -> str:
    """Tables of the steps and of the evaluation sets, and the examples of each."""
    tables = [_steps(report), *([_benchmarks(report)] if report.benchmarks else [])]
    return drawn(*tables) + "".join(f"{printable(line)}\n" for line in _details(report))


def _steps(report: "Report") -> "Table":
    """A line a step; what one that is off would remove stands in brackets."""
    table, left = _table("step", "removed", "kept"), report.rows
    table.add_row("read", "", f"{left:,}")
    for step in report.steps:
        left -= step.found if step.on else 0
        found = (step.name, f"{step.found:,}") if step.on else (f"{step.name} (off)", f"({step.found:,})")
        table.add_row(*found, f"{left:,}")
    return table


def _benchmarks(report: "Report") -> "Table":
    from rich.text import Text

    table = _table("evaluation set", "items", "too short", "met", "conversations")
    for b in report.benchmarks:
        numbers = (b.items, b.too_short, b.hit, b.conversations)
        table.add_row(Text(printable(b.name)), *(f"{number:,}" for number in numbers))
    return table


def _table(first: str, *numbers: str) -> "Table":
    from rich.table import Table

    table = Table()
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _details(report: "Report") -> Iterator[str]:
    """What could not be told, and examples; data, so nothing of it is markup or moves the cursor."""
    from boresight.data.clean_report import CONTAMINATION

    for step in report.steps:
        yield from (f"{step.name}: {n:,} stay, {why}" for why, n in step.undetermined.most_common())
        title = step.name if step.on else f"{step.name}, if it were on"
        # Those of contamination come with the evaluation sets.
        yield from _examples(title, [] if step.name == CONTAMINATION else step.examples)
    for benchmark in report.benchmarks:
        yield from _examples(benchmark.name, benchmark.examples)


def _examples(title: str, examples: "list[Example]") -> Iterator[str]:
    if examples:
        yield f"{title}, for example"
    for example in examples:
        for line in (f"  {example.id} ({example.place}): {example.detail}", f"    {example.excerpt}"):
            yield line.replace("\n", " ")
