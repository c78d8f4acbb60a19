"""All experiments, and running them: each is a run directory with `result.json`, done once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from boresight.errors import UserError
from boresight.lab.bench import SETTINGS, Lab
from boresight.lab.controls import controls
from boresight.lab.ladder import ladder
from boresight.lab.long_data import long_data
from boresight.lab.methods import methods
from boresight.lab.mixtures import mixtures, verbosity
from boresight.lab.page import as_markdown, render
from boresight.lab.result import Result
from boresight.lab.table1 import table1
from boresight.models.load import resolve
from boresight.progress import say
from boresight.runs import Run, atomic_write
from boresight.settings_file import nearest

EXPERIMENTS: dict[str, Callable[[Lab], Result]] = {
    "ladder": ladder,
    "table1": table1,
    "controls": controls,
    "long-data": long_data,
    "methods": methods,
    "mixtures": mixtures,
    "verbosity": verbosity,
}
RESULT = "result.json"


def run_lab(base: str, directory: Path, names: Sequence[str] = (), force: bool = False) -> list[Result]:
    """Run experiments, or those that are named, and write `lab.html` and `lab.md` with all that is there.

    Raises:
        UserError: there is no such experiment, or a run directory holds another base model's.
    """
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise UserError(f"{unknown[0]}: no such experiment{nearest(unknown[0], EXPERIMENTS)}")
    lab = Lab(base, directory)
    if force:
        lab.restart()
    for name in names or EXPERIMENTS:
        run_experiment(lab, name, force)
    results = read_results(directory)
    atomic_write(directory / "lab.html", render(results, base))
    atomic_write(directory / "lab.md", as_markdown(results))
    return results


def run_experiment(lab: Lab, name: str, force: bool = False) -> Result:
    """One experiment; what it finds is kept."""
    at = lab.directory / name
    config = {"experiment": name, "settings": SETTINGS}
    with Run(at, "lab", config, [Path(resolve(lab.base))], force=force) as run:
        if run.finished:
            say(f"{at}: already done; nothing has changed")
            return Result.model_validate_json((at / RESULT).read_text())
        say(f"experiment: {name}")
        began = perf_counter()
        result = EXPERIMENTS[name](lab)
        result.seconds = perf_counter() - began
        atomic_write(at / RESULT, result.model_dump_json(indent=1))
        run.finish({"claims": len(result.claims), "shown": sum(claim.shown for claim in result.claims)})
    return result


def read_results(directory: Path) -> list[Result]:
    """What finished experiments found, in the order of EXPERIMENTS."""
    files = [directory / name / RESULT for name in EXPERIMENTS]
    return [Result.model_validate_json(file.read_text()) for file in files if file.exists()]
