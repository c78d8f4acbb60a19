import json
import os
from pathlib import Path
from typing import Any

import pytest

from boresight import runs
from boresight.errors import UserError
from boresight.runs import RECORD, Run, atomic_write, differences, digest, read_run

CONFIG = {"rate": 0.1, "nested": {"steps": 3, "names": ["a", "b"]}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("one\n")
    return path


def start(directory: Path, data: Path, **changes: Any) -> Run:
    config = changes.pop("config", CONFIG)
    return Run(directory, changes.pop("command", "train"), config, [data], **changes)


def complete(directory: Path, data: Path, **changes: Any) -> dict[str, Any]:
    with start(directory, data, **changes) as run:
        (directory / "result.txt").write_text("done")
        run.finish({"rows": 1})
    return read_run(directory)


def test_a_finished_run_says_what_was_done(tmp_path: Path, data: Path) -> None:
    record = complete(tmp_path / "run", data, seed=5)
    assert record["command"] == "train" and record["config"] == CONFIG and record["seed"] == 5
    assert record["inputs"] == {str(data): digest(data)}
    assert record["counts"] == {"rows": 1}
    assert record["started"] <= record["finished"]
    assert {"python", "torch", "transformers", "boresight"} <= record["versions"].keys()


def test_the_same_command_again_is_a_no_op(tmp_path: Path, data: Path) -> None:
    before = complete(tmp_path / "run", data)
    stamp = (tmp_path / "run" / RECORD).stat().st_mtime_ns
    with start(tmp_path / "run", data) as run:
        assert run.finished
    assert read_run(tmp_path / "run") == before
    assert (tmp_path / "run" / RECORD).stat().st_mtime_ns == stamp


def test_an_unfinished_run_resumes(tmp_path: Path, data: Path) -> None:
    with start(tmp_path / "run", data) as first:
        (tmp_path / "run" / "half.txt").write_text("half")
    assert read_run(tmp_path / "run")["finished"] is None
    with start(tmp_path / "run", data) as second:
        assert not second.finished
        assert second.record["started"] == first.record["started"]
        assert (tmp_path / "run" / "half.txt").read_text() == "half"
        second.finish({})
    assert start(tmp_path / "run", data).finished


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"command": "generate"}, "command"),
        ({"seed": 1}, "seed"),
        ({"config": {**CONFIG, "rate": 0.2}}, r"config\.rate"),
        ({"config": {**CONFIG, "nested": {"steps": 4, "names": ["a", "b"]}}}, r"config\.nested\.steps"),
        ({"config": {**CONFIG, "nested": {"steps": 3, "names": ["a"]}}}, r"config\.nested\.names"),
        ({"config": {**CONFIG, "new": True}}, r"config\.new"),
        ({"config": {"rate": 0.1}}, r"config\.nested"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_what_changed_is_named(
    changes: dict[str, Any], named: str, finished: bool, tmp_path: Path, data: Path
) -> None:
    if finished:
        complete(tmp_path / "run", data)
    else:
        with start(tmp_path / "run", data):
            pass
    with pytest.raises(UserError, match=rf"changed: {named}\b.*--force"):
        start(tmp_path / "run", data, **changes)


def test_a_changed_input_is_named(tmp_path: Path, data: Path) -> None:
    complete(tmp_path / "run", data)
    data.write_text("two\n")
    with pytest.raises(UserError, match=r"changed: inputs\..*data\.jsonl"):
        start(tmp_path / "run", data)
    assert (tmp_path / "run" / "result.txt").read_text() == "done"


def test_a_touched_input_is_not_changed(tmp_path: Path, data: Path) -> None:
    complete(tmp_path / "run", data)
    os.utime(data, (1, 1))
    assert start(tmp_path / "run", data).finished


def test_force_starts_over(tmp_path: Path, data: Path) -> None:
    complete(tmp_path / "run", data)
    data.write_text("two\n")
    with start(tmp_path / "run", data, force=True) as run:
        assert not run.finished
        assert not (tmp_path / "run" / "result.txt").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_that_is_no_run_is_never_touched(force: bool, tmp_path: Path, data: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a run directory"):
        start(precious, data, force=force)
    assert (precious / "chapter.txt").read_text() == "years of work"


def test_a_file_is_no_run_directory(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        start(data, data)


def test_an_empty_directory_may_be_used(tmp_path: Path, data: Path) -> None:
    (tmp_path / "run").mkdir()
    assert complete(tmp_path / "run", data)["finished"]


def test_an_error_removes_a_directory_just_created(tmp_path: Path, data: Path) -> None:
    with pytest.raises(RuntimeError), start(tmp_path / "run", data):
        raise RuntimeError
    assert not (tmp_path / "run").exists()


def test_an_error_keeps_what_was_done_already(tmp_path: Path, data: Path) -> None:
    with pytest.raises(RuntimeError), start(tmp_path / "run", data):
        (tmp_path / "run" / "half.txt").write_text("half")
        raise RuntimeError
    assert (tmp_path / "run" / "half.txt").exists()
    assert not start(tmp_path / "run", data).finished


def test_an_error_keeps_a_directory_that_was_there(tmp_path: Path, data: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError), start(tmp_path / "run", data):
        raise RuntimeError
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [None, "", "{half of it"])
def test_reading_what_is_no_run(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / RECORD).write_text(content)
    with pytest.raises(UserError, match="not a run directory"):
        read_run(tmp_path)


def test_differences_worked_by_hand() -> None:
    before = {
        "command": "a",
        "seed": 0,
        "config": {"x": 1, "y": [1]},
        "inputs": {"f": "1"},
        "started": "then",
    }
    now = {"command": "a", "seed": 0, "config": {"x": 1, "y": [2]}, "inputs": {"g": "1"}, "started": "now"}
    assert differences(before, before) == []
    assert differences(before, now) == ["config.y", "inputs.f", "inputs.g"]


# Digests and files -----------------------------------------------------------------------------------


def test_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digest_of_a_directory_sees_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "WHOLE", 2**21)
    seen = set()
    for name, content in (("a", b"1"), ("a", b"2"), ("b", b"1"), ("sub/a", b"1"), ("a", b"1" * 2**22)):
        directory = tmp_path / f"{len(seen)}"
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_bytes(content)
        seen.add(digest(directory))
        assert digest(directory) in seen, "it must be stable"
    assert len(seen) == 5


def test_a_changed_end_of_a_big_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "WHOLE", 2**21)
    content = bytearray(2**22)
    (tmp_path / "weights").write_bytes(content)
    before = digest(tmp_path)
    content[-1] = 1
    (tmp_path / "weights").write_bytes(content)
    assert digest(tmp_path) != before


