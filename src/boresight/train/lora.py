"""Low-rank adapters (Hu et al. 2021), through peft: the model's own weights stay as they are.

y = W x  →  y = W x + (alpha / rank) B A x,   A: [rank, in], B: [out, rank], B = 0 at first

The adapters are put inside the model's linear layers. It stays the transformers model it was, so packed
attention, the chunked loss and sharding see nothing new but the parameters that require a gradient.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from boresight.errors import UserError
from boresight.extras import require
from boresight.models.load import load_model
from boresight.settings_file import nearest
from boresight.train.settings import Lora

ADAPTER = "default"
WEIGHTS = "adapter_model.safetensors"


def add_adapters(model: PreTrainedModel, lora: Lora, seed: int = 0) -> None:
    """Put adapters, in float32, into the linear layers of a model, in place; only they require a gradient.

    Args:
        seed: of the adapters' first values, which every rank must draw alike.

    Raises:
        UserError: peft is not installed, or a target names no linear layer.
    """
    peft = require("peft", "peft")
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(model, lora),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model.add_adapter(config, ADAPTER)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # peft gives an adapter the type of the layer it is in


def _targets(model: PreTrainedModel, lora: Lora) -> list[str]:
    """Names of the layers that get an adapter, each as it ends the layers' full names."""
    head = model.get_output_embeddings()
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    names = sorted({layer.rpartition(".")[2] for layer in layers})
    if lora.targets == "all-linear":
        return names
    for target in lora.targets:
        if not any(f".{layer}".endswith(f".{target}") for layer in layers):
            raise UserError(f"lora.targets: no linear layer is called {target!r}{nearest(target, names)}")
    return list(lora.targets)


def save_adapters(
    model: PreTrainedModel, state_dict: Mapping[str, Tensor], directory: Path, base: str
) -> None:
    """Save the adapters as peft does, for `peft.PeftModel` and transformers to load on top of `base`.

    Args:
        model: has the adapters; where its parameters live, and in what shards, does not matter.
        state_dict: the adapters' parameters in full, on the CPU, under their names in `model`.
        base: the model without adapters: a directory or a hub id.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = copy(model.peft_config[ADAPTER])
    config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).is_dir() else base
    config.target_modules = sorted(config.target_modules)
    config.inference_mode = True
    config.save_pretrained(str(directory))
    model.generation_config.save_pretrained(directory)  # what ends an answer may not be what ended the base's
    # peft names parameters as its wrapper of the model does, and without the adapter's own name.
    tensors = {
        f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}": tensor.contiguous()
        for name, tensor in state_dict.items()
        if ".lora_" in name
    }
    assert tensors, "the state dict holds no adapter"
    save_file(tensors, str(directory / WEIGHTS), metadata={"format": "pt"})


def merged(directory: Path, dtype: torch.dtype, config: PreTrainedConfig | None = None) -> PreTrainedModel:
    """The base of saved adapters with the adapters added to its weights: W + (alpha / rank) B A.

    Args:
        directory: as `save_adapters` wrote it.
        dtype: of the result; the sum is made in float32.
        config: to use instead of the base's own, as for a longer context.

    Raises:
        UserError: the base or the adapters cannot be loaded.
    """
    return load_model(str(directory), "sdpa", dtype, config)
