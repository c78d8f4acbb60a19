"""What a training run will take of each rank's memory, before it starts.

Weights are counted, activations too: the model is run on the meta device, where tensors have sizes but no
contents, and what autograd would keep is added up. So the estimate knows every architecture that trains.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import PreTrainedConfig, PreTrainedModel

from boresight.models.load import empty_model
from boresight.train.attention import NAME as ATTENTION
from boresight.train.lora import add_adapters
from boresight.train.loss import SLICE, chunk_rows
from boresight.train.settings import TrainSettings
from boresight.train.sharding import DTYPES, layers_of, recompute_activations


class Memory(NamedTuple):
    """Bytes of a rank's GPU, at the largest micro-batch; offloaded ones count under `host`."""

    weights: int
    """Its shard, in the precision they are kept in."""
    gradients: int
    optimizer: int
    """Two moments in float32."""
    gathered: int
    """Whole weights of the layer at work, of the next, and of the embeddings, and their gradients."""
    activations: int
    loss: int
    """A chunk of logits, and the gradients of the output layer and of the states before targets."""
    host: int = 0
    """In CPU memory instead: weights, gradients and optimizer, when offloaded."""

    @property
    def total(self) -> int:
        """All of the GPU's. What its allocator loses to gaps, often a tenth, comes on top."""
        return sum(self) - self.host


def estimate_memory(config: PreTrainedConfig, settings: TrainSettings, ranks: int, tokens: int) -> Memory:
    """The memory of one of so many ranks.

    Args:
        tokens: in the largest micro-batch; ranks that share it hold equal parts.
    """
    model = empty_model(config, ATTENTION, DTYPES[settings.precision]).train()
    if settings.lora:
        add_adapters(model, settings.lora)
        model.to(DTYPES[settings.precision])  # as sharding casts all weights where they are used
    half = DTYPES[settings.precision].itemsize
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = model.num_parameters() - trained
    shards = ranks // settings.replicas
    layers = layers_of(model)
    layer = max((sum(p.numel() for p in m.parameters()) for m in layers), default=0)
    rest = model.num_parameters() - sum(p.numel() for m in layers for p in m.parameters())
    own = -(-tokens // settings.sequence_parallel)
    width, vocabulary = config.hidden_size, config.vocab_size
    chunk = min(own, chunk_rows(torch.device("cuda"), vocabulary)) * vocabulary
    kept = ((4 * trained + half * frozen) // shards, 4 * trained // shards, 8 * trained // shards)
    here = (0, 0, 0) if settings.offload else kept
    return Memory(
        weights=here[0],
        gradients=here[1],
        optimizer=here[2],
        gathered=half * (2 * layer + rest) + half * (layer + rest if not settings.lora else 0),
        activations=_activations(model, settings, own),
        loss=half * chunk
        + 12 * SLICE
        + half * own * width
        + (0 if settings.lora else 4 * vocabulary * width),
        host=sum(kept) - sum(here),
    )


def count_parameters(config: PreTrainedConfig) -> int:
    """Parameters of a model, from its configuration."""
    return int(empty_model(config, ATTENTION).num_parameters())


def _activations(model: PreTrainedModel, settings: TrainSettings, tokens: int) -> int:
    """Bytes kept for the backward pass; with recomputing, what enters the layers and one layer at work."""
    everything, layers = saved_bytes(model, tokens), int(model.config.num_hidden_layers)
    if not settings.activation_checkpointing:
        return everything
    recompute_activations(model)
    return saved_bytes(model, tokens) + everything // layers


def saved_bytes(model: PreTrainedModel, tokens: int) -> int:
    """Bytes that autograd keeps of one forward pass over a packed row, the parameters not counted."""
    device = next(model.parameters()).device
    kept: dict[int, Any] = {p.untyped_storage()._cdata: None for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.setdefault(storage._cdata, storage)
        return tensor

    row = torch.zeros(1, tokens, dtype=torch.int64, device=device)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.get_decoder()(input_ids=row, position_ids=row, segments=(tokens,), use_cache=False)
    return sum(storage.nbytes() for storage in kept.values() if storage is not None)
