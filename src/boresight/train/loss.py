"""Weighted cross-entropy that never holds the full logits.

Target rows go through the output layer a chunk at a time. The gradient of the logits is known as soon as
the logits are, so it is folded into the gradients of the hidden states and of the output layer at once:
beyond those two, memory holds one chunk of logits, whatever the number of tokens. Below float32 there is a
constant beside it, as large as the output layer: its copy in that precision, or what its sums round off.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from transformers import PreTrainedModel

from boresight.errors import UserError

SLICE = 2**22
"""Numbers of a float32 temporary (16 MiB): few enough for the cache of a GPU, enough to fill it."""

Pointwise = Callable[[Tensor, Tensor, Tensor, float, float | None], Tensor]


def chunk_rows(device: torch.device, vocabulary: int) -> int:
    """Target rows whose logits are held at a time: few for a CPU, more to keep a GPU busy.

    Each chunk is added to a gradient as large as the output layer, so a chunk must not be too small either:
    below 256 rows a CPU loses to the plain loss. A GPU takes 1,024 at a vocabulary of 128k (256 MiB in bf16).
    """
    return max(256, (2**21 if device.type == "cpu" else 2**27) // vocabulary)


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
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, head.weight, targets, weights, head, dtype, training)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor,
        head: Head,
        dtype: torch.dtype,
        training: bool,
    ) -> Tensor:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        hidden_wanted, weight_wanted = (training and ctx.needs_input_grad[i] for i in (0, 1))  # type: ignore[attr-defined]
        hidden_grad = torch.empty_like(hidden) if hidden_wanted else None
        weight_grad = _Sum(weight) if weight_wanted else None
        cast = weight.to(dtype)
        total = torch.zeros((), dtype=exact, device=hidden.device)
        loss_to_gradient_ = _pointwise(hidden.device, dtype, exact, head.scale, head.softcap)
        chunk = min(chunk_rows(hidden.device, len(weight)), len(targets))
        buffer = torch.empty(chunk, len(weight), dtype=dtype, device=hidden.device)
        for at in range(0, len(targets), chunk or 1):
            rows = slice(at, at + chunk)
            states = hidden[rows].to(dtype)
            logits = torch.mm(states, cast.T, out=buffer[: len(states)])
            total += loss_to_gradient_(
                logits, targets[rows], weights[rows].to(exact), head.scale, head.softcap
            )
            if hidden_grad is not None:
                hidden_grad[rows] = logits @ cast
            if weight_grad is not None:
                weight_grad.add_product_(logits, states)
        # Held here and not saved, for backward to scale them in place and hand them out.
        ctx.gradients = (hidden_grad, weight_grad.value if weight_grad else None)  # type: ignore[attr-defined]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        assert ctx.gradients is not None, "the gradients of this loss were handed out; compute it again"  # type: ignore[attr-defined]
        gradients, ctx.gradients = ctx.gradients, None  # type: ignore[attr-defined]
        return (*(g if g is None else g.mul_(grad) for g in gradients), *[None] * 5)


class _Sum:
    """A sum of matrix products, in the precision of `like` and of its size.

    Below float32, what every addition rounds off is kept beside it and added the next time (compensated
    summation: Kahan 1965), for a sum of many small chunks in bf16 would stop growing.
    """

    def __init__(self, like: Tensor):
        self.value = torch.zeros_like(like, memory_format=torch.contiguous_format)
        self._rest = torch.zeros_like(self.value) if like.dtype in (torch.bfloat16, torch.float16) else None

    def add_product_(self, gradient: Tensor, states: Tensor) -> None:
        """Add gradient.T @ states: [rows, vocabulary] and [rows, width] give [vocabulary, width]."""
        if gradient.dtype == self.value.dtype and self._rest is None:
            self.value.addmm_(gradient.T, states)
            return
        vocabulary = max(1, SLICE // states.shape[1])
        for at in range(0, len(self.value), vocabulary):
            part = slice(at, at + vocabulary)
            self._add_(part, gradient[:, part].T @ states)

    def _add_(self, part: slice, product: Tensor) -> None:
        value = self.value[part]
        if self._rest is None:
            value.add_(product)
            return
        exact = product.float().add_(value).add_(self._rest[part])
        value.copy_(exact)
        self._rest[part] = exact.sub_(value)


def _pointwise(
    device: torch.device, dtype: torch.dtype, exact: torch.dtype, scale: float, softcap: float | None
) -> Pointwise:
    """What turns logits into loss and gradient: compiled on CUDA; a CPU gains nothing by it."""
    return _compiled(device, dtype, exact, scale, softcap) if device.type == "cuda" else _loss_to_gradient_


@lru_cache
def _compiled(
    device: torch.device, dtype: torch.dtype, exact: torch.dtype, scale: float, softcap: float | None
) -> Pointwise:
    """The compiled one where that works, tried out on a few rows: else the plain one, and a warning."""
    compiled: Pointwise = torch.compile(_fused_loss_to_gradient_, dynamic=True)
    logits = torch.linspace(-5, 5, 12 * 96, device=device).view(12, 96).to(dtype)
    arguments = (torch.arange(12, device=device), torch.linspace(0, 1, 12, device=device, dtype=exact))
    results = []
    try:
        for function in (compiled, _loss_to_gradient_):
            gradient = logits.clone()
            results.append((function(gradient, *arguments, scale, softcap), gradient))
        torch.testing.assert_close(*results, rtol=2e-2, atol=1e-3)
    except Exception as error:
        reason = str(error).splitlines()[0]
        warnings.warn(f"the loss runs uncompiled, and slower: {reason}", RuntimeWarning, stacklevel=2)
        return _loss_to_gradient_
    return compiled


def _loss_to_gradient_(
    logits: Tensor, targets: Tensor, weights: Tensor, scale: float, softcap: float | None
) -> Tensor:
    """The weighted loss of a chunk; `logits`, before scale and cap, becomes its gradient, in place."""
    rows = max(1, SLICE // logits.shape[1])
    losses = [
        _slice_loss_to_gradient_(*parts, scale, softcap)
        for parts in zip(logits.split(rows), targets.split(rows), weights.split(rows), strict=True)
    ]
    return torch.stack(losses).sum()


def _slice_loss_to_gradient_(
    logits: Tensor, targets: Tensor, weights: Tensor, scale: float, softcap: float | None
) -> Tensor:
    # One exponential, in place: logsumexp would take a second copy in memory and the exponentials twice.
    exact = logits.to(weights.dtype)
    if scale != 1:
        exact.mul_(scale)
    slope = _soft_cap_(exact, softcap)
    at_target = exact.gather(1, targets[:, None])
    peak = exact.amax(1, keepdim=True)
    total = exact.sub_(peak).exp_().sum(1, keepdim=True)
    loss = (weights[:, None] * (total.log() + peak - at_target)).sum()
    exact.mul_(weights[:, None] * scale / total)
    exact.scatter_add_(1, targets[:, None], -scale * weights[:, None])
    if slope is not None:
        exact.mul_(slope)
    if exact is not logits:
        logits.copy_(exact)
    return loss


def _soft_cap_(logits: Tensor, softcap: float | None) -> Tensor | None:
    """Cap the logits in place, as in Gemma 2 (arXiv:2408.00118, section 2); returns the slope."""
    if softcap is None:
        return None
    logits.div_(softcap).tanh_()
    slope = 1 - logits.square()
    logits.mul_(softcap)
    return slope


def _fused_loss_to_gradient_(
    logits: Tensor, targets: Tensor, weights: Tensor, scale: float, softcap: float | None
) -> Tensor:
    """The same, written for a compiler to fuse: then it holds nothing but what is given."""
    capped = logits.to(weights.dtype) * scale
    if softcap is not None:
        capped = torch.tanh(capped / softcap) * softcap
    weights = weights[:, None]
    peak = capped.amax(1, keepdim=True)
    exponentials = (capped - peak).exp()
    total = exponentials.sum(1, keepdim=True)
    loss = (weights * (total.log() + peak - capped.gather(1, targets[:, None]))).sum()
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    gradient = weights * scale * (exponentials / total - is_target.to(capped.dtype))
    if softcap is not None:
        gradient = gradient * (1 - (capped / softcap).square())
    logits.copy_(gradient)
    return loss
