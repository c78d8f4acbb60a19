import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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
def test_gradients_are_the_slopes_of_the_loss(
    scale: float, softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Along random directions. (Not by gradcheck, which runs every backward pass twice.)"""
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: 5)
    hidden, weight, targets, weights = inputs(torch.float64)

    def at(h: Tensor, w: Tensor) -> Tensor:
        return weighted_cross_entropy(h, Head(w, scale, softcap), targets, weights)

    gradients = torch.autograd.grad(at(hidden, weight), (hidden, weight))
    for _ in range(5):
        along = torch.randn_like(hidden) * 1e-5, torch.randn_like(weight) * 1e-5
        with torch.no_grad():
            rise = at(hidden + along[0], weight + along[1]) - at(hidden - along[0], weight - along[1])
        slope = sum((g * d).sum() for g, d in zip(gradients, along, strict=True))
        torch.testing.assert_close(rise / 2, slope, rtol=1e-6, atol=1e-12)


def test_a_second_backward_pass_is_refused_not_wrong() -> None:
    """The gradients are scaled in place and handed out: there is no second copy to give."""
    hidden, weight, targets, weights = inputs()
    ours = weighted_cross_entropy(hidden, Head(weight), targets, weights)
    ours.backward(retain_graph=True)
    with pytest.raises(AssertionError, match="handed out"):
        ours.backward()


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient_and_takes_no_memory(frozen: str) -> None:
    hidden, weight, targets, weights = inputs()
    expected = plain(hidden, weight, targets, weights, 1.0, None)
    wanted = dict(zip(("hidden", "weight"), torch.autograd.grad(expected, (hidden, weight)), strict=True))
    tensors = {"hidden": hidden, "weight": weight}
    tensors[frozen].requires_grad_(False)
    with LiveBytes() as live:
        weighted_cross_entropy(hidden, Head(weight), targets, weights).backward()
    assert tensors[frozen].grad is None
    (trained,) = tensors.keys() - {frozen}
    torch.testing.assert_close(tensors[trained].grad, wanted[trained])
    assert live.now < weight.nbytes + hidden.nbytes


class LiveBytes(TorchDispatchMode):
    """Bytes of the storages made inside, now and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._made(tensor.untyped_storage(), known)
        return out

    def _made(self, storage: torch.UntypedStorage, inputs: set[int]) -> None:
        if storage._cdata in inputs | self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, key: int, nbytes: int) -> None:
        self._known.remove(key)
        self.now -= nbytes


WORDS, WIDE = 400, 64
"""A vocabulary and width at which a copy of the weight stands out from a chunk of 20 rows."""


def beyond_inputs_and_gradients(
    targets: int, dtype: torch.dtype, autocast: bool, softcap: float | None
) -> int:
    """The peak of a forward and a backward pass, less the gradients that come of it."""
    hidden = torch.randn(targets, WIDE, dtype=dtype, requires_grad=True)
    weight = torch.randn(WORDS, WIDE, dtype=dtype, requires_grad=True)
    places, weights = torch.randint(WORDS, (targets,)), torch.rand(targets)
    with LiveBytes() as live:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            ours = weighted_cross_entropy(hidden, Head(weight, 0.5, softcap), places, weights)
        ours.backward()
    assert live.now >= hidden.grad.nbytes + weight.grad.nbytes, "the gradients were not seen"
    return live.peak - hidden.grad.nbytes - weight.grad.nbytes


