"""Progress on a terminal, and everywhere else; what a closed pipe and Ctrl-C end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boresight import progress
from command_line import Ended

IMPORT = ("data", "import", "messages", "rows.jsonl", "-o", "out.jsonl", "--json")
ROW = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
UNSET = ("NO_COLOR", "CI", "FORCE_COLOR", "GITHUB_ACTIONS", "RANK")
COMMAND = [sys.executable, "-m", "boresight"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(f"{ROW}\n" * 5)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in UNSET} | {"TERM": "xterm", **more}


def on_a_terminal(folder: Path, **more: str) -> Ended:
    """Imports five conversations with standard error on a terminal and standard output in a pipe."""
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*COMMAND, *IMPORT], cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        shown = b""
        try:
            while piece := screen.read(4096):
                shown += piece
        except OSError:  # Linux says so that nobody is left on the other side.
            pass
        out, _ = process.communicate(timeout=60)
    return Ended(process.returncode, out.decode(), shown.decode())


def test_a_terminal_gets_a_bar_and_the_pipe_its_document(folder: Path) -> None:
    ended = on_a_terminal(folder)
    assert ended.json["conversations"] == 5
    assert "\x1b[" in ended.stderr and "conversations" in ended.stderr


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_that_is_not_to_be_drawn_on_gets_no_escape_codes(
    folder: Path, more: dict[str, str]
) -> None:
    ended = on_a_terminal(folder, **more)
    assert ended.json["conversations"] == 5 and not ended.stderr


def test_a_pipe_gets_no_escape_codes_even_where_colour_is_forced(folder: Path) -> None:
    forced = environment(FORCE_COLOR="1", GITHUB_ACTIONS="true")
    for arguments in (IMPORT, ("data", "import", "--help"), ("data", "improt")):
        ended = subprocess.run([*COMMAND, *arguments], cwd=folder, env=forced, capture_output=True, text=True)
        assert "\x1b" not in ended.stdout + ended.stderr
    assert ended.returncode == 2 and "Did you mean 'import'?" in ended.stderr


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What is said in a pipe, with a clock that goes ten seconds on at each look."""
    seconds = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress, "monotonic", lambda: next(seconds))
    return capsys


def test_a_log_gets_a_line_now_and_then_and_a_last_one(log: pytest.CaptureFixture[str]) -> None:
    with progress.counting("asking", 500, lambda: "$0.10") as done:
        for _ in range(100):
            done(5)
    lines = log.readouterr().err.splitlines()
    assert 5 < len(lines) < 50 and lines[0].startswith("asking 15/500") and "$0.10" in lines[0]
    assert lines[-1].startswith("asking 500/500") and len(set(lines)) == len(lines)


def test_what_is_soon_done_says_nothing(log: pytest.CaptureFixture[str]) -> None:
    with progress.counting("asking", 2) as done:
        done(2)
    assert not log.readouterr().err


@pytest.mark.parametrize("arguments", [["schema"], ["--help"], ["version"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    """As of `boresight … | head`, whose reader goes away before all is written, or anything."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(60) == 1


def test_ctrl_c_ends_with_a_line_and_leaves_nothing(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jsonl")
    process = subprocess.Popen(
        [*COMMAND, "data", "import", "messages", "pipe.jsonl", "-o", "out.jsonl", "--rejected", "left.jsonl"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with (folder / "pipe.jsonl").open("w") as pipe:  # opens once it is read
        pipe.write(f"{ROW}\n" * 3)
        pipe.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "boresight: stopped by Ctrl-C\n")
    assert {path.name for path in folder.iterdir()} == {"rows.jsonl", "pipe.jsonl"}
