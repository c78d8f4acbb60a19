"""One self-contained page from run directories: it makes no request, whatever is in the answers.

The items lie in it as data that the page's one script reads when asked to; it shows them as text alone. The
policy of the page lets no other script run.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from boresight.errors import UserError
from boresight.files import check_outputs, whole_file
from boresight.report import benchmarks as benchmark_runs
from boresight.report import comparison, costs, figures, text
from boresight.report.answers import AnswerRun, by_family, difference, read_answers
from boresight.report.benchmarks import Benchmarks, Told
from boresight.report.given import Given, read_given
from boresight.report.heat_map import heat_map_inline
from boresight.report.item_sets import of_benchmarks, of_held_out, of_needles, of_ratings
from boresight.report.items import ItemSet, embed
from boresight.report.judged import PAIRS, RATE, judges_and_people, read_rating_rows
from boresight.report.judged_items import of_judged
from boresight.report.samples import choose_samples
from boresight.report.source import Source, open_runs, short_names
from boresight.report.training import RANKS, TrainRun, read_training

PAGE = "report.html.jinja"


@dataclass(frozen=True)
class Report:
    """All that was read."""

    sources: list[Source]
    trained: list[TrainRun]
    answered: list[AnswerRun]
    told: list[Told]
    benchmarks: Benchmarks | None
    held_out: Benchmarks | None
    given: Given

    @property
    def compared(self) -> Benchmarks | None:
        """The systems that a table or a figure for a paper would show."""
        return self.benchmarks or self.held_out

    def of(self, *commands: str) -> list[Source]:
        """The finished runs of these commands."""
        return [source for source in self.sources if source.finished and source.command in commands]


def read_report(given: Sequence[Path], baseline: str | None = None) -> Report:
    """Read run directories, and files that say what a study or data hold.

    Args:
        baseline: the system of which benchmarks, or the run of which held-out answers, are what others are
            compared with.

    Raises:
        UserError: a directory is no run, or not one of a known kind, or a file cannot be read.
    """
    is_file = [path.is_file() for path in given]
    from_files = read_given([path for path, is_one in zip(given, is_file, strict=True) if is_one])
    directories = [path for path, is_one in zip(given, is_file, strict=True) if not is_one]
    sources = open_runs(directories) if directories or not given else []
    trained = [read_training(source) for source in sources if source.command == "train"]
    answered = [read_answers(source) for source in sources if source.command == "answer"]
    told = list(benchmark_runs.read_told(sources))
    scored = benchmark_runs.of_benchmarks(told, baseline)
    answered = [run for run in answered if run.settings]
    base = default_baseline(trained, answered) if scored or baseline is None else baseline
    held_out = benchmark_runs.of_held_out(answered, base)
    if baseline is not None and not scored and not held_out:
        raise UserError(f"--baseline {baseline}: there are no systems to compare")
    return Report(sources, trained, answered, told, scored, held_out, from_files)


def default_baseline(trained: list[TrainRun], answered: list[AnswerRun]) -> str | None:
    """The run whose model a training run here started from, best without demonstrations; else the first that
    answered."""
    start = {run.source.config.get("model") for run in trained}
    of_start = [run for run in answered if run.source.config.get("model") in start]
    of_start.sort(key=lambda run: run.in_context)
    return next((run.source.name for run in of_start or answered), None)


def write_report(
    given: Sequence[Path],
    out: Path,
    baseline: str | None = None,
    table: Path | None = None,
    figure: Path | None = None,
) -> Report:
    """Write what runs say as one HTML file, and their systems as a table or figure for a paper; each file
    appears whole or not at all. Returns what was read.

    Raises:
        UserError: as `read_report`, a file cannot be written, or there is nothing to compare; then nothing is
            written.
    """
    check_outputs(filter(None, (out, table, figure)), filter(Path.is_file, given))
    report = read_report(given, baseline)
    made = {out: render(report).encode(), **comparison.comparison_files(report.compared, table, figure)}
    for path, content in made.items():
        with whole_file(path) as file:
            file.write(content)
    return report


def render(report: Report) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("boresight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    base = next((run for run in report.answered if _is_base(run, report.held_out)), None)
    others = [run for run in report.answered if run is not base]
    script = files("boresight.report").joinpath("templates/report.js").read_text(encoding="utf-8")
    sets = list(item_sets(report))
    return environment.get_template(PAGE).render(
        report=report,
        sources=report.sources,
        trained=report.trained,
        answered=report.answered,
        base=base,
        others=others,
        many_ways=any(len(run.settings) > 1 for run in report.answered),
        differences=[difference(run, base) for run in others if base],
        families=by_family(report.answered),
        samples=choose_samples(report.answered),
        benchmarks=report.benchmarks,
        pairs=report.of(PAIRS),
        rated=report.of(RATE),
        needles=report.of("needle"),
        needle_map=needle_map,
        model_names=model_names(report),
        people=report.given.people,
        beside=judges_and_people(report.sources, report.given.people),
        data=report.given.data,
        costs=costs.read_costs(report.sources),
        cost_total=costs.total,
        sets=sets,
        items=embed(sets) if sets else "",
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        figures=figures,
        comparison=comparison,
        text=text,
        ranks=RANKS,
    )


def _is_base(run: AnswerRun, held_out: Benchmarks | None) -> bool:
    return held_out is not None and run.source.name == held_out.base.model


def item_sets(report: Report) -> Iterator[ItemSet]:
    """All items there are to read."""
    names = benchmark_runs.system_names(told.system for told in report.told)
    yield from of_benchmarks(report.told, names)
    yield from of_held_out(report.answered)
    yield from map(of_judged, report.of(PAIRS, RATE))
    yield from map(of_needles, report.of("needle"))
    yield from of_ratings(read_rating_rows(report.given.people))


def model_names(report: Report) -> dict[str, str]:
    """Short names of models that were judged or looked for needles."""
    rows = [row for source in report.of(PAIRS, RATE) for row in source.counts["results"]]
    judged = [row[key] for row in rows for key in ("model", "system", "baseline") if key in row]
    found = list(dict.fromkeys([*judged, *(source.config["model"] for source in report.of("needle"))]))
    return dict(zip(found, short_names(found), strict=True))


def needle_map(source: Source) -> Markup:
    """The heat map of a run of needles."""
    cells = {(cell["length"], cell["depth"]): cell["recall"] for cell in source.counts["cells"]}
    return heat_map_inline(cells, source.name, source.counts["unit"], titled=False)
