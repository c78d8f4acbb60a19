"""Attention over packed sequences of many lengths in one kernel, on CUDA.

FlashAttention (arXiv:2307.08691) if it is installed, else the one that torch brings. Both take all tokens of
all rows in one line, with the places where sequences begin, and compute nothing between sequences.
"""

import importlib
import inspect
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedConfig

HALF = {torch.bfloat16, torch.float16}
LARGEST_HEAD = 256
"""Head size that the kernels go up to; they also want a multiple of 8."""
FLASH_NEEDS = "FlashAttention: pip install flash-attn, a GPU of compute capability 8.0 and precision: bf16"


def _installed(module: str, name: str) -> Callable[..., Tensor] | None:
    """A function, or None where its module is missing or does not fit this torch."""
    try:
        function: Callable[..., Tensor] | None = getattr(importlib.import_module(module), name, None)
    except (ImportError, OSError):
        return None
    return function


FLASH = _installed("flash_attn", "flash_attn_varlen_func")
TORCH = _installed("torch.nn.attention.varlen", "varlen_attn")


def runs(query: Tensor, value: Tensor, dropout: float, softcap: float | None) -> bool:
    """Whether a kernel here computes this attention: all of it, and exactly.

    Args:
        query: [rows, heads, tokens, head size].
        value: [rows, heads, tokens, head size], of the head size of values.
    """
    size = query.shape[-1]
    if not (_fast(query.device) and _dtype(query, value) in HALF):
        return False
    if size % 8 or size > LARGEST_HEAD or value.shape[-1] > size:
        return False
    if FLASH is not None:
        return softcap is None or ("softcap" in _parameters(FLASH) and dropout == 0)
    # torch 2.10 and earlier knew neither windows nor scales.
    known = TORCH is not None and {"window_size", "scale"} <= _parameters(TORCH)
    return known and softcap is None and dropout == 0


def caps(config: PreTrainedConfig) -> bool:
    """Whether soft-capped attention of this model can be computed on this machine."""
    known = FLASH is not None and "softcap" in _parameters(FLASH)
    return known and _fast(torch.device("cuda")) and not getattr(config, "attention_dropout", 0)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: tuple[int, ...],
    *,
    scaling: float | None,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> Tensor:
    """As `attention.attend`, where `runs` says so. Rows are laid end to end into one line of tokens."""
    rows, width = query.shape[0], value.shape[-1]
    query, key, value = cast(query, key, value)
    line = [t.transpose(1, 2).flatten(0, 1) for t in (query, key, widen(value, query))]
    starts, longest = _starts(segments, rows, query.device), max(segments)
    places = (starts, starts, longest, longest)
    # The kernels count the tokens before the query; we count the query too.
    seen = (-1 if window is None or window >= longest else window - 1, 0)
    if FLASH is not None:
        capped = {} if softcap is None else {"softcap": softcap}
        out = FLASH(*line, *places, dropout, softmax_scale=scaling, causal=True, window_size=seen, **capped)
    else:
        assert TORCH is not None
        grouped = {"enable_gqa": True} if "enable_gqa" in _parameters(TORCH) else {}
        if not grouped:
            line[1:] = [t.repeat_interleave(line[0].shape[1] // t.shape[1], 1) for t in line[1:]]
        out = TORCH(*line, *places, scale=scaling, window_size=seen, **grouped)
    # The view back is free: the model wants heads after tokens again.
    return out.view(rows, -1, *out.shape[1:])[..., :width].transpose(1, 2)


def cast(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three in one precision: rotary positions may have left queries and keys in float32."""
    dtype = _dtype(query, value)
    return query.to(dtype), key.to(dtype), value.to(dtype)


def widen(value: Tensor, query: Tensor) -> Tensor:
    """Values filled with zeros up to the head size of the queries, for kernels that know one head size."""
    missing = query.shape[-1] - value.shape[-1]
    return pad(value, (0, missing)) if missing else value


def _dtype(query: Tensor, value: Tensor) -> torch.dtype:
    """What the attention is computed in. Autocast knows torch's own attention, but not these kernels."""
    device = query.device.type
    on = device != "meta" and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else value.dtype


def _fast(device: torch.device) -> bool:
    """Whether the device has what the kernels are written for."""
    nvidia = device.type == "cuda" and torch.version.hip is None and torch.cuda.is_available()
    return nvidia and torch.cuda.get_device_capability(device) >= (8, 0)


@lru_cache(4)
def _starts(segments: tuple[int, ...], rows: int, device: torch.device) -> Tensor:
    """Where each sequence begins, and the end, int32. Kept, so that all layers share one copy to the GPU."""
    return torch.tensor([0, *accumulate(segments * rows)], dtype=torch.int32, device=device)


@lru_cache
def _parameters(kernel: Callable[..., Tensor]) -> frozenset[str]:
    return frozenset(inspect.signature(kernel).parameters)
