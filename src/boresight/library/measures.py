"""Measurements in a notebook: benchmarks, judges, win rates, needles, and what they say together."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from boresight.evaluate.judges.asking import Asking
from boresight.evaluate.judges.run import Job
from boresight.evaluate.ways import InContext, Kind
from boresight.library.shown import File, Files, Found, names
from boresight.report import write_report as write_page
from boresight.report.benchmarks import Benchmarks
from boresight.report.comparison import dots_figure
from boresight.report.heat_map import heat_map
from boresight.report.svg import document
from boresight.stages import evaluation, judging, winrates
from boresight.stages import needles as needle_test

VERDICTS = ("system", "baseline", "judge", "win", "tie", "loss", "win_plus_half_ties", "n_total", "unparsed")


def evaluate_model(
    model: File,
    tasks: Files,
    output: File,
    *,
    data: Files = (),
    demonstrations: File | None = None,
    shown: str = "none,retrieved",
    preset: str = "default",
    overrides: Sequence[str] = (),
    asked: Kind | None = None,
    limit: int | None = None,
    seed: int = 42,
    max_cost: float | None = None,
    force: bool = False,
) -> Found:
    """Ask a model benchmarks, or questions of one's own, and score what it says. Called again it goes on.

    Args:
        model: a directory, a hub id, `pocket`, a directory of checkpoints, or `http://host:8000/v1#name`.
        tasks: names, as `mmlu` or `gsm:cot`; or conversations files, whose last messages are right.
        output: here goes a run directory a setting.
        data: folders with a folder a task, or `TASK=PLACE`.
        demonstrations: a conversations file; the model is then asked in context.
        shown: how demonstrations are chosen, by commas: `none`, `random`, `retrieved`.
        preset: of the demonstrations, as in `align_model`.
        overrides: likewise.
        asked: as a base or a chat model; by default by its chat template, if it has one.
        limit: items of a task, drawn by the seed; by default all.
        seed: decides all that is drawn at random.
        max_cost: most dollars for a server's answers, in all attempts.
        force: start over whatever is there; answers that were paid for are kept.

    Returns:
        What `boresight eval --json` prints; a row a task's setting and way of asking, with 95 % intervals.

    Raises:
        UserError: a model, a task or its files cannot be used.
    """
    ways, pool = evaluation.chosen(shown), demonstrations
    context = None if pool is None else InContext(Path(pool), ways, preset, tuple(overrides))
    how = evaluation.How(Path(output), evaluation.kind(asked), context, max_cost=max_cost, force=force)
    todo = evaluation.wanted_tasks(names(tasks), names(data), limit, seed)
    result = evaluation.evaluate(str(model), todo, how)
    rows = [
        {key: row[key] for key in ("model", "asked", "task", "setting")}
        | {"score": name, **interval, "items": row["n"]}
        for row in result["results"]
        for name, interval in row["scores"].items()
    ]
    return Found(result, rows)


def judge_pairs(
    first: File,
    second: File,
    judges: str | Sequence[str],
    output: File,
    *,
    rubric: str = "two-scores",
    order: Literal["both", "random", "given"] = "both",
    questions: File | None = None,
    seed: int = 0,
    max_cost: float | None = None,
    force: bool = False,
) -> Found:
    """Have judges compare two systems' answers to the same prompts. Called again it pays for nothing twice.

    Args:
        first: files of answers: ours, AlpacaEval's or In-Context Alignment's.
        second: those of the other system.
        judges: models; or `unique-tokens`, TÜLU's dummy, which is free.
        output: the run directory.
        rubric: `two-scores`, `choice`, or a file.
        order: `both`, `random` by seed and prompt, or as `given`.
        questions: a file with what judges are told besides of each question.
        seed: decides all that is drawn at random.
        max_cost: most dollars, in all attempts.
        force: start over whatever is there; replies that were paid for are kept.

    Returns:
        What `boresight judge pairs --json` prints; a row a judge, in percent.

    Raises:
        UserError: files or judges cannot be used, or requests failed, and the same call goes on.
    """
    files, about = [Path(first), Path(second)], Path(questions) if questions else None
    job = Job("pairs", files, names(judges), about, order=order)
    asking = Asking(tries=3, seed=seed, limit=max_cost)
    result = judging.judge(job, rubric, asking, Path(output), force)
    return Found(result, _verdicts(result["results"]))


def win_rates(files: Files, *, answers: Files = (), tokenizer: str | None = None, seed: int = 0) -> Found:
    """How often systems win, with intervals, from verdicts of any format; files as FILE or SYSTEM=FILE.

    Args:
        files: our judgments, AlpacaEval's annotations, or two-score verdicts; two of one system are draws.
        answers: what was judged, where the verdicts hold none: for lengths and unique tokens.
        tokenizer: whose unique tokens; by default words.
        seed: of the bootstrap.

    Returns:
        What `boresight winrate --json` prints; a row a system, in percent.

    Raises:
        UserError: a file cannot be read or is of no known format.
    """
    found = winrates.win_rates(names(files), names(answers), tokenizer, seed=seed).as_json()
    return Found(found, _verdicts(found.get("systems", [found])))


def find_needles(
    model: File,
    output: File,
    *,
    needles: File = "published",
    haystack: File = "pocket",
    lengths: str | Sequence[int] = "published",
    depths: str | Sequence[int] = "published",
    samples: int = 1,
    max_tokens: int = 128,
    tokenizer: str | None = None,
    base: bool = False,
    seed: int = 42,
    max_cost: float | None = None,
    force: bool = False,
) -> Found:
    """How well a model finds a sentence in a long text, by length and depth. Called again it goes on.

    Args:
        model: a directory, a hub id, `pocket`, or `http://host:8000/v1#name`.
        output: the run directory.
        needles: `published`, `chinese`, `pocket`, or a YAML file.
        haystack: a file or folder of texts; or `pocket`, pages of the pocket world.
        lengths: in tokens, with question and answer: `published`, `"1000-8000:8"`, or numbers.
        depths: in percent, in the same ways.
        samples: haystacks for every cell.
        max_tokens: room for the answer, part of the length.
        tokenizer: whose tokens count, for a server; without it, characters do.
        base: continue the text; a local model without chat template does.
        seed: decides all that is drawn at random.
        max_cost: most dollars for a server's answers, in all attempts.
        force: start over whatever is there; answers that were paid for are kept.

    Returns:
        What `boresight needle --json` prints; a row a cell, and the heat map.

    Raises:
        UserError: model, needles or haystack cannot be used, or a length does not fit.
    """
    across, down = (by if isinstance(by, str) else ",".join(map(str, by)) for by in (lengths, depths))
    grid = needle_test.grid_of(across, down, samples, max_tokens, seed)
    asked = needle_test.Asked(str(model), tokenizer, base, str(haystack), max_cost=max_cost)
    found = needle_test.find_needles(asked, grid, str(needles), Path(output), force)
    cells = {(cell["length"], cell["depth"]): cell["recall"] for cell in found["cells"]}
    return Found(found, found["cells"], heat_map(cells, str(model), found["unit"]))


def write_report(
    runs: Files,
    output: File = "report.html",
    *,
    baseline: str | None = None,
    table: File | None = None,
    figure: File | None = None,
) -> Found:
    """Write one self-contained HTML page about runs of any kind; a notebook shows how systems compare.

    Args:
        runs: run directories, or directories above some; and files of `boresight study`.
        output: the HTML file.
        baseline: the system that others are compared with; by default the first.
        table: the systems for a paper, too: .tex or .csv.
        figure: likewise: .svg or .png.

    Returns:
        What `boresight report --json` prints; a row a system and setting with 95 % intervals, of the paired
        difference from the baseline too; and the figure.

    Raises:
        UserError: a directory is no run, a file cannot be read, or there is nothing to compare.
    """
    files = {"report": output, "table": table, "figure": figure}
    paths = {name: Path(file) for name, file in files.items() if file is not None}
    given = [Path(run) for run in names(runs)]
    compared = write_page(given, paths["report"], baseline, paths.get("table"), paths.get("figure")).compared
    made = {name: str(path) for name, path in paths.items()}
    return Found(made, list(_rows(compared)), document(dots_figure(compared))) if compared else Found(made)


def _rows(compared: Benchmarks) -> Iterator[dict[str, Any]]:
    for (system, column), result in compared.results.items():
        gap = compared.difference(system, [column]) if system != compared.base else None
        value, low, high = gap.interval if gap else (None, None, None)
        about = {"system": compared.names[system], "task": str(column), "items": len(result.outcomes)}
        yield about | result.interval._asdict() | {
            "difference": value, "difference_low": low, "difference_high": high
        }  # fmt: skip


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in VERDICTS} for row in rows]
