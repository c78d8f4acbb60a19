"""Asking and marking."""

import pytest

from boresight.evaluate.held_out import Answer, cue_setting, is_correct, write_answers
from boresight.records import Conversation, Message, read_records


def conversation(*texts: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(messages=[Message(role=roles[i % 2], content=t) for i, t in enumerate(texts)])


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


def test_a_cue_prompt_shows_demonstrations_then_history_then_the_question() -> None:
    setting = cue_setting("q", ("Q: ", "\nA: "), "<s>", lambda asked: [conversation("1?", "one")])
    asked = conversation("2?", "two", "3?", "three")
    assert setting.prompt(asked) == "<s>Q: 1?\nA: one\n\nQ: 2?\nA: two\n\nQ: 3?\nA:"
    assert setting.stop == ("\n",)


def test_answers_are_counted_by_setting_and_read_back(tmp_path) -> None:
    answers = [
        Answer(id=str(i), prompt=[], output="x", model="m", setting=setting, family="f", correct=correct)
        for i, (setting, correct) in enumerate([("a", True), ("a", False), ("b", True)])
    ]
    counts = write_answers(tmp_path, answers)
    assert counts == {"a": {"correct": 1, "total": 2}, "b": {"correct": 1, "total": 1}}
    assert list(read_records(tmp_path / "answers.jsonl", Answer)) == answers
