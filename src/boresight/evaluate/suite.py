"""A task asked of a model in one setting and scored, in a run directory of its own.

answers.part.jsonl   until the run is done: what has been answered, each line written before the next answer
answers.jsonl        the result: a Response a line, with all that was asked, read and scored
run.json             the scores, as `summarise` has them
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from boresight.errors import UserError
from boresight.evaluate.answering import Answers, Kept, ask, costs, draws
from boresight.evaluate.posing import Posed, Way, fewer_shots, pose, room_for_text
from boresight.evaluate.summary import TaskAnswer, summarise
from boresight.evaluate.task import Answered, Item, Room, Setting, Task, Tools, Verdict
from boresight.models.requests import Model
from boresight.records import Message, write_records

ANSWERS = "answers.jsonl"


class Wanted(NamedTuple):
    """A task in one of its settings, where its files are, and how many of its items are wanted.

    `limit` is of every group that is averaged over, or of all items. The seed draws those, and answers at a
    temperature.
    """

    task: Task
    setting: str
    source: str
    limit: int | None = None
    seed: int = 42

    @property
    def settings(self) -> Setting:
        """What the setting says."""
        return self.task.settings[self.setting]


class Result(NamedTuple):
    """Answers with their scores, and what they come to."""

    rows: list[TaskAnswer]
    counts: dict[str, Any]


def evaluate(
    model: Model,
    wanted: Wanted,
    way: Way,
    room: Room,
    tools: Tools,
    directory: Path,
    progress: Callable[[str, int], Callable[[int], None]],
) -> dict[str, Any]:
    """Ask and score, or go on with it; returns what came out, which is also for the run's record.

    Args:
        progress: given a title and a total, what is to be called with how many more are done.

    What was answered stays in `answers.part.jsonl` too, for the caller to remove once the run is recorded.

    Raises:
        UserError: the task's files are wrong, something cannot be asked, or scoring lacks a tool.
    """
    wanted.task.require(wanted.setting, tools)
    items = drawn(wanted, room_for_text(wanted.settings, way, room))
    posed, too_long = pose(items, wanted.settings, way, room)
    if not posed:
        raise UserError(
            f"{wanted.source}: none of {len(items):,} items fits the model's context of {room.most} "
            f"{room.measure.unit}, of which the answer takes up to {wanted.settings.max_new_tokens}"
        )
    title = f"{wanted.task.name} {wanted.setting}"
    total = len(draws(posed, wanted.settings))
    kept = ask(model, posed, wanted.settings, wanted.seed, directory, progress(title, total))
    rows, counts = score(wanted, way.name, model.name, posed, kept, tools)
    write_records(directory / ANSWERS, rows)
    return counts | {"too_long": too_long} | costs(model, posed, wanted.settings, wanted.seed)


def drawn(wanted: Wanted, room: Room) -> list[Item]:
    """The task's items, or as many as are wanted, in their order.

    Raises:
        UserError: the files are wrong or hold none, or two items have one id.
    """
    items = list(wanted.task.items(wanted.source, wanted.setting, room))
    if not items:
        raise UserError(f"{wanted.source}: no items of {wanted.task.name}")
    if twice := [id for id, count in Counter(item.id for item in items).items() if count > 1]:
        raise UserError(f"{wanted.source}: two items have the id {twice[0]!r}")
    if wanted.limit is None:
        return items
    groups: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault(item.groups[wanted.task.over] if wanted.task.over else "", []).append(at)
    random = Random(wanted.seed)
    chosen = (random.sample(group, min(wanted.limit, len(group))) for group in groups.values())
    return [items[at] for at in sorted(at for group in chosen for at in group)]


def score(
    wanted: Wanted, asked: str, model: str, posed: Sequence[Posed], kept: Answers, tools: Tools
) -> Result:
    """Verdicts on items that have one answer or several; a record for each, in the order of items and draws.

    Raises:
        UserError: scoring lacks a tool or answers.
    """
    by_item: dict[str, list[Kept]] = {}
    for (item, _), answer in sorted(kept.items(), key=lambda pair: pair[0][1]):
        by_item.setdefault(item, []).append(answer)
    drawn_answers = [by_item[each.item.id] for each in posed]
    verdicts = wanted.task.score(
        [
            Answered(each.item, tuple(answer.output for answer in answers), answers[0].scored)
            for each, answers in zip(posed, drawn_answers, strict=True)
        ],
        tools,
    )
    about = {"task": wanted.task.name, "setting": wanted.setting, "asked": asked, "model": model}
    rows = [
        TaskAnswer.model_validate(_row(each, answer, verdict, at) | about)
        for each, answers, verdict in zip(posed, drawn_answers, verdicts, strict=True)
        for at, answer in enumerate(answers)
    ]
    counts = summarise(rows, wanted.task.headline, wanted.task.over)
    return Result(rows, counts | {"fewer_shots": fewer_shots(posed)})


def _row(posed: Posed, kept: Kept, verdict: Verdict, at: int) -> dict[str, Any]:
    item, prompt = posed.item, posed.prompt
    read, note = verdict.drawn[at] if verdict.drawn else (verdict.read, verdict.note)
    messages = [Message(role="user", content=prompt)] if isinstance(prompt, str) else list(prompt)
    row = {
        "id": item.id,
        "draw": kept.draw,
        "prompt": messages,
        "begins": posed.begins,
        "output": kept.output,
        "finish_reason": kept.finish_reason,
        "reference": item.references[0] if item.references else None,
        "references": list(item.references),
        "groups": dict(item.groups),
        "shots": posed.shots,
        "scores": verdict.scores,
        "read": dict(read),
        "note": note,
        "demonstrations": kept.demonstrations,
    }
    if kept.scored:
        row |= {"options": list(item.options), "logprobs": list(kept.scored.logprobs)}
    return dict(item.extra) | row
