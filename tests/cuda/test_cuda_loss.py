"""The compiled loss and its memory on a GPU."""

import warnings

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from boresight.train import loss
from boresight.train.loss import Head, weighted_cross_entropy

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def inputs(
    targets: int, vocabulary: int, width: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(targets, width, dtype=dtype, device="cuda", requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, device="cuda").mul_(width**-0.5).requires_grad_()
    places = torch.randint(vocabulary, (targets,), device="cuda")
    return hidden, weight, places, torch.rand(targets, device="cuda")


def plain(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, scale: float, softcap: float | None
) -> Tensor:
    logits = (hidden @ weight.T) * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    return (cross_entropy(logits, targets, reduction="none") * weights).sum()


@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, 2.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_those_of_torch(
    dtype: torch.dtype, scale: float, softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "chunk_rows", lambda *_: 300)
    hidden, weight, targets, weights = inputs(1_000, 5_000, 256, dtype)
    exact = [t.detach().double().requires_grad_() for t in (hidden, weight)]
    wanted = plain(*exact, targets, weights, scale, softcap)
    ours = weighted_cross_entropy(hidden, Head(weight, scale, softcap), targets, weights)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert ours.item() == pytest.approx(wanted.item(), rel=tolerance)
    pairs = zip(torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(wanted, exact), strict=True)
    for gradient, expected in pairs:
        assert gradient.dtype == dtype
        assert (gradient - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize("softcap", [None, 30.0])
def test_it_compiles_here(softcap: float | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        device = torch.device("cuda", 0)
        function = loss._compiled.__wrapped__(device, torch.bfloat16, torch.float32, 1.0, softcap)
    assert function is not loss._loss_to_gradient_


@pytest.mark.parametrize("autocast", [False, True])
def test_64k_targets_of_a_128k_vocabulary_take_less_than_1500_mb(autocast: bool) -> None:
    """Width 4,096; beyond inputs and their gradients."""
    needed = 12e9 if autocast else 7e9
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip("too small a GPU")
    dtype = torch.float32 if autocast else torch.bfloat16
    hidden, weight, targets, weights = inputs(2**16, 2**17, 4096, dtype)
    few = slice(0, 2_000)

    def step(rows: slice) -> None:
        hidden.grad = weight.grad = None
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            ours = weighted_cross_entropy(hidden[rows], Head(weight), targets[rows], weights[rows])
        ours.backward()

    step(few)  # compiles
    hidden.grad = weight.grad = None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(slice(None))
    gradients = hidden.grad.nbytes + weight.grad.nbytes
    assert torch.cuda.max_memory_allocated() - before - gradients < 1.5e9
