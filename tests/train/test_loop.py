import errno
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import filesystem
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from boresight.chat import Chat
from boresight.data.store import StoreWriter, TokenStore
from boresight.errors import UserError
from boresight.records import Message
from boresight.train import saving
from boresight.train.batch import collate
from boresight.train.loop import learning_rate, model_cost, train
from boresight.train.metrics import METRICS
from boresight.train.plan import MicroBatch, Plan
from boresight.train.saving import MODEL
from boresight.train.settings import STRATEGIES, TrainSettings
from boresight.train.sharding import Objective, recompute_activations

MakeModel = Callable[..., PreTrainedModel]
SMALL: dict[str, Any] = {
    "sequences_per_step": 4,
    "epochs": 2,
    "tokens_per_micro_batch": 300,
    "learning_rate": 1e-3,
    "precision": "fp32",
}


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings(**(SMALL | changes))


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


# Learning rate ---------------------------------------------------------------------------------------


def test_linear_rates_worked_by_hand() -> None:
    """Ten steps, a fifth of them warm-up, then down in eighths."""
    told = TrainSettings(learning_rate=8.0, warmup=0.2, schedule="linear")
    rates = [learning_rate(told, step, 10) for step in range(10)]
    assert rates == pytest.approx([4, 8, 8, 7, 6, 5, 4, 3, 2, 1])


def test_cosine_rates_worked_by_hand() -> None:
    told = TrainSettings(learning_rate=2.0, warmup=0.0, schedule="cosine")
    rates = [learning_rate(told, step, 6) for step in range(6)]
    half, root = 0.5, 3**0.5 / 2
    assert rates == pytest.approx([2, 1 + root, 1 + half, 1, 1 - half, 1 - root])


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
)
def test_decay_is_that_of_transformers(schedule: Any, theirs: Callable) -> None:
    """Theirs starts the warm-up at zero, which wastes the first step; the decay is the same."""
    total, warmup = 50, 5
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-4)
    scheduler = theirs(optimizer, warmup, total)
    told = TrainSettings(learning_rate=3e-4, warmup=warmup / total, schedule=schedule)
    for step in range(total):
        if step >= warmup:
            assert learning_rate(told, step, total) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.9])
def test_short_runs_still_learn(total: int, warmup: float) -> None:
    told = TrainSettings(learning_rate=1.0, warmup=warmup)
    rates = [learning_rate(told, step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)


# Training --------------------------------------------------------------------------------------------


def train_by_hand(model: PreTrainedModel, store: TokenStore, told: TrainSettings) -> list[float]:
    """The same run, a sequence at a time, with nothing of ours but the order of the sequences."""
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=told.betas, weight_decay=told.weight_decay, fused=False
    )
    cost = model_cost(model.config, model.num_parameters())
    steps = list(Plan(store.lengths, store.target_counts, told, cost).steps())
    losses = []
    for step in steps:
        total = torch.zeros(())
        for i in step.sequences.tolist():
            tokens, marks = store.sequence(i)
            labels = torch.from_numpy(np.where(marks, tokens, -100))[1:]
            logits = model(torch.from_numpy(tokens)[None]).logits[0, :-1]
            total = total + cross_entropy(logits, labels) / len(step.sequences)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), told.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(told, step.number, len(steps))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total.item())
    return losses


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_training_is_what_plain_torch_does(
    strategy: str,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
) -> None:
    told = settings(batching=strategy, weight_decay=0.1, warmup=0.3, gradient_clip=0.5)
    model, plain = make_model(), make_model(attention="sdpa")
    train(model, tokenizer, store, told, tmp_path)
    losses = train_by_hand(plain, store, told)
    assert [line["loss"] for line in metrics_of(tmp_path)] == pytest.approx(losses, rel=1e-4)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / MODEL)
    for (name, weight), wanted in zip(trained.named_parameters(), plain.parameters(), strict=True):
        # Adam divides by tiny second moments: a few entries amplify rounding, the whole does not.
        assert (weight - wanted).norm() < 1e-3 * wanted.norm(), name


def test_the_finished_model_loads_with_tokenizer_and_template(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    chat = Chat(tokenizer, "tulu")
    steps = train(make_model(), tokenizer, store, settings(), tmp_path)
    assert steps == 6
    saved = tmp_path / MODEL
    loaded, loaded_tokenizer = (
        AutoModelForCausalLM.from_pretrained(saved),
        AutoTokenizer.from_pretrained(saved),
    )
    tokens = torch.arange(3, 40)[None]
    plain = make_model(attention="sdpa")
    plain.load_state_dict(load_file(saved / "model.safetensors"))
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).logits.float(), plain(tokens).logits)
    messages = [{"role": "user", "content": " Hello? "}]
    expected = chat.prompt([Message.model_validate(m) for m in messages])
    rendered = loaded_tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == expected == "<s><|user|>\nHello?\n<|assistant|>\n"
    assert loaded_tokenizer.eos_token == "</s>"
    assert loaded.config._attn_implementation != "boresight"
    assert "boresight" not in (saved / "config.json").read_text()


