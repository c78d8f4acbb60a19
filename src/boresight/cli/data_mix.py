"""`boresight data mix`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import drawn, print_result
from boresight.cli.options import AsJson, JsonLines
from boresight.files import check_outputs
from boresight.progress import console, printable, quiet_transformers

if TYPE_CHECKING:
    from boresight.data.mix import Taken


def mix(
    mixture: Annotated[Path, typer.Argument(help="A mixture file, YAML.")],
    output: JsonLines,
    data: Annotated[
        Path | None, typer.Option(help="Where the mixture's relative paths begin. Default: beside it.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Override a key of the mixture: members.cot.at_most=5000. May be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw conversations from several sources, so many of each, into one file.

    Example: boresight data mix mixtures/human-gpt.yaml --data downloads -o tulu-mixture.jsonl

    Example: boresight data mix mixtures/longalign.yaml --set members.long.at_most=5000 -o longalign-5k.jsonl
    """
    from boresight.data.mix import mix as draw
    from boresight.data.mixture import load_mixture
    from boresight.models.load import load_tokenizer

    quiet_transformers()
    check_outputs([output], [mixture])
    loaded = load_mixture(mixture, set_, data)
    splits = any(member.split and not member.is_left_out for member in loaded.members.values())
    tokenizer = load_tokenizer(loaded.model) if splits and loaded.model else None
    with console.status("reading") as status:
        taken = draw(loaded, output, tokenizer, lambda name: status.update(f"reading {name}"))
    members = {name: part._asdict() for name, part in taken.items()}
    total = sum(part.chosen for part in taken.values())
    result = {"file": str(output), "conversations": total, "members": members}
    print_result(result, as_json, f"{_table(taken, total)}{output}: {total:,} conversations")


def _table(taken: "dict[str, Taken]", total: int) -> str:
    """A line a member, and one for each reason that something was left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("member")
    for column in ("rows", "conversations", "in the mixture", "share"):
        table.add_column(column, justify="right")
    for name, (rows, found, chosen, _) in taken.items():
        table.add_row(
            Text(printable(name)), f"{rows:,}", f"{found:,}", f"{chosen:,}", f"{chosen / total:.1%}"
        )
    lost = (f"{name}: {n:,} × {why}\n" for name, part in taken.items() for why, n in part.dropped.items())
    left_out = printable("".join(lost))
    return drawn(table) + (f"left out, of\n{left_out}" if left_out else "")
