"""Completion by the shells themselves: commands, options, and the names that are ours."""

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.cli import completion
from boresight.data.sources import SOURCES
from boresight.evaluate.judges.rubric import load_rubric
from boresight.evaluate.tasks import NAMES
from command_line import Run

BORESIGHT = Path(sys.executable).parent / "boresight"
HALF_A_SECOND = 0.5
BASH = """
eval "$(_BORESIGHT_COMPLETE=source_bash boresight)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_boresight_completion boresight
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { }
eval "$(_BORESIGHT_COMPLETE=source_zsh boresight)"
words=("$@") CURRENT=$#
_arguments() { print -r -- $1 }
_boresight_completion
"""


def completes(boresight: Run, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What is offered for the last of the words after `boresight`."""
    monkeypatch.setenv("_BORESIGHT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("boresight", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    ended = boresight()
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tr", ["train"]),
        ("data to", ["tokenise"]),
        ("train --dry", ["--dry-run"]),
        ("eval pocket --ta", ["--tasks"]),
        ("data import code", ["code_alpaca"]),
        ("data describe --source s", ["superni", "self_instruct", "sharegpt"]),
        ("data import alpaca --reading t", ["tulu1"]),
        ("data tokenise --template ch", ["chatml"]),
        ("data clean --template o", ["own"]),
        ("data clean --duplicates ne", ["near"]),
        ("data clean --engine r", ["ray"]),
        ("eval pocket --tasks gs", ["gsm"]),
        ("eval pocket --tasks gsm,mm", ["gsm,mmlu"]),
        ("eval pocket --tasks gsm,g", []),
        ("eval pocket --asked c", ["chat"]),
        ("eval pocket --shown none,re", ["none,retrieved"]),
        ("score truthfulqa", ["truthfulqa", "truthfulqa_mc"]),
        ("score lm", ["lm-eval"]),
        ("needle pocket --needles pub", ["published"]),
        ("chat pocket --preset ur", ["urial"]),
        ("judge pairs a.jsonl b.jsonl --order r", ["random"]),
        ("judge pairs a.jsonl b.jsonl --rubric two", ["two-scores"]),
        ("judge rate a.jsonl --rubric longbench-q", ["longbench-qa"]),
        ("train rec", []),  # the shell completes files
    ],
)
def test_a_beginning_is_completed_with_the_right_names(
    words: str, offered: list[str], boresight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completes(boresight, monkeypatch, *words.split()) == offered


def test_the_names_are_those_that_commands_know(boresight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(completion.SOURCES) == set(SOURCES)
    assert set(completion.TASKS) == set(NAMES)
    rubrics = set()
    for command in ("pairs", "rate"):
        words = ("judge", command, "a.jsonl", *["b.jsonl"] * (command == "pairs"), "--rubric", "''")
        offered = completes(boresight, monkeypatch, *words)
        assert all(load_rubric(name, command) for name in offered)
        rubrics |= set(offered)
    assert rubrics == {
        path.stem for path in (Path(completion.__file__).parents[1] / "evaluate/prompts").iterdir()
    }


def in_shell(*call: str) -> str:
    """What a shell says, with our command first on its path and nothing of the user's own."""
    path = f"{BORESIGHT.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HOME": os.devnull}
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout


def by_bash(words: str) -> list[str]:
    return in_shell("bash", "--norc", "-c", BASH, "bash", *words.split(" ")).split()


def by_zsh(words: str) -> list[str]:
    """From what is handed to its _arguments: *: :(("train":"Fine-tune …" "plan":"Count …"))."""
    said = in_shell("zsh", "-f", "-c", ZSH, "zsh", *words.split(" "))
    return re.findall(r'[(\s]"([^" ]+)"', said)


def by_fish(words: str) -> list[str]:
    script = f"_BORESIGHT_COMPLETE=source_fish boresight | source; complete -C {words!r}"
    return [line.split("\t")[0] for line in in_shell("fish", "--no-config", "-c", script).splitlines()]


SHELLS = {"bash": by_bash, "zsh": by_zsh, "fish": by_fish}


@pytest.fixture(params=SHELLS)
def offers(request: pytest.FixtureRequest) -> Callable[[str], list[str]]:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return SHELLS[request.param]


def test_every_shell_offers_names(offers: Callable[[str], list[str]]) -> None:
    assert "train" in offers("boresight tr")
    assert {"sharegpt", "superni"} <= set(offers("boresight data import s"))


@pytest.mark.parametrize(("shell", "written"), [("bash", ".bashrc"), ("zsh", ".zfunc/_boresight")])
def test_it_is_installed_for_the_shell_that_asks(shell: str, written: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    # The shell ends by itself: to a last command it could give its own process.
    script = f"{BORESIGHT} --show-completion && {BORESIGHT} --install-completion; exit $?"
    ended = subprocess.run(
        [shell, "-c", script], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "_boresight_completion" in ended.stdout and f"{shell} completion installed" in ended.stdout
    assert "boresight" in (tmp_path / written).read_text()


@pytest.mark.parametrize(
    "words", ["boresight tr", "boresight data import s", "boresight eval pocket --tasks g"]
)
def test_nobody_waits(words: str) -> None:
    """Processor time, which other work on the machine does not stretch."""
    environment = {
        "_BORESIGHT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([BORESIGHT], env=os.environ | environment, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert statistics.median(seconds() for _ in range(3)) < HALF_A_SECOND
