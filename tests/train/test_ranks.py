"""One rank equals two equals four: the loss of every step and the final weights, however a step is cut.

The ranks are processes with gloo between them; weights are sharded over them as on GPUs.
"""

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.errors import Interrupted, UserError
from boresight.models.load import empty_model
from boresight.train.attention import NAME as ATTENTION
from boresight.train.checkpoint import FOLDER
from boresight.train.isolation import check_isolation
from boresight.train.loop import train
from boresight.train.metrics import METRICS, StepMetrics
from boresight.train.ranks import joined
from boresight.train.saving import ADAPTER, MODEL
from boresight.train.settings import STRATEGIES, TrainSettings
from boresight.train.sharding import sharded

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["boresight.train.loop", "boresight.data.tokenise"])
PATIENCE = 240
"""Seconds to wait for other processes before the test fails."""
STEPS = 20
BASE: dict[str, Any] = {
    "sequences_per_step": 5,
    "steps": STEPS,
    "tokens_per_micro_batch": 400,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "precision": "fp32",
}
LORA = {"rank": 4, "alpha": 8.0}
CASES: dict[str, dict[str, Any]] = {
    **{
        f"{s}-{cap}": {"batching": s, "tokens_per_micro_batch": cap}
        for s in STRATEGIES
        for cap in (150, 2000)
    },
    **{f"lora-{s}": {"batching": s, "lora": LORA, "learning_rate": 1e-2} for s in STRATEGIES},
    "held out": {"held_out": 3, "evaluate_every": 5},
    "recomputed": {"activation_checkpointing": True},
    "tokens": {"loss": "token"},
}
SHARED: dict[int, dict[str, dict[str, Any]]] = {
    2: {
        "shared by 2": {"sequence_parallel": 2},
        "shared by 2, padded": {"sequence_parallel": 2, "batching": "padded"},
        "shared by 2, lora": {"sequence_parallel": 2, "lora": LORA, "learning_rate": 1e-2},
        "offloaded": {"offload": True},
        "2 replicas": {"replicas": 2},
    },
    4: {
        "shared by 4": {"sequence_parallel": 4},
        "2 by 2": {"sequence_parallel": 2, "held_out": 3, "evaluate_every": 5},
        "2 replicas": {"replicas": 2},
        "2 replicas, shared by 2": {"replicas": 2, "sequence_parallel": 2},
    },
}
"""What needs a certain number of ranks, and is compared to one rank without it."""


