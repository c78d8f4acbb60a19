"""The CUDA path on a CPU: kernels emulated from their documentation, against the loop over segments."""

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel

from boresight.errors import UserError
from boresight.train import attention, varlen
from boresight.train.attention import attend, refuse_unpackable

SEGMENTS = (12, 1, 30, 7)


def documented(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_q: Tensor,
    cu_k: Tensor,
    scale: float | None,
    window: tuple[int, int],
    softcap: float = 0.0,
) -> Tensor:
    """[tokens, heads, head size]: query i of a sequence sees keys from i - window[0] to i + window[1]."""
    assert cu_q.dtype == torch.int32 and cu_q.tolist() == cu_k.tolist() and cu_q[-1] == len(q)
    assert q.shape[1] % k.shape[1] == 0 and q.shape[2] == k.shape[2] == v.shape[2]
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    out = []
    for start, end in pairwise(cu_q.tolist()):
        place = torch.arange(end - start)
        offset = place - place[:, None]
        left, right = (n if n >= 0 else end for n in window)
        scores = torch.einsum("qhd,khd->hqk", q[start:end], k[start:end]) * (scale or q.shape[2] ** -0.5)
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill((offset < -left) | (offset > right), -torch.inf)
        out.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[start:end]))
    return torch.cat(out)


