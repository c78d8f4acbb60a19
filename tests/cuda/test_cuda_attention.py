"""The real kernels against the loop over segments in float32; needs a GPU."""

import pytest
import torch
from torch import Tensor

from boresight.train import varlen
from boresight.train.attention import attend

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

SEGMENTS = (700, 1, 1300, 64, 33)


def inputs(heads: int, key_heads: int, rows: int, size: int = 128) -> tuple[Tensor, ...]:
    """In float32, but of values that bf16 holds."""
    torch.manual_seed(0)
    shape = (rows, sum(SEGMENTS))
    tensors = (torch.randn(*shape, n, size, device="cuda") for n in (heads, key_heads, key_heads))
    return tuple(t.bfloat16().float().transpose(1, 2).requires_grad_() for t in tensors)


def with_gradients(out: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, out.numel(), device="cuda").view(out.shape)
    return out.float(), *torch.autograd.grad((out.float() * weights).sum(), tensors)


@pytest.mark.parametrize("flash", [False, True])
@pytest.mark.parametrize(("heads", "key_heads"), [(8, 8), (8, 2), (8, 1)])
@pytest.mark.parametrize("window", [None, 1, 100, 1299, 1300, 4096])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_kernel_is_the_loop(
    flash: bool,
    heads: int,
    key_heads: int,
    window: int | None,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if flash and varlen.FLASH is None:
        pytest.skip("flash-attn is not installed")
    if not flash:
        monkeypatch.setattr(varlen, "FLASH", None)
    tensors = inputs(heads, key_heads, rows)
    expected = with_gradients(attend(*tensors, SEGMENTS, scaling=0.1, window=window), tensors)
    halves = [t.bfloat16() for t in tensors]
    assert varlen.runs(halves[0], halves[2], 0.0, None)
    ours = with_gradients(attend(*halves, SEGMENTS, scaling=0.1, window=window), tensors)
    for got, wanted in zip(ours, expected, strict=True):
        assert (got - wanted).norm() < 1e-2 * wanted.norm()


@pytest.mark.parametrize("size", [64, 96, 256])
def test_head_sizes(size: int) -> None:
    tensors = inputs(4, 2, 1, size)
    expected = with_gradients(attend(*tensors, SEGMENTS), tensors)
    ours = with_gradients(attend(*(t.bfloat16() for t in tensors), SEGMENTS), tensors)
    for got, wanted in zip(ours, expected, strict=True):
        assert (got - wanted).norm() < 1e-2 * wanted.norm()


def test_no_layer_after_the_first_waits_for_the_device() -> None:
    q, k, v = (t.detach().bfloat16() for t in inputs(8, 2, 1))
    attend(q, k, v, SEGMENTS)
    torch.cuda.set_sync_debug_mode("error")
    try:
        attend(q, k, v, SEGMENTS)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_is_that_of_the_meta_device() -> None:
    """What autograd saves: q, k, v, the output and a number for each query; no scores."""
    tensors = [t.detach().bfloat16().requires_grad_() for t in inputs(8, 2, 1)]
    attend(*tensors, SEGMENTS)
    before = torch.cuda.memory_allocated()
    out = attend(*tensors, SEGMENTS)
    tokens = sum(SEGMENTS)
    assert torch.cuda.memory_allocated() - before < 1.1 * tokens * 8 * (128 * 2 + 4) + 2**20
    assert out.grad_fn is not None
