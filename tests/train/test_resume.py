"""A training run killed with SIGKILL at any moment ends as if nothing had happened, to the last bit."""

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.train import checkpoint
from boresight.train.attention import NAME as ATTENTION
from boresight.train.loop import train
from boresight.train.metrics import METRICS, MetricsFile, StepMetrics
from boresight.train.saving import MODEL
from boresight.train.settings import TrainSettings

STEPS = 12
SETTINGS = TrainSettings(
    sequences_per_step=3,
    steps=STEPS,
    tokens_per_micro_batch=300,
    learning_rate=1e-3,
    warmup=0.25,
    weight_decay=0.1,
    precision="fp32",
    checkpoint_every=2,
    seed=7,
)
PATIENCE = 180
"""Seconds to wait for another process before the test fails."""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["boresight.train.loop", "boresight.data.tokenise"])


def new_model() -> LlamaForCausalLM:
    """Fresh weights, always the same; dropout, so that the random state must be restored as well."""
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=512,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            attention_dropout=0.1,
            attn_implementation=ATTENTION,
        )
    )


def train_here(store: Path, tokenizer: Path, run: Path, pause: float = 0.0) -> None:
    run.mkdir(exist_ok=True)
    train(
        new_model(),
        PreTrainedTokenizerFast.from_pretrained(tokenizer),
        TokenStore(store),
        SETTINGS,
        run,
        lambda metrics: time.sleep(pause),
    )


def train_and_kill(store: Path, tokenizer: Path, run: Path, when: Callable[[Path], bool]) -> None:
    """Train in another process and kill it without warning as soon as `when` holds."""
    process = PROCESSES.Process(target=train_here, args=(store, tokenizer, run, 0.02))
    process.start()
    give_up = time.monotonic() + PATIENCE
    while process.is_alive() and not when(run):
        assert time.monotonic() < give_up, "the moment to kill it never came"
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it could be killed"


def lines_written(run: Path) -> int:
    metrics = run / METRICS
    return metrics.read_text().count("\n") if metrics.exists() else 0


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / MODEL / "model.safetensors")


def metrics_of(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same_run(run: Path, whole: Path) -> None:
    assert [line["step"] for line in metrics_of(run)] == list(range(1, STEPS + 1))
    assert metrics_of(run) == metrics_of(whole)
    weights, expected = final_weights(run), final_weights(whole)
    assert weights.keys() == expected.keys()
    for name, wanted in expected.items():
        assert torch.equal(weights[name], wanted), name
    assert not list(run.rglob("*.partial")), "something half-written stayed behind"
    assert not (run / checkpoint.FOLDER).exists()


@pytest.fixture(scope="module")
def places(
    store: TokenStore, make_byte_tokenizer: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Directories of the token store and the tokenizer."""
    directory = tmp_path_factory.mktemp("tokenizer")
    make_byte_tokenizer().save_pretrained(directory)
    return Path(store._tokens.filename).parent, directory


@pytest.fixture(scope="module")
def whole(places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole")
    finish(places, run)
    return run


def finish(places: tuple[Path, Path], run: Path) -> None:
    """Start or resume a run, in another process, and let it end."""
    process = PROCESSES.Process(target=train_here, args=(*places, run))
    process.start()
    process.join(PATIENCE)
    process.kill()
    assert process.exitcode == 0


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_steps(seed: int, places: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    first, second = sorted(random.Random(seed).sample(range(1, STEPS), 2))
    run = tmp_path / "run"
    for lines in (first, second):
        train_and_kill(*places, run, lambda run, lines=lines: lines_written(run) >= lines)
    finish(places, run)
    assert_same_run(run, whole)


@pytest.mark.parametrize("pattern", ["checkpoints/*.partial", "checkpoints/step-00000006*", "model.partial"])
def test_killed_while_writing(pattern: str, places: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_and_kill(*places, run, lambda run: any(run.glob(pattern)))
    finish(places, run)
    assert_same_run(run, whole)


def test_killed_while_a_checkpoint_is_half_written(
    places: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    """The worst case made by hand: beside a good checkpoint lies half of the next."""
    run = tmp_path / "run"
    train_and_kill(*places, run, lambda run: lines_written(run) >= 5)
    (good,) = (run / checkpoint.FOLDER).glob("step-????????")
    half = good.with_name("step-00000006.partial")
    shutil.copytree(good, half, dirs_exist_ok=True)
    (half / ".metadata").unlink()
    finish(places, run)
    assert_same_run(run, whole)


class Kill(BaseException):
    """Stands in for SIGKILL where the moment must be exact."""


def test_killed_while_the_checkpoints_are_removed_at_the_end(
    places: tuple[Path, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing a tree takes time as well: the first file is gone, the rest is not."""
    run = tmp_path / "run"

    remove = shutil.rmtree

    def removed_in_part(tree: Path, **options: bool) -> None:
        files = sorted(Path(tree).rglob("*.distcp"))
        if not files or not (run / MODEL).exists():
            return remove(tree, **options)
        files[-1].unlink()
        raise Kill

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(shutil, "rmtree", removed_in_part)
        train_here(*places, run)
    finish(places, run)
    assert_same_run(run, whole)


def test_metrics_taken_over_on_resuming_are_on_disk_at_once(tmp_path: Path) -> None:
    """A second kill before the first new step must not lose the lines of the steps already done."""
    path = tmp_path / METRICS
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    with MetricsFile(path, 2):
        assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_resumes_under_another_batching(places: tuple[Path, Path], tmp_path: Path) -> None:
    """The state of a run does not know how its steps are cut: only rounding may differ."""
    ends = []
    for name, first, then in (("same", "balanced", "balanced"), ("other", "padded", "packed")):
        run = tmp_path / name
        run.mkdir()
        for steps, batching in ((6, first), (STEPS, then)):
            settings = SETTINGS.model_copy(update={"batching": batching, "checkpoint_every": 6})
            model = new_model()
            model.config.attention_dropout = 0.0
            for layer in model.model.layers:
                layer.self_attn.attention_dropout = 0.0
            stop_after(model, settings, places, run, steps)
        ends.append(final_weights(run))
    for name, weight in ends[0].items():
        assert (weight - ends[1][name]).norm() <= 1e-4 * weight.norm(), name


def stop_after(
    model: LlamaForCausalLM, settings: TrainSettings, places: tuple[Path, Path], run: Path, steps: int
) -> None:
    """Train, but fall over as the step after `steps` is reported."""

    def report(metrics: StepMetrics) -> None:
        if metrics.step == steps + 1:
            raise Kill

    tokenizer = PreTrainedTokenizerFast.from_pretrained(places[1])
    try:
        train(model, tokenizer, TokenStore(places[0]), settings, run, report)
    except Kill:
        assert steps < STEPS
