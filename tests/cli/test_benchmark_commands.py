"""Every task end to end on the pocket model, from files like the datasets' own; and scored once more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

from benchmark_files import PROBLEM, write_benchmarks
from boresight.errors import UserError
from boresight.evaluate.sandbox import find_tier
from boresight.evaluate.suite import ANSWERS
from command_line import Run

PARTS = {"mmlu": "#anatomy,virology", "bbh": "#navigate", "toxigen": "#asian,black"}


def isolated() -> bool:
    try:
        return bool(find_tier())
    except UserError:
        return False


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    folder = write_benchmarks(tmp_path / "benchmarks")
    places = [f"--data={task}={folder / task}{part}" for task, part in PARTS.items()]
    return [f"--data={folder}", *places]


@pytest.fixture
def evaluated(boresight: Run, data: list[str], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def evaluate(tasks: str, *more: str) -> list[dict[str, Any]]:
        ended = boresight("eval", "pocket", "--tasks", tasks, *data, *more, "-o", tmp_path / "run", "--json")
        assert ended.returncode == 0, ended.stderr
        rows: list[dict[str, Any]] = ended.json["results"]
        return rows

    return evaluate


def test_options_are_scored(boresight: Run, evaluated: Any, data: list[str]) -> None:
    rows = evaluated("mmlu,truthfulqa_mc")
    assert [(row["task"], row["setting"], row["n"]) for row in rows] == [
        ("mmlu", "0-shot", 4), ("mmlu", "5-shot", 4), ("truthfulqa_mc", "6-shot", 1),
    ]  # fmt: skip
    assert set(rows[0]["by"]) == {"subject", "subcategory", "category"}
    assert set(rows[2]["scores"]) == {"mc1", "mc2"} and rows[0]["headline"] == "accuracy"
    for row in rows:
        again = boresight(
            "score", f"{row['task']}:{row['setting']}", f"{row['directory']}/{ANSWERS}", *data, "--json"
        )
        assert again.json["results"][0]["scores"] == row["scores"], again.stderr


def test_answers_are_read_and_scored(boresight: Run, evaluated: Any, data: list[str]) -> None:
    rows = evaluated("gsm:direct,bbh:direct,tydiqa:closed book,longbench:hotpotqa", "--limit", "2")
    assert [(row["task"], row["n"]) for row in rows] == [
        ("gsm", 2), ("bbh", 2), ("tydiqa", 9), ("longbench", 1),
    ]  # fmt: skip
    assert rows[2]["mean_over"] == "language" and len(rows[2]["by"]["language"]) == 9
    for row in rows[:1] + rows[2:]:
        again = boresight(
            "score", f"{row['task']}:{row['setting']}", f"{row['directory']}/{ANSWERS}", *data, "--json"
        )
        assert again.json["results"][0]["scores"] == row["scores"], again.stderr


def test_totals_say_what_entered(boresight: Run, data: list[str], tmp_path: Path) -> None:
    ended = boresight(
        "eval", "pocket", "--tasks", "mmlu,gsm:direct", *data, "--limit", "1", "-o", tmp_path / "run"
    )
    assert "average: " in ended.stdout and "of mmlu (0-shot, 5-shot), gsm (direct)" in ended.stdout
    assert "accuracy: " in ended.stdout and "of 1" in ended.stdout


def test_in_context(evaluated: Any, tmp_path: Path) -> None:
    """A base model that is shown demonstrations is asked as a chat model is, options and all."""
    pool = tmp_path / "pool.jsonl"
    turns = [{"role": "user", "content": "Is 3 odd?"}, {"role": "assistant", "content": "yes"}]
    pool.write_text(json.dumps({"messages": turns}) + "\n")
    rows = evaluated(
        "mmlu:0-shot,gsm:direct", "--demonstrations", str(pool), "--shown", "retrieved", "--limit", "1"
    )
    for row in rows:
        answer = json.loads((Path(row["directory"]) / ANSWERS).read_text())
        assert row["asked"] == "retrieved demonstrations" and answer["begins"]
        assert len(answer["demonstrations"]) == 1


@pytest.mark.slow
def test_every_task(
    evaluated: Any, make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    tokenizer = make_byte_tokenizer()
    tokenizer.pad_token, tokenizer.model_max_length = "<unk>", 24
    tokenizer.save_pretrained(tmp_path / "classifier")
    torch.manual_seed(2)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = RobertaConfig(
        vocab_size=512, num_attention_heads=2, max_position_embeddings=40, num_labels=2, **sizes
    )
    RobertaForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    tasks = "mmlu,gsm,bbh,tydiqa,toxigen,truthfulqa,truthfulqa_mc,longbench:hotpotqa"
    if isolated():
        tasks += ",humaneval"
    judges = ("--truth-judge", "pocket", "--information-judge", "pocket")
    rows = evaluated(tasks, "--limit", "1", *judges, "--classifier", str(tmp_path / "classifier"))
    assert len(rows) == (14 if isolated() else 12)
    assert all(
        0 <= score["low"] <= score["value"] <= score["high"] <= 1
        for r in rows
        for score in r["scores"].values()
    )


def test_code_is_run(boresight: Run, data: list[str], tmp_path: Path) -> None:
    if not isolated():
        pytest.skip("no isolation can be had here")
    answers = tmp_path / "answers.jsonl"
    outputs = [PROBLEM["canonical_solution"], "    return x\n"]
    answers.write_text(
        "".join(
            json.dumps({"id": PROBLEM["task_id"], "draw": n, "output": o}) + "\n"
            for n, o in enumerate(outputs)
        )
    )
    ended = boresight("score", "humaneval:pass@1", answers, *data, "--json")
    assert ended.json["results"][0]["scores"]["strict"]["value"] == 0.5, ended.stderr


def test_the_harness_logs_are_taken_over(boresight: Run, tmp_path: Path) -> None:
    log = tmp_path / "my__model" / "samples_arc_easy_2026-11-21T10-00-00.123456.jsonl"
    log.parent.mkdir()
    sample = {"target": "0", "resps": [["yes"]], "filtered_resps": ["yes"], "filter": "none"}
    sample |= {"arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {}}}, "metrics": ["acc", "f1"]}
    lines = [json.dumps(sample | {"doc_id": n, "acc": n % 2, "f1": 1.0}) for n in range(4)]
    log.write_text("\n".join(lines))
    (row,) = boresight("score", "lm-eval", log, "-o", tmp_path / "run", "--json").json["results"]
    again = boresight("score", "lm-eval", log, "-o", tmp_path / "run", "--json")
    assert again.json["results"] == [row] and "already done" in again.stderr
    assert (row["task"], row["model"], row["n"]) == ("arc_easy", "my__model", 4)
    assert row["headline"] == "acc" and row["scores"]["acc"]["value"] == 0.5
    assert "── arc_easy-0" in boresight("eval", "show", tmp_path / "run", "--wrong").stdout
    said = boresight("score", "lm-eval", tmp_path / "answers.jsonl")
    assert said.returncode == 2 and "not a log of samples" in said.stderr


def test_published_answers(boresight: Run, tmp_path: Path) -> None:
    path = tmp_path / "navigate_few_shot_template_0-255000.json"
    path.write_text(json.dumps({"outputs": [{"input": "Q: Who?\nA:", "prediction": " No", "target": "No"}]}))
    (row,) = boresight("score", "bbh", path, "--json").json["results"]
    assert (row["setting"], row["scores"]["strict"]["value"]) == ("direct", 1)
    for arguments, said in (
        (("bbh:cot", path), "the answers are of bbh:direct"),
        (("bbh", path, path), "a second answer to 'navigate-1'"),
    ):
        ended = boresight("score", *arguments)
        assert ended.returncode == 2 and said in ended.stderr


def test_names_of_models_drive_no_terminal(boresight: Run, data: list[str], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"id": "gsm8k-1", "output": "2\x1b[2J", "model": "\x1b[2J\nx\u202e"}))
    for printed in (
        boresight("score", "gsm:cot", path, *data, "-o", tmp_path / "run").stdout,
        boresight("eval", "show", tmp_path / "run").stdout,
    ):
        assert "\x1b" not in printed and "\u202e" not in printed and "\u27e8U+001B\u27e9[2J" in printed