def new_model(tied: bool = True) -> PreTrainedModel:
    """Grouped heads, a window in every other layer, tied embeddings: what can go wrong when sharded.

    No key biases: their gradient is nothing but rounding, which Adam scales up to full steps.
    """
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        layer_types=["full_attention", "sliding_attention"],
        sliding_window=20,
        use_sliding_window=True,
        tie_word_embeddings=tied,
        initializer_range=0.1,
        attn_implementation=ATTENTION,
    )
    with torch.device("cpu" if os.environ.get("RANK", "0") == "0" else "meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION)


def train_case(
    changes: dict[str, Any],
    places: tuple[Path, Path],
    run: Path,
    report: Callable[[StepMetrics], None] = lambda metrics: None,
) -> None:
    run.mkdir(exist_ok=True, parents=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(places[1])
    model = new_model()
    if "lora" in changes:  # adapters are saved for a base on the disk
        if os.environ.get("RANK", "0") == "0":
            model.save_pretrained(run / "base")
        model.config._name_or_path = str(run / "base")
    train(model, tokenizer, TokenStore(places[0]), TrainSettings(**(BASE | changes)), run, report)


def train_cases(cases: dict[str, dict[str, Any]], places: tuple[Path, Path], directory: Path) -> None:
    settings = TrainSettings()
    with joined(settings):
        for name, changes in cases.items():
            train_case(changes, places, directory / name)


def start_ranks(size: int, target: Callable[..., None], *args: object) -> list[BaseProcess]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        PROCESSES.Process(target=as_rank, args=(rank, size, port, target, *args)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def as_rank(rank: int, size: int, port: int, target: Callable[..., None], *args: object) -> None:
    """What torchrun sets."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    target(*args)


def finish(processes: list[BaseProcess]) -> None:
    give_up = time.monotonic() + PATIENCE
    try:
        for process in processes:
            process.join(max(0.0, give_up - time.monotonic()))
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def places(
    store: TokenStore, make_byte_tokenizer: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Directories of the token store and the tokenizer."""
    directory = tmp_path_factory.mktemp("tokenizer")
    make_byte_tokenizer().save_pretrained(directory)
    return Path(store._tokens.filename).parent, directory


@pytest.fixture(scope="module")
def runs(places: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """All cases on 1, 2 and 4 ranks."""
    directories = {size: tmp_path_factory.mktemp(f"ranks{size}") for size in (1, 2, 4)}
    for size, directory in directories.items():
        cases = CASES if size == 1 else CASES | SHARED[size]
        finish(start_ranks(size, train_cases, cases, places, directory))
    return directories


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


def assert_same(run: Path, expected: Path, tolerance: float = 1e-5) -> None:
    ours, theirs = lines_of(run), lines_of(expected)
    assert len(ours) == len(theirs) == STEPS
    for key in ("loss", "held_out_loss"):
        for line, wanted in zip(ours, theirs, strict=True):
            same = line[key] == wanted[key] or line[key] == pytest.approx(wanted[key], rel=tolerance)
            assert same, f"{key} of step {line['step']}: {line[key]} and {wanted[key]}"
    for folder in (MODEL, ADAPTER):
        if not (expected / folder).exists():
            continue
        (name,) = [p.name for p in (expected / folder).glob("*.safetensors")]
        weights, wanted = load_file(run / folder / name), load_file(expected / folder / name)
        assert weights.keys() == wanted.keys()
        for name in wanted:
            assert (weights[name] - wanted[name]).norm() <= tolerance * wanted[name].norm(), name


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_ranks_trains_the_same(case: str, size: int, runs: dict[int, Path]) -> None:
    assert_same(runs[size] / case, runs[1] / case)


def test_every_cut_trains_the_same(runs: dict[int, Path]) -> None:
    for case in CASES:
        if case.partition("-")[0] in STRATEGIES:
            assert_same(runs[4] / case, runs[1] / "padded-2000")
        if case.startswith("lora"):
            assert_same(runs[4] / case, runs[1] / "lora-padded")


@pytest.mark.parametrize(("size", "case"), [(size, case) for size in SHARED for case in SHARED[size]])
def test_sharing_a_row_replicas_and_offloading_change_nothing(
    size: int, case: str, runs: dict[int, Path]
) -> None:
    changes = SHARED[size][case]
    like = "lora-balanced" if "lora" in changes else "held out" if "held_out" in changes else "balanced-2000"
    assert_same(runs[size] / case, runs[1] / like)


def test_training_changed_the_weights(runs: dict[int, Path]) -> None:
    """Otherwise the comparisons would mean nothing."""
    before = new_model().state_dict()
    for name, weights in load_file(runs[4] / "balanced-2000" / MODEL / "model.safetensors").items():
        assert (weights - before[name]).norm() > 1e-3 * before[name].norm(), name
    lines = lines_of(runs[4] / "lora-balanced")
    assert lines[-1]["loss"] < 0.99 * lines[0]["loss"]


# Stopping and going on ------------------------------------------------------------------------------------

INTERRUPTED = 77
"""Exit code of a rank here that was asked to stop, and saved."""


def train_slowly(places: tuple[Path, Path], run: Path, pause: float) -> None:
    try:
        train_case({"checkpoint_every": 2}, places, run, lambda metrics: time.sleep(pause))
    except Interrupted as stopped:
        assert stopped.signal == signal.SIGTERM and "goes on" in str(stopped)
        raise SystemExit(INTERRUPTED) from stopped


def wait_for(run: Path, steps: int, processes: list[BaseProcess]) -> None:
    """Until a checkpoint of at least so many steps is there."""
    give_up = time.monotonic() + PATIENCE
    while not any(int(p.name[5:]) >= steps for p in (run / FOLDER).glob("step-????????")):
        assert all(process.is_alive() for process in processes), "it ended too early"
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_killed_and_resumed_on_other_numbers_of_ranks(
    places: tuple[Path, Path], runs: dict[int, Path], tmp_path: Path
) -> None:
    """1 rank, kill -9; 2 ranks, kill -9; 4 ranks to the end: the losses and weights of never stopped."""
    for size, until in ((1, 4), (2, 10)):
        processes = start_ranks(size, train_slowly, places, tmp_path, 0.15)
        wait_for(tmp_path, until, processes)
        for process in processes:
            process.kill()
            process.join()
        assert len(lines_of(tmp_path)) < STEPS
    finish(start_ranks(4, train_slowly, places, tmp_path, 0.0))
    assert_same(tmp_path, runs[1] / "balanced-2000")


@pytest.mark.parametrize("told", [0, 1])
def test_sigterm_to_any_rank_saves_and_ends_all(
    told: int, places: tuple[Path, Path], runs: dict[int, Path], tmp_path: Path
) -> None:
    processes = start_ranks(2, train_slowly, places, tmp_path, 0.15)
    wait_for(tmp_path, 4, processes)
    os.kill(processes[told].pid or 0, signal.SIGTERM)
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == INTERRUPTED
    (kept,) = (tmp_path / FOLDER).iterdir()
    assert int(kept.name[5:]) == len(lines_of(tmp_path)), "a finished step was lost"
    assert 4 <= len(lines_of(tmp_path)) < STEPS
    finish(start_ranks(2, train_slowly, places, tmp_path, 0.0))
    assert_same(tmp_path, runs[1] / "balanced-2000")


# What cannot be divided -----------------------------------------------------------------------------------


def refused(places: tuple[Path, Path], run: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        train_case(changes, places, run)


def test_what_cannot_be_divided_is_refused(places: tuple[Path, Path], tmp_path: Path) -> None:
    """On every rank, so that none is left waiting."""
    changes = {"sequence_parallel": 3}
    finish(start_ranks(2, refused, places, tmp_path, changes, "3 does not divide 2 ranks"))
    with pytest.raises(UserError, match="replicas: 2 does not divide 1 ranks"):
        train_case({"replicas": 2}, places, tmp_path)


def heads_refused(places: tuple[Path, Path], run: Path) -> None:
    refused(places, run, {"sequence_parallel": 3}, "3 does not divide the model's 4 attention heads")


def test_heads_must_go_round(places: tuple[Path, Path], tmp_path: Path) -> None:
    finish(start_ranks(3, heads_refused, places, tmp_path))


# What transformers makes of other models ------------------------------------------------------------------


def gemma_is_sharded() -> None:
    """Its embedding scale is a buffer in the type of the weights, which the first rank reads from a file."""
    config = AutoConfig.for_model(
        "gemma3_text",
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    settings = TrainSettings(precision="bf16")
    with joined(settings) as ranks:
        if ranks.first:
            model = AutoModelForCausalLM.from_config(
                config, attn_implementation=ATTENTION, dtype=torch.float32
            )
        else:
            model = empty_model(config, ATTENTION, torch.bfloat16)
        objective = sharded(model, settings, ranks)
        buffers = {name: (b.dtype, b.device.type) for name, b in objective.named_buffers()}
        assert ranks.once(lambda: buffers) == buffers
        assert any("embed_scale" in name for name in buffers)
        check_isolation(objective, "bf16", ranks.device)


def test_buffers_are_the_first_ranks_whatever_type_they_have() -> None:
    finish(start_ranks(2, gemma_is_sharded))
