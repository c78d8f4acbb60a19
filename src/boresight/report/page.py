"""One self-contained page from run directories: no script, no request, whatever is in the answers."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from boresight.report import figures, text
from boresight.report.answers import AnswerRun, by_family, difference, read_answers
from boresight.report.samples import choose_samples
from boresight.report.source import Source, open_runs
from boresight.report.training import RANKS, TrainRun, read_training
from boresight.runs import atomic_write


def write_report(runs: list[Path], out: Path) -> None:
    """Write what the runs say as one HTML file that appears whole or not at all.

    The run that others are compared with is the one whose model a training run here started from,
    else the first that answered.

    Raises:
        UserError: a directory is no run, or not one of a known kind, or a file in it cannot be read.
    """
    sources = open_runs(runs)
    trained = [read_training(source) for source in sources if source.record["command"] == "train"]
    answered = [read_answers(source) for source in sources if source.record["command"] == "answer"]
    html = render(sources, trained, [run for run in answered if run.settings])
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(out, html)


def render(sources: list[Source], trained: list[TrainRun], answered: list[AnswerRun]) -> str:
    """The page as HTML. Runs in `answered` have at least one answer."""
    base = baseline(trained, answered)
    others = [run for run in answered if run is not base]
    environment = Environment(
        loader=PackageLoader("boresight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        sources=sources,
        trained=trained,
        answered=answered,
        base=base,
        others=others,
        many_ways=any(len(run.settings) > 1 for run in answered),
        differences=[difference(run, base) for run in others if base],
        families=by_family(answered),
        samples=choose_samples(answered),
        figures=figures,
        text=text,
        ranks=RANKS,
    )


def baseline(trained: list[TrainRun], answered: list[AnswerRun]) -> AnswerRun | None:
    """The answers that others are compared with."""
    start = {run.source.config.get("model") for run in trained}
    of_start = [run for run in answered if run.source.config.get("model") in start]
    return next(iter(of_start or answered), None)
