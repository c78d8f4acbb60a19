"""`boresight plan RECIPE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import drawn, print_result
from boresight.cli.options import AsJson, Figure, RecipeFile, RecipeOverrides
from boresight.errors import UserError

if TYPE_CHECKING:
    from boresight.stages.batches import Simulated

PACKED = "next-fit, best-fit: the whole epoch packed beforehand, one pack a rank and step, as others train."


def plan(
    recipe: RecipeFile,
    set_: RecipeOverrides = None,
    ranks: Annotated[str | None, typer.Option(help="GPUs, as 8,64,512. Default: the recipe's.")] = None,
    lengths: Annotated[
        Path | None, typer.Option(help="Tokens of each sequence instead of data: .npy, or a number a line.")
    ] = None,
    output: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Foretell from lengths alone how much time each batching strategy would waste, on any number of GPUs.

    Example: boresight plan recipes/gsm8k.yaml --set data.0.path=train.jsonl --ranks 8,64,512 -o plan.svg
    """
    from boresight.recipe import load_recipe
    from boresight.stages.batches import simulate_batches

    loaded = load_recipe(recipe, set_)
    found = simulate_batches(loaded, _numbers(ranks) if ranks else [loaded.ranks], lengths)
    rows = {str(n): [waste._asdict() for waste in wastes] for n, wastes in found.wastes.items()}
    result = {"sequences": found.sequences, "tokens": found.tokens, "ranks": rows}
    if output:
        from boresight.report.plan import plan_figure
        from boresight.runs import atomic_write

        atomic_write(output, plan_figure(found.wastes))
        result["figure"] = str(output)
    text = "\n".join(_show(n, found, loaded.train.batching) for n in found.wastes) + PACKED
    print_result(result, as_json, text + (f"\n{output}" if output else ""))


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--ranks {text}: expected whole numbers with commas, as 8,64,512") from error
    if min(numbers) < 1:
        raise UserError(f"--ranks {text}: there is at least one rank")
    return numbers


def _show(ranks: int, found: "Simulated", batching: str) -> str:
    """A table of the strategies, and in words what keeps them from the ideal."""
    from rich.table import Table

    from boresight.stages.foresight import limits

    at_once, wastes = found.groups[ranks], found.wastes[ranks]
    title = f"{ranks:,} ranks" + (f" in {at_once:,} groups" if at_once < ranks else "")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("strategy")
    for column in ("padding", "idle", "time / ideal", "micro-batches\na rank and step", "steps"):
        table.add_column(column, justify="right")
    for w in wastes:
        style = "bold" if w.strategy == batching else None
        shares = (f"{w.padding:.1%}", f"{w.idle:.1%}", f"{w.to_ideal:.3f}")
        table.add_row(w.strategy, *shares, f"{w.rounds:.2f}", f"{w.steps:,}", style=style)
    return drawn(table) + "".join(f"{line}\n" for line in limits(wastes[0], found.sequences, at_once))
