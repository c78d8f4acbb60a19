from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedModel

from boresight.errors import UserError
from boresight.train import attention
from boresight.train.attention import packed_attention, refuse_unpackable

SEGMENTS = (12, 1, 30, 7)
WINDOW = 5
MODELS = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": WINDOW},
    "gemma": {},
    "gemma3_text": {"sliding_window": WINDOW, "num_hidden_layers": 6},
    "phi3": {"sliding_window": WINDOW},
    "olmo2": {},
}
MakeModel = Callable[..., PreTrainedModel]


def sequences() -> list[Tensor]:
    torch.manual_seed(3)
    return [torch.randint(3, 512, (n,)) for n in SEGMENTS]


@torch.no_grad()
def packed_logits(model: PreTrainedModel, rows: list[Tensor]) -> list[Tensor]:
    hidden = model.get_decoder()(
        input_ids=torch.cat(rows)[None],
        position_ids=torch.cat([torch.arange(len(row)) for row in rows])[None],
        segments=tuple(len(row) for row in rows),
        use_cache=False,
    ).last_hidden_state
    return list(model.lm_head(hidden)[0].split([len(row) for row in rows]))


@pytest.mark.parametrize("kind", MODELS)
def test_changing_one_conversation_moves_no_other(kind: str, make_model: MakeModel) -> None:
    model = make_model(kind, **MODELS[kind]).eval()
    before = packed_logits(model, sequences())
    for changed in range(len(SEGMENTS)):
        rows = sequences()
        rows[changed] = 511 - rows[changed]
        for i, (now, then) in enumerate(zip(packed_logits(model, rows), before, strict=True)):
            assert torch.equal(now, then) == (i != changed)


