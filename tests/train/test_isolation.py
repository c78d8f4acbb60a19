"""The self-test passes models that keep packed conversations apart and stops those that do not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.errors import UserError
from boresight.train import attention
from boresight.train.isolation import check_isolation
from boresight.train.loop import train
from boresight.train.ranks import Ranks, joined
from boresight.train.settings import TrainSettings
from boresight.train.sharding import Objective, sharded

MakeModel = Callable[..., PreTrainedModel]
SLIDING: dict[str, Any] = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": SLIDING | {"use_sliding_window": True},
    "mistral": {"sliding_window": 16},
    "gemma3_text": SLIDING,
    "gpt2": {},
}
PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])
INITIAL = pytest.mark.parametrize("initial", [0.02, 0.2])
"""Standard deviation of the weights: as models are initialised, and as large as trained ones become."""


@pytest.fixture
def ranks() -> Iterator[Ranks]:
    with joined(TrainSettings()) as ranks:
        yield ranks


def objective_of(model: PreTrainedModel, precision: Any, ranks: Ranks) -> Objective:
    return sharded(model.train(), TrainSettings(precision=precision), ranks)


def check(model: PreTrainedModel, precision: str, ranks: Ranks) -> None:
    check_isolation(objective_of(model, precision, ranks), precision, ranks.device)


# Leaks ------------------------------------------------------------------------------------------------


class Leaky(nn.Module):
    """A layer's feed-forward part, and beside it something that runs over the whole row."""

    def __init__(self, inner: nn.Module, width: int):
        super().__init__()
        self.inner = inner
        self.convolution = nn.Conv1d(width, width, 3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.beside(x)

    def beside(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Convolved(Leaky):
    """A short causal convolution: only the first two tokens of a conversation see the one before."""

    def beside(self, x: Tensor) -> Tensor:
        return self.convolution(nn.functional.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2)


class Averaged(Leaky):
    """The mean of all that came before in the row."""

    def beside(self, x: Tensor) -> Tensor:
        return x.cumsum(1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)[:, None]


class LookingAhead(Leaky):
    """The mean of all that comes after: leaks from the next conversation."""

    def beside(self, x: Tensor) -> Tensor:
        return x.flip(1).cumsum(1).flip(1) / x.shape[1]


def leak_through(kind: type[Leaky], model: PreTrainedModel) -> None:
    layer = model.get_decoder().layers[0]
    layer.mlp = kind(layer.mlp, model.config.hidden_size)


def ignore_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = attention.attend

    def attend(query: Tensor, key: Tensor, value: Tensor, _: tuple[int, ...], **others: Any) -> Tensor:
        return honest(query, key, value, (query.shape[2],), **others)

    monkeypatch.setattr(attention, "attend", attend)


def run_positions_on(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = model.get_decoder()
    honest = decoder.forward

    def forward(*, input_ids: Tensor, position_ids: Tensor, **others: Any) -> Any:
        running = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(position_ids)
        return honest(input_ids=input_ids, position_ids=running, **others)

    monkeypatch.setattr(decoder, "forward", forward)


@pytest.mark.parametrize("kind", KINDS)
@PRECISIONS
@INITIAL
def test_models_that_keep_conversations_apart_pass(
    kind: str, precision: str, initial: float, make_model: MakeModel, ranks: Ranks
) -> None:
    check(make_model(kind, **KINDS[kind], initializer_range=initial), precision, ranks)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text"])
@PRECISIONS
@INITIAL
def test_attention_over_the_whole_row_is_fatal(
    kind: str,
    precision: str,
    initial: float,
    make_model: MakeModel,
    ranks: Ranks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ignore_segments(monkeypatch)
    model = make_model(kind, **KINDS[kind], initializer_range=initial)
    with pytest.raises(UserError, match=rf"{type(model).__name__}.* packed"):
        check(model, precision, ranks)


@PRECISIONS
@INITIAL
def test_positions_that_run_on_are_fatal(
    precision: str, initial: float, make_model: MakeModel, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learned positions; rotary ones are relative, so where they start makes no difference."""
    model = make_model("gpt2", initializer_range=initial)
    run_positions_on(model, monkeypatch)
    with pytest.raises(UserError, match=r"GPT2LMHeadModel.* packed"):
        check(model, precision, ranks)


@pytest.mark.parametrize("kind", [Convolved, Averaged, LookingAhead])
@PRECISIONS
@INITIAL
def test_state_that_crosses_conversations_is_fatal(
    kind: type[Leaky], precision: str, initial: float, make_model: MakeModel, ranks: Ranks
) -> None:
    model = make_model(initializer_range=initial)
    leak_through(kind, model)
    with pytest.raises(UserError, match=r"LlamaForCausalLM.* packed"):
        check(model, precision, ranks)


# What it leaves behind --------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("leaks", [False, True])
def test_mode_gradients_and_random_numbers_are_untouched(
    training: bool, leaks: bool, make_model: MakeModel, ranks: Ranks
) -> None:
    model = make_model(attention_dropout=0.5)
    if leaks:
        leak_through(Averaged, model)
    objective = objective_of(model, "fp32", ranks).train(training)
    parameters = list(objective.parameters())  # the shards; a forward pass puts whole ones in their places
    weights = [p.full_tensor().clone() for p in parameters]
    for index, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, float(index)) if index % 2 else None
    state = torch.random.get_rng_state()
    try:
        check_isolation(objective, "fp32", ranks.device)
        assert not leaks
    except UserError:
        assert leaks
    assert all(module.training is training for module in objective.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    for index, (parameter, before) in enumerate(zip(parameters, weights, strict=True)):
        assert torch.equal(parameter.full_tensor(), before)
        if index % 2:
            assert (parameter.grad.full_tensor() == index).all()
        else:
            assert parameter.grad is None


# Where it runs ----------------------------------------------------------------------------------------


def test_a_leaking_model_is_refused_before_the_first_step(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, make_model: MakeModel, tmp_path: Path
) -> None:
    model, steps = make_model(), []
    leak_through(Convolved, model)
    told = TrainSettings(precision="fp32", sequences_per_step=2, checkpoint_every=1)
    with pytest.raises(UserError, match="LlamaForCausalLM"):
        train(model, tokenizer, store, told, tmp_path, steps.append)
    assert steps == []
    assert list(tmp_path.iterdir()) == []


def test_every_start_tests_again(
    store: TokenStore,
    tokenizer: PreTrainedTokenizerFast,
    make_model: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that resumes may do so with other kernels."""
    told = TrainSettings(precision="fp32", sequences_per_step=2, checkpoint_every=1)

    def stop(metrics: Any) -> None:
        if metrics.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_model(), tokenizer, store, told, tmp_path, stop)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    ignore_segments(monkeypatch)
    with pytest.raises(UserError, match="LlamaForCausalLM"):
        train(make_model(), tokenizer, store, told, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
