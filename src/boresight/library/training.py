"""Training in a notebook: foreseen, done, looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.library.shown import File, html_table, picture
from boresight.recipe import Recipe, load_recipe
from boresight.report.figures import loss_figure
from boresight.report.source import open_runs
from boresight.report.svg import document
from boresight.report.training import read_training
from boresight.settings_file import read_settings
from boresight.stages.foresight import Foreseen, foretell
from boresight.stages.training import train_recipe
from boresight.train.saving import MODEL

Settings = File | Mapping[str, Any]
"""A recipe file, or what would stand in one."""


@dataclass(frozen=True)
class Trained:
    """A finished training run; a notebook shows its loss. `counts` are those of `boresight train --json`."""

    directory: Path
    counts: dict[str, float]

    @property
    def model(self) -> Path:
        """The model, to load, evaluate or train further."""
        return self.directory / MODEL

    def _repr_html_(self) -> str:
        (run,) = map(read_training, open_runs([self.directory]))
        counts = ([name, f"{value:,.4g}"] for name, value in self.counts.items())
        return html_table((str(self.model), ""), counts) + picture(document(loss_figure(run)))


def plan_training(recipe: Settings, overrides: Sequence[str] = ()) -> Foreseen:
    """Steps, waste and memory of a training run on its own number of ranks; nothing is trained.

    Args:
        recipe: a recipe file, or a mapping with its keys, as in `train_model`.
        overrides: of the file, as `train.epochs=1`.

    Returns:
        What `boresight train --dry-run --json` prints; as text, what it prints for people.

    Raises:
        UserError: as `train_model`.
    """
    return foretell(_recipe(recipe, overrides))


def train_model(
    recipe: Settings, output: File, overrides: Sequence[str] = (), *, force: bool = False
) -> Trained:
    """Train in this process, as a recipe says. Called again it resumes, or does nothing when all is done.

        recipe = {"model": "pocket", "data": [{"path": "talk.jsonl"}], "train": {"steps": 30}}
        tuned = boresight.train_model(recipe, "runs/tuned")
        boresight.load_model(tuned.model)

    Args:
        recipe: a recipe file, or a mapping with its keys; relative paths in a mapping begin here.
        output: the run directory.
        overrides: of the file, as `train.epochs=1`.
        force: start over whatever is there.

    Raises:
        UserError: the recipe, its model or its data cannot be used, or the directory holds another run.
    """
    directory = Path(output)
    return Trained(directory, train_recipe(_recipe(recipe, overrides), directory, force))


def _recipe(given: Settings, overrides: Sequence[str]) -> Recipe:
    if isinstance(given, Mapping):
        return read_settings(given, Recipe, lambda location: "recipe")
    return load_recipe(Path(given), list(overrides))
