"""Answers to held-out questions with one right answer each.

They lie in `answers.jsonl` of a run directory, one Response a line with `setting` (how the model was asked),
`family` (the kind of question) and `correct`.
"""

from collections.abc import Sequence
from pathlib import Path

from boresight.records import Response, write_records

ANSWERS = "answers.jsonl"
MAX_NEW_TOKENS = 32


class Answer(Response):
    """A response to a held-out question."""

    setting: str
    """How the model was asked."""
    family: str
    """The kind of question."""
    correct: bool


def is_correct(output: str, reference: str) -> bool:
    """Equal but for case, surrounding space and a closing full stop."""

    def plain(text: str) -> str:
        return text.strip().lower().removesuffix(".")

    return plain(output) == plain(reference)


def write_answers(run: Path, answers: Sequence[Answer]) -> dict[str, dict[str, int]]:
    """Write a run's answers; returns, for each setting, how many were right of how many."""
    write_records(run / ANSWERS, answers)
    counts: dict[str, dict[str, int]] = {}
    for answer in answers:
        tally = counts.setdefault(answer.setting, {"correct": 0, "total": 0})
        tally["correct"] += answer.correct
        tally["total"] += 1
    return counts