def test_an_input_that_is_missing_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises((UserError, OSError), match="nowhere"):
        Run(tmp_path / "run", "train", {}, [tmp_path / "nowhere"])


def test_atomic_write_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    atomic_write(path, json.dumps({"größe": 1}, ensure_ascii=False))
    atomic_write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace", "encode"])
def test_atomic_write_leaves_nothing_on_failure(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    if failing == "fsync":
        monkeypatch.setattr(runs.os, "fsync", fail)
    if failing == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises((OSError, UnicodeEncodeError)):
        atomic_write(path, "new \ud800" if failing == "encode" else "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_may_change_is_taken_as_it_is_now(tmp_path: Path) -> None:
    """In a run that goes on; a finished one keeps the record of how it was made."""

    def begin(batching: str, rate: float) -> Run:
        config = {"batching": batching, "rate": rate}
        return Run(tmp_path / "run", "train", config, [], may_change=frozenset({"batching"}))

    with begin("padded", 1.0):
        pass
    with begin("balanced", 1.0) as run:
        assert run.record["config"] == {"batching": "balanced", "rate": 1.0}
    with pytest.raises(UserError, match=r"changed: config.rate\."):
        begin("sorted", 2.0)
    with begin("balanced", 1.0) as run:
        run.finish({})
    assert begin("sorted", 1.0).finished
    assert begin("sorted", 1.0).record["config"]["batching"] == "balanced"
