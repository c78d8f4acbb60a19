"""`boresight train RECIPE`."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, DryRun, Force, RecipeFile, RecipeOverrides
from boresight.errors import UserError


def train(
    recipe: RecipeFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The run directory.")] = None,
    set_: RecipeOverrides = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model as a recipe says. Run again, it resumes, or does nothing when all is done.

    Example: boresight train recipes/gsm8k.yaml --set model=pocket --set data.0.path=train.jsonl -o runs/gsm8k

    On 8 GPUs: torchrun --nproc-per-node 8 -m boresight train recipes/tulu-7b.yaml -o runs/tulu-7b
    """
    from boresight.recipe import load_recipe
    from boresight.stages.foresight import foretell
    from boresight.stages.training import train_recipe
    from boresight.train.ranks import launched

    loaded = load_recipe(recipe, set_)
    if dry_run:
        foreseen = foretell(loaded)
        print_result(foreseen, as_json, str(foreseen))
        return
    if output is None:
        raise UserError("-o: name a run directory for the trained model")
    counts = train_recipe(loaded, output, force)
    if launched()[0] == 0:
        print_result(
            counts, as_json, f"{output / 'model'}: {counts['steps']} steps, loss {counts['last_loss']:.4f}"
        )
