"""The cells of a needle test: which needle, how long a text, how deep; and the prompt of each.

No prompt is longer than its cell says: template, question and room for the answer are part of the length. The
text is as many whole sentences as fit.
"""

import re
from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np

from boresight.errors import UserError
from boresight.evaluate.needle import Needle
from boresight.evaluate.needle_haystack import Haystack
from boresight.evaluate.needle_measure import Measure, Prompt
from boresight.records import Message

SPREAD = re.compile(r"(\d+)-(\d+):(\d+)")


class Grid(NamedTuple):
    """Lengths with everything, depths in percent, haystacks to try, and the room for an answer."""

    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    samples: int
    room: int
    seed: int


class Cell(NamedTuple):
    """One question: a needle, a length, a depth, and the number of the haystack."""

    needle: str
    length: int
    depth: int
    sample: int

    @property
    def id(self) -> str:
        """A name for its answer."""
        return f"{self.needle}-{self.length}-{self.depth}-{self.sample}"


class Laid(NamedTuple):
    """A cell's prompt, all but its text: where the needle stands in how many sentences of which haystack.

    `length` is that of the prompt with the room for an answer; `reached` the depth in percent; `shared` the
    characters before the needle.
    """

    cell: Cell
    needle: Needle
    haystack: Haystack
    at: int
    sentences: int
    length: int
    reached: float
    shared: int

    @property
    def text(self) -> str:
        """The haystack with its needle."""
        return _text(self.haystack, self.needle, self.cell, self.at, self.sentences)


def _text(haystack: Haystack, needle: Needle, cell: Cell, at: int, sentences: int) -> str:
    """The haystack with its needle, and with distractors at depths of their own, equal in every length."""
    random = Random(f"{needle.name} {cell.sample}")
    others = [(haystack.place(100 * random.random(), sentences), each.text) for each in needle.distractors]
    return haystack.text(sentences, [(at, needle.text), *others])


def numbers(option: str, text: str, published: tuple[int, ...]) -> tuple[int, ...]:
    """`published`, `1000,2000,4000`, or `1000-8000:8` for eight that are spread evenly.

    Raises:
        UserError: it is none of these.
    """
    if text == "published":
        return published
    if found := SPREAD.fullmatch(text.strip()):
        low, high, count = map(int, found.groups())
        if low <= high and count > 1:
            return tuple(dict.fromkeys(np.linspace(low, high, count).round().astype(int).tolist()))
    elif all(part.strip().isdecimal() for part in text.split(",")):
        return tuple(sorted({int(part) for part in text.split(",")}))
    raise UserError(f"{option} {text}: expected published, numbers as 1000,2000, or as 1000-8000:8")


def messages(text: str, needle: Needle) -> Prompt:
    """How a model that chats is asked."""
    asked = Message(role="user", content=f"{text}\n\n{needle.asked}")
    return (Message(role="system", content=needle.system), asked) if needle.system else (asked,)


def continuation(start: str) -> Callable[[str, Needle], Prompt]:
    """How a base model is asked: it goes on from the opening. `start` begins every text of the model's."""
    return lambda text, needle: f"{start}{text}\n\n{needle.asked}"


def lay_out(
    sentences: Sequence[str],
    needles: Sequence[Needle],
    grid: Grid,
    measure: Measure,
    prompt: Callable[[str, Needle], Prompt],
) -> list[Laid]:
    """Every cell, in an order in which neighbours share what they can.

    Cells of one haystack are equal up to the earlier of their needles, whatever their lengths. From the
    latest needle to the earliest, each prompt's haystack before its needle has just been read, which servers
    that keep prefixes make use of.

    Raises:
        UserError: needle, question and room leave no room for a sentence.
    """
    laid = []
    for sample in range(grid.samples):
        # The first begins where the texts begin; others somewhere.
        first = Random(f"{grid.seed} {sample}").randrange(len(sentences)) if sample else 0
        haystack = Haystack(sentences, measure, max(grid.lengths), first)
        of_sample = [
            _lay(haystack, needle, Cell(needle.name, length, depth, sample), grid.room, measure, prompt)
            for needle, length, depth in product(needles, grid.lengths, grid.depths)
        ]
        laid += sorted(of_sample, key=lambda each: (each.needle.system, -each.shared))
    return laid


def _lay(
    haystack: Haystack,
    needle: Needle,
    cell: Cell,
    room: int,
    measure: Measure,
    prompt: Callable[[str, Needle], Prompt],
) -> Laid:
    def length(sentences: int) -> int:
        at = haystack.place(cell.depth, sentences)
        return measure.count(prompt(_text(haystack, needle, cell, at, sentences), needle)) + room

    least = measure.count(prompt(needle.text, needle)) + room
    count = max(int(np.searchsorted(haystack.before, cell.length - least, "right")) - 1, 1)
    # Tokens run together differently where texts meet, so the guess may be off either way.
    while count and length(count) > cell.length:
        count -= 1
    if not count:
        raise UserError(
            f"a length of {cell.length:,} {measure.unit}: needle {cell.needle!r}, question and {room:,} for "
            f"the answer take {least:,}, which leaves no room for a sentence"
        )
    while count + 1 < len(haystack.before) and length(count + 1) <= cell.length:
        count += 1
    at = haystack.place(cell.depth, count)
    reached = haystack.depth(at, count)
    return Laid(cell, needle, haystack, at, count, length(count), reached, haystack.characters(at))
