"""The user's mistakes: one clear message, exit code 2, nothing half-written."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.cli import main

Command = Callable[..., str]
RECIPE = """\
model: {model}
max_length: {length}
data: [{{path: rows.jsonl}}]
train: {{steps: 1, precision: fp32}}
"""
ROW = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that must fail as a user's mistake; returns its message."""

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr("sys.argv", ["boresight", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        assert stop.value.code == 2, err
        assert not out
        assert "Traceback" not in err
        return err

    return run


def recipe(tmp_path: Path, rows: str = ROW, model: str = "pocket", length: int = 64) -> Path:
    (tmp_path / "rows.jsonl").write_text(rows)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(model=model, length=length))
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f'{ROW}\n{{"messages": [\n', "rows.jsonl:2: malformed JSON"),
        (f'{ROW}\n{{"text": "a"}}\n', "rows.jsonl:2: `messages` is missing"),
        ('{"messages": [{"role": "robot", "content": "a"}]}', "rows.jsonl:1: unknown role 'robot'"),
        ("", "rows.jsonl: the file is empty"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "no conversation can be trained on"),
    ],
)
def test_bad_rows(tmp_path: Path, refused: Command, rows: str, said: str) -> None:
    assert said in refused("train", recipe(tmp_path, rows), "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_data_file(tmp_path: Path, refused: Command) -> None:
    path = recipe(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    assert "rows.jsonl: no such file" in refused("train", path, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_without_a_model(tmp_path: Path, refused: Command) -> None:
    (tmp_path / "empty").mkdir()
    path = recipe(tmp_path, model=str(tmp_path / "empty"))
    assert "a directory without a model (no config.json)" in refused("train", path, "-o", tmp_path / "run")
    path = recipe(tmp_path, model=str(tmp_path / "nowhere"))
    assert "no such model directory" in refused("train", path, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_misspelled_key_offers_the_nearest(tmp_path: Path, refused: Command) -> None:
    path = recipe(tmp_path)
    path.write_text(path.read_text().replace("max_length", "max_lenght"))
    assert "recipe.yaml:2: unknown key 'max_lenght'; did you mean 'max_length'?" in refused(
        "train", path, "-o", tmp_path / "run"
    )


def test_a_context_longer_than_the_models(tmp_path: Path, refused: Command) -> None:
    said = refused("train", recipe(tmp_path, length=8192), "-o", tmp_path / "run")
    assert "8192 is longer than the context of pocket, 4096 tokens" in said
    assert not (tmp_path / "run").exists()


def test_an_output_that_is_something_else(tmp_path: Path, refused: Command) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert "is not a run directory" in refused("train", recipe(tmp_path), "-o", tmp_path / "run", "--force")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("taken", ["precious", "precious.partial"])
def test_tokens_in_place_of_something_else(taken: str, tmp_path: Path, refused: Command) -> None:
    recipe(tmp_path)
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "thesis.txt").write_text("precious")
    said = refused("data", "tokenise", tmp_path / "rows.jsonl", "-o", tmp_path / "precious")
    assert f"{tmp_path / taken}: holds something else" in said
    assert (tmp_path / taken / "thesis.txt").read_text() == "precious"


LONG = "n" * 300


@pytest.mark.parametrize("arguments", [
    ["data", "clean", "rows.jsonl", "-o"],
    ["data", "import", "messages", "rows.jsonl", "-o"],
    ["data", "mix", "mixture.yaml", "-o"],
    ["data", "tokenise", "rows.jsonl", "-o"],
    ["data", "clean", "rows.jsonl", "-o", "out.jsonl", "--removed"],
    ["data", "import", "messages", "rows.jsonl", "-o", "out.jsonl", "--rejected"],
], ids=lambda arguments: " ".join(arguments))  # fmt: skip
@pytest.mark.parametrize("output", ["rows.jsonl/out", "circle", "circle/out", LONG, "pipe", "full"])
def test_outputs_that_cannot_be(
    arguments: list[str], output: str, tmp_path: Path, refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path)
    Path("mixture.yaml").write_text("members: {a: {files: [rows.jsonl]}}")
    Path("circle").symlink_to("circle")
    os.mkfifo("pipe")
    Path("full").mkdir()
    Path("full/thesis.txt").touch()
    before = set(tmp_path.rglob("*"))
    assert output in refused(*arguments, output)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [
    ["data", "clean", "{}", "-o", "out"],
    ["data", "clean", "rows.jsonl", "-o", "out", "--against", "{}"],
    ["data", "import", "messages", "{}", "-o", "out"],
    ["data", "tokenise", "{}", "-o", "out"],
    ["data", "mix", "{}", "-o", "out"],
    ["data", "mix", "mixture.yaml", "--data", "{}", "-o", "out"],
    ["data", "show", "{}"],
    ["data", "describe", "{}"],
    ["train", "{}", "-o", "out"],
], ids=lambda arguments: " ".join(arguments))  # fmt: skip
@pytest.mark.parametrize("name", [LONG, "circle", "rows.jsonl/in"])
def test_inputs_that_cannot_be(
    arguments: list[str], name: str, tmp_path: Path, refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path)
    Path("mixture.yaml").write_text("members: {a: {files: [rows.jsonl]}}")
    Path("circle").symlink_to("circle")
    assert name in refused(*(argument.format(name) for argument in arguments))
    assert not Path("out").exists()


def test_links_in_a_circle_that_were_resolved(
    tmp_path: Path, refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    monkeypatch.setattr("boresight.cli.app", lambda: (tmp_path / "circle").resolve(strict=True))
    assert f"{tmp_path / 'circle'}: Too many levels of symbolic links" in refused()


@pytest.mark.parametrize("error", [OSError("no path of anyone's"), RuntimeError("a defect")])
def test_a_defect_is_not_taken_for_the_users_mistake(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("boresight.cli.app", fail)
    with pytest.raises(type(error)):
        main()


def test_a_message_moves_no_cursor(tmp_path: Path, refused: Command) -> None:
    said = refused("data", "show", tmp_path / "rows\x1b]0;title\x07.jsonl")
    assert "No such file" in said and not {"\x1b", "\x07"} & set(said)


def test_showing_a_row_that_is_not_there(tmp_path: Path, refused: Command) -> None:
    recipe(tmp_path)
    assert "has no conversation 9" in refused("data", "show", tmp_path / "rows.jsonl", "--row", "9")


def test_an_unknown_source_offers_the_nearest(tmp_path: Path, refused: Command) -> None:
    said = refused("data", "import", "gsm", tmp_path / "x", "-o", tmp_path / "y")
    assert "did you mean 'gsm8k'?" in said


def test_too_small_a_disk_is_refused_before_training(
    tmp_path: Path, refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert "GB are free" in refused("train", recipe(tmp_path), "-o", tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"run.json", "tokens"}, "the tokens are whole and wait for the run to be resumed"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_ends_in_a_message_and_leaves_nothing(tmp_path: Path, refused: Command) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        rows = "\n".join([ROW] * 40_000)
        assert "No space left" in refused("train", recipe(tmp_path, rows), "-o", disk / "run")
        assert not (disk / "run").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
