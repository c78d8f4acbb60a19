"""Packed attention: every conversation in a packed row attends to itself alone.

Registered with transformers under a name of its own. That name has no mask function, so transformers
builds no mask at all; the lengths of the packed sequences arrive as the keyword `segments` instead.
"""

import inspect
import re
import sys

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn.functional import scaled_dot_product_attention
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AttentionInterface, PreTrainedConfig, PreTrainedModel

from boresight.errors import UserError
from boresight.train import varlen
from boresight.train.ulysses import gather_tokens, scatter_tokens

NAME = "boresight"
PACKABLE_LAYERS = {"full_attention", "sliding_attention"}
WINDOW_CHUNK = 1024
"""Queries that share one band mask; bounds the mask's memory on long sequences."""
FOREIGN = {"s_aux": "attention sinks", "position_bias": "position biases", "indices": "sparse attention"}
"""What a model may hand its attention that no kernel here knows, by keyword."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: tuple[int, ...] | None = None,
    softcap: float | None = None,
    partners: ProcessGroup | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Causal attention within each segment of a row, as transformers calls it.

    Args:
        query: [rows, heads, tokens, head size]; key and value may have fewer heads.
        segments: lengths of the sequences in every row, in order; they sum to the row's tokens.
        partners: ranks among which the tokens of the rows are divided, in order; the segments are those of
            whole rows.

    Returns:
        [rows, tokens, heads, head size], and no attention weights.

    Raises:
        UserError: the model asks for a kind of attention that cannot be packed.
    """
    assert attention_mask is None, "packed attention takes segments, not a mask"
    assert segments is not None, f"{type(module).__name__} was not handed the segments of its row"
    if foreign := [FOREIGN[name] for name in FOREIGN if others.get(name) is not None]:
        raise UserError(f"{type(module).__name__}: {', '.join(foreign)} cannot be packed")
    if partners:
        query, key, value = gather_tokens(query, key, value, partners)
    out = attend(
        query, key, value, segments, scaling=scaling, dropout=dropout, window=sliding_window, softcap=softcap
    )
    if partners:
        out = scatter_tokens(out, partners)
    return out.transpose(1, 2).contiguous(), None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: tuple[int, ...],
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Causal attention within each segment, by the best kernel for the device.

    Args:
        query: [rows, heads, tokens, head size]; key and value may have fewer heads.
        segments: lengths of the sequences in every row, in order; they sum to the row's tokens.
        scaling: of the scores; by default 1/√(head size).
        window: tokens that a query sees, itself included; all that went before if None.
        softcap: scores become softcap·tanh(score / softcap), as in Gemma 2 (arXiv:2408.00118, section 2).

    Returns:
        [rows, heads, tokens, head size of value].

    Raises:
        UserError: scores are to be capped, and FlashAttention cannot be used.
    """
    if query.device.type == "meta":
        return _shapes_only(query, key, value, scaling)
    if varlen.runs(query, value, dropout, softcap):
        return varlen.attend(
            query, key, value, segments, scaling=scaling, dropout=dropout, window=window, softcap=softcap
        )
    if softcap is not None:
        raise UserError(f"soft-capped attention cannot be packed without {varlen.FLASH_NEEDS}")
    if key.shape[1] != query.shape[1]:
        # On CPU the grouped kernel of torch falls back to materialised scores; repeating is cheaper.
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    # One split and one cat: slicing instead would allocate a full-size gradient for every segment.
    parts = zip(query.split(segments, 2), key.split(segments, 2), value.split(segments, 2), strict=True)
    out = [_causal(q, k, v, scaling, dropout, window) for q, k, v in parts]
    return out[0] if len(out) == 1 else torch.cat(out, 2)


def _shapes_only(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """On the meta device: autograd saves what a fused kernel does (inputs, output, log-sum-exp)."""
    query, key, value = varlen.cast(query, key, value)
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out: Tensor = kernel(query, key, varlen.widen(value, query), 0.0, True, scale=scaling)[0]
    return out[..., : value.shape[-1]]


def _causal(
    q: Tensor, k: Tensor, v: Tensor, scaling: float | None, dropout: float, window: int | None
) -> Tensor:
    if window is None or q.shape[2] <= window:
        return scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling)
    out = []
    for start in range(0, q.shape[2], WINDOW_CHUNK):
        end, first = min(start + WINDOW_CHUNK, q.shape[2]), max(0, start - window + 1)
        distance = torch.arange(start, end, device=q.device)[:, None] - torch.arange(
            first, end, device=q.device
        )
        mask = (distance >= 0) & (distance < window)
        chunk = (q[:, :, start:end], k[:, :, first:end], v[:, :, first:end])
        out.append(scaled_dot_product_attention(*chunk, attn_mask=mask, dropout_p=dropout, scale=scaling))
    return torch.cat(out, 2)


def refuse_unpackable(config: PreTrainedConfig) -> None:
    """Refuse a model whose packed sequences would see, or otherwise change, one another.

    Raises:
        UserError: names the model and what cannot be packed.
    """
    classes = MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) in classes:
        _refuse_foreign_attention(config, classes[type(config)])
    if getattr(config, "attn_logit_softcapping", None) and not varlen.caps(config):
        raise UserError(
            f"{config.model_type}: its soft-capped attention cannot be packed without {varlen.FLASH_NEEDS}"
        )
    if rope := _rope_types(config) & {"longrope", "dynamic"}:
        raise UserError(
            f"{config.model_type}: {', '.join(rope)} positions depend on the longest sequence of a batch, "
            "so a step would depend on how it is cut; this model cannot be trained here"
        )
    # In the oldest transformers supported a few models have the older name alone.
    named = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None)
    kinds = set(named or ["full_attention"])
    if foreign := sorted(kinds - PACKABLE_LAYERS):
        raise UserError(
            f"{config.model_type}: layers of kind {', '.join(foreign)} carry state across a packed row, "
            "so its conversations would see each other; this model cannot be trained here"
        )


def _refuse_foreign_attention(config: PreTrainedConfig, model: type[PreTrainedModel]) -> None:
    if not model._supports_attention_backend:
        raise UserError(f"{config.model_type}: its attention cannot be packed; it cannot be trained here")
    # No configuration says what a model hands its attention; it stands in the model's code alone.
    calls = re.findall(
        r"= attention_interface\((.*?)\n +\)", inspect.getsource(sys.modules[model.__module__]), re.DOTALL
    )
    if foreign := [what for keyword, what in FOREIGN.items() if any(f" {keyword}=" in c for c in calls)]:
        raise UserError(
            f"{config.model_type}: {', '.join(foreign)} cannot be packed; this model cannot be trained here"
        )


def _rope_types(config: PreTrainedConfig) -> set[str]:
    """Kinds of rotary positions, of the model or of each kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [p for p in parameters.values() if isinstance(p, dict)] or [parameters]
    return {str(p.get("rope_type")) for p in nested}


AttentionInterface.register(NAME, packed_attention)