def varlen_2_13(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    assert max_q == max_k == cu_seq_q.diff().max()
    assert enable_gqa or query.shape[1] == key.shape[1]
    return documented(query, key, value, cu_seq_q, cu_seq_k, scale, window_size)


def varlen_2_11(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    return varlen_2_13(
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size
    )


def varlen_2_10(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
) -> Tensor:
    raise AssertionError("knows neither windows nor scales, and must not be called")


def flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> Tensor:
    assert max_seqlen_q == max_seqlen_k == cu_seqlens_q.diff().max() and dropout_p == 0
    window = (window_size[0], 0) if causal else window_size
    return documented(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale, window, softcap)


def old_flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """As before version 2.6, which brought soft caps."""
    raise AssertionError("only asked what it can do")


Install = Callable[..., list[Callable[..., Tensor]]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Pretend that this device has a kernel; returns the list of its calls."""

    def install(
        torch_kernel: Callable[..., Tensor] | None = None, flash_kernel: Callable[..., Tensor] | None = None
    ) -> list[Callable[..., Tensor]]:
        calls: list[Callable[..., Tensor]] = []
        monkeypatch.setattr(varlen, "_fast", lambda device: True)
        monkeypatch.setattr(varlen, "HALF", {torch.float64, torch.bfloat16})

        def counted(kernel: Callable[..., Tensor] | None) -> Callable[..., Tensor] | None:
            if kernel is None:
                return None

            @wraps(kernel)
            def count(*args: Any, **kwargs: Any) -> Tensor:
                calls.append(kernel)
                return kernel(*args, **kwargs)

            return count

        monkeypatch.setattr(varlen, "TORCH", counted(torch_kernel))
        monkeypatch.setattr(varlen, "FLASH", counted(flash_kernel))
        return calls

    return install


def inputs(key_heads: int = 2, rows: int = 1, size: int = 8, value_size: int = 8) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    tokens = sum(SEGMENTS)
    shapes = ((6, size), (key_heads, size), (key_heads, value_size))
    return tuple(
        torch.randn(rows, tokens, heads, d, dtype=torch.float64).transpose(1, 2).requires_grad_()
        for heads, d in shapes
    )


def with_gradients(out: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), tensors)


@pytest.mark.parametrize("kernels", [(varlen_2_13, None), (varlen_2_11, None), (varlen_2_13, flash)])
@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("window", [None, 1, 4, 29, 30, 100])
@pytest.mark.parametrize("rows", [1, 3])
def test_one_kernel_is_the_loop_over_segments(
    kernels: tuple[Any, Any], key_heads: int, window: int | None, rows: int, install: Install
) -> None:
    tensors = inputs(key_heads, rows)
    arguments = {"scaling": 0.3, "window": window}
    expected = with_gradients(attend(*tensors, SEGMENTS, **arguments), tensors)
    calls = install(*kernels)
    ours = with_gradients(attend(*tensors, SEGMENTS, **arguments), tensors)
    assert calls == [kernels[1] or kernels[0]]
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("kernels", [(varlen_2_13, None), (None, flash)])
def test_values_may_have_a_smaller_head_than_queries(kernels: tuple[Any, Any], install: Install) -> None:
    tensors = inputs(size=16, value_size=8)
    expected = with_gradients(attend(*tensors, SEGMENTS), tensors)
    calls = install(*kernels)
    torch.testing.assert_close(with_gradients(attend(*tensors, SEGMENTS), tensors), expected)
    assert len(calls) == 1


def test_soft_caps_go_through_flash_attention(install: Install) -> None:
    q, k, v = inputs()
    install(varlen_2_13, flash)
    ours = attend(q, k, v, SEGMENTS, scaling=0.3, softcap=2.0)
    first = slice(0, SEGMENTS[0])
    keys, values = (t[0, :, first].repeat_interleave(3, 0) for t in (k, v))
    scores = 2 * torch.tanh(q[0, :, first] @ keys.mT * 0.3 / 2)
    hidden = torch.ones(SEGMENTS[0], SEGMENTS[0], dtype=torch.bool).triu(1)
    torch.testing.assert_close(ours[0, :, first], scores.masked_fill(hidden, -torch.inf).softmax(-1) @ values)


@pytest.mark.parametrize("kernels", [(varlen_2_13, None), (None, old_flash), (None, None)])
def test_soft_caps_are_refused_where_no_kernel_has_them(kernels: tuple[Any, Any], install: Install) -> None:
    install(*kernels)
    with pytest.raises(UserError, match="flash-attn"):
        attend(*inputs(), SEGMENTS, softcap=2.0)
    with pytest.raises(UserError, match=r"gemma2.*flash-attn"):
        refuse_unpackable(AutoConfig.for_model("gemma2"))


def test_a_soft_capped_model_is_taken_with_flash_attention(install: Install) -> None:
    install(varlen_2_13, flash)
    refuse_unpackable(AutoConfig.for_model("gemma2"))
    with pytest.raises(UserError, match="gemma2"):  # the kernel knows no dropout beside a cap
        refuse_unpackable(AutoConfig.for_model("gemma2", attention_dropout=0.1))


LOOPED = {
    "a torch without windows": (varlen_2_10, {}, {}),
    "dropout": (varlen_2_13, {}, {"dropout": 0.5}),
    "a head too large": (varlen_2_13, {"size": 264, "value_size": 264}, {}),
    "an odd head": (varlen_2_13, {"size": 12, "value_size": 12}, {}),
    "values larger than queries": (varlen_2_13, {"size": 8, "value_size": 16}, {}),
}


@pytest.mark.parametrize("case", LOOPED)
def test_what_a_kernel_lacks_is_left_to_the_loop(case: str, install: Install) -> None:
    kernel, sizes, arguments = LOOPED[case]
    tensors = inputs(**sizes)
    torch.manual_seed(1)
    expected = attend(*tensors, SEGMENTS, **arguments)
    calls = install(kernel)
    torch.manual_seed(1)
    assert torch.equal(attend(*tensors, SEGMENTS, **arguments), expected)
    assert not calls


def test_float32_is_left_to_the_loop(install: Install) -> None:
    calls = install(varlen_2_13, flash)
    tensors = [t.float() for t in inputs()]
    assert attend(*tensors, SEGMENTS).dtype == torch.float32
    assert not calls


def test_queries_that_rotary_positions_left_in_float32_are_cast(install: Install) -> None:
    q, k, v = (t.detach() for t in inputs())
    calls = install(varlen_2_13)
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(q.float(), k.float(), v.bfloat16(), SEGMENTS)
    assert out.dtype == torch.bfloat16 and len(calls) == 1
    torch.testing.assert_close(out.double(), attend(q, k, v, SEGMENTS), rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text"])
def test_a_whole_model(kind: str, make_model: Callable[..., PreTrainedModel], install: Install) -> None:
    window = {} if kind == "llama" else {"sliding_window": 5}
    model = make_model(kind, **window).double()
    tokens = torch.randint(3, 512, (2, sum(SEGMENTS)), generator=torch.Generator().manual_seed(0))
    positions = torch.cat([torch.arange(n) for n in SEGMENTS]).expand(2, -1)

    def run() -> tuple[Tensor, ...]:
        hidden = model.get_decoder()(
            input_ids=tokens, position_ids=positions, segments=SEGMENTS, use_cache=False
        ).last_hidden_state
        return with_gradients(hidden, (model.get_input_embeddings().weight,))

    expected = run()
    calls = install(varlen_2_13)
    torch.testing.assert_close(run(), expected)
    assert len(calls) == model.config.num_hidden_layers


def test_all_layers_of_a_micro_batch_share_one_copy_of_the_starts() -> None:
    device = torch.device("cpu")
    starts = varlen._starts(SEGMENTS, 2, device)
    assert starts.tolist() == [0, 12, 13, 43, 50, 62, 63, 93, 100]
    assert varlen._starts((12, 1, 30, 7), 2, device) is starts
    assert varlen._starts(SEGMENTS, 1, device).tolist() == [0, 12, 13, 43, 50]


def test_the_kernel_of_this_torch_has_what_is_asked_of_it() -> None:
    """The emulations above are worth nothing if the real signature is another."""
    known = list(inspect.signature(varlen.TORCH).parameters)
    assert {"window_size", "scale"} <= set(known)
    assert known[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


def test_the_kernel_of_this_torch_takes_our_call_by_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own shape function, on the meta device: shapes, strides and the backward pass."""
    q, k, v = (t.detach().to("meta", torch.bfloat16).requires_grad_() for t in inputs(2, 3, 64, 64))
    out = varlen.attend(q, k, v, SEGMENTS, scaling=0.3, dropout=0.0, window=4, softcap=None)
    assert out.shape == q.shape and out.transpose(1, 2).is_contiguous()
    gradients = torch.autograd.grad(out.sum(), (q, k, v))
    assert [g.shape for g in gradients] == [t.shape for t in (q, k, v)]


@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("arguments", [{}, {"window": 4}, {"softcap": 2.0}])
@pytest.mark.parametrize("value_size", [8, 16])
def test_shapes_on_the_meta_device(key_heads: int, arguments: dict[str, Any], value_size: int) -> None:
    q, k, v = (t.detach().to("meta").requires_grad_() for t in inputs(key_heads, 2, 16, value_size))
    out = attend(q, k, v, SEGMENTS, **arguments)
    assert out.shape == (2, 6, sum(SEGMENTS), value_size) and out.dtype == q.dtype
    gradients = torch.autograd.grad(out.sum(), (q, k, v))
    assert [g.shape for g in gradients] == [t.shape for t in (q, k, v)]


def saved_bytes(tokens: int) -> int:
    """What autograd keeps of attention on the meta device, each storage once."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    shapes = ((8, 64), (2, 64), (2, 64))
    q, k, v = (
        torch.empty(1, heads, tokens, d, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads, d in shapes
    )
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attention.attend(q, k, v, (tokens // 2, tokens - tokens // 2)).sum()
    return sum(storage.nbytes() for storage in storages.values())


def test_the_meta_device_saves_inputs_output_and_one_number_a_score_row() -> None:
    """[tokens, 8 heads, 64] of queries and output, 2 heads of keys and values, a float32 for each query."""
    for tokens in (512, 1024, 65_536):
        assert saved_bytes(tokens) == tokens * ((8 + 8 + 2 + 2) * 64 * 2 + 8 * 4)
