"""`boresight score TASK RESPONSES`: answers that exist already, scored as `eval` scores its own."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.benchmarks import Classifier, Data, InformationJudge, TruthJudge, WithoutIsolation, table
from boresight.cli.completion import TASKS, among
from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Force


def score(
    task: Annotated[
        str,
        typer.Argument(
            help="mmlu:5-shot, gsm:cot, bbh:direct, …; or lm-eval.", autocompletion=among(*TASKS, "lm-eval")
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
    from boresight.evaluate.task import Tools
    from boresight.stages.scoring import score as score_answers

    tools = Tools(classifier, truth_judge, information_judge, without_isolation)
    found = score_answers(task, responses, data or (), tools, output, force)
    print_result(found, as_json, table(found))
