import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.store import MANIFEST, StoreWriter, TokenStore
from boresight.errors import UserError

Row = tuple[list[int], list[bool]]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    drawn = []
    for _ in range(draw(st.integers(1, 12))):
        tokens = draw(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=30))
        marks = draw(st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens)))
        drawn.append((tokens, [False, True, *marks[2:]]))
    return drawn


def write(directory: Path, sequences: list[Row]) -> TokenStore:
    with StoreWriter(directory, {"max_length": 30, "note": "für später"}) as writer:
        for tokens, marks in sequences:
            writer.append(np.array(tokens), np.array(marks))
    return TokenStore(directory)


@settings(deadline=None, max_examples=40)
@given(sequences=rows())
def test_round_trip(sequences: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = write(tmp_path_factory.mktemp("store"), sequences)
    assert len(store) == len(sequences)
    for i, (tokens, marks) in enumerate(sequences):
        stored_tokens, stored_marks = store.sequence(i)
        assert stored_tokens.dtype == np.int64 and stored_tokens.tolist() == tokens
        assert stored_marks.dtype == bool and stored_marks.tolist() == marks
    assert store.lengths.tolist() == [len(tokens) for tokens, _ in sequences]
    assert store.target_counts.tolist() == [sum(marks) for _, marks in sequences]
    counts = store.manifest["counts"]
    assert counts["sequences"] == len(sequences)
    assert counts["tokens"] == store.lengths.sum()
    assert counts["targets"] == store.target_counts.sum()


def test_more_than_255_targets_are_counted_right(tmp_path: Path) -> None:
    store = write(tmp_path, [(list(range(1001)), [False] + [True] * 1000)])
    assert store.target_counts.tolist() == [1000]


def test_description_stands_in_the_manifest(tmp_path: Path) -> None:
    write(tmp_path, [([1, 2], [False, True])])
    manifest = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["max_length"] == 30 and manifest["note"] == "für später"


def test_an_aborted_writer_leaves_no_finished_store(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), StoreWriter(tmp_path, {}) as writer:
        writer.append(np.array([1, 2]), np.array([False, True]))
        raise RuntimeError
    with pytest.raises(UserError, match="no finished token store"):
        TokenStore(tmp_path)


def test_the_manifest_is_written_last(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, {}) as writer:
        writer.append(np.array([1, 2]), np.array([False, True]))
        assert not (tmp_path / MANIFEST).exists()
    assert (tmp_path / MANIFEST).exists()


def test_writing_again_unfinishes_the_store_at_once(tmp_path: Path) -> None:
    write(tmp_path, [([1, 2], [False, True])])
    with pytest.raises(RuntimeError), StoreWriter(tmp_path, {}):
        raise RuntimeError
    with pytest.raises(UserError, match="no finished token store"):
        TokenStore(tmp_path)


def test_an_empty_store_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, {}) as writer:
        writer.counts.drop("no assistant message")
        writer.counts.drop("no assistant message")
    with pytest.raises(UserError, match="'no assistant message': 2"):
        TokenStore(tmp_path)


def test_a_missing_directory_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        TokenStore(tmp_path / "nowhere")


@pytest.mark.parametrize("marks", [[False, False], [True, True]], ids=["no target", "the first a target"])
def test_rows_that_cannot_be_trained_on_are_not_taken(marks: list[bool], tmp_path: Path) -> None:
    with pytest.raises(AssertionError), StoreWriter(tmp_path, {}) as writer:
        writer.append(np.array([1, 2]), np.array(marks))


def test_opening_takes_no_memory_for_tokens(tmp_path: Path) -> None:
    long = np.zeros(1_000_000, dtype=np.int64)
    with StoreWriter(tmp_path, {}) as writer:
        for _ in range(4):
            writer.append(long, np.arange(len(long)) > 0)
    tracemalloc.start()
    store = TokenStore(tmp_path)
    assert store.target_counts.tolist() == [999_999] * 4
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
