"""`boresight train` as a user types it: dry runs, both stages, longer contexts, adapters, and signals."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from boresight.cli import main
from boresight.models.load import load_config, load_model
from boresight.models.local import LocalModel
from boresight.models.requests import Request, Sampling
from boresight.runs import read_run
from boresight.train.metrics import METRICS
from boresight.train.settings import SPEED_ALONE, STRATEGIES, TrainSettings

Command = Callable[..., dict[str, Any]]
CONVERSATIONS = 9
RECIPE = """\
model: pocket
max_length: 128
data: [{path: rows.jsonl}]
train:
  epochs: 1
  sequences_per_step: 2
  tokens_per_micro_batch: 200
  precision: fp32
  learning_rate: 1.0e-3
"""


def row(words: int) -> str:
    turns = [{"role": "user", "content": "why " * words}, {"role": "assistant", "content": "so " * words}]
    return json.dumps({"messages": turns}) + "\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(row(1 + i * i % 11) for i in range(CONVERSATIONS)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def changed(*settings: str) -> list[str]:
    return [argument for setting in settings for argument in ("--set", setting)]


def call(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str | Path, ...]) -> Any:
    monkeypatch.setattr("sys.argv", ["boresight", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with --json; returns its one document."""

    def command(*arguments: str | Path) -> dict[str, Any]:
        code = call(monkeypatch, (*arguments, "--json"))
        out, err = capfd.readouterr()
        assert not code, err
        return json.loads(out)

    return command


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command; returns what it printed for a person."""

    def command(*arguments: str | Path) -> str:
        code = call(monkeypatch, arguments)
        out, err = capfd.readouterr()
        assert not code, err
        return out

    return command


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail as a user's mistake; returns its message."""

    def command(*arguments: str | Path) -> str:
        code = call(monkeypatch, arguments)
        out, err = capfd.readouterr()
        assert code == 2 and not out and "Traceback" not in err, err
        return err

    return command


