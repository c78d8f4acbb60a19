"""A haystack of whole sentences, of any length, and a needle between two of them.

    haystack = Haystack(gather(texts, needles, 240_000).sentences, measure, 60_000)
    at = haystack.place(depth=37, sentences=500)
    haystack.text(500, [(at, needle.text)])

The needle goes to the boundary between sentences that is nearest to the depth that is asked for, and
boundaries are found in the text. Kamradt's and LongAlign's code look for the token of a full stop: where the
tokenizer has another, all needles land at the beginning.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import regex  # type: ignore[import-untyped]

from boresight.errors import UserError
from boresight.evaluate.needle import Needle, holds
from boresight.evaluate.needle_measure import Measure

BOUNDARY = regex.compile(
    r"""
      (?<!\b\p{L}) [.!?…؟۔।]+ ["'”’»)\]]* \s+ (?!\p{Ll})  # neither initials nor «e.g. this»
    | [。！？｡]+ ["'”’」』）】》〉]* \s*
    | \n\s*\n\s*
    """,
    regex.VERBOSE,
)
"""What ends a sentence, the white space after it included."""
LONGEST = 2000
"""Characters; what is longer, as a table, is parted at its line breaks."""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space after it; joined, they are the text."""
    ends = [found.end() for found in BOUNDARY.finditer(text)]
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [
        part
        for piece in pieces
        for part in (piece.splitlines(keepends=True) if len(piece) > LONGEST else [piece])
        if part
    ]


class Gathered(NamedTuple):
    """Sentences, and how many were left out because they tell what the needles tell."""

    sentences: list[str]
    left_out: int


def gather(texts: Iterable[str], needles: Sequence[Needle], characters: int) -> Gathered:
    """Sentences of as many texts as hold so many characters, or of all.

    Raises:
        UserError: nothing is left.
    """
    telling = [
        phrase
        for needle in needles
        for phrase in (*needle.keywords, *needle.avoid, *(k for d in needle.distractors for k in d.keywords))
    ]
    sentences: list[str] = []
    held = left_out = 0
    for text in texts:
        for sentence in split_sentences(text.strip() + "\n\n"):
            if any(holds(sentence, phrase) for phrase in telling):
                left_out += 1
            elif sentence.strip():
                sentences.append(sentence)
                held += len(sentence)
        if held >= characters:
            break
    if not sentences:
        raise UserError(f"the haystack is empty; {left_out:,} sentences that tell the answer were left out")
    return Gathered(sentences, left_out)


class Haystack:
    """Sentences, said over and over until they are long enough.

    Args:
        first: the sentence to begin with; those before it come last.
        length: units that they must exceed.

    Attributes:
        before: units before each boundary, int64 [sentences + 1].
    """

    def __init__(self, sentences: Sequence[str], measure: Measure, length: int, first: int = 0):
        self.sentences = _repeated([*sentences[first:], *sentences[:first]], measure, length)
        ends = [0, *accumulate(len(sentence) for sentence in self.sentences)]
        # A token may hold the space before its word: what ends a sentence is its last visible character.
        seen = [0, *(end - len(_gap(s)) for end, s in zip(ends[1:], self.sentences, strict=True))]
        self._ends = ends
        self.before = np.searchsorted(np.sort(measure.starts("".join(self.sentences))), seen)

    def place(self, depth: float, sentences: int) -> int:
        """The boundary, from 0, nearest to `depth` percent of so many sentences."""
        target = depth / 100 * self.before[sentences]
        return int(np.abs(self.before[: sentences + 1] - target).argmin())

    def depth(self, at: int, sentences: int) -> float:
        """The percentage of the units of so many sentences that stand before a boundary."""
        return 100 * float(self.before[at]) / max(float(self.before[sentences]), 1.0)

    def characters(self, at: int) -> int:
        """Characters before a boundary: as many of a prompt are equal where needles stand no earlier."""
        return self._ends[at]

    def text(self, sentences: int, put: Sequence[tuple[int, str]]) -> str:
        """So many sentences with others put at boundaries, each given as a boundary and a text."""
        pieces: list[str] = []
        done = 0
        for at, text in sorted(put, key=lambda each: each[0]):
            gap = _gap(self.sentences[max(at - 1, 0)]) if text == text.strip() else ""
            pieces += [*self.sentences[done:at], text, gap]
            done = at
        after = "".join(self.sentences[done:sentences]).rstrip()
        return "".join([*pieces, after] if after else pieces[:-1])


def _repeated(sentences: list[str], measure: Measure, length: int) -> list[str]:
    """The sentences as often as gives more units than `length`.

    They are counted as they stand together: tokens may run across the place where the end meets the
    beginning, so that twice the text need not be twice the tokens.
    """
    if not measure.starts("".join(sentences)).size:
        raise UserError("the tokenizer makes no token of the haystack")
    while len(measure.starts("".join(sentences))) <= length:
        sentences = sentences * 2
    return sentences


def _gap(sentence: str) -> str:
    """The white space that a sentence ends with."""
    return sentence[len(sentence.rstrip()) :]
