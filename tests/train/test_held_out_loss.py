"""Evaluation during training, against every held-out conversation alone through transformers' own model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.errors import UserError
from boresight.train import loop
from boresight.train.loop import train
from boresight.train.metrics import METRICS, StepMetrics
from boresight.train.saving import MODEL
from boresight.train.settings import STRATEGIES, TrainSettings

MakeModel = Callable[..., PreTrainedModel]
HELD_OUT = 3
SMALL: dict[str, Any] = {
    "sequences_per_step": 2,
    "epochs": 2,
    "tokens_per_micro_batch": 300,
    "learning_rate": 1e-2,
    "precision": "fp32",
    "held_out": HELD_OUT,
}
STEPS = 8
"""Of ten conversations seven are left: four steps an epoch."""


class Seen:
    """Which conversations the model was run on, with and without a gradient."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.trained: list[int] = []
        self.measured: list[int] = []
        honest = loop.collate

        def collate(store: TokenStore, batch: Any, weights: dict[int, float]) -> Any:
            (self.trained if torch.is_grad_enabled() else self.measured).extend(batch.sequences.tolist())
            return honest(store, batch, weights)

        monkeypatch.setattr(loop, "collate", collate)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def lines_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def by_hand(model: PreTrainedModel, store: TokenStore, chosen: list[int], alpha: float) -> float:
    """Σ_i Σ_t w_i ℓ_it with w_i = N_i^(-α) / Σ_j N_j^(1-α), a conversation at a time."""
    normaliser = sum(int(store.sequence(i)[1].sum()) ** (1 - alpha) for i in chosen)
    total = 0.0
    for i in chosen:
        tokens, marks = store.sequence(i)
        tokens, at = torch.from_numpy(tokens), torch.from_numpy(marks).nonzero()[:, 0]
        with torch.no_grad():
            logits = model.eval()(tokens[None]).logits[0]
        losses = cross_entropy(logits[at - 1], tokens[at], reduction="sum").item()
        total += losses * len(at) ** -alpha / normaliser
    return total


@pytest.mark.parametrize("loss", ["token", "sequence", 0.0, 0.5, 1.0])
def test_it_is_the_objective_of_the_trained_model_on_them(
    loss: Any,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    seen: Seen,
) -> None:
    told = TrainSettings(**SMALL, loss=loss)
    train(make_model(attention_dropout=0.3), tokenizer, store, told, tmp_path)
    chosen = sorted(set(seen.measured))
    alpha = {"token": 0.0, "sequence": 1.0}.get(loss, loss)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / MODEL, attn_implementation="sdpa")
    lines = lines_of(tmp_path)
    assert [line["held_out_loss"] for line in lines[:-1]] == [None] * (STEPS - 1)
    assert lines[-1]["held_out_loss"] == pytest.approx(by_hand(trained, store, chosen, alpha), rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_on_the_way_it_is_that_of_the_model_after_the_update(
    strategy: str,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    seen: Seen,
) -> None:
    model, plain = make_model(), make_model(attention="sdpa")
    measured: list[tuple[float, float]] = []

    def report(metrics: StepMetrics) -> None:
        if metrics.held_out_loss is not None:
            plain.load_state_dict(whole(model))
            expected = by_hand(plain, store, sorted(set(seen.measured)), 1.0)
            measured.append((metrics.held_out_loss, expected))

    told = TrainSettings(**SMALL, evaluate_every=3, batching=strategy)
    train(model, tokenizer, store, told, tmp_path, report)
    assert [line["step"] for line in lines_of(tmp_path) if line["held_out_loss"] is not None] == [3, 6, 8]
    for ours, expected in measured:
        assert ours == pytest.approx(expected, rel=1e-5)
    assert len({round(ours, 4) for ours, _ in measured}) == 3, "the model did not change in between"


def whole(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights of a model that is being trained."""
    return {
        name: weight.full_tensor() if hasattr(weight, "full_tensor") else weight
        for name, weight in model.state_dict().items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_they_are_never_trained_on_and_nothing_else_is_left_out(
    seed: int,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    seen: Seen,
) -> None:
    train(make_model(), tokenizer, store, TrainSettings(**SMALL, seed=seed, evaluate_every=2), tmp_path)
    chosen = set(seen.measured)
    assert len(chosen) == HELD_OUT
    assert sorted(seen.measured) == sorted([*chosen] * (STEPS // 2)), "each once at every measurement"
    left = [i for i in range(len(store)) if i not in chosen]
    assert sorted(seen.trained) == sorted(left * 2), "each once an epoch"
    assert sum(line["sequences"] for line in lines_of(tmp_path)) == 2 * len(left)


def test_the_seed_draws_them(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = {}
    for seed in range(6):
        with monkeypatch.context() as patch:
            seen = Seen(patch)
            run = tmp_path / str(seed)
            run.mkdir()
            train(make_model(), tokenizer, store, TrainSettings(**SMALL, seed=seed, steps=1), run)
            drawn[seed] = frozenset(seen.measured)
    assert len(set(drawn.values())) > 1


def test_measuring_changes_nothing(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    """Not the dropout of the steps after it, nor the weights: to the last bit."""
    lines = {}
    for every in (1, 100):
        run = tmp_path / str(every)
        run.mkdir()
        told = TrainSettings(**SMALL, evaluate_every=every)
        train(make_model(attention_dropout=0.3), tokenizer, store, told, run)
        lines[every] = [line | {"held_out_loss": None} for line in lines_of(run)]
        lines[every].append((run / MODEL / "model.safetensors").read_bytes())
    assert lines[1] == lines[100]


def test_the_same_ones_after_a_resume(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = TrainSettings(**SMALL, evaluate_every=2, checkpoint_every=2)

    def kill(metrics: StepMetrics) -> None:
        if metrics.step == 5:
            raise KeyboardInterrupt

    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    train(make_model(), tokenizer, store, told, tmp_path / "whole")
    seen = []
    for attempt, report in enumerate((kill, lambda metrics: None)):
        with monkeypatch.context() as patch:
            seen.append(Seen(patch))
            if attempt == 0:
                with pytest.raises(KeyboardInterrupt):
                    train(make_model(), tokenizer, store, told, tmp_path / "resumed", report)
            else:
                train(make_model(), tokenizer, store, told, tmp_path / "resumed", report)
    first, second = seen
    assert set(first.measured) == set(second.measured) and len(set(first.measured)) == HELD_OUT
    assert not set(first.measured) & {*first.trained, *second.trained}
    assert lines_of(tmp_path / "resumed") == lines_of(tmp_path / "whole")


@pytest.mark.parametrize("held_out", [10, 11])
def test_holding_out_everything_is_refused(
    held_out: int,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
) -> None:
    told = TrainSettings(**(SMALL | {"held_out": held_out}))
    with pytest.raises(UserError, match=f"held_out: {held_out} of 10"):
        train(make_model(), tokenizer, store, told, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_left_is_enough(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path, seen: Seen
) -> None:
    told = TrainSettings(**(SMALL | {"held_out": 9}))
    assert train(make_model(), tokenizer, store, told, tmp_path) == 2
    assert len(set(seen.trained)) == 1 and len(set(seen.measured)) == 9
