from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from boresight.errors import UserError
from boresight.train import loss
from boresight.train.loss import Head, output_head, weighted_cross_entropy

TARGETS, WIDTH, VOCABULARY = 23, 16, 50


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    hidden = torch.randn(TARGETS, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randint(VOCABULARY, (TARGETS,)), torch.rand(TARGETS, dtype=torch.float64)


def plain(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, scale: float, softcap: float | None
) -> Tensor:
    logits = (hidden @ weight.T) * scale
    if softcap:
        logits = torch.tanh(logits / softcap) * softcap
    return (cross_entropy(logits, targets, reduction="none") * weights.to(logits.dtype)).sum()


@pytest.mark.parametrize("chunk_rows", [1, 7, TARGETS, 10_000])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.25, None), (1.0, 3.0), (0.5, 2.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_are_those_of_torch(
    chunk_rows: int,
    scale: float,
    softcap: float | None,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: chunk_rows)
    hidden, weight, targets, weights = inputs(dtype)
    expected = plain(hidden, weight, targets, weights, scale, softcap)
    expected_gradients = torch.autograd.grad(expected * 3, (hidden, weight))
    ours = weighted_cross_entropy(hidden, Head(weight, scale, softcap), targets, weights)
    gradients = torch.autograd.grad(ours * 3, (hidden, weight))
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradients, expected_gradients)


def test_a_chunk_smaller_than_one_row_still_takes_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: 1)
    hidden, weight, targets, weights = inputs()
    ours = weighted_cross_entropy(hidden, Head(weight), targets, weights)
    torch.testing.assert_close(ours, plain(hidden, weight, targets, weights, 1.0, None))


@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, 2.0)])
def test_gradcheck(scale: float, softcap: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: 5)
    hidden, weight, targets, weights = inputs(torch.float64)
    assert torch.autograd.gradcheck(
        lambda h, w: weighted_cross_entropy(h, Head(w, scale, softcap), targets, weights), (hidden, weight)
    )


def test_inputs_are_not_written_to() -> None:
    hidden, weight, targets, weights = inputs()
    before = [t.detach().clone() for t in (hidden, weight, targets, weights)]
    weighted_cross_entropy(hidden, Head(weight, 0.5, 2.0), targets, weights).backward()
    for now, then in zip((hidden, weight, targets, weights), before, strict=True):
        assert torch.equal(now, then)


def test_bf16_autocast_is_as_close_as_bf16_can_be() -> None:
    hidden, weight, targets, weights = inputs()
    expected = plain(hidden, weight, targets, weights, 1.0, None)
    expected_gradients = torch.autograd.grad(expected, (hidden, weight))
    with torch.autocast("cpu", torch.bfloat16):
        ours = weighted_cross_entropy(hidden, Head(weight), targets, weights)
    gradients = torch.autograd.grad(ours, (hidden, weight))
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(expected.item(), rel=1e-2)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - wanted).norm() < 2e-2 * wanted.norm()


def test_without_gradients() -> None:
    hidden, weight, targets, weights = inputs()
    with torch.no_grad():
        ours = weighted_cross_entropy(hidden, Head(weight), targets, weights)
    assert not ours.requires_grad
    torch.testing.assert_close(ours, plain(hidden, weight, targets, weights, 1.0, None).detach())


def test_no_targets_is_a_loss_of_zero_with_zero_gradients() -> None:
    hidden, weight, targets, weights = inputs()
    ours = weighted_cross_entropy(hidden[:0], Head(weight), targets[:0], weights[:0])
    ours.backward()
    assert ours.item() == 0
    assert torch.equal(weight.grad, torch.zeros_like(weight))
    assert torch.equal(hidden.grad, torch.zeros_like(hidden))


def test_extreme_logits_stay_finite() -> None:
    hidden = torch.tensor([[1e4, 0.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.5, 1.0]], requires_grad=True)
    ours = weighted_cross_entropy(hidden, Head(weight), torch.tensor([1]), torch.ones(1))
    ours.backward()
    assert ours.item() == pytest.approx(2e4)
    assert torch.isfinite(hidden.grad).all() and torch.isfinite(weight.grad).all()


def test_tied_embeddings_get_both_gradients() -> None:
    torch.manual_seed(0)
    embedding = nn.Embedding(VOCABULARY, WIDTH)
    tokens, targets = torch.randint(VOCABULARY, (9,)), torch.randint(VOCABULARY, (9,))
    weights = torch.rand(9)
    expected = plain(embedding(tokens), embedding.weight, targets, weights, 1.0, None)
    (wanted,) = torch.autograd.grad(expected, embedding.weight)
    weighted_cross_entropy(embedding(tokens), Head(embedding.weight), targets, weights).backward()
    torch.testing.assert_close(embedding.weight.grad, wanted)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("gemma", {}),
        ("gemma2", {"final_logit_softcapping": 1.5}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 4.0}),
    ],
)
def test_the_head_gives_the_logits_of_the_model(
    kind: str, changes: dict[str, Any], make_model: Callable[..., PreTrainedModel]
) -> None:
    model = make_model(kind, attention="eager", **changes).eval()
    tokens = torch.randint(512, (1, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(tokens).logits[0, :-1].float()
        hidden = model.get_decoder()(tokens).last_hidden_state[0, :-1]
        ours = weighted_cross_entropy(hidden, output_head(model), tokens[0, 1:], torch.ones(29))
    torch.testing.assert_close(ours, cross_entropy(logits, tokens[0, 1:], reduction="sum"))


def test_a_head_with_a_bias_is_refused(make_model: Callable[..., PreTrainedModel]) -> None:
    model = make_model()
    model.lm_head = nn.Linear(32, 512, bias=True)
    with pytest.raises(UserError, match="output layer"):
        output_head(model)
