"""The rows of a file, whatever it is kept in and however it is broken."""

import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from boresight.data import json_list
from boresight.data.json_list import JsonList
from boresight.data.rows import read_rows
from boresight.data.sources import Tally, import_file
from boresight.errors import UserError

ROWS = [{"prompt": f"{i} é 🙂", "completion": "x" * (i % 7)} for i in range(1000)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def zstd(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, codec="zstd", asbytes=True))


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "content",
    [LINES, b"\xef\xbb\xbf" + LINES, LINES.replace(b"\n", b"\r\n\n"), json.dumps(ROWS).encode(),
     json.dumps(ROWS, indent=2).encode(), b"\xef\xbb\xbf\n " + json.dumps(ROWS).encode()],
    ids=["lines", "lines after a mark", "blank lines", "list", "indented list", "list after a mark"],
)  # fmt: skip
def test_the_same_rows_from_every_container(tmp_path: Path, container: str, content: bytes) -> None:
    path = tmp_path / "rows"  # the first bytes tell, not the name
    path.write_bytes(CONTAINERS[container](content))
    assert [row.value for row in read_rows(path)] == ROWS


def test_parquet_and_saved_datasets_have_the_same_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(ROWS)
    table.to_parquet(tmp_path / "rows.parquet")
    table.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": table}).save_to_disk(tmp_path / "splits")
    for name in ("rows.parquet", "saved", "splits"):
        found = list(read_rows(tmp_path / name))
        assert [row.value for row in found] == ROWS
        assert found[6].place == f"{tmp_path / name}: row 7"
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(tmp_path / "two")
    with pytest.raises(UserError, match=r"two: several splits; name one of its folders: test, train"):
        list(read_rows(tmp_path / "two"))
    assert len(list(read_rows(tmp_path / "two" / "test"))) == 1000


def test_what_a_table_fills_with_null_is_missing(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Ho", "train": False},
            ]
        },
        {"messages": [{"role": "user", "content": "Bye"}]},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    found = list(import_file(tmp_path / "rows.parquet", "messages"))
    assert [c.model_dump(exclude_unset=True, exclude={"id"}) for c in found] == rows


@pytest.mark.parametrize("name", ["hub:gsm8k", "hub:", "hub:a/b#", "hub:a/b:train:x", "hub:a b/c"])
def test_a_malformed_hub_name_says_how_one_looks(name: str) -> None:
    with pytest.raises(UserError, match="expected hub:owner/name"):
        list(read_rows(name))


def test_a_hub_name_is_asked_of_datasets_by_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[tuple] = []

    def load_dataset(*arguments: object, **options: object) -> list[dict]:
        asked.append((*arguments, options))
        return [{"a": 1, "b": None}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    names = ["hub:openai/gsm8k#main:test", "hub:openai/gsm8k"]
    assert [(row.place, row.value) for name in names for row in read_rows(name)] == [
        (f"{name}: row 1", {"a": 1}) for name in names
    ]
    assert asked == [
        ("openai/gsm8k", "main", {"split": "test", "streaming": True}),
        ("openai/gsm8k", None, {"split": "train", "streaming": True}),
    ]


def test_a_hub_that_refuses_and_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def refuse(*_: object, **__: object) -> None:
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist.\nOr is private.")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"^hub:a/b: Dataset 'a/b' doesn't exist\.$"):
        list(read_rows("hub:a/b"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'boresight\[hub\]'"):
        list(read_rows("hub:a/b"))


# Damage


@pytest.mark.parametrize("container", ["gzip", "zstd"])
@pytest.mark.parametrize("content", [LINES * 20, json.dumps(ROWS * 20).encode()], ids=["lines", "list"])
def test_a_truncated_archive_is_an_error_after_its_whole_rows(
    tmp_path: Path, container: str, content: bytes
) -> None:
    whole = CONTAINERS[container](content)
    path = tmp_path / f"rows.{container}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    seen = []
    with pytest.raises(UserError, match=rf"rows\.{container}"):
        for row in read_rows(path):
            assert row.error is None
            seen.append(row.value)
    assert seen == (ROWS * 20)[: len(seen)]


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"])
def test_a_file_that_only_begins_like_an_archive_is_an_error(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(magic + b"garbage" * 100)
    with pytest.raises(UserError, match=f"^{path}"):
        list(read_rows(path))


def test_a_directory_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a directory, and no saved dataset; name the files in it"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": 1}\n {"a": 2}]', 2),
        ('[{"a": 1},\n {"a": 2}', 2),
        ('[\n{"a": 1},\n\n {"a" 2}]', 4),
        ('[{"a": 1},\n]', 2),
        ('[{"a": 1}]\n\n[]', 3),
        ('[{"a": "\nb"}]', 1),
        ('[{"a": "b}]\n', 1),
        ('[{"a": tru}]', 1),
        ("[", 1),
        ("[" * 100_000, 1),
        (f"[{{}},\n{'9' * 5000}]", 2),
        ('[{},\n"caf\udce9"]', 2),
    ],
)
def test_a_broken_list_is_named_by_the_line_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int
) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for piece in (1, 7, json_list.PIECE):
        monkeypatch.setattr(json_list, "PIECE", piece)
        with pytest.raises(UserError, match=rf"rows\.json:{line}: (malformed JSON|not UTF-8)"):
            list(read_rows(path))
        with pytest.raises(UserError):  # nothing says where the next row begins: it cannot go on
            list(import_file(path, "prompts", tally=Tally(reject=lambda _: None)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(VALUES), st.sampled_from([None, 0, 3]), st.booleans(), st.integers(1, 40))
def test_a_list_in_pieces_is_the_list(values: list, indent: int | None, ascii_only: bool, piece: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    before = json_list.PIECE
    json_list.PIECE = piece
    try:
        file = io.BytesIO(text.encode())
        found = list(JsonList(file, Path("rows.json")))
    finally:
        json_list.PIECE = before
    assert [value for _, value in found] == values
    if indent is not None:  # every value begins a line: follow them through the text
        lines = text.split("\n")
        for line, value in found:
            assert json.JSONDecoder().raw_decode("\n".join(lines[line - 1 :]).lstrip())[0] == value


# Memory


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    row = {"prompt": "p" * 1000, "completion": "c" * 1000}
    peaks: dict[tuple[str, int], int] = {}
    for count in (2000, 10_000):
        lines = (json.dumps(row).encode() + b"\n") * count
        a_list = b"[" + b",\n".join([json.dumps(row).encode()] * count) + b"]"
        contents = {"lines": lines, "list": a_list, "gzip": gzip.compress(lines, 1), "zstd": zstd(a_list)}
        for name, content in contents.items():
            path = tmp_path / f"{name}{count}"
            path.write_bytes(content)
            tracemalloc.start()
            assert sum(1 for _ in import_file(path, "prompts")) == count
            peaks[name, count] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    for name in ("lines", "list", "gzip", "zstd"):
        assert peaks[name, 10_000] < peaks[name, 2000] * 1.05 + 10_000, peaks
        assert peaks[name, 10_000] < 2_000_000, peaks  # of 20 MB
