"""`boresight lab`: the papers' claims, put to the test on the pocket model."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Force


def lab(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(help="Which: ladder, table1, controls, long-data, methods, mixtures, verbosity."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where everything goes.")] = Path("runs/lab"),
    base: Annotated[
        str, typer.Option("--base", help="The base model: pocket, or one built alike.")
    ] = "pocket",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Put the papers' claims to the test on the pocket model: fine-tuning, demonstrations, needles, mixtures.

    Each experiment takes minutes; all of them, less than forty on two cores. Run again, it goes on.

    Example: boresight lab ladder -o runs/lab
    """
    from boresight.lab.experiments import run_lab

    results = run_lab(base, output, experiments or (), force)
    lines = [str(claim) for result in results for claim in result.claims]
    found = {
        "page": str(output / "lab.html"),
        "results": [result.model_dump(mode="json") for result in results],
    }
    print_result(found, as_json, "\n".join([*lines, str(output / "lab.html")]))
