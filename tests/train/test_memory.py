"""The memory estimate: against what autograd keeps of a real forward pass, and against sums done by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from boresight.errors import UserError
from boresight.models.load import empty_model
from boresight.train import attention, sharding
from boresight.train.attention import NAME
from boresight.train.batch import Batch
from boresight.train.lora import add_adapters
from boresight.train.memory import Memory, count_parameters, estimate_memory, saved_bytes
from boresight.train.ranks import joined
from boresight.train.settings import Lora, TrainSettings
from boresight.train.sharding import DTYPES, recompute_activations, sharded

MakeModel = Callable[..., PreTrainedModel]
ROWS = 64
VOCABULARY, WIDTH, FEED_FORWARD, LAYERS, HEADS, KEY_HEADS, HEAD = 512, 32, 48, 2, 4, 2, 8
LAYER = 2 * WIDTH * WIDTH + 2 * WIDTH * KEY_HEADS * HEAD + 3 * WIDTH * FEED_FORWARD + 2 * WIDTH
"""Parameters: query and output, key and value, the three of the feed-forward part, two norms."""
EMBEDDINGS = VOCABULARY * WIDTH
PARAMETERS = 2 * EMBEDDINGS + LAYERS * LAYER + WIDTH


def config_of(kind: str = "llama", **changes: Any) -> PreTrainedConfig:
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": HEAD,
    }
    return AutoConfig.for_model(kind, **(sizes | changes))


def estimate(
    ranks: int = 1, tokens: int = ROWS, of: PreTrainedConfig | None = None, **changes: Any
) -> Memory:
    return estimate_memory(of or config_of(), TrainSettings(**changes), ranks, tokens)


# Activations ------------------------------------------------------------------------------------------


def kept_by_the_graph(model: PreTrainedModel, tokens: int) -> int:
    """Bytes reached from the backward graph of a real forward pass, parameters not counted."""
    row = torch.zeros(1, tokens, dtype=torch.int64)
    out = model.get_decoder()(input_ids=row, position_ids=row, segments=(tokens,), use_cache=False)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}

    def keep(saved: object) -> None:
        if isinstance(saved, Tensor) and saved.untyped_storage().data_ptr() not in parameters:
            storages[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()

    nodes, visited = [out.last_hidden_state.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        for name in dir(node):
            if name.startswith("_saved_"):
                saved = getattr(node, name)
                for each in saved if isinstance(saved, list | tuple) else [saved]:
                    keep(each)
        nodes += [parent for parent, _ in node.next_functions]
    return sum(storages.values())


@pytest.mark.parametrize("tokens", [16, 96])
def test_it_is_what_the_backward_graph_holds(tokens: int, make_model: MakeModel) -> None:
    model = make_model(num_key_value_heads=HEADS).train()
    assert saved_bytes(model, tokens) == kept_by_the_graph(model, tokens)


@pytest.mark.parametrize("layers", [1, 3])
def test_without_contents_it_is_the_same(layers: int, make_model: MakeModel) -> None:
    real = make_model(num_key_value_heads=HEADS, num_hidden_layers=layers).train()
    empty = empty_model(real.config, NAME, torch.float32).train()
    assert all(p.is_meta for p in empty.parameters())
    assert saved_bytes(empty, 96) == saved_bytes(real, 96)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kernel for the whole row, as on a GPU, instead of one for each sequence and a copy to join them."""
    honest = attention.attend

    def attend(query: Tensor, key: Tensor, value: Tensor, segments: tuple[int, ...], **others: Any) -> Tensor:
        if query.is_meta:
            return honest(query, key, value, segments, **others)
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=others["scaling"])

    monkeypatch.setattr(attention, "attend", attend)


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_keeps_what_was_foretold(
    precision: Any, adapters: bool, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, fused: None
) -> None:
    """The sharded model at work, until the loss. What is as long as the row is told by its prime length."""
    tokens = 509
    settings = TrainSettings(precision=precision, lora=Lora() if adapters else None)
    model = make_model(num_key_value_heads=HEADS)
    foretold = estimate_memory(model.config, settings, 1, tokens).activations
    if settings.lora:
        add_adapters(model.to(DTYPES[precision]), settings.lora)
    kept: dict[int, Any] = {}
    held: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.nbytes() % tokens == 0:
            kept.setdefault(storage._cdata, storage)
        return tensor

    def loss(states: Tensor, *_: object) -> Tensor:
        held.append(sum(storage.nbytes() for storage in kept.values()))
        return states.sum()

    monkeypatch.setattr(sharding, "weighted_cross_entropy", loss)
    row = torch.arange(tokens)
    batch = Batch(row[None], row[None], (tokens,), row[:-1], row[1:], torch.ones(tokens - 1))
    with joined(settings) as ranks, saved_tensors_hooks(keep, lambda tensor: tensor):
        sharded(model.train(), settings, ranks)(batch)
    assert foretold == pytest.approx(held[0], rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("recompute", [False, True])
def test_it_is_linear_in_tokens(dtype: torch.dtype, recompute: bool) -> None:
    model = empty_model(config_of(), NAME, dtype).train()
    if recompute:
        recompute_activations(model)
    at = [saved_bytes(model, tokens) for tokens in (256, 512, 768, 100_000)]
    assert at[1] - at[0] == at[2] - at[1] > 0
    assert (at[3] - at[0]) * 256 == (at[1] - at[0]) * (100_000 - 256)


def test_each_layer_keeps_the_same() -> None:
    one, two, four = (
        saved_bytes(empty_model(config_of(num_hidden_layers=n), NAME, torch.float32).train(), ROWS)
        for n in (1, 2, 4)
    )
    assert four - two == 2 * (two - one) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputing_keeps_what_enters_a_layer(dtype: torch.dtype) -> None:
    kept = {}
    for layers in (1, 2, 4):
        model = empty_model(config_of(num_hidden_layers=layers), NAME, dtype).train()
        recompute_activations(model)
        kept[layers] = saved_bytes(model, ROWS)
    states = ROWS * WIDTH * dtype.itemsize
    assert kept[2] - kept[1] == states and kept[4] - kept[2] == 2 * states
    around = kept[1] - states  # the last norm in float32, and the row's token ids
    assert 0 < around <= 4 * ROWS * WIDTH * 4 + ROWS * 64


def test_recomputing_takes_less() -> None:
    many = config_of(num_hidden_layers=12)
    plain = estimate(tokens=4096, of=many)
    again = estimate(tokens=4096, of=many, activation_checkpointing=True)
    assert again.activations < plain.activations / 3
    assert again._replace(activations=0) == plain._replace(activations=0)


# Weights, gradients, optimizer ------------------------------------------------------------------------


def test_parameters_are_counted(make_model: MakeModel) -> None:
    assert count_parameters(config_of()) == PARAMETERS == make_model().num_parameters()
    assert count_parameters(config_of(tie_word_embeddings=True)) == PARAMETERS - EMBEDDINGS


def test_the_model_is_empty_and_packed() -> None:
    model = empty_model(config_of(), NAME, torch.bfloat16)
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in model.parameters())
    assert model.config._attn_implementation == NAME


