"""HumanEval: reading answers, running them, pass@k; on rows of ours, and on the real 164 where they are."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from boresight.errors import UserError
from boresight.evaluate.needle_measure import in_characters
from boresight.evaluate.sandbox import find_tier, run
from boresight.evaluate.task import Answered, Item, Room, Tools, Verdict
from boresight.evaluate.tasks.humaneval import SETTINGS, TASK, read_lenient, read_strict

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "humaneval"
ROOM = Room(in_characters(), None)
DOUBLE = {
    "task_id": "Ours/0",
    "prompt": "from typing import List\n\n\ndef double(xs: List[int]) -> List[int]:\n"
    '    """ Twice each of a list.\n    >>> double([1, 2])\n    [2, 4]\n    """\n',
    "entry_point": "double",
    "canonical_solution": "    return [2 * x for x in xs]\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n"
    "    assert candidate([]) == []\n",
}
DECODE = {
    "task_id": "Ours/1",
    "prompt": "def encode(text: str):\n    return text[::-1]\n\n\n"
    'def decode(text: str):\n    """ Undo what encode does. """\n',
    "entry_point": "decode",
    "canonical_solution": "    return encode(text)\n",
    "test": "def check(candidate):\n    assert candidate(encode('abc')) == 'abc'\n",
}


@pytest.fixture(scope="module")
def isolated() -> None:
    try:
        find_tier()
    except UserError as error:
        pytest.skip(f"no isolation on this machine: {error}")


@pytest.fixture(scope="module")
def published(isolated: None) -> Iterator[tuple[list[Item], dict[str, str]]]:
    """The real problems, and their solutions by id."""
    if not PUBLISHED.is_dir():
        pytest.skip("HumanEval's file is not beside the checkout")
    with gzip.open(PUBLISHED / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    items = list(TASK.items(str(PUBLISHED), "pass@1", ROOM))
    yield items, {row["task_id"]: row["canonical_solution"] for row in rows}


def written(tmp_path: Path, *rows: object, setting: str = "pass@1") -> list[Item]:
    (tmp_path / "HumanEval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return list(TASK.items(str(tmp_path), setting, ROOM))


def judged(items: list[Item], outputs: list[list[str]], **tools: bool) -> list[Verdict]:
    answered = [Answered(item, tuple(texts)) for item, texts in zip(items, outputs, strict=True)]
    return TASK.score(answered, Tools(**tools))


def test_an_item_is_its_prompt_and_hands_it_back_to_a_chat_model(tmp_path: Path) -> None:
    item, other = written(tmp_path, DOUBLE, DECODE, setting="pass@10")
    assert (item.id, other.id) == ("Ours/0", "Ours/1")
    assert item.question == item.begins == DOUBLE["prompt"]
    assert item.instruction and item.instruction.endswith(DOUBLE["prompt"])
    assert item.extra == {"entry_point": "double", "tests": DOUBLE["test"], "k": "10"}
    assert [(s.temperature, s.top_p, s.draws) for s in SETTINGS.values()] == [
        (0.1, 0.95, 20),
        (0.8, 0.95, 20),
    ]


BODY = "    return [2 * x for x in xs]\n"
WHOLE = "def double(xs):\n" + BODY
READINGS = {
    "goes on": (BODY, True, True),
    "goes on, and asks": (BODY + "\nprint(double([1]))", True, True),
    "goes on, with another of the same name": (BODY + "\ndef double(xs):\n    return 3", True, True),
    "goes on, with words": (BODY + "\nThis doubles every number.", False, True),
    "goes on, and closes a fence": (BODY + "```\nThis doubles.", False, True),
    "without its indentation": (BODY.strip(), False, True),
    "without its indentation, and closes a fence": (BODY.strip() + "\n```\nThis doubles.", False, True),
    "a fence": (f"Here:\n```python\n{WHOLE}```\nIt doubles.", False, True),
    "a body in a fence": (f"```python\n{BODY}```", False, True),
    "a fence that breaks off": (f"Sure!\n\n```python\n{WHOLE}", False, True),
    "said again": (f"Sure, here it is.\n\n{WHOLE}\nIt doubles.", False, True),
    "with a constant and a helper": (
        "```\nimport math\n\nTWO = 2\n\ndef twice(x):\n    return TWO * x\n\n"
        "def double(xs):\n    return [twice(x) for x in xs]\n\nprint(double([1]))\n```",
        False,
        True,
    ),
    "with a helper behind it": (
        "    return [twice(x) for x in xs]\n\ndef twice(x):\n    return 2 * x\n", False, True
    ),
    "the second fence": (f"```\npip install double\n```\nThen\n```python\n{WHOLE}```", False, True),
    "wrong": ("    return xs\n", False, False),
    "empty": ("", False, False),
    "words": ("I cannot do that.", False, False),
    "the end": ("    import sys; sys.exit(0)\n", False, False),
    "a line separator in a text": ("    return [2 * x for x in xs if x != 'a\u2028b']\n", True, True),
}  # fmt: skip


@pytest.fixture(scope="module")
def readings(isolated: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    [item] = written(tmp_path_factory.mktemp("humaneval"), DOUBLE)
    items = [item._replace(id=name) for name in READINGS]
    return dict(zip(READINGS, judged(items, [[output] for output, *_ in READINGS.values()]), strict=True))


@pytest.mark.parametrize("name", READINGS)
def test_an_answer_is_read_strictly_and_leniently(name: str, readings: dict[str, Verdict]) -> None:
    _, strict, lenient = READINGS[name]
    assert readings[name].scores == {"strict": strict, "lenient": lenient}, readings[name]


def test_a_verdict_tells_program_and_reason_of_each_draw(readings: dict[str, Verdict]) -> None:
    (reading,) = readings["without its indentation"].drawn
    assert set(reading.read) == {"strict", "lenient"}
    assert reading.read["lenient"] == DOUBLE["prompt"] + BODY
    assert reading.note.splitlines()[0].startswith("strict: failed: SyntaxError")
    assert reading.note.splitlines()[1] == "lenient: passed"


def test_pass_at_k_counts_draws_and_equal_programs_run_once(
    isolated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, helper = written(tmp_path, DOUBLE, DECODE, setting="pass@10")
    ran = []
    run_one = run._run
    monkeypatch.setattr(run, "_run", lambda *arguments: ran.append(1) or run_one(*arguments))
    solved = [DECODE["canonical_solution"]] * 20
    verdict, all_right = judged([item, helper], [[BODY] + ["    return xs\n"] * 19, solved])
    assert verdict.scores == {"strict": 0.5, "lenient": 0.5}  # 1 right of 20: 10 of 20 choices have it
    assert ["passed" in reading.note for reading in verdict.drawn] == [True] + [False] * 19
    assert all_right.scores["strict"] == 1
    assert len(ran) == 3


def test_fewer_answers_than_k_are_refused(tmp_path: Path) -> None:
    items = written(tmp_path, DOUBLE, setting="pass@10")
    with pytest.raises(UserError, match=r"Ours/0: too few answers \(9\); pass@10 takes 10 or more"):
        judged(items, [[BODY] * 9])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**DOUBLE, "test": None}, r"HumanEval.jsonl:1: `test` is missing"),
        ({**DOUBLE, "entry_point": "a; b"}, r"HumanEval.jsonl:1: `entry_point` is 'a; b'"),
        ([1], r"HumanEval.jsonl:1"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        written(tmp_path, row)


def test_a_folder_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no HumanEval.jsonl.gz"):
        list(TASK.items(str(tmp_path), "pass@1", ROOM))


def check_solutions(items: list[Item], solutions: dict[str, str]) -> None:
    for verdict in judged(items, [[solutions[item.id]] for item in items]):
        assert verdict.scores == {"strict": 1, "lenient": 1}, verdict
    for verdict in judged(items, [[""]] * len(items)):
        assert verdict.scores == {"strict": 0, "lenient": 0}, verdict


def test_published_solutions_pass_and_empty_ones_fail(published: tuple[list[Item], dict[str, str]]) -> None:
    items, solutions = published
    assert len(items) == 164
    # Those whose tests use what the prompt defines, random numbers, or what a generator gives, and some more.
    check_solutions([items[i] for i in (32, 33, 37, 38, 50, *range(0, 160, 40))], solutions)


@pytest.mark.slow
def test_all_published_solutions_pass_and_all_empty_ones_fail(
    published: tuple[list[Item], dict[str, str]],
) -> None:
    check_solutions(*published)


def test_readings_of_the_published_solutions_are_the_solutions(tmp_path: Path) -> None:
    items = written(tmp_path, DOUBLE, DECODE)
    for item, row in zip(items, (DOUBLE, DECODE), strict=True):
        whole = row["prompt"] + row["canonical_solution"]
        assert read_strict(item, row["canonical_solution"]) == whole
        assert read_lenient(item, row["canonical_solution"]).rstrip() == whole.rstrip()
