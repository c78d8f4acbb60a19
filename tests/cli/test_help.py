"""The command line as a whole: quick to start, examples that can be called, near names for mistyped ones."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from boresight.cli import app
from command_line import Run

HEAVY = {"torch", "transformers", "matplotlib", "numpy", "scipy", "pyarrow", "pydantic", "fastapi", "asyncio"}


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Groups and commands below one, itself included, with the words that call them."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


EVERYTHING = dict(walk(get_command(app)))
GROUPS = {path: group for path, group in EVERYTHING.items() if hasattr(group, "commands")}
COMMANDS = {path: command for path, command in EVERYTHING.items() if path not in GROUPS}


def calls(path: tuple[str, ...]) -> Iterator[list[str]]:
    """The arguments of every call in a command's help."""
    call = "boresight " + " ".join(path).replace("eval run", "eval")
    for paragraph in COMMANDS[path].help.split("\n\n"):
        intro, said, arguments = " ".join(paragraph.split()).partition(call)
        if said and ": " in intro:
            yield shlex.split(re.split(" [|>] ", arguments)[0])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_each_can_be_called(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert "Example: " in command.help and list(calls(path))
    for arguments in calls(path):
        command.make_context(
            "boresight", [*arguments]
        )  # parses; raises where an argument is wrong or missing


def test_the_test_sees_an_example_that_is_wrong() -> None:
    for wrong in (["recipe.yaml", "--dri-run"], [], ["recipe.yaml", "more"], ["recipe.yaml", "-o"]):
        with pytest.raises(Exception, match=r"No such option|Missing|unexpected|requires"):
            COMMANDS["train",].make_context("boresight", wrong)


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: " ".join(("boresight", *path)))
@pytest.mark.parametrize("width", [60, 80])
def test_help_fits_a_narrow_terminal(path: tuple[str, ...], width: int, boresight: Run, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ended = boresight(*path, "-h")
    assert ended.returncode == 0 and not ended.stderr and "\x1b" not in ended.stdout
    for line in ended.stdout.splitlines():
        assert len(line) <= width or len(line.split()) == 1, "no word is cut, and none else stands beside it"
    names = [name for parameter in EVERYTHING[path].params for name in parameter.opts]
    assert all(name in ended.stdout for name in names)


def test_all_commands_are_listed(boresight: Run) -> None:
    listed = re.findall(r"^  (\w+) ", boresight("--help").stdout.partition("Align:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(EVERYTHING[()].commands)


def test_alone_it_says_how_to_begin(boresight: Run) -> None:
    ended = boresight()
    assert ended.returncode == 0 and not ended.stderr and len(ended.stdout.splitlines()) < 15
    begins = [line.split() for line in ended.stdout.splitlines() if line.startswith("  boresight ")]
    assert all((words[1],) in EVERYTHING for words in begins) and len(begins) > 4


def test_the_version(boresight: Run) -> None:
    said = f"boresight {version('boresight')}\n"
    assert boresight("--version") == boresight("version") == (0, said, "")


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(("boresight", *path)))
def test_a_mistyped_command_is_answered_with_the_nearest(path: tuple[str, ...], boresight: Run) -> None:
    for name in GROUPS[path].commands:
        mistyped = name[:-2] + name[-1] + name[-2]  # the last two letters exchanged
        ended = boresight(*path, mistyped)
        assert ended.returncode == 2 and f"'{name}'" in ended.stderr.partition("Did you mean")[2]


def test_a_mistyped_option_is_answered_with_the_nearest(boresight: Run) -> None:
    ended = boresight("train", "recipe.yaml", "--dri-run")
    assert ended.returncode == 2 and "--dry-run" in ended.stderr


def test_a_model_whose_name_is_near_a_command_is_still_a_model(
    boresight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'run'" in boresight("eval", "runs").stderr
    (tmp_path / "runs").mkdir()
    assert "Missing option '--tasks'" in boresight("eval", "runs").stderr


def test_start_up_loads_nothing_heavy() -> None:
    code = "import sys, boresight.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "typer" in loaded.split() and not HEAVY & set(loaded.split())
