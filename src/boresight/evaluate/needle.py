"""Needles: a sentence put into a long text, the question whose answer it is, and how the answer is scored.

    needles:
      - name: lighthouse
        text: The old keeper of the lighthouse feeds three white cats every evening.
        question: What does the keeper of the lighthouse feed?
        keywords: [three, white, cats]

After Kamradt's test (2023). The judge's scale of 1 to 10 is `boresight judge rate`; what is scored here costs
nothing: the share of the keywords that the answer holds.
"""

import unicodedata
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import regex  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, field_validator

from boresight.errors import UserError
from boresight.settings_file import load_settings, nearest

OWN = files("boresight") / "evaluate" / "needles"
LETTER = r"[[\p{L}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
"""What continues a word, in scripts that part words by spaces."""
LETTERS = regex.compile(f"(?V1){LETTER}")
PUBLISHED_LENGTHS = (1000, 7556, 14111, 20667, 27222, 33778, 40333, 46889, 53444, 60000)
PUBLISHED_DEPTHS = (10, 19, 28, 37, 46, 54, 63, 72, 81, 90)
"""LongAlign's grid: tokens, and percent."""


class Distractor(BaseModel):
    """A sentence like the needle, put elsewhere, and what an answer holds that copied it instead."""

    model_config = ConfigDict(extra="forbid")

    text: str
    keywords: list[str] = Field(min_length=1)


class Needle(BaseModel):
    """A sentence to find and how it is asked for.

    A text with white space of its own around it is put in as it is; any other gets what stands between the
    sentences there. The opening begins the answer. Sentences of the haystack that hold a keyword, or what
    is to `avoid`, are left out: the needle alone shall tell. Distractors stand anywhere in the haystack; who
    copies any sentence of the needle's kind finds one needle in as many as there are.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    text: str
    question: str = ""
    opening: str = ""
    system: str = ""
    keywords: list[str] = Field(min_length=1)
    avoid: list[str] = []
    distractors: list[Distractor] = []

    @field_validator("text", "keywords")
    @classmethod
    def _says_something(cls, value: str | list[str]) -> str | list[str]:
        if not all(text.strip() for text in ([value] if isinstance(value, str) else value)):
            raise ValueError("is empty")
        return value

    @property
    def asked(self) -> str:
        """The question and the opening of its answer."""
        return " ".join(part for part in (self.question, self.opening) if part)


class Needles(BaseModel):
    """A file of needles."""

    model_config = ConfigDict(extra="forbid")

    needles: list[Needle] = Field(min_length=1)

    @field_validator("needles")
    @classmethod
    def _can_be_asked(cls, needles: list[Needle]) -> list[Needle]:
        names = [needle.name for needle in needles]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two needles are named {twice[0]!r}")
        if mute := [needle.name for needle in needles if not needle.asked]:
            raise ValueError(f"{mute[0]!r} has neither a question nor an opening")
        return needles


def load_needles(name: str) -> list[Needle]:
    """The needles of a file, or of ours: `published`, `chinese`, `pocket`.

    Raises:
        UserError: there are none of that name, or the file is malformed; names file and line.
    """
    own = {Path(str(path)).stem: Path(str(path)) for path in OWN.iterdir()}
    path = own.get(name, Path(name))
    if not path.exists():
        raise UserError(f"--needles {name}: no such file, and none of ours{nearest(name, own)}")
    return load_settings(path, Needles).needles


def copied(answer: str, needle: Needle) -> bool:
    """Whether an answer tells what a distractor says, and not what the needle does."""
    told = any(recall(answer, each.keywords) == 1 for each in needle.distractors)
    return told and recall(answer, needle.keywords) < 1


def recall(answer: str, keywords: Collection[str]) -> float:
    """The share of the keywords that stand in an answer as whole words, whatever their case and width.

    In scripts without spaces between words, anywhere.
    """
    return sum(holds(answer, keyword) for keyword in keywords) / len(keywords)


def holds(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as whole words."""
    looked_for = _plain(phrase)
    # What begins or ends in a script without spaces may touch anything there.
    before = f"(?<!{LETTER})" if LETTERS.fullmatch(looked_for[:1]) else ""
    after = f"(?!{LETTER})" if LETTERS.fullmatch(looked_for[-1:]) else ""
    pattern = f"(?V1){before}{regex.escape(looked_for)}{after}"
    return regex.search(pattern, _plain(text)) is not None


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