def lines_of(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


def losses_of(directory: Path) -> list[float]:
    return [line["loss"] for line in lines_of(directory)]


# Dry runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batching", STRATEGIES)
def test_a_dry_run_foretells_what_training_takes(
    batching: str, recipe: Path, tmp_path: Path, run: Command
) -> None:
    settings = changed(f"train.batching={batching}")
    foreseen = run("train", recipe, *settings, "--dry-run")
    trained = run("train", recipe, *settings, "-o", tmp_path / "run")
    lines = lines_of(tmp_path / "run")
    assert foreseen["steps"] == trained["steps"] == len(lines) == 5
    assert foreseen["ranks"] == 1 and foreseen["parameters"] == trained["parameters"]
    for key in ("sequences", "tokens", "targets"):
        assert foreseen["data"][key] == trained[key]
    batches = foreseen["batches"]
    padding, tokens = (sum(line[key] for line in lines) for key in ("padding", "tokens"))
    assert batches["strategy"] == batching
    assert batches["padding"] == pytest.approx(padding / (padding + tokens), abs=1e-12)
    assert (batches["padding"] > 0) == (batching in ("padded", "sorted"))
    assert batches["micro_batches"] == sum(line["micro_batches"] for line in lines)
    assert batches["idle"] == 0, "a rank alone waits for nobody"


@pytest.mark.parametrize(
    "settings",
    [
        ("train.epochs=3",),
        ("train.steps=7",),
        ("train.held_out=4",),
        ("train.held_out=4", "train.epochs=2"),
        ("data.0.limit=5",),
    ],
)
def test_a_dry_run_counts_the_steps(
    settings: tuple[str, ...], recipe: Path, tmp_path: Path, run: Command
) -> None:
    foreseen = run("train", recipe, *changed(*settings), "--dry-run")
    assert foreseen["steps"] == run("train", recipe, *changed(*settings), "-o", tmp_path / "run")["steps"]


def test_a_dry_run_leaves_out_what_is_held_out(recipe: Path, tmp_path: Path, run: Command) -> None:
    settings = changed("train.held_out=4", "train.batching=padded")
    batches = run("train", recipe, *settings, "--dry-run")["batches"]
    run("train", recipe, *settings, "-o", tmp_path / "run")
    lines = lines_of(tmp_path / "run")
    padding, tokens = (sum(line[key] for line in lines) for key in ("padding", "tokens"))
    assert batches["padding"] == pytest.approx(padding / (padding + tokens), abs=1e-12) and padding > 0
    assert batches["steps"] == len(lines)


def test_a_dry_run_counts_steps_by_tokens(recipe: Path, tmp_path: Path, run: Command) -> None:
    recipe.write_text(RECIPE.replace("sequences_per_step: 2", "tokens_per_step: 90"))
    foreseen = run("train", recipe, "--dry-run")
    trained = run("train", recipe, "-o", tmp_path / "run")
    assert 1 < foreseen["steps"] == trained["steps"] < CONVERSATIONS


def test_a_dry_run_tells_a_person_the_same(recipe: Path, run: Command, text: Callable[..., str]) -> None:
    foreseen = run("train", recipe, "--dry-run")
    said = text("train", recipe, "--dry-run")
    for word in ("pocket", "balanced", "idle", "padding", "weights", "gradients", "optimizer", "activations"):
        assert word in said
    assert f"{foreseen['parameters']:,} parameters" in said
    assert f"{foreseen['data']['targets']:,} of them" in said
    (steps,) = (line for line in said.splitlines() if line.startswith("steps"))
    assert steps.split()[1].strip(",") == str(foreseen["steps"])
    assert "warning" not in said


def test_the_tokens_of_a_step_are_those_trained_on(
    recipe: Path, tmp_path: Path, run: Command, text: Callable[..., str]
) -> None:
    settings = changed("train.held_out=5")
    run("train", recipe, *settings, "-o", tmp_path / "run")
    lines = lines_of(tmp_path / "run")
    average = sum(line["tokens"] for line in lines) / len(lines)
    assert f" {average:,.0f} tokens each" in text("train", recipe, *settings, "--dry-run")


def test_the_parts_of_the_memory_make_the_total(recipe: Path, run: Command) -> None:
    one, four = (run("train", recipe, *changed(f"ranks={n}"), "--dry-run") for n in (1, 4))
    for foreseen in (one, four):
        parts = dict(foreseen["memory"])
        assert parts.pop("total") == sum(size for part, size in parts.items() if part != "host")
        assert {"weights", "gradients", "optimizer", "activations"} <= parts.keys()
    assert four["ranks"] == 4
    assert one["memory"]["optimizer"] == 8 * one["parameters"] == 4 * four["memory"]["optimizer"]


@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_dry_run_leaves_nothing(
    output: bool,
    fails: bool,
    recipe: Path,
    tmp_path: Path,
    run: Command,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    if fails:
        (tmp_path / "rows.jsonl").write_text(row(3) + '{"messages": [\n')
    before = sorted(tmp_path.rglob("*"))
    arguments = ["train", recipe, "--dry-run", *(["-o", tmp_path / "run"] if output else [])]
    if fails:
        assert "rows.jsonl:2" in refused(*arguments)
    else:
        run(*arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_leaves_a_finished_run_alone(recipe: Path, tmp_path: Path, run: Command) -> None:
    run("train", recipe, "-o", tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    run("train", recipe, "-o", tmp_path / "run", "--force", "--dry-run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_a_step_that_one_sequence_decides_is_warned_of(
    recipe: Path, tmp_path: Path, run: Command, text: Callable[..., str]
) -> None:
    """One of 100 words among others of one, on four ranks: three of them wait for the fourth."""
    (tmp_path / "rows.jsonl").write_text("".join(row(40 if i == 0 else 1) for i in range(8)))
    settings = changed("train.sequences_per_step=8")
    many, one = ([*settings, *changed(f"ranks={n}")] for n in (4, 1))
    warned = [line for line in text("train", recipe, *many, "--dry-run").splitlines() if "warning" in line]
    assert len(warned) == 1 and "longest" in warned[0] and "100%" in warned[0]
    assert "warning" not in text("train", recipe, *one, "--dry-run")
    foreseen = run("train", recipe, *many, "--dry-run")["batches"]
    assert foreseen["dominated"] == 1 and foreseen["idle"] > 0.25
    assert run("train", recipe, *one, "--dry-run")["batches"]["dominated"] == 0


def test_without_an_output_only_a_dry_run_works(recipe: Path, tmp_path: Path, refused: Any) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert "-o" in refused("train", recipe)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("max_length=5000",), "max_length: 5000 is longer than the context"),
        (("train.held_out=9",), "held_out: 9 of 9"),
        (("ranks=6", "train.replicas=4"), "replicas: 4 does not divide"),
        (("ranks=6", "train.sequence_parallel=4"), "sequence_parallel: 4 does not divide"),
        (("ranks=7", "train.sequence_parallel=7"), "attention heads"),
        (("train.lora.targets=[q_prj]",), "did you mean 'q_proj'?"),
    ],
)
def test_a_dry_run_refuses_what_training_would(
    settings: tuple[str, ...], said: str, recipe: Path, refused: Callable[..., str]
) -> None:
    assert said in refused("train", recipe, *changed(*settings), "--dry-run")


# Stages -----------------------------------------------------------------------------------------------

TALE = "The old harbour was mended many times, and nobody knew by whom. " * 12


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_pretrain_on_documents_then_fine_tune_the_result(
    kind: str, recipe: Path, tmp_path: Path, run: Command
) -> None:
    documents = tmp_path / f"documents.{kind}"
    documents.write_text(
        TALE if kind == "txt" else "".join(json.dumps({"text": TALE}) + "\n" for _ in range(2))
    )
    pretrain = ("stage=pretrain", f"data=[{{path: {documents}}}]", "max_length=64")
    foreseen = run("train", recipe, *changed(*pretrain), "--dry-run")
    first = run("train", recipe, *changed(*pretrain), "-o", tmp_path / "longer")
    assert foreseen["steps"] == first["steps"] > 1
    assert first["targets"] == first["tokens"] - first["sequences"], "all but the first token of each"
    for line in lines_of(tmp_path / "longer"):
        assert line["targets"] == line["tokens"] - line["sequences"]
    model = tmp_path / "longer" / "model"
    assert AutoTokenizer.from_pretrained(model).chat_template is None
    base = load_model("pocket", "sdpa").state_dict()
    moved = load_model(str(model), "sdpa").state_dict()
    assert any(not torch.equal(moved[name], base[name]) for name in base)

    second = run("train", recipe, *changed(f"model={model}"), "-o", tmp_path / "tuned")
    assert second["sequences"] == CONVERSATIONS and second["targets"] < second["tokens"] / 2 + CONVERSATIONS
    assert str(model) in read_run(tmp_path / "tuned")["inputs"], "a changed base would be noticed"
    assert AutoTokenizer.from_pretrained(tmp_path / "tuned" / "model").chat_template
    fresh = run("train", recipe, "-o", tmp_path / "untaught")
    assert second["first_loss"] != fresh["first_loss"], "it went on from another model"


@pytest.mark.parametrize(
    ("text_", "said"), [('{"text": "a"}\n{"txt": "b"}\n', "documents.jsonl:2"), ("", "empty")]
)
def test_documents_that_are_none(
    text_: str, said: str, recipe: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "documents.jsonl").write_text(text_)
    settings = changed("stage=pretrain", f"data=[{{path: {tmp_path / 'documents.jsonl'}}}]")
    assert said in refused("train", recipe, *settings, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rope", ["base", "yarn"])
def test_a_longer_context(
    rope: str, recipe: Path, tmp_path: Path, run: Command, refused: Callable[..., str]
) -> None:
    before = load_config("pocket")
    context = 4 * before.max_position_embeddings
    settings = changed(f"extend={{context: {context}, rope: {rope}}}")
    too_long = refused(
        "train", recipe, *settings, *changed(f"max_length={context + 1}"), "-o", tmp_path / "run"
    )
    assert f"max_length: {context + 1} is longer than the context" in too_long
    assert not (tmp_path / "run").exists()
    full = changed(f"max_length={context}")
    assert "context" in refused("train", recipe, *full, "-o", tmp_path / "run"), "not without `extend`"
    run("train", recipe, *settings, *full, "-o", tmp_path / "run")
    model = tmp_path / "run" / "model"
    saved = AutoConfig.from_pretrained(model)
    assert saved.max_position_embeddings == context
    theta = before.rope_parameters["rope_theta"]
    if rope == "base":
        assert saved.rope_parameters["rope_type"] == "default"
        assert saved.rope_parameters["rope_theta"] == 200 * theta
    else:
        assert saved.rope_parameters["rope_type"] == "yarn"
        assert saved.rope_parameters["factor"] == 4 and saved.rope_parameters["rope_theta"] == theta
    assert AutoTokenizer.from_pretrained(model).model_max_length == context
    run("train", recipe, *changed(f"model={model}"), *full, "--dry-run")
    prompt = "why " * before.max_position_embeddings
    (answer,) = LocalModel(str(model)).generate([Request(prompt, Sampling(3))])
    assert answer.finish_reason in ("stop", "length")


# Adapters and trackers --------------------------------------------------------------------------------

LORA = "train.lora={rank: 4, alpha: 64}"


def test_adapters_merged_or_alone_are_one_model(recipe: Path, tmp_path: Path, run: Command) -> None:
    merged = run("train", recipe, *changed(LORA), "-o", tmp_path / "merged")
    alone = run("train", recipe, *changed(LORA, "train.lora.merge=false"), "-o", tmp_path / "alone")
    assert {k: v for k, v in merged.items() if "second" not in k} == {
        k: v for k, v in alone.items() if "second" not in k
    }
    names = [tmp_path / run / "model" for run in ("merged", "alone")]
    assert (names[0] / "config.json").is_file() and (tmp_path / "merged" / "adapter").is_dir()
    assert (names[1] / "adapter_config.json").is_file() and not list(names[1].glob("model*.safetensors"))
    weights, again = (load_model(str(name), "sdpa").state_dict() for name in names)
    base = load_model("pocket", "sdpa").state_dict()
    assert weights.keys() == again.keys() == base.keys()
    for name in weights:
        torch.testing.assert_close(weights[name], again[name], msg=name)
    assert any(not torch.equal(weights[name], base[name]) for name in base)
    prompts = ["<|user|>\nwhy why\n<|assistant|>\n", "The old harbour"]
    requests = [Request(prompt, Sampling(8)) for prompt in prompts]
    first, second = (LocalModel(str(name)).generate(requests) for name in names)
    assert first == second
    for name in names:
        assert AutoTokenizer.from_pretrained(name).chat_template


@pytest.mark.parametrize("settings", [(), (LORA,)])
def test_training_goes_on_from_adapters_alone(
    settings: tuple[str, ...], recipe: Path, tmp_path: Path, run: Command
) -> None:
    """A directory of adapters is a MODEL like any other."""
    first = run("train", recipe, *changed(LORA, "train.lora.merge=false"), "-o", tmp_path / "first")
    model = tmp_path / "first" / "model"
    second = run("train", recipe, *changed(*settings, f"model={model}"), "-o", tmp_path / "second")
    assert second["parameters"] >= load_model("pocket", "sdpa").num_parameters()
    assert second["first_loss"] < first["first_loss"], "it went on from what was learned"


def test_adapters_alone_cannot_carry_a_context(
    recipe: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    recipe.write_text(RECIPE + "  lora:\n    merge: false\nextend:\n  context: 4096\n")
    said = refused("train", recipe, "-o", tmp_path / "run")
    assert "train.lora.merge: true" in said
    lines = recipe.read_text().splitlines()
    guilty = [
        n for n, line in enumerate(lines, 1) if line.strip().startswith(("lora", "merge", "extend", "cont"))
    ]
    assert any(f"recipe.yaml:{n}:" in said for n in guilty), said
    assert ": :" not in said
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_metrics(recipe: Path, tmp_path: Path, run: Command) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run("train", recipe, *changed("track=[tensorboard]"), "-o", tmp_path / "run")
    read = events.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    scalars = [(event.step, event.value) for event in read.Scalars("train/loss")]
    assert [step for step, _ in scalars] == [1, 2, 3, 4, 5]
    assert [value for _, value in scalars] == pytest.approx(losses_of(tmp_path / "run"))


# Signals and ranks ------------------------------------------------------------------------------------

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "boresight")
PATIENCE = 100
"""Seconds to wait for a process before the test fails."""
LONGER = ("train.steps=24", "train.sequences_per_step=8", "train.checkpoint_every=1000")


def start(*arguments: str | Path, launcher: tuple[str, ...] = ("-m", "boresight")) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_steps(process: subprocess.Popen[str], directory: Path, steps: int) -> None:
    give_up = time.monotonic() + PATIENCE
    while not (directory / METRICS).exists() or len(lines_of_growing(directory)) < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.01)


def lines_of_growing(directory: Path) -> list[str]:
    return (directory / METRICS).read_text().splitlines()


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[float]]:
    """The losses of the longer run when nothing stops it, trained once."""
    known: list[float] = []

    def losses(recipe: Path) -> list[float]:
        if not known:
            directory = tmp_path_factory.mktemp("whole") / "run"
            process = start("train", recipe, *changed(*LONGER), "-o", directory)
            assert process.wait(PATIENCE) == 0, process.communicate()
            known.extend(losses_of(directory))
        return known

    return losses


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_same_command_goes_on(
    number: signal.Signals,
    code: int,
    recipe: Path,
    tmp_path: Path,
    never_stopped: Callable[[Path], list[float]],
) -> None:
    directory = tmp_path / "run"
    command = ("train", recipe, *changed(*LONGER), "-o", directory)
    process = start(*command)
    try:
        wait_for_steps(process, directory, 3)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert out == "" and "Traceback" not in err
    (told,) = (line for line in err.splitlines() if line.startswith("boresight:"))
    done = len(lines_of(directory))
    assert 3 <= done < 24, "it ended before it could be stopped"
    assert str(directory) in told and f"step {done} of 24" in told and err.splitlines()[-1] == told
    assert read_run(directory)["finished"] is None
    assert not (directory / "model").exists() and not list(directory.rglob("*.partial"))
    assert [path.name for path in (directory / "checkpoints").iterdir()] == [f"step-{done:08d}"]

    again = start(*command, "--json")
    out, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert json.loads(out)["steps"] == 24 and f"{directory}: goes on after step {done}" in err
    assert losses_of(directory) == never_stopped(recipe)
    assert read_run(directory)["finished"] and not (directory / "checkpoints").exists()


