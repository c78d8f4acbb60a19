"""What a benchmark task is: it loads items, says how they are asked, and scores what comes back.

    TASK = Task("gsm", SETTINGS, items, each(score), headline="lenient")

A file in `tasks/` says one such thing, and nothing about models, runs or files that are written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from boresight.evaluate.needle_measure import Measure, Prompt
from boresight.models.requests import Scored

Scores = dict[str, float]


class Item(NamedTuple):
    """A question, put as its benchmark puts it, and what an answer is compared with.

    A base model is given `head`, `shots` and `question` as one text, up to where the answer begins. A chat
    model is given `instruction`, or else the same text, as a user's message or as messages, and `begins` as
    the start of its answer, with which the message then does not end. Where a prompt is too long, the last of
    the shots are left out.
    """

    id: str
    """Of the dataset, or made from its file; alike for every setting and model."""
    question: str
    head: str = ""
    shots: tuple[str, ...] = ()
    instruction: Prompt | None = None
    begins: str = ""
    options: tuple[str, ...] = ()
    """Texts of which the likeliest is the answer, in place of one that is written."""
    references: tuple[str, ...] = ()
    """Right answers. Of options: the right ones among them, as they stand there."""
    groups: Mapping[str, str] = {}
    """What to count it under, as {"subject": "anatomy", "category": "STEM"}."""
    extra: Mapping[str, str] = {}
    """What else its scoring needs, as a program's tests."""


class Setting(NamedTuple):
    """One way in which a task is put; TÜLU averages over those of a benchmark (Appendix F).

    `stop` ends a base model's answer, `chat_stop` a chat model's besides its own end of turn. A prompt has at
    most `most_tokens`, whatever the model can hold.
    """

    shots: int
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()
    chat_stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    draws: int = 1
    most_tokens: int | None = None


class Room(NamedTuple):
    """Units of length, and how many of them a prompt may have; None where nobody knows."""

    measure: Measure
    most: int | None


class Answered(NamedTuple):
    """What a model made of an item: a text a draw; of options the likeliest, and how likely they all are."""

    item: Item
    outputs: tuple[str, ...] = ()
    scored: Scored | None = None


class Reading(NamedTuple):
    """What was read out of an answer, by reader; and why, where it needs saying."""

    read: Mapping[str, str]
    note: str


class Verdict(NamedTuple):
    """Scores by name, from 0 to 1; what was read out of the answers; and why, where it needs saying.

    Where several answers are scored together, `drawn` has what was read out of each.
    """

    scores: Scores
    read: Mapping[str, str] = {}
    note: str = ""
    drawn: Sequence[Reading] = ()


class Tools(NamedTuple):
    """Other models that scoring takes, as MODELs, and leave to run answers as code without isolation."""

    classifier: str | None = None
    truth_judge: str | None = None
    information_judge: str | None = None
    without_isolation: bool = False


class Task(NamedTuple):
    """A benchmark.

    Args:
        settings: by name, in the order they are reported.
        items: of a source (a folder or file of the dataset's own, or `hub:owner/name`) and a setting's name,
            in the dataset's order. Raises `UserError` that names the place where files are wrong.
        score: verdicts on answers, in their order.
        headline: the score that is quoted and enters averages.
        over: the group whose means are averaged (macro); None: every item counts the same (micro).
        lower_is_better: as shares of toxic answers.
        require: given a setting's name, raises `UserError` where a tool that its scoring takes was not named.
        published: answers that the authors published in a form of their own, by setting, out of a file; None
            where the file is not of that form.
    """

    name: str
    settings: dict[str, Setting]
    items: Callable[[str, str, Room], Iterable[Item]]
    score: Callable[[Sequence[Answered], Tools], list[Verdict]]
    headline: str
    over: str | None = None
    lower_is_better: bool = False
    require: Callable[[str, Tools], None] = lambda setting, tools: None
    published: Callable[[Path], tuple[str, list[Answered]] | None] = lambda path: None


def each(score: Callable[[Answered], Verdict]) -> Callable[[Sequence[Answered], Tools], list[Verdict]]:
    """Scoring that looks at one item at a time and takes no tools."""
    return lambda answered, tools: [score(one) for one in answered]
