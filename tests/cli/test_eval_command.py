"""`boresight eval`, with and without demonstrations, over one model and over checkpoints."""

import json
from pathlib import Path

import pytest
import torch

from boresight.evaluate.suite import ANSWERS
from boresight.evaluate.summary import TaskAnswer
from boresight.models.load import load_model, load_tokenizer
from boresight.pocket.conversations import held_out_conversations, training_conversations
from boresight.records import read_records, write_records
from command_line import Run


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    write_records(tmp_path / "held-out.jsonl", held_out_conversations(4, seed=2))
    write_records(tmp_path / "pool.jsonl", training_conversations(50, seed=1))
    return tmp_path / "held-out.jsonl"


def test_a_curve_over_checkpoints(boresight: Run, questions: Path, tmp_path: Path) -> None:
    """Weights that are noise, then the pocket model's, half and whole: the curve must rise to its score."""
    tokenizer, parts = load_tokenizer("pocket"), {"step-10": 0.0, "step-200": 1.0}
    for name, part in parts.items():
        model = load_model("pocket", None)
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.data = part * parameter.data + (1 - part) * torch.randn_like(parameter) * 0.02
        model.save_pretrained(tmp_path / "checkpoints" / name)
        tokenizer.save_pretrained(tmp_path / "checkpoints" / name)
    pool = ("--demonstrations", questions.with_name("pool.jsonl"), "--preset", "pocket")
    many = (*pool, "--shown", "none,random,retrieved", "--json")
    code, out, err = boresight(
        "eval", tmp_path / "checkpoints", "--tasks", questions, "-o", tmp_path / "curve", *many
    )
    assert code == 0, err
    found = {(row["at"], row["asked"]): row["scores"]["correct"] for row in json.loads(out)["results"]}
    assert list(found) == [
        (at, f"{way} demonstrations") for at in (10, 200) for way in ("no", "random", "retrieved")
    ]
    assert all(row["low"] <= row["value"] <= row["high"] for row in found.values())
    code, out, err = boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "one", *many)
    rows = json.loads(out)["results"]
    assert {row["n"] for row in rows} == {40} and {row["task"] for row in rows} == {"held-out"}
    alone = {row["asked"]: row["scores"]["correct"] for row in rows}
    assert {asked: row for (at, asked), row in found.items() if at == 200} == alone
    assert alone["no demonstrations"]["value"] > found[10, "no demonstrations"]["value"] == 0
    figure = (tmp_path / "curve" / "curve.svg").read_text()
    assert "<svg" in figure and "retrieved demonstrations" in figure
    assert not (tmp_path / "one" / "curve.svg").exists()

    runs = {row["asked"]: Path(row["directory"]) for row in rows}
    assert set(runs.values()) == {
        tmp_path / "one" / "pocket" / way / "held-out-asked" for way in ("none", "random", "retrieved")
    }
    pool_ids = {conversation.id for conversation in training_conversations(50, seed=1)}
    for asked, directory in runs.items():
        for each in read_records(directory / ANSWERS, TaskAnswer):
            assert {shown["id"] for shown in each.demonstrations} <= pool_ids
            assert bool(each.demonstrations) == (asked != "no demonstrations")
    kept = runs["no demonstrations"] / ANSWERS
    before = kept.stat().st_mtime_ns
    code, out, err = boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "one", *many)
    assert code == 0 and "already done" in err and json.loads(out)["results"] == rows
    assert kept.stat().st_mtime_ns == before
    code, out, err = boresight(
        "eval", "pocket", "--tasks", questions, "-o", tmp_path / "one", *many, "--set", "policy.budget=50"
    )
    assert code == 2 and "holds a run of something else" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--shown", "none,retreived"), "did you mean 'retrieved'"),
        (("--asked", "base"), "asked in context"),
        (("--preset", "han2032"), "did you mean 'han2023'"),
        (("--set", "policy.bugdet=3"), "policy.bugdet"),
        (("--demonstrations", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_bad_options_are_named(
    boresight: Run, questions: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    pool = ("--demonstrations", questions.with_name("pool.jsonl"))
    code, out, err = boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "run", *pool, *more)
    assert code == 2 and said in err and "Traceback" not in err, err
    assert not out and not (tmp_path / "run").exists()


def test_a_base_model_is_asked_as_one(boresight: Run, questions: Path, tmp_path: Path) -> None:
    code, out, _ = boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "run", "--json")
    (row,) = json.loads(out)["results"]
    assert code == 0 and row["asked"] == "base"
    asked = next(read_records(Path(row["directory"]) / ANSWERS, TaskAnswer)).prompt[0].content
    assert asked.startswith("Question: ") and asked.endswith("\nAnswer:")
    code, _, err = boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "no", "--asked", "chat")
    assert code == 2 and "no chat template" in err and not (tmp_path / "no").exists()


def test_items_can_be_read(boresight: Run, questions: Path, tmp_path: Path) -> None:
    boresight("eval", "pocket", "--tasks", questions, "-o", tmp_path / "run")
    code, out, _ = boresight("eval", "show", tmp_path / "run", "--wrong", "--limit", "2")
    assert code == 0 and out.count("── ") == 2 and "correct 0" in out and "right: " in out
    rows = boresight("eval", "show", tmp_path / "run", "--json").json["answers"]
    assert len(rows) == 5
    code, out, _ = boresight("eval", "show", tmp_path / "run", "--id", rows[3]["id"])
    assert out.count("── ") == 1 and rows[3]["id"] in out
    code, _, err = boresight("eval", "show", tmp_path / "run", "--id", "nobody")
    assert code == 2 and "no such item" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "mmul"), "did you mean 'mmlu'"),
        (("--tasks", "gsm:cott", "--data", "gsm=x"), "did you mean 'cot'"),
        (("--tasks", "gsm"), "--data gsm=PLACE"),
        (("--tasks", "gsm", "--data", "nowhere"), "there is no nowhere/gsm"),
        (("--tasks", "gsm", "--data", "gsm=nowhere"), "nowhere"),
        (("--tasks", "truthfulqa", "--data", "truthfulqa=x"), "two judging models"),
        (("--tasks", "nothing.jsonl"), "nothing.jsonl"),
    ],
)
def test_bad_tasks_are_named(boresight: Run, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = boresight("eval", "pocket", *arguments, "-o", tmp_path / "run")
    assert code == 2 and said in err and not out, err
    assert not (tmp_path / "run").exists()
