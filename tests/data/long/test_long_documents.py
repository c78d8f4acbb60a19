"""Long documents from files of every kind."""

import gzip
import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from boresight.data.long.choose import Wanted, choose
from boresight.data.long.documents import Document, read_all
from boresight.errors import UserError
from boresight.models.load import load_tokenizer
from boresight.records import read_records


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return load_tokenizer("pocket")


def write_rows(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_folder_gives_every_document_with_its_source_and_licence(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    (shelf / "essays").mkdir(parents=True)
    (shelf / "essays" / "one.txt").write_bytes(b"\xef\xbb\xbfpage one\x0cpage\x00 two\r\n")
    (shelf / "two.md").write_text("# Two")
    write_rows(
        shelf / "pile.jsonl",
        [
            {"text": "a", "meta": {"pile_set_name": "Books3"}},
            {"text": "b", "source": "wiki", "license": "CC-BY-SA"},
            {"content": "c", "metadata": {"license": "MIT"}},
        ],
    )
    with gzip.open(shelf / "more.jsonl.gz", "wt") as file:
        file.write('{"text": "d"}\n')
    found = [(d.text, d.source, d.licence) for d in read_all([str(shelf)], "ask")]
    assert found == [
        ("page one\npage two", "essays", "ask"),
        ("d", "more", "ask"),
        ("a", "Books3", "ask"),
        ("b", "wiki", "CC-BY-SA"),
        ("c", "pile", "MIT"),
        ("# Two", "shelf", "ask"),
    ]


def test_suffixes_have_no_case_and_what_a_folder_holds_besides_is_counted(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    shelf = tmp_path / "shelf"
    (shelf / "deep").mkdir(parents=True)
    body = "the red fox asks the grey owl where the river begins and the owl tells him "
    for number, name in enumerate(("a.txt", "B.TXT", "deep/C.Md"), 1):
        (shelf / name).write_text(body * number)
    write_rows(shelf / "D.JSONL", [{"text": body * 4}])
    for name in ("c.pdf", "deep/d.PDF", "e.html", "LICENSE"):
        (shelf / name).write_text("nothing")
    chosen = choose([str(shelf)], "unknown", wanted(), tokenizer, tmp_path / "out.jsonl")
    assert (chosen.read, chosen.chosen) == (4, 4)
    assert chosen.left_out == {"not read: .pdf": 2, "not read: .html": 1, "not read: no suffix": 1}
    more = choose([str(shelf)], "unknown", wanted(number=5), tokenizer, tmp_path / "more.jsonl")
    assert more == chosen, "a limit is no demand"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"title": "b"}\n', r"a\.jsonl:2: `text` is missing"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', r"a\.jsonl:2: `text`"),
        ("a.jsonl", b'{"text": "a"\n', r"a\.jsonl:1: malformed JSON"),
        ("a.txt", b"fine\n\xff", r"a\.txt:2: not UTF-8"),
        ("a.pdf", b"%PDF-1.7", r"a\.pdf: a PDF"),
        ("A.PDF", b"%PDF-1.7", r"A\.PDF: a PDF"),
        ("a.jsonl.gz", b"\x1f\x8bnot gzip", r"a\.jsonl\.gz"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_all([str(tmp_path / name)]))


def test_missing_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        list(read_all([str(tmp_path / "none.txt")]))
    with pytest.raises(UserError, match="no documents"):
        list(read_all([str(tmp_path)]))


def wanted(**changes: object) -> Wanted:
    return Wanted(10, 400, None, "natural", (), 0)._replace(**changes)  # type: ignore[arg-type]


def test_choosing_counts_what_it_leaves_out(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    body = "the red fox asks the grey owl where the river begins and the owl tells him "
    rows = [
        {"text": body * 3},
        {"text": body * 3},
        {"text": body * 4, "source": "Books3"},
        {"text": "short"},
        {"text": body * 2000},
        {"text": "  "},
        {"text": body + "\ud800"},
        {"text": body * 5},
    ]
    file = write_rows(tmp_path / "d.jsonl", rows)
    chosen = choose([str(file)], "unknown", wanted(exclude=("books3",)), tokenizer, tmp_path / "out.jsonl")
    assert chosen.read == 8 and chosen.chosen == 2
    assert chosen.left_out == {
        "from an excluded source": 1,
        "the same text as another document": 1,
        "shorter than the limit": 1,
        "longer than the limit": 1,
        "an empty document": 1,
        "half a surrogate pair, which is no text": 1,
    }
    documents = list(read_records(tmp_path / "out.jsonl", Document))
    assert [d.tokens for d in documents] == [len(tokenizer(d.text)["input_ids"]) for d in documents]
    assert {d.language for d in documents} == {"en"}
    assert chosen.tokens == sum(d.tokens for d in documents)


def test_the_choice_does_not_depend_on_how_files_are_cut(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows: list[object] = [{"text": f"document {i} " * (5 + i % 20), "source": "s"} for i in range(200)]
    one = write_rows(tmp_path / "one.jsonl", rows)
    parts = [write_rows(tmp_path / f"{i}.jsonl", rows[i::3]) for i in (2, 0, 1)]
    take = wanted(number=40, lengths="even", low=10, high=200)
    choose([str(one)], "", take, tokenizer, tmp_path / "a")
    choose([str(part) for part in parts], "", take, tokenizer, tmp_path / "b")
    first, second = ({d.id for d in read_records(tmp_path / name, Document)} for name in "ab")
    assert first == second and len(first) == 40


def test_no_documents_are_an_error(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_rows(tmp_path / "d.jsonl", [{"text": "short"}])
    with pytest.raises(UserError, match="no documents of 10 to 400 tokens; left out: 1 × shorter"):
        choose([str(file)], "", wanted(), tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()
