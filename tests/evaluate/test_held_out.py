"""Asking and marking."""

import pytest

from boresight.evaluate.held_out import Answer, is_correct, write_answers
from boresight.records import read_records


@pytest.mark.parametrize(
    ("output", "reference", "right"),
    [
        ("Mira", "Mira", True),
        (" mira. ", "Mira", True),
        ("Mira keeps it", "Mira", False),
        ("", "Mira", False),
        ("3.5", "35", False),
        ("12", "1", False),
    ],
)
def test_marking(output: str, reference: str, right: bool) -> None:
    assert is_correct(output, reference) is right


def test_answers_are_counted_by_setting_and_read_back(tmp_path) -> None:
    answers = [
        Answer(id=str(i), prompt=[], output="x", model="m", setting=setting, family="f", correct=correct)
        for i, (setting, correct) in enumerate([("a", True), ("a", False), ("b", True)])
    ]
    counts = write_answers(tmp_path, answers)
    assert counts == {"a": {"correct": 1, "total": 2}, "b": {"correct": 1, "total": 1}}
    assert list(read_records(tmp_path / "answers.jsonl", Answer)) == answers
