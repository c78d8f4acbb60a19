import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from boresight.errors import UserError
from boresight.records import Conversation, Judgment, Message, Response, read_records, write_records

GOOD = '{"id": "a", "messages": [{"role": "user", "content": "Hi"}]}'


def read(path: Path, kind: type = Conversation) -> list:
    return list(read_records(path, kind))


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"messages": [', "malformed JSON"),
        ("not json at all", "malformed JSON"),
        ('{"id": "a"}', "`messages` is missing"),
        ('{"messages": []}', "messages"),
        ('{"messages": "Hi"}', "messages"),
        ("[1, 2]", "object"),
        ('"Hi"', "object"),
        (
            '{"messages": [{"role": "human", "content": "Hi"}]}',
            "unknown role 'human'.*system, user, assistant",
        ),
        ('{"messages": [{"role": "user", "content": 5}]}', r"messages\.0\.content.*string"),
        ('{"messages": [{"role": "user", "content": null}]}', r"messages\.0\.content.*string"),
        ('{"messages": [{"role": "user", "content": ["Hi"]}]}', r"messages\.0\.content.*string"),
        ('{"messages": [{"role": "user"}]}', r"`messages\.0\.content` is missing"),
        ('{"messages": [{"content": "Hi"}]}', r"`messages\.0\.role` is missing"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "malformed JSON"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_reason(bad: str, said: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "data.jsonl", GOOD, "", GOOD, bad, GOOD)
    with pytest.raises(UserError, match=rf"(?s)data\.jsonl:4: .*{said}"):
        read(path)


@pytest.mark.parametrize("good_lines", [0, 2, 5000])
def test_bytes_that_are_not_utf8_are_named_with_their_line(good_lines: int, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes((GOOD + "\n").encode() * good_lines + b'{"id": "caf\xe9"}\n')
    with pytest.raises(UserError, match=rf"data\.jsonl:{good_lines + 1}: not UTF-8"):
        read(path)


@pytest.mark.parametrize("text", ["", "\n", " \n\n\t\n"])
def test_an_empty_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=r"data\.jsonl: the file is empty"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        read(tmp_path)


def test_lines_before_a_bad_one_are_read(tmp_path: Path) -> None:
    records = read_records(write_lines(tmp_path / "data.jsonl", GOOD, "{"), Conversation)
    assert next(records).id == "a"
    with pytest.raises(UserError, match=":2: "):
        next(records)


def test_line_separators_of_unicode_do_not_end_a_line(tmp_path: Path) -> None:
    content = "a\u2028b\u2029c\u0085d\x0be"
    row = json.dumps({"messages": [{"role": "user", "content": content}]}, ensure_ascii=False)
    (record,) = read(write_lines(tmp_path / "data.jsonl", row))
    assert record.messages[0].content == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)
text = st.text(st.characters(codec="utf-8"), max_size=30)
# Names that pydantic's models have already cannot be told from their methods.
extra_keys = st.dictionaries(
    st.text("abcdefgh_é谢 -", min_size=1, max_size=8).filter(
        lambda key: not hasattr(BaseModel, key) and not key.startswith("_")
    ),
    json_values,
    max_size=3,
)


@settings(deadline=None, max_examples=80)
@given(contents=st.lists(text, min_size=1, max_size=4), source=text, extra=extra_keys, inner=extra_keys)
def test_round_trip_keeps_every_key(
    contents: list[str],
    source: str,
    extra: dict,
    inner: dict,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    row = {"id": "x", "source": source, **extra}
    row["messages"] = [{"role": "assistant", "content": c, "train": False, **inner} for c in contents]
    directory = tmp_path_factory.mktemp("records")
    source_file = write_lines(directory / "in.jsonl", json.dumps(row))
    assert write_records(directory / "out.jsonl", read(source_file)) == 1
    again = json.loads((directory / "out.jsonl").read_text(encoding="utf-8"))
    assert again == row
    assert read(directory / "out.jsonl") == read(source_file)


def test_ids_come_from_the_content_alone() -> None:
    said = [{"role": "user", "content": "Grüß Gott"}, {"role": "assistant", "content": "Hallo"}]
    expected = hashlib.sha256('[["user", "Grüß Gott"], ["assistant", "Hallo"]]'.encode()).hexdigest()[:16]
    one = Conversation.model_validate({"messages": said})
    other = Conversation.model_validate({"source": "web", "note": 3, "messages": said})
    assert one.id == other.id == expected
    assert Conversation.model_validate({"id": "mine", "messages": said}).id == "mine"
    changed = Conversation.model_validate({"messages": [said[1], said[0]]})
    assert changed.id != one.id


def test_a_generated_id_is_written_and_read_back(tmp_path: Path) -> None:
    conversation = Conversation(messages=[Message(role="user", content="Hi")])
    write_records(tmp_path / "out.jsonl", [conversation])
    assert json.loads((tmp_path / "out.jsonl").read_text())["id"] == conversation.id
    assert read(tmp_path / "out.jsonl") == [conversation]


def test_other_records_come_back_equal(tmp_path: Path) -> None:
    prompt = [Message(role="user", content="2+2?")]
    records = [
        Response(
            id="a", prompt=prompt, output="4", model="m", draw=3, finish_reason="length", usage={"n": 1}
        ),
        Response(id="b", prompt=prompt, output="", model="m", reference="4"),
    ]
    write_records(tmp_path / "responses.jsonl", records)
    assert read(tmp_path / "responses.jsonl", Response) == records
    judged = [Judgment(id="a", models=["m", "n"], judge="j", preference=1.5, verdict="(a)")]
    write_records(tmp_path / "judged.jsonl", judged)
    assert read(tmp_path / "judged.jsonl", Judgment) == judged


def test_writing_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "out.jsonl", GOOD)

    def records():
        yield Conversation(messages=[Message(role="user", content="Hi")])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(path, records())
    assert path.read_text() == GOOD + "\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
