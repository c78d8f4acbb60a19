"""`boresight score TASK RESPONSES`: answers that exist already, scored as `eval` scores its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.benchmarks import (
    Classifier,
    Data,
    InformationJudge,
    TruthJudge,
    WithoutIsolation,
    table,
)
from boresight.cli.completion import TASKS, among
from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Force
from boresight.errors import UserError

if TYPE_CHECKING:
    from boresight.evaluate.suite import Result, Wanted
    from boresight.evaluate.summary import TaskAnswer
    from boresight.evaluate.task import Tools

HARNESS = "lm-eval"


def score(
    task: Annotated[
        str,
        typer.Argument(
            help="mmlu:5-shot, gsm:cot, bbh:direct, …; or lm-eval.", autocompletion=among(*TASKS, HARNESS)
        ),
    ],
    responses: Annotated[list[Path], typer.Argument(help="JSON Lines with an item's `id` and `output`.")],
    data: Data = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Keep every verdict in a run directory.")
    ] = None,
    classifier: Classifier = None,
    truth_judge: TruthJudge = None,
    information_judge: InformationJudge = None,
    without_isolation: WithoutIsolation = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score answers that exist: our own, any with `id` and `output`, or a benchmark's as published.

    lm-eval in place of a task takes sample logs of the LM Evaluation Harness, and keeps its scores.

    Example: boresight score gsm:cot answers.jsonl --data gsm=grade-school-math/

    Example: boresight score bbh code-davinci-002-outputs/*/*.json

    Example: boresight score lm-eval out/*/samples_*.jsonl -o runs/harness
    """
    from boresight.evaluate.suite import ANSWERS
    from boresight.evaluate.task import Tools
    from boresight.records import write_records
    from boresight.runs import Run
    from boresight.stages.evaluation import averages

    tools = Tools(classifier, truth_judge, information_judge, without_isolation)
    found = _scored(task, responses, data or [], tools)
    rows = [
        {**_about(each.rows[0]), "directory": str(output or responses[0]), **each.counts} for each in found
    ]
    if output:
        config = {"task": task, "data": data, "tools": tools._asdict()}
        with Run(output, "score", config, responses, force=force) as run:
            if not run.finished:
                write_records(output / ANSWERS, [row for each in found for row in each.rows])
                run.finish({"results": rows})
    answer = {"results": rows, "averages": averages(rows)}
    print_result(answer, as_json, table(answer))


def _scored(task: str, responses: list[Path], data: list[str], tools: "Tools") -> "list[Result]":
    from boresight.evaluate.replay import replay, replay_published, replay_samples
    from boresight.evaluate.tasks import load_task
    from boresight.stages.evaluation import wanted_tasks

    if task == HARNESS:
        return replay_samples(responses)
    name, _, setting = task.partition(":")
    published = replay_published(load_task(name), responses, tools)
    for each in published:
        if setting not in ("", each.rows[0].setting):
            raise UserError(f"{task}: the answers are of {name}:{each.rows[0].setting}")
    return published or [replay(_one(task, wanted_tasks([task], data)), responses, tools)]


def _one(task: str, wanted: "list[Wanted]") -> "Wanted":
    if len(wanted) > 1:
        raise UserError(f"{task}: name a setting: {', '.join(f'{task}:{each.setting}' for each in wanted)}")
    return wanted[0]


def _about(row: "TaskAnswer") -> dict[str, str]:
    return {key: getattr(row, key) for key in ("model", "asked", "task", "setting")}
