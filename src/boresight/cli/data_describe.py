"""`boresight data describe`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.completion import SOURCES, among
from boresight.cli.console import drawn, print_result
from boresight.cli.options import AsJson, Figure, TemplateName, TokenizerModel
from boresight.progress import printable, working

if TYPE_CHECKING:
    from collections import Counter

    from rich.table import Table

    from boresight.data.describe import Description

BAR = 40
"""Characters of the longest bar."""
MOST = 12
"""Tasks shown; --json has all."""


def describe(
    files: Annotated[list[str], typer.Argument(help="Conversations, or files of --source.")],
    source: Annotated[
        str,
        typer.Option(help="The files' format: messages, alpaca, sharegpt, …", autocompletion=among(*SOURCES)),
    ] = "messages",
    model: TokenizerModel = "pocket",
    template: TemplateName = "tulu",
    output: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Say what conversations hold: Table 1 of TÜLU, lengths, mixes, target tokens, duplicates.

    Example: boresight data describe tulu-mixture.jsonl --model huggyllama/llama-7b -o describe.svg
    """
    from boresight.data.describe import describe as measure
    from boresight.data.sources import Tally, check_source, import_file
    from boresight.errors import UserError
    from boresight.stages.conversations import load_chat

    check_source(source)
    chat = load_chat(model, template)
    tally = Tally()
    with working("reading"):
        found = measure((c for file in files for c in import_file(file, source, tally=tally)), chat)
    if not found.sources:
        raise UserError(f"{', '.join(files)}: no conversation to describe")
    result = {**found.as_json(), "dropped": dict(tally.dropped)}
    if output:
        _draw(found, output)
        result["figure"] = str(output)
    text = _show(found, result["duplicates"])
    lost = "".join(f"\nleft out by the source: {n:,} × {why}" for why, n in tally.dropped.most_common())
    print_result(result, as_json, text + printable(lost) + (f"\n{output}" if output else ""))


def _draw(found: "Description", output: Path) -> None:
    from boresight.report.describe import describe_figure
    from boresight.runs import atomic_write

    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, describe_figure(found))


def _show(found: "Description", duplicates: int) -> str:
    share = "" if found.target_share is None else f", {found.target_share:.1%} targets"
    lines = [f"tokens: {sum(found.lengths):,}{share}"]
    lines += [f"tasks: {_shares(found.tasks)}"] if found.tasks else []
    lines += [f"letters by script: {_shares(found.letters)}", f"exact duplicates: {duplicates:,}"]
    lines += [f"cannot be trained on: {n:,} × {why}" for why, n in found.refused.most_common()]
    return drawn(_table(found), _histogram(found)) + printable("\n".join(lines))


def _table(found: "Description") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("source")
    for column in ("conversations", "rounds", "prompt", "completion"):
        table.add_column(column, justify="right")
    for name, (conversations, *means) in found.table.items():
        numbers = ("–" if mean is None else f"{mean:.1f}" for mean in means)
        table.add_row(Text(printable(name)), f"{conversations:,}", *numbers)
    return table


def _histogram(found: "Description") -> "Table":
    from rich.table import Table

    bins = found.histogram()
    most = max((n for _, n in bins), default=1)
    table = Table(box=None, pad_edge=False)
    table.add_column("tokens", justify="right")
    table.add_column("conversations", justify="right")
    table.add_column("")
    for start, n in bins:
        table.add_row(f"{start:,}–{2 * start - 1:,}", f"{n:,}", "█" * round(BAR * n / most))
    return table


def _shares(counts: "Counter[str]") -> str:
    total = counts.total()
    shown = ", ".join(f"{name} {n / total:.1%}" for name, n in counts.most_common(MOST))
    return (shown or "none") + (f", {len(counts) - MOST} more" if len(counts) > MOST else "")