def test_a_model_that_is_no_language_model_is_refused() -> None:
    with pytest.raises(UserError, match="vit: not a causal language model"):
        empty_model(AutoConfig.for_model("vit"), NAME, torch.float32)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shares_worked_by_hand(precision: str) -> None:
    """Kept in float32 whatever the arithmetic: four bytes a weight and a gradient, eight for two moments."""
    one = estimate(precision=precision)
    assert one[:3] == (4 * PARAMETERS, 4 * PARAMETERS, 8 * PARAMETERS)
    assert one.total == sum(one)
    for ranks, replicas in ((2, 1), (8, 1), (8, 2), (8, 8)):
        many = estimate(ranks, precision=precision, replicas=replicas)
        shards = ranks // replicas
        for ours, whole in zip(many[:3], one[:3], strict=True):
            assert ours == whole // shards
        assert many[3:] == one[3:], "what is whole at work does not depend on the ranks"


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
def test_gathered_worked_by_hand(precision: str, size: int) -> None:
    """Two layers and what is outside of them, in the precision of the arithmetic; gradients of one layer."""
    rest = 2 * EMBEDDINGS + WIDTH
    assert estimate(precision=precision).gathered == size * (2 * LAYER + rest) + size * (LAYER + rest)
    assert estimate(precision=precision, lora=Lora()).gathered >= size * (2 * LAYER + rest)


ADAPTERS = 4 * LAYERS * (2 * 2 * WIDTH + 2 * (WIDTH + KEY_HEADS * HEAD) + 3 * (WIDTH + FEED_FORWARD))
"""Of rank 4: A and B have 4 (in + out) numbers in each linear layer."""


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
@pytest.mark.parametrize("ranks", [1, 4])
def test_adapters_worked_by_hand(precision: str, size: int, ranks: int) -> None:
    """Frozen weights in the precision of the arithmetic; only adapters have gradients and moments."""
    memory = estimate(ranks, precision=precision, lora=Lora(rank=4))
    assert memory.weights == (4 * ADAPTERS + size * PARAMETERS) // ranks
    assert memory.gradients == 4 * ADAPTERS // ranks
    assert memory.optimizer == 8 * ADAPTERS // ranks


def test_adapters_leave_the_output_layer_without_a_gradient() -> None:
    full, adapted = estimate(), estimate(lora=Lora())
    assert full.loss - adapted.loss == 4 * EMBEDDINGS


def test_ranks_that_share_a_row_hold_equal_parts() -> None:
    whole, halves, quarter = estimate(4, 1024), estimate(4, 1024, sequence_parallel=2), estimate(4, 256)
    assert halves.activations < 0.51 * whole.activations
    assert halves[:4] == whole[:4]
    assert estimate(4, 1024, sequence_parallel=4)[3:] == quarter[3:]
    assert estimate(4, 1021, sequence_parallel=4)[3:] == quarter[3:], "the largest part counts"
    assert halves.loss < whole.loss


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loss_grows_with_states_alone(precision: str) -> None:
    """Beyond a chunk of logits, each token adds the gradient of its state and nothing of the vocabulary."""
    large = config_of(vocab_size=128_256)
    size = {"fp32": 4, "bf16": 2}[precision]
    at = [estimate(tokens=n, of=large, precision=precision).loss for n in (100_000, 200_000)]
    assert at[1] - at[0] == 100_000 * WIDTH * size
    full_logits = 4 * 200_000 * 128_256
    assert at[1] < full_logits / 20


def test_offloaded_weights_are_not_on_the_gpu() -> None:
    """Weights, gradients and optimizer state are in CPU memory between uses."""
    on_gpu, offloaded = estimate(), estimate(offload=True)
    assert offloaded.total <= on_gpu.total - 16 * PARAMETERS
