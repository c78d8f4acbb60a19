"""Every source, every kind of damage: the file and the line are named, and what is whole is still read."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from boresight.data.sources import SOURCES, Tally, import_file
from boresight.errors import UserError

TREE = {
    "prompt": {
        "role": "prompter",
        "text": "Q",
        "replies": [{"role": "assistant", "text": "A", "replies": []}],
    }
}
TASK = {
    "Definition": ["Add."],
    "Positive Examples": [{"input": "1", "output": "2"}],
    "Instances": [{"id": "1", "input": "1", "output": ["2"]}],
}
TALK = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}
INSTRUCTION = {"instruction": "Add.", "input": "1", "output": "2"}
INSTRUCTION_PARTS = [("instruction",), ("output",)]
FLAN = {"inputs": "Add.", "targets": "2"}
TALK_PARTS = [
    ("conversations",),
    ("conversations", 0),
    ("conversations", 0, "from"),
    ("conversations", 1, "value"),
]
GOOD: dict[str, tuple[dict[str, Any], list[tuple]]] = {
    "superni": (TASK, [("Definition",), ("Definition", 0), ("Positive Examples",), ("Instances",),
                       ("Instances", 0, "input"), ("Instances", 0, "output")]),
    "cot": (FLAN, [("inputs",), ("targets",)]),
    "flan_v2": (FLAN, [("inputs",), ("targets",)]),
    "dolly": ({"instruction": "Add.", "context": "", "response": "2"}, [("instruction",), ("response",)]),
    "oasst1": (TREE, [("prompt",), ("prompt", "role"), ("prompt", "text"), ("prompt", "replies", 0),
                      ("prompt", "replies", 0, "text")]),
    "self_instruct": (INSTRUCTION, INSTRUCTION_PARTS),
    "unnatural": ({"instruction": "Add.", "instances": [{"input": "1", "constraints": "", "output": "2"}]},
                  [("instruction",), ("instances",), ("instances", 0), ("instances", 0, "output")]),
    "alpaca": (INSTRUCTION, INSTRUCTION_PARTS),
    "code_alpaca": (INSTRUCTION, INSTRUCTION_PARTS),
    "gpt4_alpaca": (INSTRUCTION, INSTRUCTION_PARTS),
    "baize": ({"input": "[|Human|]Hi[|AI|]Hello!"}, [("input",)]),
    "sharegpt": (TALK, TALK_PARTS),
    "gsm8k": ({"question": "6 and 7?", "answer": "#### 13"}, [("question",), ("answer",)]),
    "messages": ({"messages": [{"role": "user", "content": "Hi"}]},
                 [("messages",), ("messages", 0), ("messages", 0, "role"), ("messages", 0, "content")]),
    "conversations": (TALK, TALK_PARTS),
    "instructions": (INSTRUCTION, INSTRUCTION_PARTS),
    "prompts": ({"prompt": "Sky?", "completion": "Blue."}, [("prompt",), ("completion",)]),
}  # fmt: skip
"""A good row, and the parts that it cannot do without."""


def replaced(row: dict, part: tuple, value: object) -> bytes:
    row = copy.deepcopy(row)
    inner: Any = row
    for key in part[:-1]:
        inner = inner[key]
    inner[part[-1]] = value
    return json.dumps(row).encode()


def damages(source: str) -> dict[str, bytes]:
    """A line by what is wrong with it."""
    row, parts = GOOD[source]
    line = json.dumps(row).encode()
    text = next(value for value in _texts(row)).encode()
    broken = {
        "cut short": line[:-3],
        "no JSON": b"hello",
        "a list": b"[" + line + b"]",
        "a number": b"3",
        "null": b"null",
        "a text": b'"hello"',
        "empty": b"{}",
        "two objects": line + b" " + line,
        "Latin-1": line.replace(b'"' + text + b'"', b'"caf\xe9"'),
        "a control character": line.replace(b'"' + text + b'"', b'"a\x01b"'),
        "nested": line[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "a number without end": line[:-1] + b', "x": ' + b"9" * 5000 + b"}",
    }
    for part in parts:
        name = ".".join(map(str, part))
        broken[f"{name}: a number"] = replaced(row, part, 3)
        broken[f"{name}: null"] = replaced(row, part, None)
        broken[f"{name}: a list in a list"] = replaced(row, part, [[]])
    broken["half a surrogate pair"] = replaced(row, _a_text(source), "[|Human|]a\ud800b[|AI|]c")
    return broken


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _a_text(source: str) -> tuple:
    return {
        "superni": ("Instances", 0, "output", 0),
        "oasst1": ("prompt", "text"),
        "unnatural": ("instances", 0, "output"),
        "messages": ("messages", 0, "content"),
        "conversations": ("conversations", 0, "value"),
        "sharegpt": ("conversations", 0, "value"),
    }.get(source, GOOD[source][1][0])


CASES = [(source, name) for source in SOURCES for name in damages(source)]


def test_there_are_many() -> None:
    assert len(CASES) > 200
    assert {source for source, _ in CASES} == SOURCES.keys()


@pytest.mark.parametrize(("source", "damage"), CASES, ids=str)
def test_a_damaged_row_is_named_with_its_file_and_line(tmp_path: Path, source: str, damage: str) -> None:
    good, bad = json.dumps(GOOD[source][0]).encode(), damages(source)[damage]
    path, place = written(tmp_path, source, good, bad)
    with pytest.raises(UserError) as refusal:
        list(import_file(path, source))
    message = str(refusal.value)
    assert message.startswith(f"{place}: ")
    assert len(message.removeprefix(f"{place}: ")) in range(10, 200)

    left_out: list[dict[str, object]] = []
    tally = Tally(reject=left_out.append)
    found = list(import_file(path, source, tally=tally))
    assert len(found) == 2
    assert (tally.rows, tally.conversations, tally.dropped) == (3, 2, {"malformed": 1})
    (row,) = left_out
    assert f"{row['place']}: {row['detail']}" == message
    assert "row" in row


def written(tmp_path: Path, source: str, good: bytes, bad: bytes) -> tuple[Path, str]:
    """Where a bad row stands between two good ones, and what it is to be called."""
    if source == "superni":
        for name, content in (("1", good), ("2", bad), ("3", good)):
            (tmp_path / f"task{name}.json").write_bytes(content)
        return tmp_path, f"{tmp_path / 'task2.json'}:1"
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([good, b"", bad, good, b""]))
    return path, f"{path}:3"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("content", [b"", b"\n \n", b"[]", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, source: str, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"rows\.jsonl(:\d: |: the file is empty)"):
        list(import_file(path, source))


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_file_is_an_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"gone\.jsonl: No such file"):
        list(import_file(tmp_path / "gone.jsonl", source))


def test_a_broken_task_file_is_named_with_the_line_that_breaks(tmp_path: Path) -> None:
    path = tmp_path / "task1.json"
    path.write_text(json.dumps(TASK, indent=1).replace('"Positive', "Positive"))
    with pytest.raises(UserError, match=r"task1\.json:5: malformed JSON"):
        list(import_file(path, "superni"))
