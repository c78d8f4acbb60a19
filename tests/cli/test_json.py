"""`--json`: every command has it, and prints one JSON document on standard output and nothing else there."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_help import COMMANDS

from command_line import Run

WITHOUT = {
    "chat": "a conversation",
    "serve": "serves until it is stopped",
    "study serve": "serves until it is stopped",
    "schema": "prints JSON anyway",
}
ELSEWHERE = {
    "demo": "takes minutes; test_flow.py runs it in small",
    "lab": "takes minutes; tests/lab",
    "pocket build": "trains a model; tests/pocket",
    "score": "reads a benchmark's files; test_benchmark_commands.py",
    "judge rate": "asks a judge; test_judge_command.py",
    "needle": "asks a model hundreds of times; test_needle_command.py",
    "data long": "asks a teacher; tests/data/long",
}
"""Run with --json by other tests."""
RECIPE = """\
model: pocket
max_length: 64
data: [{path: rows.jsonl}]
train: {steps: 1, precision: fp32}
"""
SCENARIO = """\
version
doctor
pocket conversations -o drawn.jsonl --count 2
data import messages rows.jsonl -o imported.jsonl --rejected rejected.jsonl
data mix mixture.yaml -o mixed.jsonl
data clean rows.jsonl -o clean.jsonl --refusals
data describe rows.jsonl -o describe.svg
data show rows.jsonl --row 2
data tokenise rows.jsonl -o tokens
plan recipe.yaml -o plan.svg
train recipe.yaml --dry-run
train recipe.yaml -o train
train recipe.yaml -o train
eval pocket --tasks one.jsonl -o eval
eval show eval
eval show eval --wrong --limit 1
judge pairs mine.jsonl theirs.jsonl --judge unique-tokens -o judged
judge pairs mine.jsonl theirs.jsonl --judge unique-tokens -o judged --dry-run
winrate judged/judgments.jsonl -o figures --answers mine.jsonl --answers theirs.jsonl
agreement scores.csv scores.csv
study create mine.jsonl theirs.jsonl --raters Ada,Ben --db study.db
study invite Cyd --db study.db
study remove Cyd --db study.db
study export -o ratings.jsonl --db study.db
study import ratings.jsonl --db study.db
study results --db study.db
study agreement --db study.db
report train eval judged -o report.html
"""


def conversation(n: int) -> dict[str, Any]:
    asked, said = {"role": "user", "content": f"Count to {n}."}, {"role": "assistant", "content": "one " * n}
    return {"messages": [asked, said]}


def answer(model: str, words: str, n: int) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"Say {n}."}]
    return {"id": f"q{n}", "prompt": prompt, "output": f"{words} {n}", "model": model}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of every kind that the scenario reads; the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "cache"))
    rows = [json.dumps(conversation(n)) for n in range(1, 5)]
    Path("rows.jsonl").write_text("\n".join(rows))
    Path("one.jsonl").write_text(rows[0])
    Path("recipe.yaml").write_text(RECIPE)
    Path("mixture.yaml").write_text("members: {a: {files: [rows.jsonl]}}")
    Path("scores.csv").write_text("id,score\na,1\nb,2\nc,4\n")
    for name, words in (("mine", "one two three"), ("theirs", "one one")):
        answers = [json.dumps(answer(name, words, n)) for n in range(4)]
        Path(f"{name}.jsonl").write_text("\n".join(answers))
    return tmp_path


def only_document(text: str) -> Any:
    """JSON as the standard has it: one value, no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def name_of(line: str) -> str:
    """The command that a line of the scenario runs."""
    words = line.replace("eval pocket", "eval run pocket").split()
    return next(name for name in (" ".join(words[:2]), words[0]) if tuple(name.split()) in COMMANDS)


def test_every_command_has_it_or_a_reason() -> None:
    have = {" ".join(path) for path, command in COMMANDS.items() if "--json" in options(command)}
    assert have.isdisjoint(WITHOUT) and have | WITHOUT.keys() == {" ".join(path) for path in COMMANDS}
    assert {name_of(line) for line in SCENARIO.splitlines()} | ELSEWHERE.keys() == have


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_one_document_and_nothing_else(folder: Path, boresight: Run) -> None:
    for line in SCENARIO.splitlines():
        ended = boresight(*line.split(), "--json")
        assert ended.returncode == 0, (line, ended.stderr)
        assert isinstance(only_document(ended.stdout), dict), line


def test_the_schema_is_one_document(boresight: Run) -> None:
    assert only_document(boresight("schema").stdout)["type"] == "object"
