"""`boresight plan`: from a recipe's data, or from lengths alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from boresight.cli import main

Run = Callable[..., tuple[int, str, str]]
RECIPE = """\
model: pocket
max_length: 64
data: [{path: rows.jsonl}]
ranks: 2
train: {sequences_per_step: 4, tokens_per_micro_batch: 128}
"""
ROWS = [
    {"messages": [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one " * n}]}
    for n in range(1, 9)
]
NAMES = ["padded", "sorted", "packed", "balanced", "next-fit", "best-fit"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit code, standard output and standard error."""

    def go(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["boresight", "plan", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), *capfd.readouterr()

    return go


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


@pytest.fixture
def lengths(tmp_path: Path) -> Path:
    """One sequence in a step of eight is as long as four steps of the others."""
    np.save(tmp_path / "lengths.npy", np.array([10] * 31 + [100]))
    return tmp_path / "lengths.npy"


def of(text: str) -> Any:
    return json.loads(text)


def test_from_the_recipes_data_on_its_own_number_of_ranks(tmp_path: Path, recipe: Path, run: Run) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    code, out, err = run(recipe, "--json")
    assert not code, err
    result = of(out)
    assert result["sequences"] == 8
    assert list(result["ranks"]) == ["2"]
    rows = {row["strategy"]: row for row in result["ranks"]["2"]}
    assert list(rows) == NAMES
    assert rows["padded"]["padding"] > rows["balanced"]["padding"] == 0
    assert rows["balanced"]["steps"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "rows.jsonl"}


def test_lengths_as_numbers_or_text_give_the_same_plan(tmp_path: Path, recipe: Path, run: Run) -> None:
    numbers = np.random.default_rng(0).integers(2, 60, 40)
    np.save(tmp_path / "l.npy", numbers.astype(np.uint16))
    (tmp_path / "l.txt").write_text("\n".join(map(str, numbers)) + "\n")
    asked = ("--ranks", "1,4", "--json")
    results = [of(run(recipe, "--lengths", tmp_path / name, *asked)[1]) for name in ("l.npy", "l.txt")]
    assert results[0] == results[1]
    assert list(results[0]["ranks"]) == ["1", "4"]
    assert results[0]["tokens"] == numbers.sum()
    assert all(row["idle"] == pytest.approx(0) for row in results[0]["ranks"]["1"])


def test_says_what_keeps_ranks_waiting(recipe: Path, lengths: Path, run: Run) -> None:
    code, out, err = run(recipe, "--lengths", lengths, "--ranks", "8", "--set", "train.sequences_per_step=32")
    assert not code, err
    assert all(name in out for name in NAMES)
    said = " ".join(out.split())
    assert "In 100% of steps the longest sequence alone takes longer than an even share" in said
    assert "larger steps, more train.sequence_parallel, or fewer ranks" in said
    assert "stand idle" not in said
    few = " ".join(run(recipe, "--lengths", lengths, "--ranks", "1024")[1].split())
    assert "A step has 4 sequences: of 1,024 ranks at least 1,020 stand idle" in few


def test_no_such_words_where_nothing_waits(tmp_path: Path, recipe: Path, run: Run) -> None:
    (tmp_path / "even.txt").write_text("10\n" * 32)
    out = run(recipe, "--lengths", tmp_path / "even.txt", "--ranks", "2")[1]
    assert "longer than an even share" not in out
    assert "1.000" in out


def test_draws_every_strategy_and_number_of_ranks(
    tmp_path: Path, recipe: Path, lengths: Path, run: Run
) -> None:
    svg = tmp_path / "new" / "plan.svg"
    code, out, err = run(recipe, "--lengths", lengths, "--ranks", "2,8", "-o", svg, "--json")
    assert not code, err
    assert of(out)["figure"] == str(svg)
    words = " ".join(ElementTree.fromstring(svg.read_text()).itertext())
    assert "2 ranks" in words and "8 ranks" in words
    for rows in of(out)["ranks"].values():
        assert all(f"{row['strategy']}  {row['to_ideal']:.2f}×" in words for row in rows)


def test_ranks_that_share_a_micro_batch_count_once(recipe: Path, lengths: Path, run: Run) -> None:
    asked = ("--lengths", lengths, "--json", "--ranks")
    shared = of(run(recipe, "--set", "train.sequence_parallel=4", *asked, "8")[1])
    assert shared["ranks"]["8"] == of(run(recipe, *asked, "2")[1])["ranks"]["2"]


def test_of_very_many_sequences_some_stand_for_all(
    recipe: Path, lengths: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boresight.stages.batches.MOST", 16)
    _, out, err = run(recipe, "--lengths", lengths, "--json")
    assert of(out)["sequences"] == 16
    assert "32 sequences: 16 of them, drawn at random, stand for all" in err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("12\nmany\n", "lengths.txt:2: 'many' is not a whole number"),
        ("12\n1\n", "a sequence of length 1"),
        ("", "expected a list of whole numbers"),
        (None, "No such file"),
    ],
)
def test_bad_lengths(tmp_path: Path, recipe: Path, run: Run, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "lengths.txt").write_text(content)
    code, out, err = run(recipe, "--lengths", tmp_path / "lengths.txt")
    assert (code, out) == (2, "")
    assert said in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ranks", "8,many"), "--ranks 8,many: expected whole numbers"),
        (("--ranks", "0"), "at least one rank"),
        (("--ranks", "6", "--set", "train.sequence_parallel=4"), "4 does not divide 6 ranks"),
    ],
)
def test_bad_ranks(recipe: Path, lengths: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(recipe, "--lengths", lengths, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_of_something_else_is_refused(tmp_path: Path, recipe: Path, run: Run) -> None:
    np.save(tmp_path / "two.npy", np.ones((3, 2)))
    code, _, err = run(recipe, "--lengths", tmp_path / "two.npy")
    assert code == 2
    assert "expected a list of whole numbers, found float64 (3, 2)" in err