@pytest.mark.parametrize("kind", MODELS)
def test_packed_is_each_alone_as_transformers_computes_it(kind: str, make_model: MakeModel) -> None:
    model = make_model(kind, **MODELS[kind]).eval()
    theirs = make_model(kind, attention="sdpa", **MODELS[kind]).eval()
    for row, packed in zip(sequences(), packed_logits(model, sequences()), strict=True):
        (alone,) = packed_logits(model, [row])
        with torch.no_grad():
            expected = theirs(row[None]).logits[0]
        torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(packed, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mistral", "gemma3_text"])
def test_the_sliding_window_is_looked_through(kind: str, make_model: MakeModel) -> None:
    """The tests above would mean little if the window made no difference."""
    narrow = make_model(kind, **MODELS[kind]).eval()
    wide = make_model(kind, **(MODELS[kind] | {"sliding_window": 4096})).eval()
    long = sequences()[2]
    ours, theirs = packed_logits(narrow, [long])[0], packed_logits(wide, [long])[0]
    torch.testing.assert_close(ours[:WINDOW], theirs[:WINDOW], rtol=1e-4, atol=1e-5)
    assert (ours[WINDOW:] - theirs[WINDOW:]).abs().amax(1).min() > 1e-3


def slow_attention(
    q: Tensor, k: Tensor, v: Tensor, segments: tuple[int, ...], window: int | None, scale: float
) -> Tensor:
    """One query, one head at a time."""
    heads, shared = q.shape[1], q.shape[1] // k.shape[1]
    ends = torch.tensor((0, *segments)).cumsum(0).tolist()
    out = torch.empty_like(q)
    for head in range(heads):
        for start, end in pairwise(ends):
            for t in range(start, end):
                first = start if window is None else max(start, t - window + 1)
                seen = slice(first, t + 1)
                scores = k[0, head // shared, seen] @ q[0, head, t] * scale
                out[0, head, t] = scores.softmax(0) @ v[0, head // shared, seen]
    return out.transpose(1, 2)


@pytest.mark.parametrize("key_heads", [1, 2, 6])
@pytest.mark.parametrize("window", [None, 1, 4, 100])
@pytest.mark.parametrize("chunk", [3, 1024])
def test_attention_by_brute_force(
    key_heads: int, window: int | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "WINDOW_CHUNK", chunk)
    torch.manual_seed(0)
    tokens = sum(SEGMENTS)
    q = torch.randn(1, 6, tokens, 8, dtype=torch.float64)
    k, v = torch.randn(2, 1, key_heads, tokens, 8, dtype=torch.float64)
    ours, _ = packed_attention(
        torch.nn.Module(), q, k, v, None, scaling=0.3, sliding_window=window, segments=SEGMENTS
    )
    torch.testing.assert_close(ours, slow_attention(q, k, v, SEGMENTS, window, 0.3))


def test_gradients_stay_in_their_segment() -> None:
    torch.manual_seed(0)
    tokens = sum(SEGMENTS)
    q, k, v = (torch.randn(1, 2, tokens, 8, requires_grad=True) for _ in range(3))
    out, _ = packed_attention(torch.nn.Module(), q, k, v, None, segments=SEGMENTS)
    third = slice(sum(SEGMENTS[:2]), sum(SEGMENTS[:3]))
    out[:, third].square().sum().backward()
    for tensor in (q, k, v):
        elsewhere = tensor.grad.clone()
        elsewhere[:, :, third] = 0
        assert not elsewhere.any() and tensor.grad.any()


UNPACKABLE = {
    "qwen3_next": {},
    "mamba": {},
    "jamba": {},
    "falcon_h1": {},
    "recurrent_gemma": {},
    "minimax": {},
    "lfm2": {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    "llama4_text": {},
}


@pytest.mark.parametrize("kind", UNPACKABLE)
def test_layers_that_cannot_be_packed_are_refused_by_name(kind: str) -> None:
    config = AutoConfig.for_model(kind, **UNPACKABLE[kind])
    with pytest.raises(UserError, match=config.model_type):
        refuse_unpackable(config)


@pytest.mark.parametrize("kind", MODELS)
def test_plain_attention_is_not_refused(kind: str) -> None:
    refuse_unpackable(AutoConfig.for_model(kind))


REFUSED_BEFORE_TRAINING = {
    "gemma2": "soft-capped",
    "gpt_oss": "attention sinks",
    "granite_swa": "attention sinks",
    "cpmant": "position biases",
    "deepseek_v32": "sparse attention",
}


@pytest.mark.parametrize("kind", REFUSED_BEFORE_TRAINING)
def test_attention_that_no_kernel_here_knows_is_refused_before_training(kind: str) -> None:
    """Asked of the configuration alone, by the name of the model and of what it has."""
    if kind not in CONFIG_MAPPING:
        pytest.skip("not in this version of transformers")
    with pytest.raises(UserError, match=f"{kind}.*{REFUSED_BEFORE_TRAINING[kind]}|{kind}.*cannot be packed"):
        refuse_unpackable(AutoConfig.for_model(kind))


@pytest.mark.parametrize("foreign", attention.FOREIGN)
def test_foreign_attention_is_refused_at_the_call_too(foreign: str) -> None:
    q = torch.randn(1, 2, 4, 8)
    with pytest.raises(UserError, match=attention.FOREIGN[foreign]):
        packed_attention(torch.nn.Module(), q, q, q, None, segments=(4,), **{foreign: q})


NOT_OURS: dict[str, dict[str, Any]] = {
    "rwkv": {"attention_hidden_size": 32},
    "xlstm": {},
    "bloom": {"n_head": 4, "n_layer": 2},
    "gemma2": {},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


@pytest.mark.parametrize("kind", NOT_OURS)
def test_a_model_that_does_not_isolate_conversations_is_never_trained(
    kind: str, make_model: MakeModel
) -> None:
    """No layer kinds in its configuration, or attention of its own: refused, or isolated after all."""
    try:
        model = make_model(kind, **NOT_OURS[kind]).eval()
        refuse_unpackable(model.config)
        before, (first, *others) = packed_hidden(model, sequences()), sequences()
        after = packed_hidden(model, [511 - first, *others])
    except UserError as refusal:
        assert kind in str(refusal).lower() or "Attention" in str(refusal)
    else:
        assert torch.equal(before[len(first) :], after[len(first) :])


@torch.no_grad()
def packed_hidden(model: PreTrainedModel, rows: list[Tensor]) -> Tensor:
    return model.get_decoder()(
        input_ids=torch.cat(rows)[None],
        position_ids=torch.cat([torch.arange(len(row)) for row in rows])[None],
        segments=tuple(len(row) for row in rows),
        use_cache=False,
    ).last_hidden_state[0]


def test_positions_that_depend_on_the_longest_sequence_are_refused_or_kept_apart(
    make_model: MakeModel,
) -> None:
    """Phi-3's LongRoPE picks its frequencies by the longest position in the whole batch."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "factor": 4.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 16,
    }
    try:
        model = make_model("llama", max_position_embeddings=64, rope_parameters=rope).eval()
        refuse_unpackable(model.config)
        short, long = sequences()[0], sequences()[2]
        packed, _ = packed_logits(model, [short, long])
    except UserError:
        return
    torch.testing.assert_close(packed, packed_logits(model, [short])[0], rtol=1e-4, atol=1e-5)
