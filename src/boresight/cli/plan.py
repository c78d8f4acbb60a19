"""`boresight plan RECIPE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import counting, drawn, print_result, quiet_transformers, say
from boresight.cli.options import AsJson, RecipeOverrides
from boresight.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from boresight.recipe import Recipe
    from boresight.train.settings import TrainSettings
    from boresight.train.simulate import Waste

MOST = 1_000_000
"""Sequences simulated; more are represented by so many of them, drawn at random."""


def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, YAML.")],
    set_: RecipeOverrides = None,
    ranks: Annotated[str | None, typer.Option(help="GPUs, as 8,64,512. Default: the recipe's.")] = None,
    lengths: Annotated[
        Path | None, typer.Option(help="Tokens of each sequence instead of data: .npy, or a number a line.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Draw it, as an SVG file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Foretell from lengths alone how much time each batching strategy would waste, on any number of GPUs.

    Example: boresight plan recipes/gsm8k.yaml --set data.0.path=train.jsonl --ranks 8,64,512 -o plan.svg
    """
    from boresight.recipe import load_recipe
    from boresight.stages.training import model_config
    from boresight.train.loop import model_cost
    from boresight.train.memory import count_parameters
    from boresight.train.ranks import data_size
    from boresight.train.simulate import simulate, simulate_packing

    quiet_transformers()
    loaded = load_recipe(recipe, set_)
    settings = loaded.train
    at_once = {n: data_size(n, settings) for n in (_numbers(ranks) if ranks else [loaded.ranks])}
    config = model_config(loaded)
    cost = model_cost(config, count_parameters(config))
    tokens, targets = _sample(*(_read_lengths(lengths) if lengths else _prepare(loaded)), settings.seed)
    simulated: dict[int, list[Waste]] = {}
    with counting("simulate", len(at_once)) as done:
        for n, groups in at_once.items():
            simulated[n] = simulate(tokens, targets, settings, cost, groups)
            simulated[n] += simulate_packing(tokens, settings, cost, groups)
            done(1)
    rows = {str(n): [waste._asdict() for waste in wastes] for n, wastes in simulated.items()}
    result = {"sequences": len(tokens), "tokens": int(tokens.sum()), "ranks": rows}
    if output:
        _draw(simulated, output)
        result["figure"] = str(output)
    text = "\n".join(_show(n, at_once[n], wastes, len(tokens), settings) for n, wastes in simulated.items())
    text += (
        "next-fit, best-fit: the whole epoch packed beforehand, one pack a rank and step, as others train."
    )
    print_result(result, as_json, text + (f"\n{output}" if output else ""))


def _draw(simulated: "dict[int, list[Waste]]", output: Path) -> None:
    from boresight.report.plan import plan_figure
    from boresight.runs import atomic_write

    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, plan_figure(simulated))


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--ranks {text}: expected whole numbers with commas, as 8,64,512") from error
    if min(numbers) < 1:
        raise UserError(f"--ranks {text}: there is at least one rank")
    return numbers


def _prepare(recipe: "Recipe") -> "tuple[np.ndarray, np.ndarray]":
    """Tokens and targets of each sequence of the recipe's data."""
    from tempfile import TemporaryDirectory

    from boresight.models.load import load_tokenizer
    from boresight.stages.training import tokens

    with TemporaryDirectory() as directory:
        store = tokens(recipe, load_tokenizer(recipe.model), Path(directory) / "tokens")
        return store.lengths, store.target_counts


def _read_lengths(path: Path) -> "tuple[np.ndarray, np.ndarray]":
    """Tokens of each sequence from a file; every token but a sequence's first is a target."""
    import numpy as np

    try:
        if path.suffix == ".npy":
            lengths = np.load(path, mmap_mode="r")
        else:
            lengths = np.array([_length(line, f"{path}:{i}") for i, line in enumerate(path.open(), 1)])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu":
        raise UserError(f"{path}: expected a list of whole numbers, found {lengths.dtype} {lengths.shape}")
    if (shortest := int(lengths.min())) < 2:
        raise UserError(
            f"{path}: a sequence of length {shortest}; the shortest has a token and its target, 2"
        )
    return lengths, lengths - 1


def _length(line: str, place: str) -> int:
    try:
        return int(line)
    except ValueError as error:
        raise UserError(f"{place}: {line.strip()[:40]!r} is not a whole number") from error


def _sample(lengths: "np.ndarray", targets: "np.ndarray", seed: int) -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np

    if len(lengths) <= MOST:
        return lengths, targets
    say(f"{len(lengths):,} sequences: {MOST:,} of them, drawn at random, stand for all")
    drawn = np.random.default_rng(seed).choice(len(lengths), MOST, replace=False, shuffle=False)
    return lengths[drawn], targets[drawn]


def _show(ranks: int, at_once: int, wastes: "list[Waste]", sequences: int, settings: "TrainSettings") -> str:
    """A table of the strategies, and in words what keeps them from the ideal."""
    from rich.table import Table

    from boresight.stages.foresight import limits

    title = f"{ranks:,} ranks" + (f" in {at_once:,} groups" if at_once < ranks else "")
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("strategy")
    for column in ("padding", "idle", "time / ideal", "micro-batches\na rank and step", "steps"):
        table.add_column(column, justify="right")
    for w in wastes:
        style = "bold" if w.strategy == settings.batching else None
        shares = (f"{w.padding:.1%}", f"{w.idle:.1%}", f"{w.to_ideal:.3f}")
        table.add_row(w.strategy, *shares, f"{w.rounds:.2f}", f"{w.steps:,}", style=style)
    return drawn(table) + "".join(f"{line}\n" for line in limits(wastes[0], sequences, at_once))
