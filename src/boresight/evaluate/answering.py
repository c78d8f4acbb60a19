"""What a model is asked, and what it says, written down before it is asked anything more.

kept = ask(model, posed, setting, seed, directory)
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from boresight.errors import UserError
from boresight.evaluate.part_file import keeping, read_part
from boresight.evaluate.posing import Posed, options, request
from boresight.evaluate.task import Setting
from boresight.models.endpoint import Endpoint
from boresight.models.requests import Generation, Model, Scored, Scorer
from boresight.records import Record


class Kept(Record):
    """An answer as the model gave it, before anything is made of it."""

    id: str
    draw: int = 0
    output: str = ""
    finish_reason: str = "stop"
    scored: Scored | None = None
    demonstrations: list[dict[str, Any]] = Field(default_factory=list)


Answers = dict[tuple[str, int], Kept]
"""By item and draw."""


def ask(
    model: Model,
    posed: Sequence[Posed],
    setting: Setting,
    seed: int,
    directory: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Answers:
    """Everything that `directory` has no answer to; returns all answers by item and draw.

    Raises:
        UserError: something cannot be asked.
    """
    kept = {(each.id, each.draw): each for each in read_part(directory, Kept)}
    progress(len(kept))
    with keeping(directory) as write:

        def keep(answer: Kept) -> None:
            write(answer)
            kept[answer.id, answer.draw] = answer

        wanted = draws(posed, setting)
        left = [(each, draw) for each, draw in wanted if (each.item.id, draw) not in kept]
        _score(model, [each for each, _ in left if each.item.options], keep, progress)
        _generate(model, [pair for pair in left if not pair[0].item.options], setting, seed, keep, progress)
    return kept


def draws(posed: Sequence[Posed], setting: Setting) -> list[tuple[Posed, int]]:
    """All that is to be asked; an item whose options are scored is asked once."""
    return [(each, draw) for each in posed for draw in range(1 if each.item.options else setting.draws)]


def costs(model: Model, posed: Sequence[Posed], setting: Setting, seed: int) -> dict[str, Any]:
    """What all of it `cost`, if it was asked of a server that keeps account; for a run's record."""
    if not isinstance(model, Endpoint):
        return {}
    asked = (
        options(each) if each.item.options else request(each, setting, draw, seed)
        for each, draw in draws(posed, setting)
    )
    total = model.cost(asked)
    return {"cost": {"total": total}} if total else {}


def _score(
    model: Model, posed: Sequence[Posed], keep: Callable[[Kept], None], progress: Callable[[int], None]
) -> None:
    if not posed:
        return
    if not isinstance(model, Scorer):
        raise UserError(f"{model.name}: cannot tell how likely texts are, which this task needs")

    def scored(at: int, found: Scored) -> None:
        item = posed[at].item
        best = max(range(len(item.options)), key=found.logprobs.__getitem__)
        shown = [each._asdict() for each in found.demonstrations]
        keep(Kept(id=item.id, output=item.options[best], scored=found, demonstrations=shown))

    model.score([options(each) for each in posed], progress, scored)


def _generate(
    model: Model,
    wanted: Sequence[tuple[Posed, int]],
    setting: Setting,
    seed: int,
    keep: Callable[[Kept], None],
    progress: Callable[[int], None],
) -> None:
    def answered(at: int, said: Generation) -> None:
        posed, draw = wanted[at]
        shown = [each._asdict() for each in said.demonstrations]
        finish = said.finish_reason
        keep(Kept(id=posed.item.id, draw=draw, output=said.text, finish_reason=finish, demonstrations=shown))

    if wanted:
        model.generate([request(posed, setting, draw, seed) for posed, draw in wanted], progress, answered)
