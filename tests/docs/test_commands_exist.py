"""What pages say of the command line is so: in blocks, which slow tests run, and in sentences' `code`."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PAGES, blocks_of, codes_of, name_of, whole_commands
from typer import BadParameter, Exit
from typer.main import get_command

from boresight.cli import app

BORESIGHT = get_command(app)
OPTION = re.compile(r"(?<!\S)--[a-z][\w-]*")
OF_OTHERS = {"--log_samples", "--security-opt", "--userns", "--gpus", "--device", "--ipc"}
"""Of lm-evaluation-harness and of Docker."""
(UsageError,) = BadParameter.__bases__  # whichever copy of Click's Typer has
CALL = re.compile(r"^(?:\.venv/bin/|torchrun .*-m |docker run .* )?boresight (.*?)(?:&|>.*|\s#.*)?$")


def calls_in(markdown: str) -> Iterator[tuple[int, list[str]]]:
    """The line and the words of every call of `boresight` in the blocks of commands."""
    for block in blocks_of(markdown):
        if block.language == "bash":
            for number, row in enumerate(whole_commands(block.text).splitlines(), block.line):
                calls = [CALL.match(part) for part in re.split(r"\s(?:\||&&)\s+", row)]
                yield from ((number, shlex.split(call[1])) for call in calls if call)


def refusal(command: Any, words: list[str], above: Any = None) -> str | None:
    """What a command says of words that it cannot take; it does nothing."""
    try:
        context = command.make_context("boresight", [*words], parent=above)
        if not hasattr(command, "commands"):
            return None
        _, below, left = command.resolve_command(context, [*context._protected_args, *context.args])
    except UsageError as error:
        return error.format_message()
    except Exit:
        return None  # --help, --version
    return refusal(below, left, context)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """The words that call a command, and its options; a group has those of its `run` besides."""
    groups = [(*path, name) for name in getattr(command, "commands", {})]
    below = dict(found for words in groups for found in walk(command.commands[words[-1]], words))
    own = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    yield path, own | below.get((*path, "run"), set()) | {"--help"}
    yield from below.items()


OPTIONS = dict(walk(BORESIGHT))


def problems(code: str) -> list[str]:
    """What a piece of code within a sentence names that there is not."""
    words = code.split()
    known = set().union(*OPTIONS.values())
    if words[0] == "boresight" and len(words) > 1:
        path = max((path for path in OPTIONS if path == tuple(words[1 : 1 + len(path)])), key=len)
        if not path:
            return ["no such command"]
        known = OPTIONS[path]
    return sorted(set(OPTION.findall(code)) - known - OF_OTHERS)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_calls_are_such_as_the_command_line_takes(page: Path) -> None:
    calls = [(line, refusal(BORESIGHT, words)) for line, words in calls_in(page.read_text())]
    assert not [f"line {line}: {said}" for line, said in calls if said is not None]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_sentences_name_exists(page: Path) -> None:
    found = [(line, code, problems(code)) for code, line in codes_of(page.read_text())]
    assert not [f"line {line}: {code}: {said}" for line, code, said in found if said]


@pytest.mark.parametrize("call", ["trian recipe.yaml", "train recipe.yaml --dri-run", "judge pairs a b"])
def test_what_does_not_exist_is_found(call: str) -> None:
    block = f"```bash\nboresight doctor && boresight {call}  # so\n```\n"
    assert [refusal(BORESIGHT, words) is None for _, words in calls_in(block)] == [True, False]
    assert call.startswith("judge") or len(problems(f"boresight {call}")) == 1
