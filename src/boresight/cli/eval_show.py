"""`boresight eval show RUN`: what was asked, what was said, what was read out of it, item by item."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson
from boresight.errors import UserError
from boresight.progress import printable

if TYPE_CHECKING:
    from boresight.evaluate.summary import TaskAnswer


def show(
    run: Annotated[Path, typer.Argument(help="A run directory of eval or score, or one above several.")],
    item: Annotated[list[str] | None, typer.Option("--id", help="An item. May be repeated.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Those alone that were not wholly right.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Items shown.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Read a benchmark's items: the prompt as the model had it, its answer, what was read, and the scores.

    Example: boresight eval show runs/eval --wrong

    Example: boresight eval show runs/eval/pocket/base/gsm-cot --id gsm8k-17 --json
    """
    chosen = (
        answer
        for answer in _answers(run)
        if (not item or answer.id in item) and not (wrong and _right(answer))
    )
    shown = list(islice(chosen, limit))
    if not shown:
        raise UserError(f"{run}: no such item")
    rows = [answer.model_dump(mode="json") for answer in shown]
    print_result({"answers": rows}, as_json, "\n".join(map(_show, shown)))


def _answers(run: Path) -> "Iterator[TaskAnswer]":
    from boresight.evaluate.suite import ANSWERS
    from boresight.evaluate.summary import TaskAnswer
    from boresight.records import read_records

    found = sorted(run.rglob(ANSWERS))
    if not found:
        raise UserError(f"{run}: holds no {ANSWERS}")
    for path in found:
        yield from read_records(path, TaskAnswer)


def _right(answer: "TaskAnswer") -> bool:
    return bool(answer.scores) and min(answer.scores.values()) == 1


def _show(answer: "TaskAnswer") -> str:
    """An answer with all that is known of it, for a terminal."""
    where = f"{answer.task} {answer.setting}  {answer.model}, {answer.asked}"
    groups = ", ".join(answer.groups.values())
    parts = [f"── {answer.id}  draw {answer.draw}  {where}" + (f"  ({groups})" if groups else "")]
    parts += [f"{message.role}: {message.content}" for message in answer.prompt]
    parts.append(f"answer: {answer.begins}⟨{answer.output}⟩")
    parts += [
        f"  {option!r}: {logprob:.3f}"
        for option, logprob in zip(answer.options, answer.logprobs, strict=False)
    ]
    parts += [f"{reader} read: {what!r}" for reader, what in answer.read.items()]
    parts.append(f"right: {' | '.join(map(repr, answer.references))}" if answer.references else "")
    parts.append("  ".join(f"{name} {score:.3g}" for name, score in answer.scores.items()))
    parts += [answer.note, "answer cut at the most tokens" if answer.finish_reason == "length" else ""]
    return "".join(f"{printable(part)}\n" for part in parts if part)
