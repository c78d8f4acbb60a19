"""The whole test, in a run directory: cells asked one after another, each kept as soon as it is answered.

answers.part.jsonl   while it runs: what has been answered
answers.jsonl        the result: one Response a line, with its cell, the depth reached and its recall
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from boresight.evaluate.needle import Needle, copied, recall
from boresight.evaluate.needle_grid import Laid
from boresight.evaluate.needle_measure import Prompt
from boresight.evaluate.part_file import PART, keeping, read_part
from boresight.models.requests import Generation, Model, Request, Sampling
from boresight.records import Message, Response, write_records
from boresight.stats import proportion

ANSWERS = "answers.jsonl"
TOGETHER = 16
"""Cells asked together."""
MOST_TOGETHER = 65_536
"""Their length in all; a longer one is asked alone."""


class NeedleAnswer(Response):
    """What a model said. The prompt holds the question alone: a judge is not shown the haystack, and a
    hundred copies of it help nobody. `draw` is the number of the haystack."""

    needle: str
    length: int
    """As asked for."""
    depth: int
    """As asked for, in percent."""
    prompt_length: int
    """Of prompt and room for the answer, as it was."""
    depth_reached: float
    """The percentage of the haystack that stood before the needle."""
    recall: float
    """The share of the keywords that the answer holds."""
    copied: bool = False
    """Whether it tells what a distractor says instead."""


def ask(
    model: Model,
    laid: Sequence[Laid],
    prompt: Callable[[str, Needle], Prompt],
    room: int,
    directory: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> list[NeedleAnswer]:
    """Ask every cell that `directory` has no answer of, and write all answers.

    Raises:
        UserError: a prompt cannot be asked.
    """
    found = {answer.id: answer for answer in read_part(directory, NeedleAnswer)}
    progress(len(found))
    with keeping(directory) as keep:
        for batch in _batches([each for each in laid if each.cell.id not in found]):

            def answered(at: int, said: Generation, batch: list[Laid] = batch) -> None:
                answer = _answer(batch[at], said, model.name)
                keep(answer)
                found[answer.id] = answer

            requests = [_request(prompt(each.text, each.needle), room) for each in batch]
            model.generate(requests, progress, answered)
    ordered = sorted(found.values(), key=lambda a: (a.needle, a.length, a.depth, a.draw))
    write_records(directory / ANSWERS, ordered)
    (directory / PART).unlink()
    return ordered


def _request(prompt: Prompt, room: int) -> Request:
    # A base model that has answered goes on with another paragraph.
    return Request(prompt, Sampling(room, stop=("\n\n",) if isinstance(prompt, str) else ()))


def _batches(laid: Sequence[Laid]) -> Iterator[list[Laid]]:
    batch: list[Laid] = []
    for each in laid:
        if batch and (len(batch) == TOGETHER or sum(b.length for b in batch) + each.length > MOST_TOGETHER):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _answer(laid: Laid, said: Generation, model: str) -> NeedleAnswer:
    return NeedleAnswer(
        id=laid.cell.id,
        prompt=[Message(role="user", content=laid.needle.asked)],
        output=said.text,
        model=model,
        draw=laid.cell.sample,
        reference=laid.needle.text.strip(),
        finish_reason=said.finish_reason,
        needle=laid.cell.needle,
        length=laid.cell.length,
        depth=laid.cell.depth,
        prompt_length=laid.length,
        depth_reached=round(laid.reached, 3),
        recall=recall(said.text, laid.needle.keywords),
        copied=copied(said.text, laid.needle),
    )


def tally(answers: Sequence[NeedleAnswer]) -> dict[str, Any]:
    """The mean recall, the answers that hold every keyword with a 95 % interval, the share that copied a
    distractor, the recall of each length and depth over needles and haystacks, and the farthest that a needle
    stands from where it should."""
    cells: dict[tuple[int, int], list[float]] = {}
    for answer in answers:
        cells.setdefault((answer.length, answer.depth), []).append(answer.recall)
    whole = sum(answer.recall == 1 for answer in answers)
    return {
        "recall": sum(answer.recall for answer in answers) / len(answers),
        "found": whole,
        "total": len(answers),
        "ci95": list(proportion(whole, len(answers))[1:]),
        "copied": sum(answer.copied for answer in answers) / len(answers),
        "farthest": round(max(abs(answer.depth_reached - answer.depth) for answer in answers), 3),
        "cells": [
            {"length": length, "depth": depth, "recall": sum(found) / len(found), "n": len(found)}
            for (length, depth), found in sorted(cells.items())
        ],
    }
