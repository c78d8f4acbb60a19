"""HumanEval (Chen et al. 2021), TÜLU's Codex-Eval: 164 functions to complete, run against their tests.

HumanEval.jsonl.gz           its own file, compressed or not, or the folder it is in
hub:openai/openai_humaneval  the hub's rows, which are the same: task_id, prompt, entry_point, test

An answer is read in two ways. Strictly, it goes on where the prompt ended, up to what cannot belong to the
function any more. Leniently, it may also stand in a code fence, say the whole function again, have lost its
indentation, or be followed by words; what else it defines is kept. Neither is run but in the sandbox.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import Any, NamedTuple

from boresight.data.sources.fields import MalformedError, text
from boresight.errors import UserError
from boresight.evaluate.sandbox import Outcome, Program, run_programs
from boresight.evaluate.task import Answered, Item, Reading, Room, Setting, Task, Tools, Verdict
from boresight.evaluate.tasks.sources import parsed, rows
from boresight.stats import pass_at_k

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
SETTINGS = {
    "pass@1": Setting(shots=0, stop=STOP, temperature=0.1, top_p=0.95, draws=20),
    "pass@10": Setting(shots=0, stop=STOP, temperature=0.8, top_p=0.95, draws=20),
}
"""A chat model's answer is not stopped, so that the lenient reading has all of it; the strict one cuts it."""
INSTRUCTION = "Complete this Python function. Answer with its code alone.\n\n"
FENCE = re.compile(r"^```.*\n?", re.MULTILINE)
STATEMENT = re.compile(
    r"(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[(:]|from\s+[\w.]+\s+import\b|import\s+\w|@\w"
)
"""What a program begins with, at the beginning of a line."""
CODE = re.compile(rf"$|[\s#)\]}}]|{STATEMENT.pattern}|\w+\s*(?::[^=]+)?=")
"""A line that may belong to a function or stand beside one: no words, and no call."""
INDENT = "    "


class Problem(NamedTuple):
    """The beginning of a function, its name, and tests."""

    id: str
    prompt: str
    entry_point: str
    tests: str


def items(source: str, setting: str, room: Room) -> Iterator[Item]:
    """The problems.

    Raises:
        UserError: the file is missing, or a row is malformed; names file and line.
    """
    k = setting.removeprefix("pass@")
    for problem in parsed(
        rows(source, "HumanEval.jsonl.gz", "*.jsonl.gz", "*.jsonl", split="test"), _problem
    ):
        yield Item(
            problem.id,
            problem.prompt,
            instruction=INSTRUCTION + problem.prompt,
            begins=problem.prompt,
            extra={"entry_point": problem.entry_point, "tests": problem.tests, "k": k},
        )


def read_strict(item: Item, output: str) -> str:
    """The program of an answer that goes on from the prompt."""
    ends = [end for stop in STOP if (end := output.find(stop)) >= 0]
    return item.question + output[: min(ends, default=None)]


def read_lenient(item: Item, output: str) -> str:
    """The program of an answer in any of the forms that models give it."""
    again = re.compile(rf"^(?:async\s+)?def\s+{re.escape(item.extra['entry_point'])}\b", re.MULTILINE)
    before, *fenced = FENCE.split(output)
    if before.lstrip("\n").startswith(("  ", "\t")):
        return item.question + _body(again.split(before)[0])
    for whole in (*fenced[::2], output):
        if again.search(whole):
            return f"{item.question}\n{_program(whole)}"
    # A single fence behind a text closes it.
    opened = fenced and (len(fenced) > 1 or not before.strip())
    return item.question + _body(fenced[0] if opened else before)


def score(answered: Sequence[Answered], tools: Tools) -> list[Verdict]:
    """pass@k of both readings. The same program is run once, however often it was written.

    Raises:
        UserError: a question has fewer than k answers, or nothing to run them in was to be had.
    """
    _require_enough(answered)
    both = {"strict": read_strict, "lenient": read_lenient}
    read = [
        {
            name: [_tested(one.item, way(one.item, output)) for output in one.outputs]
            for name, way in both.items()
        }
        for one in answered
    ]
    programs = list(dict.fromkeys(p for ways in read for drawn in ways.values() for p in drawn))
    outcomes = dict(
        zip(programs, run_programs(programs, without_isolation=tools.without_isolation), strict=True)
    )
    return [_verdict(one, ways, outcomes) for one, ways in zip(answered, read, strict=True)]


def _verdict(one: Answered, read: dict[str, list[Program]], outcomes: dict[Program, Outcome]) -> Verdict:
    k, scores = int(one.item.extra["k"]), {}
    for name, drawn in read.items():
        scores[name] = pass_at_k(len(drawn), sum(outcomes[program].passed for program in drawn), k)
    return Verdict(
        scores,
        drawn=[
            Reading(
                {name: program.answer for name, program in zip(read, programs, strict=True)},
                "\n".join(f"{n}: {outcomes[p].reason}" for n, p in zip(read, programs, strict=True)),
            )
            for programs in zip(*read.values(), strict=True)
        ],
    )


def _require_enough(answered: Sequence[Answered]) -> None:
    for one in answered:
        k = one.item.extra["k"]
        if len(one.outputs) < int(k):
            raise UserError(
                f"{one.item.id}: too few answers ({len(one.outputs)}); pass@{k} takes {k} or more"
            )


def _tested(item: Item, answer: str) -> Program:
    name = item.extra["entry_point"]
    # Some tests use what the prompt defines beside the function. Answers that end in other blanks are one.
    return Program(answer.rstrip() + "\n", name, f"{item.extra['tests']}\ncheck({name})\n", item.question)


def _program(text: str) -> str:
    """From the first statement on, as long as there is code."""
    return _while_code(dropwhile(lambda line: not STATEMENT.match(line), text.split("\n")))


def _body(text: str) -> str:
    """A function's body, whose first line may have lost its indentation, as long as there is code."""
    lines = text.strip("\n").split("\n")
    if not lines[0][:1].isspace():
        lines[0] = INDENT + lines[0]
    return _while_code(lines)


def _while_code(lines: Iterable[str]) -> str:
    return "\n".join(takewhile(CODE.match, lines))


def _problem(row: dict[str, Any]) -> Problem:
    name = text(row, "entry_point")
    if not name.isidentifier():
        raise MalformedError(f"`entry_point` is {name!r}, expected the name of a function")
    return Problem(text(row, "task_id"), text(row, "prompt"), name, text(row, "test"))


TASK = Task("humaneval", SETTINGS, items, score, headline="strict")
