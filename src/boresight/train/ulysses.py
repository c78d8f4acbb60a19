"""Sequence parallelism, Ulysses style: ranks share a row and swap tokens for heads around attention.

Outside of attention each of the P ranks holds 1/P of the tokens with all heads; inside, all tokens with 1/P
of the heads. Attention itself stays the packed one, on whole sequences, so the result is exact
(DeepSpeed-Ulysses, arXiv 2309.14509, §3).
"""

from math import lcm
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

TOKENS, HEADS = 2, 1
"""Dimensions of [rows, heads, tokens, head size]."""


def gather_tokens(query: Tensor, key: Tensor, value: Tensor, group: ProcessGroup) -> tuple[Tensor, ...]:
    """From own tokens with all heads to all tokens with own heads.

    Args:
        query: [rows, heads, own tokens, head size]; key and value may have fewer heads, which are repeated
            as far as needed to go round the group.
    """
    repeats = lcm(key.shape[HEADS], group.size()) // key.shape[HEADS]
    key, value = (t.repeat_interleave(repeats, HEADS) for t in (key, value))
    return tuple(_Exchange.apply(t, HEADS, TOKENS, group) for t in (query, key, value))


def scatter_tokens(out: Tensor, group: ProcessGroup) -> Tensor:
    """Back from all tokens with own heads to own tokens with all heads."""
    mine: Tensor = _Exchange.apply(out, TOKENS, HEADS, group)
    return mine


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cut: int, join: int, group: ProcessGroup) -> Tensor:
        ctx.way_back = (join, cut, group)
        return _exchange(x, cut, join, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _exchange(grad, *ctx.way_back), None, None, None


def _exchange(x: Tensor, cut: int, join: int, group: ProcessGroup) -> Tensor:
    """Cut along one dimension, send each rank its part, and join what comes along the other."""
    parts = torch.stack(x.chunk(group.size(), cut))
    received = torch.empty_like(parts)
    distributed.all_to_all_single(received, parts, group=group)
    return torch.cat(received.unbind(), join)
