"""Benchmarks, and questions of one's own, asked of a model or all its checkpoints; a run directory each."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from boresight.errors import Unfinished, UserError
from boresight.evaluate.checkpoints import checkpoints
from boresight.evaluate.part_file import PART
from boresight.evaluate.posing import Way
from boresight.evaluate.suite import Wanted
from boresight.evaluate.suite import evaluate as evaluate_one
from boresight.evaluate.summary import average
from boresight.evaluate.task import Tools
from boresight.evaluate.tasks import load_task
from boresight.evaluate.tasks.questions import task_of
from boresight.evaluate.ways import InContext, Kind, Opened
from boresight.models.endpoint import EndpointError
from boresight.models.load import resolve
from boresight.models.open import is_url
from boresight.progress import counting, quiet_transformers, say
from boresight.report.curve import curve_figure
from boresight.report.source import short_names
from boresight.runs import Run, atomic_write
from boresight.settings_file import nearest
from boresight.stages.spending import spending
from boresight.stats import Interval

WAYS = {
    "none": "no demonstrations",
    "random": "random demonstrations",
    "retrieved": "retrieved demonstrations",
}
"""Ways to choose demonstrations, as reported."""


class How(NamedTuple):
    """How all checkpoints are asked, where the runs go, and what a server may cost."""

    output: Path
    kind: Kind | None = None
    context: InContext | None = None
    tools: Tools = Tools()
    concurrency: int = 16
    price: str | None = None
    max_cost: float | None = None
    force: bool = False


def evaluate(model: str, todo: Sequence[Wanted], how: How) -> dict[str, Any]:
    """`results`, a row a task's setting and way of asking; TÜLU's `averages`; and of several checkpoints a
    `figure`. Run again, it goes on.

    Raises:
        UserError: a model, a task or its files cannot be used, or a server fails.
    """
    quiet_transformers()
    if how.context and how.kind:
        raise UserError(f"--asked {how.kind}: with --demonstrations a model is asked in context")
    for each in todo:
        each.task.require(each.setting, how.tools)
    rows = [
        row | {"at": checkpoint.at}
        for checkpoint in checkpoints(model)
        for row in _evaluate(checkpoint.model, todo, how)
    ]
    result: dict[str, Any] = {"results": rows, "averages": averages(rows)}
    if figure := _draw(rows, how.output / "curve.svg"):
        result["figure"] = str(figure)
    return result


def chosen(shown: str) -> tuple[str, ...]:
    """Ways to choose demonstrations, by commas.

    Raises:
        UserError: one is none.
    """
    ways = tuple(way.strip() for way in shown.split(","))
    for way in ways:
        if way not in WAYS:
            raise UserError(f"--shown {way}: expected none, random or retrieved{nearest(way, WAYS)}")
    return ways


def kind(asked: str | None) -> Kind | None:
    """As what a model is asked.

    Raises:
        UserError: it is neither base nor chat.
    """
    match asked:
        case None | "base" | "chat":
            return asked
    raise UserError(f"--asked {asked}: expected base or chat")


def _evaluate(model: str, todo: Sequence[Wanted], how: How) -> Iterator[dict[str, Any]]:
    """Every task in every way, each in a run directory of its own."""
    place, paid = how.output / slug(*short_names([model])), how.output / "answers.sqlite"
    opened = Opened(model, paid, how.concurrency, spending(model, how.price, how.max_cost, paid))
    if how.context is None:
        way = opened.way(how.kind)
        for wanted in todo:
            yield _run(opened, None, way, wanted, place / way.name, how)
        return
    for shown in how.context.chosen:
        for wanted in todo:
            yield _run(opened, shown, Way(WAYS[shown], True), wanted, place / shown, how)


def _run(
    opened: Opened, shown: str | None, way: Way, wanted: Wanted, place: Path, how: How
) -> dict[str, Any]:
    directory = place / slug(f"{wanted.task.name}-{wanted.setting}")
    config = wanted._asdict() | {"task": wanted.task.name, "model": opened.name, "asked": way.name}
    config |= {"in_context": how.context and how.context._asdict(), "tools": how.tools._asdict()}
    read = [wanted.source.partition("#")[0]]
    read += [] if is_url(opened.name) else [resolve(opened.name)]
    read += [str(how.context.pool)] if how.context else []
    inputs = [path for path in map(Path, read) if path.exists()]
    run = Run(directory, "eval", config, inputs, seed=wanted.seed, force=how.force)
    with run, ExitStack() as open_:
        if run.finished:
            say(f"{directory}: already done; nothing has changed")
        else:
            model = opened.aligned(shown, how.context) if shown and how.context else opened.model
            try:
                run.finish(evaluate_one(model, wanted, way, opened.room, how.tools, directory, _bars(open_)))
                (directory / PART).unlink()
            except EndpointError as error:
                raise Unfinished(f"{error}; the same command goes on from here") from error
    about = {"model": opened.name, "asked": way.name, "task": wanted.task.name, "setting": wanted.setting}
    return {**about, "directory": str(directory), **run.record["counts"]}


def _bars(open_: ExitStack) -> Callable[[str, int], Callable[[int], None]]:
    """Progress bars, closed with the run."""
    return lambda title, total: open_.enter_context(counting(title, total))


def _draw(rows: list[dict[str, Any]], path: Path) -> Path | None:
    """The curves of headline scores over checkpoints, if there are several with numbers."""
    numbered = [row for row in rows if row["at"] is not None and row["scores"]]
    if len({row["at"] for row in numbered}) < 2:
        return None
    several = len({(row["task"], row["setting"]) for row in numbered}) > 1
    curves: dict[str, dict[int, Interval]] = {}
    for row in numbered:
        name = f"{row['task']} {row['setting']}, {row['asked']}" if several else row["asked"]
        curves.setdefault(name, {})[row["at"]] = Interval(**row["scores"][row["headline"]])
    atomic_write(path, curve_figure(curves))
    return path


def wanted_tasks(
    tasks: Iterable[str], data: Sequence[str], limit: int | None = None, seed: int = 42
) -> list[Wanted]:
    """The tasks and settings that are named, with the places of their files.

    Raises:
        UserError: a name is wrong, or no place is known.
    """
    found = []
    for named in (name.strip() for name in tasks):
        if Path(named).suffix or Path(named).is_file():
            name, setting, task, source = named, "", task_of(Path(named)), named
        else:
            name, _, setting = named.partition(":")
            task = load_task(name)
            if setting and setting not in task.settings:
                raise UserError(f"{named}: {name} has no such setting{nearest(setting, task.settings)}")
            source = _place(name, data)
        found += [
            Wanted(task, each, source, limit, seed) for each in ([setting] if setting else task.settings)
        ]
    return found


def _place(task: str, data: Sequence[str]) -> str:
    """Where the files of a task are."""
    named = dict(each.split("=", 1) for each in data if "=" in each)
    if task in named:
        return named[task]
    folders = [Path(each) / task for each in data if "=" not in each]
    found = next((folder for folder in folders if folder.exists()), None)
    if found is None:
        looked = f"; there is no {', no '.join(map(str, folders))}" if folders else ""
        raise UserError(
            f"where is {task}? Say --data {task}=PLACE, or --data FOLDER that holds {task}/{looked}"
        )
    return str(found)


def slug(name: str) -> str:
    """A name for a directory."""
    return re.sub(r"[^\w.@+-]+", "-", name).strip("-.") or "model"


def averages(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """TÜLU's total of every model and way of asking."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in rows:
        if not row["scores"]:  # they are a judge's
            continue
        headlines = found.setdefault((row["model"], row["asked"]), {})
        headlines.setdefault(row["task"], {})[row["setting"]] = row["scores"][row["headline"]]["value"]
    return [
        {"model": model, "asked": asked, **total}
        for (model, asked), headlines in found.items()
        if (total := average(headlines))
    ]
