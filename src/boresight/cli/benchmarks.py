"""What `eval` and `score` have in common: options, and the table of results."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from boresight.cli import costs
from boresight.progress import printable

Data = Annotated[
    list[str] | None,
    typer.Option(
        help="A folder with a folder a task, or TASK=PLACE: a folder, a file, hub:owner/name; or "
        "PLACE#PART,PART: some subjects, languages or subtasks. May be repeated."
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Items of a task, drawn by the seed; of each language or subtask.")
]
Classifier = Annotated[str | None, typer.Option(help="toxigen's; a directory or hub id.")]
TruthJudge = Annotated[str | None, typer.Option(help="truthfulqa's, for truth.")]
InformationJudge = Annotated[str | None, typer.Option(help="truthfulqa's, for information.")]
WithoutIsolation = Annotated[
    bool,
    typer.Option(
        "--run-model-code-without-isolation",
        help="Where no sandbox can be had: let code that a model wrote do what you could do.",
    ),
]


def table(result: dict[str, Any]) -> str:
    """Results for a person: a line a score, then what was left out, then the totals."""
    lines = [line for row in result["results"] for line in _lines(row)]
    for total in result["averages"]:
        entered = ", ".join(f"{task} ({', '.join(s)})" for task, s in total["entered"].items())
        lines.append(f"{_name(total['model'])}  {total['asked']}  average: {total['value']:.1%} of {entered}")
    return "\n".join([*lines, *([result["figure"]] if "figure" in result else [])])


def _name(model: str) -> str:
    """Of answers from elsewhere it may be anything."""
    from boresight.report.source import short_names

    return printable(" ".join(short_names([model])[0].split()))


def _lines(row: dict[str, Any]) -> Iterator[str]:
    who = f"{_name(row['model'])}  {row['asked']}  {row['task']} {row['setting']}"
    over = "" if row["mean_over"] == "items" else f", mean over {row['mean_over']}"
    names = sorted(row["scores"], key=lambda name: name != row["headline"])
    if not names:
        yield f"{who}: {row['n']:,} answers, to be judged: {row['directory']}/answers.jsonl"
    for name in names:
        at = row["scores"][name]
        ends = f"{at['low']:.1%} to {at['high']:.1%}"
        yield f"{who}  {name}: {at['value']:.1%} ({ends}) of {row['n']:,}{over}"
    if row["mean_over"] == "items" and names and row["macro"]:
        macro = (f"{each[row['headline']]:.1%} over {key}" for key, each in row["macro"].items())
        yield f"    {row['headline']}, mean of groups: {', '.join(macro)}"
    for count, said in (
        (len(row["too_long"]), "too long for the model, and left out"),
        (row["fewer_shots"], "with fewer examples, as there was no room"),
        (row["cut_short"], "answers were cut at the most tokens"),
        (len(row.get("unanswered", ())), "without an answer, and left out"),
    ):
        if count:
            yield f"    {count:,} {said}"
    if "cost" in row:
        yield f"    {costs.in_all(row['cost']['total'])}"
