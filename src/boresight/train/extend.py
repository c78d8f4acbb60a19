"""A longer context for a model with rotary positions, before it is trained on long text.

Two ways. `base` multiplies the base of the rotary frequencies, so that every wavelength but the shortest
grows (LongAlign §4.1; Xiong et al. 2023, §2.1). `yarn` divides the frequencies of long wavelengths by the
growth of the context, leaves those of short ones, and sharpens the attention (Peng et al. 2023, §3).
"""

from copy import deepcopy
from typing import Any

from transformers import PreTrainedConfig

from boresight.errors import UserError
from boresight.train.settings import Extend

BASE_FACTOR = 200.0
"""Llama-2's base of 10,000 becomes 2,000,000."""
STRETCHABLE = {
    "base": {"default", "linear", "llama3", "proportional"},
    "yarn": {"default", "yarn"},
}
"""Kinds of rotary positions that each way can start from. With `base` they stay of their kind. YaRN takes the
place of a scaling, and so starts from none, or goes on from YaRN's own original context."""


def extended(config: PreTrainedConfig, extend: Extend) -> PreTrainedConfig:
    """A copy of a model's configuration whose positions reach `extend.context` tokens.

    Layers of a sliding window that have rotary positions of their own keep them: no distance in them grows.

    Raises:
        UserError: the context is no longer than the model's, or its positions cannot be stretched this way.
    """
    longer: PreTrainedConfig = deepcopy(config)
    parameters = _rotary_parameters(longer)
    context = getattr(longer, "max_position_embeddings", None)
    if context is None or extend.context <= context:
        raise UserError(f"extend.context: {extend.context} is no longer than the model's context, {context}")
    kind = parameters.get("rope_type", "default")
    if kind not in STRETCHABLE[extend.rope]:
        ways = [way for way, kinds in STRETCHABLE.items() if kind in kinds]
        remedy = f"use {ways[0]}" if ways else "nor can any other way"
        raise UserError(f"extend.rope: {extend.rope} cannot stretch {kind} rotary positions; {remedy}")
    if extend.rope == "base":
        parameters["rope_theta"] *= extend.factor or BASE_FACTOR
    else:
        parameters.update(_yarn(parameters, extend, _original_context(longer, parameters)))
        parameters.pop("attention_factor", None)  # of the old factor; left out, it follows the new one
    longer.max_position_embeddings = extend.context
    return longer


def _rotary_parameters(config: PreTrainedConfig) -> dict[str, Any]:
    """The rotary parameters, to change in place, of the layers that attend to the whole context."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = {kind: p for kind, p in parameters.items() if isinstance(p, dict)}
    full = kinds.get("full_attention") if kinds else parameters
    if not full or full.get("rope_theta") is None:
        raise UserError(f"extend: {config.model_type} has no rotary positions that could be stretched")
    return full


def _original_context(config: PreTrainedConfig, parameters: dict[str, Any]) -> int:
    """Tokens the model was pretrained to reach, before any YaRN."""
    # Phi-3 keeps its own outside the rotary parameters, and transformers gives that one precedence.
    kept = getattr(config, "original_max_position_embeddings", None)
    return int(kept or parameters.get("original_max_position_embeddings") or config.max_position_embeddings)


def _yarn(parameters: dict[str, Any], extend: Extend, original: int) -> dict[str, Any]:
    factor = extend.factor or extend.context / original
    if factor * original < extend.context:
        raise UserError(
            f"extend.factor: {factor:g} times the original context of {original} does not reach "
            f"{extend.context} tokens; leave it out to get {extend.context / original:g}"
        )
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
