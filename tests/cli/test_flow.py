"""The commands one after another, as a user types them; `--json` is one document on standard output."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from boresight.cli import main
from boresight.lab import long_data, story
from boresight.models.load import POCKET

Command = Callable[..., dict[str, Any]]
RECIPE = """\
model: pocket
max_length: 128
data: [{path: rows.jsonl}]
train: {epochs: 1, sequences_per_step: 2, precision: fp32, learning_rate: 1.0e-3}
"""
SUM = "{0}+{0}=<<{0}+{0}={1}>>{1}\n#### {1}"
ROWS = [{"question": f"{a} and {a}?", "answer": SUM.format(a, 2 * a)} for a in range(6)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with --json; returns its one document."""

    def command(*arguments: str | Path) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["boresight", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        assert not stop.value.code, err
        return json.loads(out)

    return command


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_import_show_tokenise_train_report(tmp_path: Path, raw: Path, run: Command) -> None:
    rows = tmp_path / "rows.jsonl"
    assert run("data", "import", "gsm8k", raw, "-o", rows)["conversations"] == 6
    shown = run("data", "show", rows, "--row", "3")["tokens"]
    # Alone, a line's first token has the space that decoding a whole text takes away.
    targets = "".join(token["token"] for token in shown if token["target"]).replace("\n ", "\n")
    assert targets == "2+2=4\nThe answer is 4.</s>"
    counts = run("data", "tokenise", rows, "-o", tmp_path / "store")
    assert counts["sequences"] == 6
    assert counts["dropped"] == {}
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    trained = run("train", tmp_path / "recipe.yaml", "-o", tmp_path / "run")
    assert trained["steps"] == 3
    assert (trained["sequences"], trained["tokens"]) == (6, counts["tokens"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert "<|assistant|>" in tokenizer.chat_template
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").num_parameters() > 1e6
    run("report", tmp_path / "run", "-o", tmp_path / "report.html")
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_a_finished_run_is_left_alone_and_changed_data_is_named(
    tmp_path: Path,
    raw: Path,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("{path: rows.jsonl}", "{source: gsm8k, path: raw.jsonl}"))
    first = run("train", recipe, "-o", tmp_path / "run")
    written = (tmp_path / "run" / "run.json").read_bytes()
    assert run("train", recipe, "-o", tmp_path / "run") == first
    assert (tmp_path / "run" / "run.json").read_bytes() == written
    raw.write_text(raw.read_text() + json.dumps(ROWS[0]) + "\n")
    monkeypatch.setattr("sys.argv", ["boresight", "train", str(recipe), "-o", str(tmp_path / "run")])
    with pytest.raises(SystemExit):
        main()
    assert "raw.jsonl" in capfd.readouterr().err
    assert run("train", recipe, "-o", tmp_path / "run", "--force")["sequences"] == 7


def test_the_demo_in_small(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CONVERSATIONS": 24, "LONG": 1, "QUESTIONS": 1, "LENGTHS": "256"}.items():
        monkeypatch.setattr(story, name, value)
    for name, value in {"DEPTHS": "50", "NEEDLES": 1}.items():
        monkeypatch.setattr(long_data, name, value)
    result = run("demo", "-o", tmp_path / "demo")
    systems = {system["system"]: system for system in result["systems"]}
    assert list(systems) == [story.VANILLA, story.IN_CONTEXT, story.TRAINED]
    for system in systems.values():
        assert system["short"]["low"] <= system["short"]["value"] <= system["short"]["high"]
    assert systems[story.IN_CONTEXT]["needles"] is None and systems[story.TRAINED]["needles"]
    assert (tmp_path / "demo" / "report.html").read_text().count("<svg") >= 4
    assert run("demo", "-o", tmp_path / "demo") == result


def test_pocket_is_a_model_like_any_other() -> None:
    assert sum(path.stat().st_size for path in POCKET.iterdir()) <= 16 * 2**20
    model, tokenizer = AutoModelForCausalLM.from_pretrained(POCKET), AutoTokenizer.from_pretrained(POCKET)
    assert tokenizer.chat_template is None, "a vanilla base model speaks no chat template"
    assert model.config.vocab_size == len(tokenizer)
