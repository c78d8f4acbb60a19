"""Packed attention: every conversation in a packed row attends to itself alone.

Registered with transformers under a name of its own. That name has no mask function, so transformers
builds no mask at all; the lengths of the packed sequences arrive as the keyword `segments` instead.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AttentionInterface, PreTrainedConfig

from boresight.errors import UserError

NAME = "boresight"
PACKABLE_LAYERS = {"full_attention", "sliding_attention"}
WINDOW_CHUNK = 1024
"""Queries that share one band mask; bounds the mask's memory on long sequences."""


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
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention within each segment of a row.

    Args:
        query: [rows, heads, tokens, head size]; key and value may have fewer heads.
        segments: lengths of the sequences in every row, in order; they sum to the row's tokens.

    Returns:
        [rows, tokens, heads, head size], and no attention weights.
    """
    assert attention_mask is None, "packed attention takes segments, not a mask"
    assert segments is not None, f"{type(module).__name__} was not handed the segments of its row"
    if softcap is not None or s_aux is not None:
        raise UserError(f"{type(module).__name__}: soft-capped or sink attention cannot be packed yet")
    if key.shape[1] != query.shape[1]:
        # On CPU the grouped kernel of torch falls back to materialised scores; repeating is cheaper.
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    # One split and one cat: slicing instead would allocate a full-size gradient for every segment.
    parts = zip(query.split(segments, 2), key.split(segments, 2), value.split(segments, 2), strict=True)
    out = [_causal(q, k, v, scaling, dropout, sliding_window) for q, k, v in parts]
    return torch.cat(out, 2).transpose(1, 2).contiguous(), None


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
    """Raise UserError for a model whose packed sequences would see, or otherwise change, one another."""
    classes = MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) in classes and not classes[type(config)]._supports_attention_backend:
        raise UserError(f"{config.model_type}: its attention cannot be packed; it cannot be trained here")
    if rope := _rope_types(config) & {"longrope", "dynamic"}:
        raise UserError(
            f"{config.model_type}: {', '.join(rope)} positions depend on the longest sequence of a batch, "
            "so a step would depend on how it is cut; this model cannot be trained here"
        )
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if foreign := sorted(kinds - PACKABLE_LAYERS):
        raise UserError(
            f"{config.model_type}: layers of kind {', '.join(foreign)} carry state across a packed row, "
            "so its conversations would see each other; this model cannot be trained here"
        )


def _rope_types(config: PreTrainedConfig) -> set[str]:
    """Kinds of rotary positions, of the model or of each kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [p for p in parameters.values() if isinstance(p, dict)] or [parameters]
    return {str(p.get("rope_type")) for p in nested}


AttentionInterface.register(NAME, packed_attention)