@pytest.mark.slow
def test_two_ranks_end_to_end(recipe: Path, tmp_path: Path, run: Command) -> None:
    gently = changed("train.learning_rate=1.0e-4")  # large steps blow rounding up
    process = start("train", recipe, *gently, "-o", tmp_path / "two", "--json", launcher=TORCHRUN)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.terminate()  # which ends its ranks as well
    assert process.returncode == 0, err
    counts = json.loads(out)
    one = run("train", recipe, *gently, "-o", tmp_path / "one")
    for key in ("steps", "sequences", "tokens", "targets", "dropped", "cut", "parameters"):
        assert counts[key] == one[key]
    assert read_run(tmp_path / "two")["finished"]
    assert [line["ranks"] for line in lines_of(tmp_path / "two")] == [2] * 5
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "one"), rel=1e-5)
    weights, expected = (load_model(str(tmp_path / n / "model"), "sdpa").state_dict() for n in ("two", "one"))
    for name in expected:
        assert (weights[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def test_speed_may_change_when_a_run_is_resumed_and_nothing_else() -> None:
    """Every key under `train` is either free to change or decides what a step computes."""
    decides = {
        "sequences_per_step", "tokens_per_step", "epochs", "steps", "loss", "learning_rate", "schedule",
        "warmup", "betas", "weight_decay", "gradient_clip", "precision", "lora", "held_out", "evaluate_every",
        "seed",
    }  # fmt: skip
    free = {name.removeprefix("train.") for name in SPEED_ALONE}
    assert free | decides == set(TrainSettings.model_fields)
    assert not free & decides
