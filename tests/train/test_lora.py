"""Against peft and transformers, which load and apply what we save by code of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from boresight import extras
from boresight.data.store import TokenStore
from boresight.errors import UserError
from boresight.models.load import POCKET, load_config, load_model
from boresight.train.attention import NAME
from boresight.train.batch import collate
from boresight.train.extend import extended
from boresight.train.lora import add_adapters, merged, save_adapters
from boresight.train.plan import MicroBatch
from boresight.train.settings import Extend, Lora
from boresight.train.sharding import Objective

MakeModel = Callable[..., PreTrainedModel]
KINDS = ["llama", "qwen3", "mistral", "gemma3_text", "phi3"]
TOKENS = torch.arange(3, 40)[None]


def trained(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def with_adapters(model: PreTrainedModel, **lora: Any) -> PreTrainedModel:
    """Adapters as after some training: B starts at zero, and would hide any mistake."""
    add_adapters(model, Lora(rank=4, alpha=12, **lora))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.07)
    return model


@pytest.fixture
def base(make_model: MakeModel, tmp_path: Path) -> Path:
    make_model("llama", num_hidden_layers=1).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_layer_but_the_last_gets_an_adapter_and_nothing_else_a_gradient(
    kind: str, make_model: MakeModel
) -> None:
    model, before = make_model(kind, attention="sdpa"), make_model(kind, attention="sdpa")
    add_adapters(model, Lora(rank=4))
    linear = {n for n, m in before.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}
    assert {n.rpartition(".lora_")[0] for n in trained(model)} == linear
    assert all(p.dtype == torch.float32 for p in trained(model).values())
    assert torch.equal(model(TOKENS).logits, before(TOKENS).logits), "fresh adapters change nothing"
    model(TOKENS, labels=TOKENS).loss.backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == trained(model).keys()
    kept = {n.replace(".base_layer", ""): p for n, p in model.state_dict().items() if ".lora_" not in n}
    assert kept.keys() == before.state_dict().keys()
    assert all(torch.equal(p, kept[n]) for n, p in before.state_dict().items())


def test_the_adapter_is_what_the_formula_says(make_model: MakeModel) -> None:
    model = with_adapters(make_model(), targets=["q_proj"])
    layer = model.get_decoder().layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert (a.shape, b.shape) == ((4, 32), (32, 4))
    x = torch.randn(5, 32)
    torch.testing.assert_close(layer(x), x @ layer.base_layer.weight.T + 12 / 4 * x @ a.T @ b.T)
    assert all(".q_proj." in name for name in trained(model))


def test_the_first_values_follow_from_the_seed_alone(make_model: MakeModel) -> None:
    values = []
    for noise, seed in ((1, 0), (2, 0), (1, 7)):
        model = make_model()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        add_adapters(model, Lora(), seed)
        assert torch.equal(torch.get_rng_state(), before)
        values.append(torch.cat([p.flatten() for p in trained(model).values()]))
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


def test_adapters_of_a_bf16_model_are_float32(make_model: MakeModel) -> None:
    model = make_model(attention="sdpa").to(torch.bfloat16)
    add_adapters(model, Lora())
    assert {p.dtype for p in trained(model).values()} == {torch.float32}
    model(TOKENS, labels=TOKENS).loss.backward()
    assert any(p.grad.any() for p in trained(model).values())


def loss_and_gradients(
    model: PreTrainedModel, store: TokenStore, batches: list[MicroBatch]
) -> tuple[float, dict[str, Tensor]]:
    model.zero_grad()
    weights = {i: 1 / (1 + i) for i in range(len(store))}
    loss = 0.0
    for batch in batches:
        partial = Objective(model)(collate(store, batch, weights))
        partial.backward()
        loss += partial.item()
    return loss, {name: p.grad for name, p in trained(model).items()}


@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral", "pocket"])
@pytest.mark.parametrize("recompute", [False, True])
def test_packed_is_padded(kind: str, recompute: bool, make_model: MakeModel, store: TokenStore) -> None:
    model = load_model("pocket", NAME) if kind == "pocket" else make_model(kind)
    with_adapters(model).double().train()
    if recompute:
        model.gradient_checkpointing_enable()
    sequences = np.arange(3)
    packed = loss_and_gradients(model, store, [MicroBatch(sequences, padded=False)])
    padded = loss_and_gradients(model, store, [MicroBatch(sequences, padded=True)])
    alone = loss_and_gradients(model, store, [MicroBatch(sequences[i : i + 1], False) for i in sequences])
    for loss, gradients in (padded, alone):
        assert loss == pytest.approx(packed[0], rel=1e-10)
        for name, gradient in gradients.items():
            assert gradient.norm() > 0
            assert (gradient - packed[1][name]).norm() / gradient.norm() < 1e-10, name
    assert not any(p.grad is not None for p in model.parameters() if not p.requires_grad)


@pytest.mark.parametrize("kind", [*KINDS, "pocket"])
def test_saved_adapters_load_everywhere_and_merge(kind: str, make_model: MakeModel, tmp_path: Path) -> None:
    if kind == "pocket":
        base, model = POCKET, load_model("pocket", "sdpa")
    else:
        base = tmp_path / "base"
        make_model(kind, attention="sdpa").save_pretrained(base)
        model = load_model(str(base), "sdpa")
    plain = model(TOKENS).logits
    with_adapters(model).eval()
    expected = model(TOKENS).logits
    assert (expected - plain).abs().max() > 1e-2
    state = {name: p.detach().clone() for name, p in trained(model).items()}
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.zero_()  # what is saved is the state dict, wherever the parameters are
    save_adapters(model, state, tmp_path / "adapter", str(base))
    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    loaded = {
        "peft": peft.PeftModel.from_pretrained(theirs, str(tmp_path / "adapter")),
        "transformers": AutoModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32),
        "MODEL": load_model(str(tmp_path / "adapter"), "sdpa"),
        "merged": merged(tmp_path / "adapter", torch.float32),
    }
    for name, other in loaded.items():
        logits = other.eval()(TOKENS).logits
        assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1), name
    assert loaded["merged"].state_dict().keys() == load_model(str(base), "sdpa").state_dict().keys()
    loaded["merged"].save_pretrained(tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(again(TOKENS).logits, loaded["merged"](TOKENS).logits)


def saved(base: Path, directory: Path) -> PreTrainedModel:
    model = with_adapters(load_model(str(base), "sdpa"))
    model.generation_config.eos_token_id = [2, 4]
    save_adapters(model, trained(model), directory, str(base))
    return model


def test_what_ends_an_answer_is_kept(base: Path, tmp_path: Path) -> None:
    saved(base, tmp_path / "adapter")
    assert load_model(str(tmp_path / "adapter"), "sdpa").generation_config.eos_token_id == [2, 4]


def test_the_same_adapters_are_the_same_files(base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        saved(base, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    said = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == str(base)
    assert said["target_modules"] == sorted(said["target_modules"])


def test_the_sum_is_rounded_once(base: Path, tmp_path: Path) -> None:
    saved(base, tmp_path / "adapter")
    exact = merged(tmp_path / "adapter", torch.float32).to(torch.bfloat16).state_dict()
    half = merged(tmp_path / "adapter", torch.bfloat16).state_dict()
    assert all(torch.equal(half[name], value) for name, value in exact.items())


def test_adapters_go_with_a_longer_context(base: Path, tmp_path: Path) -> None:
    longer = extended(load_config(str(base)), Extend(context=4096))
    model = with_adapters(load_model(str(base), "sdpa", config=longer)).eval()
    save_adapters(model, trained(model), tmp_path / "adapter", str(base))
    whole = merged(tmp_path / "adapter", torch.float32, model.config)
    assert whole.config.max_position_embeddings == 4096
    torch.testing.assert_close(whole(TOKENS).logits, model(TOKENS).logits, rtol=1e-4, atol=1e-4)
    short = merged(tmp_path / "adapter", torch.float32)
    assert (short(TOKENS).logits - model(TOKENS).logits).abs().max() > 1e-2


def test_a_model_on_the_meta_device_gets_the_same_parameters(make_model: MakeModel) -> None:
    here, there = make_model(), make_model().to("meta")
    for model in (here, there):
        add_adapters(model, Lora())
    shapes = [{n: (p.shape, p.dtype) for n, p in trained(model).items()} for model in (here, there)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_pro"], "no linear layer is called 'q_pro'; did you mean 'q_proj'"),
        (["q_proj", "nonsense"], "'nonsense'; valid are down_proj, gate_proj, k_proj"),
        (["lm_head"], "'lm_head'"),
        (["embed_tokens"], "'embed_tokens'"),
    ],
)
def test_an_unknown_target_is_refused(targets: list[str], message: str, make_model: MakeModel) -> None:
    model = make_model()
    with pytest.raises(UserError, match=r"lora\.targets: ") as refusal:
        add_adapters(model, Lora(targets=targets))
    assert message in str(refusal.value)
    assert all(p.requires_grad for p in model.parameters()), "a refusal leaves the model as it was"


def test_a_longer_name_narrows_the_target(make_model: MakeModel) -> None:
    model = make_model()
    add_adapters(model, Lora(targets=["layers.1.self_attn.q_proj"]))
    assert {name.split(".lora_")[0] for name in trained(model)} == {"model.layers.1.self_attn.q_proj"}


def test_a_missing_peft_is_one_clear_line(
    make_model: MakeModel, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(base, tmp_path / "adapter")

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(extras, "import_module", absent)
    for needs_it in (
        lambda: add_adapters(make_model(), Lora()),
        lambda: load_model(str(tmp_path / "adapter"), "sdpa"),
    ):
        with pytest.raises(UserError) as refusal:
            needs_it()
        assert str(refusal.value) == "peft is not installed: pip install 'boresight[peft]'"


def test_an_adapter_directory_is_a_model(base: Path, tmp_path: Path) -> None:
    directory = tmp_path / "adapter"
    saved(base, directory)
    assert load_config(str(directory)).to_dict() == load_config(str(base)).to_dict()
    (base / "config.json").rename(base / "elsewhere.json")
    with pytest.raises(UserError, match=r"adapter: the base of its adapters: .*base: a directory without"):
        load_config(str(directory))
    (directory / "adapter_config.json").write_text("[]")
    with pytest.raises(UserError, match="does not name the adapters' base"):
        load_model(str(directory), "sdpa")


def test_adapters_of_another_model_are_refused(make_model: MakeModel, base: Path, tmp_path: Path) -> None:
    saved(base, tmp_path / "adapter")
    make_model("llama", hidden_size=64, num_hidden_layers=1).save_pretrained(base)
    with pytest.raises(UserError, match="the adapters cannot be merged"):
        load_model(str(tmp_path / "adapter"), "sdpa")
