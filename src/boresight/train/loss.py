"""Weighted cross-entropy that never holds the full logits.

Target rows go through the output layer a chunk at a time. The gradient of the logits is known as soon as
the logits are, so it is folded into the gradients of the hidden states and of the output layer at once:
beyond those two, memory holds one chunk of logits, whatever the number of tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from transformers import PreTrainedModel

from boresight.errors import UserError


def chunk_rows(device: torch.device, vocabulary: int) -> int:
    """Target rows whose logits are held at a time: few for a CPU, more to keep a GPU busy (128 MiB)."""
    return max(128, (2**21 if device.type == "cpu" else 2**25) // vocabulary)


class Head(NamedTuple):
    """The output layer of a model: its weight [vocabulary, width] and how it shapes the logits."""

    weight: Tensor
    scale: float = 1.0
    softcap: float | None = None


def output_head(model: PreTrainedModel) -> Head:
    """The output layer of a causal language model.

    Raises:
        UserError: the output layer is not a plain linear map without bias.
    """
    layer = model.get_output_embeddings()
    if not isinstance(layer, nn.Linear) or getattr(layer, "bias", None) is not None:
        raise UserError(f"the output layer is a {type(layer).__name__}; only a bias-free linear one is known")
    config = model.config
    scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    return Head(layer.weight, scale, getattr(config, "final_logit_softcapping", None))


def weighted_cross_entropy(hidden: Tensor, head: Head, targets: Tensor, weights: Tensor) -> Tensor:
    """Σ_t w_t · −log p(target_t).

    Args:
        hidden: [targets, width], the state before each target.
        targets: [targets], int64.
        weights: [targets], float.

    Returns:
        A scalar in float32, or float64 for float64 states; differentiable in `hidden` and `head.weight`.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    training = torch.is_grad_enabled()  # always False inside forward, so asked here
    loss: Tensor = _ChunkedCrossEntropy.apply(
        hidden, head.weight, targets, weights, head.scale, head.softcap, dtype, training
    )
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor,
        scale: float,
        softcap: float | None,
        dtype: torch.dtype,
        training: bool,
    ) -> Tensor:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        cast, states = weight.to(dtype), hidden.to(dtype)
        hidden_grad = torch.empty_like(hidden) if training else hidden.new_empty(0)
        weight_grad = torch.zeros_like(weight, dtype=exact) if training else hidden.new_empty(0)
        total = torch.zeros((), dtype=exact, device=hidden.device)
        chunk = chunk_rows(hidden.device, weight.shape[0])
        for at in range(0, len(targets), chunk):
            rows = slice(at, at + chunk)
            logits = (states[rows] @ cast.T).to(exact).mul_(scale)
            slope = _soft_cap_(logits, softcap)
            total += _loss_to_gradient_(logits, targets[rows], weights[rows].to(exact))
            if not training:
                continue
            if slope is not None:
                logits.mul_(slope)
            gradient = logits.mul_(scale).to(dtype)
            hidden_grad[rows] = gradient @ cast
            weight_grad += gradient.T @ states[rows]
        if training:
            ctx.save_for_backward(hidden_grad, weight_grad)
            ctx.weight_dtype = weight.dtype  # type: ignore[attr-defined]
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors  # type: ignore[attr-defined]
        dtype: torch.dtype = ctx.weight_dtype  # type: ignore[attr-defined]
        return (hidden_grad * grad, (weight_grad * grad).to(dtype), *[None] * 6)


def _soft_cap_(logits: Tensor, softcap: float | None) -> Tensor | None:
    """Cap the logits in place, as Gemma does; returns the slope of the cap."""
    if softcap is None:
        return None
    logits.div_(softcap).tanh_()
    slope = 1 - logits.square()
    logits.mul_(softcap)
    return slope


def _loss_to_gradient_(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The weighted loss of a chunk; `logits` becomes its gradient with respect to them, in place."""
    # One exponential, in place: logsumexp would take a second chunk of memory and the exponentials twice.
    at_target = logits.gather(1, targets[:, None])
    peak = logits.amax(1, keepdim=True)
    total = logits.sub_(peak).exp_().sum(1, keepdim=True)
    loss = (weights[:, None] * (total.log() + peak - at_target)).sum()
    logits.mul_(weights[:, None] / total)
    logits.scatter_add_(1, targets[:, None], -weights[:, None])
    return loss
