"""Answers that exist already, scored as `eval` scores its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.evaluate.replay import replay, replay_published, replay_samples
from boresight.evaluate.suite import ANSWERS, Result
from boresight.evaluate.task import Tools
from boresight.evaluate.tasks import load_task
from boresight.progress import quiet_transformers, say
from boresight.records import write_records
from boresight.runs import Run
from boresight.stages.evaluation import averages, wanted_tasks

HARNESS = "lm-eval"
"""In place of a task: sample logs of the LM Evaluation Harness, whose scores are kept."""


def score(
    task: str,
    responses: Sequence[Path],
    data: Sequence[str],
    tools: Tools,
    output: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """`results`, a row a model, setting and way of asking; and TÜLU's `averages`, as of `eval`.

    Args:
        task: `gsm:cot`, `bbh`, …; or `lm-eval`.
        responses: our own, any with `id` and `output`, or a benchmark's as published.
        data: places of the task's files, as of `eval`.
        output: a run directory that keeps every verdict.

    Raises:
        UserError: a task, its files or the answers cannot be used.
    """
    quiet_transformers()
    if output is None:
        rows = _rows(_scored(task, responses, data, tools), responses[0])
        return {"results": rows, "averages": averages(rows)}
    config = {"task": task, "data": list(data) or None, "tools": tools._asdict()}
    with Run(output, "score", config, list(responses), force=force) as run:
        if run.finished:
            say(f"{output}: already done; nothing has changed")
        else:
            found = _scored(task, responses, data, tools)
            write_records(output / ANSWERS, [row for each in found for row in each.rows])
            run.finish({"results": _rows(found, output)})
    rows = run.record["counts"]["results"]
    return {"results": rows, "averages": averages(rows)}


def _scored(task: str, responses: Sequence[Path], data: Sequence[str], tools: Tools) -> list[Result]:
    if task == HARNESS:
        return replay_samples(responses)
    name, _, setting = task.partition(":")
    published = replay_published(load_task(name), responses, tools)
    for each in published:
        if setting not in ("", each.rows[0].setting):
            raise UserError(f"{task}: the answers are of {name}:{each.rows[0].setting}")
    if published:
        return published
    wanted, *more = wanted_tasks([task], data)
    if more:
        settings = ", ".join(f"{task}:{each.setting}" for each in (wanted, *more))
        raise UserError(f"{task}: name a setting: {settings}")
    return [replay(wanted, responses, tools)]


def _rows(found: Sequence[Result], place: Path) -> list[dict[str, Any]]:
    about = ("model", "asked", "task", "setting")
    return [
        {**{key: getattr(each.rows[0], key) for key in about}, "directory": str(place), **each.counts}
        for each in found
    ]
