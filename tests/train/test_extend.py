"""Against transformers' own rotary modules, and the frequencies written out."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from boresight.errors import UserError
from boresight.models.load import load_config, load_model
from boresight.train.attention import NAME, refuse_unpackable
from boresight.train.extend import extended
from boresight.train.settings import Extend

HEAD = 8
MakeModel = Callable[..., PreTrainedModel]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 1024,
}
YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 256}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * (HEAD // 2),
    "long_factor": [2.0] * (HEAD // 2),
    "original_max_position_embeddings": 256,
}


def config_of(kind: str = "llama", **changes: Any) -> PreTrainedConfig:
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "head_dim": HEAD, "num_hidden_layers": 2}
    return AutoConfig.for_model(
        kind,
        **({"vocab_size": 64, "intermediate_size": 48, "max_position_embeddings": 1024} | sizes | changes),
    )


def frequencies(config: PreTrainedConfig) -> Tensor:
    return LlamaRotaryEmbedding(config).inv_freq


def plain(theta: float, size: int = HEAD) -> Tensor:
    return torch.tensor([theta ** (-2 * i / size) for i in range(size // 2)])


@pytest.mark.parametrize(("factor", "base"), [(None, 2_000_000.0), (50, 500_000.0)])
def test_the_base_is_multiplied(factor: float | None, base: float, tmp_path: Path) -> None:
    before = config_of()
    longer = extended(before, Extend(context=65536, factor=factor))
    torch.testing.assert_close(frequencies(longer), plain(base))
    assert longer.max_position_embeddings == 65536
    torch.testing.assert_close(frequencies(before), plain(10_000.0))
    assert before.max_position_embeddings == 1024
    longer.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert torch.equal(frequencies(loaded), frequencies(longer))
    assert loaded.max_position_embeddings == 65536


def yarn_by_hand(theta: float, factor: float, original: int, size: int) -> tuple[Tensor, float]:
    """Peng et al. 2023, §3.2 and §3.4, with whole dimensions as the ends of the ramp."""
    turns = [size * math.log(original / (n * 2 * math.pi)) / (2 * math.log(theta)) for n in (32, 1)]
    low, high = max(math.floor(turns[0]), 0), min(math.ceil(turns[1]), size - 1)
    kept = [1 - min(max((i - low) / (high - low), 0), 1) for i in range(size // 2)]
    rows = zip(plain(theta, size).tolist(), kept, strict=True)
    return torch.tensor([f * k + f / factor * (1 - k) for f, k in rows]), 0.1 * math.log(factor) + 1


@pytest.mark.parametrize(("factor", "used"), [(None, 8.0), (16, 16.0)])
def test_yarn_is_as_the_paper_has_it_and_as_transformers_computes_it(
    factor: float | None, used: float, tmp_path: Path
) -> None:
    sizes = {"head_dim": 64, "hidden_size": 256}
    longer = extended(config_of(**sizes), Extend(context=8192, rope="yarn", factor=factor))
    longer.save_pretrained(tmp_path)
    for config in (longer, AutoConfig.from_pretrained(tmp_path)):
        rotary = LlamaRotaryEmbedding(config)
        expected, attention = yarn_by_hand(10_000.0, used, 1024, 64)
        torch.testing.assert_close(rotary.inv_freq, expected)
        assert rotary.attention_scaling == pytest.approx(attention)
        assert config.max_position_embeddings == 8192
    given = YARN | {"factor": used, "original_max_position_embeddings": 1024}
    theirs = config_of(**sizes, rope_parameters=given) if factor is None else longer
    assert torch.equal(frequencies(theirs), frequencies(longer))


def test_yarn_on_yarn_goes_on_from_the_original_context() -> None:
    once = config_of(rope_parameters=YARN | {"attention_factor": 1.2})
    twice = extended(once, Extend(context=2048, rope="yarn"))
    at_once = extended(config_of(max_position_embeddings=256), Extend(context=2048, rope="yarn"))
    assert twice.rope_parameters == at_once.rope_parameters
    assert twice.rope_parameters["factor"] == 8.0


def test_llama_3_keeps_its_kind_on_a_larger_base() -> None:
    longer = extended(config_of(rope_parameters=dict(LLAMA3)), Extend(context=8192, factor=10))
    assert longer.rope_parameters == LLAMA3 | {"rope_theta": 5_000_000.0}


@pytest.mark.parametrize("rope", ["base", "yarn"])
def test_sliding_layers_keep_their_positions(rope: Any) -> None:
    kinds = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
    }
    before = config_of("gemma3_text", num_hidden_layers=6, rope_parameters=kinds)
    longer = extended(before, Extend(context=8192, rope=rope))
    old, new = Gemma3RotaryEmbedding(before), Gemma3RotaryEmbedding(longer)
    assert torch.equal(old.sliding_attention_inv_freq, new.sliding_attention_inv_freq)
    if rope == "base":
        torch.testing.assert_close(new.full_attention_inv_freq, plain(2e8))
    else:
        torch.testing.assert_close(new.full_attention_inv_freq, yarn_by_hand(1e6, 8, 1024, HEAD)[0])


REFUSED = {
    "no longer": (config_of(), Extend(context=1024), "1024 is no longer than the model's context, 1024"),
    "no rotary positions": (
        AutoConfig.for_model("gpt2"),
        Extend(context=4096),
        "gpt2 has no rotary positions",
    ),
    "llama3 by yarn": (
        config_of(rope_parameters=dict(LLAMA3)),
        Extend(context=8192, rope="yarn"),
        "yarn cannot stretch llama3 rotary positions; use base",
    ),
    "yarn by base": (
        config_of(rope_parameters=dict(YARN)),
        Extend(context=8192),
        "base cannot stretch yarn rotary positions; use yarn",
    ),
    "longrope": (
        config_of(rope_parameters=dict(LONGROPE)),
        Extend(context=8192),
        "base cannot stretch longrope rotary positions; nor can any other way",
    ),
    "a factor too small": (
        config_of(),
        Extend(context=8192, rope="yarn", factor=4),
        "4 times the original context of 1024 does not reach 8192 tokens; leave it out to get 8",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_stretched_is_refused(case: str) -> None:
    config, extend, message = REFUSED[case]
    with pytest.raises(UserError) as refusal:
        extended(config, extend)
    assert message in str(refusal.value)


@pytest.mark.parametrize("rope", ["base", "yarn"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral", "phi3", "gemma3_text"])
def test_a_stretched_model_packs_and_trains_at_the_new_length(
    kind: str, rope: Any, make_model: MakeModel
) -> None:
    """Positions begin anew in every sequence, and neither way looks at how long a batch is."""
    short = make_model(kind, max_position_embeddings=32, original_max_position_embeddings=32)
    longer = extended(short.config, Extend(context=256, rope=rope))
    refuse_unpackable(longer)
    model, theirs = (
        AutoModelForCausalLM.from_config(longer, attn_implementation=name) for name in (NAME, "sdpa")
    )
    for each in (model, theirs):
        each.load_state_dict(short.state_dict())
    torch.manual_seed(1)
    rows = [torch.randint(3, 512, (n,)) for n in (200, 3, 40)]
    hidden = model.get_decoder()(
        input_ids=torch.cat(rows)[None],
        position_ids=torch.cat([torch.arange(len(row)) for row in rows])[None],
        segments=tuple(len(row) for row in rows),
        use_cache=False,
    ).last_hidden_state
    for packed, row in zip(model.lm_head(hidden)[0].split([len(r) for r in rows]), rows, strict=True):
        torch.testing.assert_close(packed, theirs(row[None]).logits[0], rtol=1e-4, atol=1e-5)
    hidden.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.get_decoder().parameters())


def test_the_weights_load_under_the_longer_configuration() -> None:
    longer = extended(load_config("pocket"), Extend(context=100_000, rope="yarn"))
    model = load_model("pocket", NAME, config=longer)
    assert model.config.max_position_embeddings == 100_000
    assert torch.equal(model.get_decoder().rotary_emb.inv_freq, frequencies(longer))
    assert torch.equal(
        model.get_input_embeddings().weight, load_model("pocket", NAME).get_input_embeddings().weight
    )