@pytest.mark.parametrize(
    ("dtype", "autocast", "like_weight"),
    [(torch.float32, False, 0), (torch.float32, True, 0.5), (torch.bfloat16, False, 1)],
)
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_memory_beyond_inputs_and_gradients_does_not_grow_with_the_targets(
    dtype: torch.dtype,
    autocast: bool,
    like_weight: float,
    softcap: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At three sizes. What there is: a chunk, and of the weight a cast copy or the rest of its sums."""
    rows = 20
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: rows)
    monkeypatch.setattr(loss, "SLICE", 512)
    took = [beyond_inputs_and_gradients(n, dtype, autocast, softcap) for n in (100, 500, 2_000)]
    assert took[0] == took[1] == took[2]
    chunk, temporaries = rows * (WORDS + 2 * WIDE) * 4, 4 * 512 * 4
    assert took[0] <= chunk + temporaries + like_weight * WORDS * WIDE * dtype.itemsize + 1024


def test_the_plain_loss_would_grow() -> None:
    """The measurement above sees logits where there are any."""
    peaks = []
    for n in (300, 3_000):
        hidden, weight = torch.randn(n, WIDTH, requires_grad=True), torch.randn(VOCABULARY, WIDTH)
        with LiveBytes() as live:
            plain(hidden, weight, torch.zeros(n, dtype=torch.int64), torch.ones(n), 1.0, None).backward()
        peaks.append(live.peak - hidden.grad.nbytes)
    assert peaks[1] > 9 * peaks[0] > 9 * 300 * VOCABULARY * 4


@pytest.mark.parametrize("chunk_rows", [1, 16, 10_000])
def test_a_bf16_weight_gets_a_gradient_that_is_rounded_once(
    chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many chunks it is summed from: as exact as bf16 holds, and as the logits in bf16 allow."""
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: chunk_rows)
    torch.manual_seed(0)
    hidden = torch.rand(2_000, WIDTH).bfloat16().requires_grad_()
    weight = (torch.randn(VOCABULARY, WIDTH) / 8).bfloat16().requires_grad_()
    targets, weights = torch.randint(VOCABULARY, (2_000,)), torch.rand(2_000)
    exact = [t.detach().double().requires_grad_() for t in (hidden, weight)]
    wanted = torch.autograd.grad(plain(*exact, targets, weights, 1.0, None), exact)
    ours = weighted_cross_entropy(hidden, Head(weight), targets, weights)
    gradients = torch.autograd.grad(ours, (hidden, weight))
    for gradient, expected in zip(gradients, wanted, strict=True):
        assert gradient.dtype == torch.bfloat16
        assert (gradient - expected).norm() < 5e-3 * expected.norm()


POINTWISE = [(1.0, None), (0.25, None), (1.0, 3.0), (0.5, 2.0)]


@pytest.mark.parametrize(("scale", "softcap"), POINTWISE)
@pytest.mark.parametrize("slice_", [1, 70, 2**21])
def test_what_is_compiled_is_what_is_not(
    scale: float, softcap: float | None, slice_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "SLICE", slice_)
    hidden, weight, targets, weights = (t.detach() for t in inputs(torch.float64))
    results = []
    for function in (loss._loss_to_gradient_, loss._fused_loss_to_gradient_):
        logits = hidden @ weight.T
        results.append((function(logits, targets, weights, scale, softcap), logits))
    torch.testing.assert_close(*results)


def pick() -> loss.Pointwise:
    """What would run where compiling is wanted, without what an earlier test found out."""
    device = torch.device("cpu")
    return loss._compiled.__wrapped__(device, torch.bfloat16, torch.float32, 0.5, 2.0)


def test_what_compiles_and_is_right_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert pick() is loss._fused_loss_to_gradient_


@pytest.mark.parametrize("fault", ["cannot compile", "compiles wrongly"])
def test_a_machine_that_cannot_compile_is_warned_and_goes_on(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(logits: Tensor, *_: object) -> Tensor:
        if fault == "cannot compile":
            raise RuntimeError("no C compiler\nand a long traceback")
        return logits.sum().float()

    monkeypatch.setattr(torch, "compile", lambda function, **_: broken)
    with pytest.warns(RuntimeWarning, match="uncompiled") as caught:
        assert pick() is loss._loss_to_gradient_
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


@pytest.mark.slow
def test_it_does_compile() -> None:
    """By the compiler of this CPU, for want of a GPU."""
    compiled = pick()
    assert compiled is not loss._loss_to_gradient_
    for rows in (23, 7):
        hidden, weight, targets, weights = (t.detach() for t in inputs())
        expected, ours = (hidden[:rows] @ weight.T).bfloat16().repeat(2, 1, 1)
        arguments = (targets[:rows], weights[:rows].float(), 0.5, 2.0)
        wanted = loss._loss_to_gradient_(expected, *arguments)
        torch.testing.assert_close(compiled(ours, *arguments), wanted)
        torch.testing.assert_close(ours, expected)


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


@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, 2.0)])
def test_tied_embeddings_get_both_gradients(
    scale: float, softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: 4)
    torch.manual_seed(0)
    embedding = nn.Embedding(VOCABULARY, WIDTH, dtype=torch.float64)
    tokens, targets = torch.randint(VOCABULARY, (9,)), torch.randint(VOCABULARY, (9,))
    weights = torch.rand(9)
    expected = plain(embedding(tokens), embedding.weight, targets, weights, scale, softcap)
    (wanted,) = torch.autograd.grad(expected, embedding.weight)
    head = Head(embedding.weight, scale, softcap)
    for backwards in (1, 2):  # the second micro-batch adds to the gradient of the first
        weighted_cross_entropy(embedding(tokens), head, targets, weights).backward()
        torch.testing.assert_close(embedding.weight.grad, backwards * wanted)


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
