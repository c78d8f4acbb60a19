"""The model as all ranks train it: sharded weights (FSDP2), whole losses, gradients that are sums.

The loss is computed inside of the sharded module's forward, so that the output layer too is whole where
the loss reads it.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from transformers import PreTrainedConfig, PreTrainedModel

from boresight.errors import UserError
from boresight.train.batch import Batch
from boresight.train.loss import output_head, weighted_cross_entropy
from boresight.train.ranks import Ranks
from boresight.train.settings import TrainSettings

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""Of a `precision`: the arithmetic's, and that of the saved weights."""


class Objective(nn.Module):
    """A causal language model with its loss; what is called, differentiated and sharded as one."""

    def __init__(self, model: PreTrainedModel, ranks: Ranks | None = None):
        super().__init__()
        self.model = model
        self.ranks = ranks

    def forward(self, batch: Batch) -> Tensor:
        """The weighted loss of a micro-batch, a scalar.

        With sequence parallelism, of this rank's part of it: over all micro-batches and ranks these sum
        to the loss of the step.
        """
        batch = self._own(batch)
        states = self._before_targets(batch)
        return weighted_cross_entropy(states, output_head(self.model), batch.targets, batch.weights)

    def states(self, batch: Batch) -> Tensor:
        """The last hidden states before all targets of a micro-batch, [targets, width]; no gradient."""
        states = self._before_targets(self._own(batch))
        return self.ranks.joined_parts(states) if self.ranks else states

    def _own(self, batch: Batch) -> Batch:
        if not self.ranks or not self.ranks.partners:
            return batch
        return batch.part(self.ranks.part, self.ranks.sequence_parallel)

    def _before_targets(self, batch: Batch) -> Tensor:
        hidden = self.model.get_decoder()(
            input_ids=batch.tokens,
            position_ids=batch.positions,
            segments=batch.segments,
            partners=self.ranks.partners if self.ranks else None,
            use_cache=False,
        ).last_hidden_state
        before: Tensor = hidden.flatten(0, 1)[batch.states]
        return before


def sharded(model: PreTrainedModel, settings: TrainSettings, ranks: Ranks) -> Objective:
    """Shard a model over the ranks.

    Args:
        model: with weights on the first rank; the others may hold it on the meta device. It is consumed:
            its weights are afterwards shards, the trained ones in float32.

    Raises:
        UserError: the attention heads cannot be divided among the ranks that share a micro-batch.
    """
    refuse_uneven_heads(model.config, settings)
    weights = model.state_dict() if ranks.first else {}
    buffers = dict(model.named_buffers())
    model.to("meta")
    model.tie_weights()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # what is trained is kept in float32
    objective = Objective(model, ranks)
    _shard_layers(objective, settings, ranks)
    objective.to_empty(device="cpu" if settings.offload else ranks.device)
    model.tie_weights()  # to leave the meta device has made two of what was one
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch.distributed")  # of its own use of an old name
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(model, weights, options=options)
    _share_buffers(model, buffers, ranks)
    return objective


def refuse_uneven_heads(config: PreTrainedConfig, settings: TrainSettings) -> None:
    """Raise UserError when ranks that share a micro-batch cannot have as many attention heads each."""
    heads, shared = config.num_attention_heads, settings.sequence_parallel
    if heads % shared:
        raise UserError(f"sequence_parallel: {shared} does not divide the model's {heads} attention heads")


def _shard_layers(objective: Objective, settings: TrainSettings, ranks: Ranks) -> None:
    """Shard each layer, then what is left: embeddings, last norm, output layer."""
    whole = MixedPrecisionPolicy()
    # Inputs are not cast: the weights of the loss among them must keep their precision.
    half = MixedPrecisionPolicy(torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    pinned = ranks.device.type == "cuda"
    options: dict[str, Any] = {
        "mesh": ranks.shards,
        "mp_policy": half if settings.precision == "bf16" else whole,
        "offload_policy": CPUOffloadPolicy(pin_memory=pinned) if settings.offload else OffloadPolicy(),
    }
    for layer in layers_of(objective.model):
        fully_shard(layer, **options)
    fully_shard(objective, **options)
    register_fsdp_forward_method(objective, "states")
    for module in objective.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # the plan's weights hold the whole normalisation
            module.set_force_sum_reduction_for_comms(True)


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The blocks of a model, as transformers names them for placing them on devices."""
    kinds = model._no_split_modules or ()
    return [module for module in model.modules() if type(module).__name__ in kinds]


def recompute_activations(model: PreTrainedModel) -> None:
    """Keep only what enters each layer; the backward pass computes the rest again."""
    # transformers renames this between the versions that we support.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def _share_buffers(model: PreTrainedModel, buffers: dict[str, Tensor], ranks: Ranks) -> None:
    """Give every rank the first rank's buffers (rotary frequencies), which no state dict holds."""
    dtypes = ranks.once(lambda: {name: buffer.dtype for name, buffer in buffers.items()})
    for name, buffer in buffers.items():
        real = torch.empty_like(buffer, dtype=dtypes[name], device=ranks.device)
        if ranks.first:
            real.copy_(buffer)
        distributed.broadcast(real, src=0)
        module, _, attribute = name.rpartition(".")
        model.get_submodule(module)._buffers[attribute] = real


def whole_weights(model: PreTrainedModel, dtype: torch.dtype, *, trained_only: bool) -> dict[str, Tensor]:
    """The weights on the first rank's CPU, floating-point ones in `dtype`; nothing on the other ranks."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=trained_only)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    return {name: w.to(dtype) if w.is_floating_point() else w for name, w in weights.items()}
