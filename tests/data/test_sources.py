"""Published formats → conversations."""

import json
from pathlib import Path

import pytest

from boresight.data.sources import import_file
from boresight.errors import UserError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def rows(tmp_path: Path, *values: object, as_list: bool = False) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(values, indent=1) if as_list else "\n".join(map(json.dumps, values)))
    return path


def texts(path: Path, source: str) -> list[list[str]]:
    return [[m.content for m in c.messages] for c in import_file(path, source)]


def test_gsm8k_loses_its_calculator_notes_and_keeps_its_result(tmp_path: Path) -> None:
    row = {"question": "6 and 7?", "answer": "6 + 7 = <<6+7=13>>13 in all.\n#### 13"}
    assert texts(rows(tmp_path, row), "gsm8k") == [["6 and 7?", "6 + 7 = 13 in all.\nThe answer is 13."]]


@pytest.mark.parametrize("as_list", [True, False])
def test_instructions_with_and_without_input_and_with_instances(tmp_path: Path, as_list: bool) -> None:
    path = rows(
        tmp_path,
        {"instruction": "Sort. ", "input": " b a", "output": "a b"},
        {"instruction": "Greet.", "input": "", "output": "Hello"},
        {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}, {"output": "0"}]},
        as_list=as_list,
    )
    expected = [["Sort.\n\nb a", "a b"], ["Greet.", "Hello"], ["Add.\n\n1 2", "3"], ["Add.", "0"]]
    assert texts(path, "instructions") == expected


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("gsm8k", '{"question": "a"}', "`answer` is missing"),
        ("gsm8k", '{"question": "a", "answer": "no mark"}', "no result after ####"),
        ("gsm8k", '{"question": 3, "answer": "#### 1"}', "`question` is int"),
        ("instructions", '{"instruction": "a"}', "`output` is missing"),
        ("instructions", '{"instruction": "a", "instances": "b"}', "not a list of objects"),
        ("messages", '{"id": "a"}', "`messages` is missing"),
        ("messages", '{"messages": [{"role": "bot", "content": ""}]}', "unknown role 'bot'"),
        ("messages", "[1, 2", "malformed JSON"),
        ("messages", "3", "expected a JSON object"),
    ],
)
def test_a_bad_row_is_named_by_line(tmp_path: Path, source: str, line: str, said: str) -> None:
    good = {
        "gsm8k": '{"question": "a", "answer": "#### 1"}',
        "instructions": '{"instruction": "a", "output": "b"}',
        "messages": '{"messages": [{"role": "user", "content": "a"}]}',
    }[source]
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n\n{line}\n")
    with pytest.raises(UserError) as refusal:
        list(import_file(path, source))
    assert str(refusal.value).startswith(f"{path}:3: ")
    assert said in str(refusal.value)


def test_a_bad_row_of_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    path = rows(tmp_path, {"instruction": "a", "output": "b"}, {"instruction": "a"}, as_list=True)
    with pytest.raises(UserError, match="row 2: `output` is missing"):
        list(import_file(path, "instructions"))


@pytest.mark.parametrize("text", ["", "\n\n", "[]"])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match="empty"):
        list(import_file(path, "gsm8k"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not beside this checkout")
@pytest.mark.parametrize(
    ("source", "file", "count"),
    [
        ("gsm8k", "gsm8k/train.jsonl", 7473),
        ("instructions", "code_alpaca/code_alpaca_2k.json", 2017),
        ("instructions", "self_instruct/seed_tasks.jsonl", 175),
    ],
)
def test_published_files_are_read_whole(source: str, file: str, count: int) -> None:
    conversations = list(import_file(SHARED / file, source))
    assert len(conversations) == count
    assert all(c.messages[-1].role == "assistant" for c in conversations)