def test_a_bf16_run_saves_bf16_and_learns(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    told = settings(precision="bf16", epochs=8, learning_rate=1e-2)
    train(make_model(initializer_range=0.02), tokenizer, store, told, tmp_path)
    lines = metrics_of(tmp_path)
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert AutoModelForCausalLM.from_pretrained(tmp_path / MODEL).dtype == torch.bfloat16


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_metrics_count_what_was_done(
    strategy: str,
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
) -> None:
    train(make_model(), tokenizer, store, settings(batching=strategy), tmp_path)
    lines = metrics_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert [line["epoch"] for line in lines] == [0, 0, 0, 1, 1, 1]
    assert [line["sequences"] for line in lines] == [4, 4, 2, 4, 4, 2]
    for key, of_an_epoch in (("tokens", store.lengths.sum()), ("targets", store.target_counts.sum())):
        assert sum(line[key] for line in lines) == 2 * of_an_epoch
    if strategy in ("packed", "balanced"):
        assert all(line["padding"] == 0 for line in lines)
    else:
        assert sum(line["padding"] for line in lines) > 0


def test_activation_checkpointing_changes_no_gradient(store: TokenStore, make_model: MakeModel) -> None:
    batch = collate(store, MicroBatch(np.array([0, 2, 5]), False), {0: 0.1, 2: 0.2, 5: 0.3})
    gradients = []
    for checkpointing in (False, True):
        model = make_model().train()
        if checkpointing:
            recompute_activations(model)
        Objective(model)(batch).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)


def test_activation_checkpointing_recomputes(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    """The setting reaches the model: each layer runs twice for one backward pass."""
    runs = {}
    for told in (False, True):
        model, calls = make_model(), []
        norm = model.model.layers[0].input_layernorm
        norm.register_forward_hook(lambda norm, *_, calls=calls: calls.append(1) if norm.training else None)
        run = tmp_path / str(told)
        run.mkdir()
        train(model, tokenizer, store, settings(steps=1, activation_checkpointing=told), run)
        runs[told] = (len(calls), metrics_of(run)[0]["gradient_norm"])
    assert runs[True][0] == 2 * runs[False][0]
    assert runs[True][1] == pytest.approx(runs[False][1], rel=1e-6)


def test_an_empty_micro_batch_adds_nothing(store: TokenStore, make_model: MakeModel) -> None:
    model = make_model()
    for padded in (False, True):
        batch = collate(store, MicroBatch(np.array([], dtype=np.int64), padded), {})
        loss = Objective(model)(batch)
        loss.backward()
        assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_collate_worked_by_hand(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, {}) as writer:
        writer.append(np.array([10, 11, 12]), np.array([False, False, True]))
        writer.append(np.array([20, 21]), np.array([False, True]))
    store, weights = TokenStore(tmp_path), {0: 0.5, 1: 0.25}
    packed = collate(store, MicroBatch(np.array([1, 0]), False), weights)
    assert packed.tokens.tolist() == [[20, 21, 10, 11, 12]]
    assert packed.positions.tolist() == [[0, 1, 0, 1, 2]]
    assert packed.segments == (2, 3)
    assert packed.states.tolist() == [0, 3] and packed.targets.tolist() == [21, 12]
    assert packed.weights.tolist() == [0.25, 0.5]
    padded = collate(store, MicroBatch(np.array([1, 0]), True), weights)
    assert padded.tokens[0, :2].tolist() == [20, 21] and padded.tokens[1].tolist() == [10, 11, 12]
    assert padded.segments == (3,)
    assert padded.states.tolist() == [0, 4] and padded.targets.tolist() == [21, 12]


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"step 2\b.*nan"):
        train(make_model(), tokenizer, store, settings(learning_rate=1e30), tmp_path)
    assert not (tmp_path / MODEL).exists()


def test_a_gradient_that_is_not_finite_is_not_applied(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    """Else a checkpoint of spoiled weights would take the place of the good one."""
    model, backward = make_model(), torch.Tensor.backward
    calls: list[int] = []

    def spoil(loss: torch.Tensor) -> None:
        backward(loss)
        calls.append(1)
        if len(calls) == 5:
            next(p for p in model.parameters() if p.grad is not None).grad.to_local().fill_(float("nan"))

    told = settings(sequences_per_step=1, checkpoint_every=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", spoil)
        with pytest.raises(UserError, match=r"step 5\b.*gradient is nan"):
            train(model, tokenizer, store, told, tmp_path)
    assert len(metrics_of(tmp_path)) == 4
    assert train(make_model(), tokenizer, store, told, tmp_path) == 20
    assert all(np.isfinite(line["loss"]) for line in metrics_of(tmp_path))


def test_a_checkpoint_that_cannot_be_written_says_so(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filesystem, "_write_item", full)
    with pytest.raises(UserError, match=r"step-00000002: the checkpoint could not be written.*No space left"):
        train(make_model(), tokenizer, store, settings(checkpoint_every=2), tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


def test_damaged_weights_stop_the_run_before_the_first_step(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite before the first step"):
        train(model, tokenizer, store, settings(), tmp_path)
    assert not (tmp_path / MODEL).exists()


def test_a_full_disk_is_told_before_training(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="GB"):
        train(make_model(), tokenizer, store, settings(), tmp_path)
    assert not (tmp_path / METRICS).exists()


def test_a_failed_save_leaves_no_half_model(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tokenizer, "save_pretrained", fail)
    with pytest.raises(OSError, match="no space"):
        train(make_model(), tokenizer, store, settings(), tmp_path)
    assert not (tmp_path / MODEL).exists()
    assert not list(tmp_path.glob("*.partial"))
