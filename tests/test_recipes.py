"""The recipes that come along: each loads, and the memory its header promises is what is estimated."""

import re
from pathlib import Path

import pytest
from transformers import LlamaConfig

from boresight.recipe import load_recipe
from boresight.train.memory import estimate_memory

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
SEVEN_B = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
SIXTY_FIVE_B = SEVEN_B | {
    "hidden_size": 8192,
    "intermediate_size": 22_016,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
}
PROMISE = re.compile(r"# (\d) nodes? of (\d) GPUs.*: ([\d.]+) GB a GPU\n#   (torchrun .*)")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_loads(path: Path) -> None:
    load_recipe(path)


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if "7b" in p.stem or "65b" in p.stem], ids=lambda p: p.stem
)
def test_header_is_true(path: Path) -> None:
    config = LlamaConfig(**(SIXTY_FIVE_B if "65b" in path.stem else SEVEN_B))
    promises = PROMISE.findall(path.read_text())
    assert [nodes for nodes, *_ in promises] == ["1", "4"]
    for nodes, gpus, gigabytes, launch in promises:
        assert f"recipes/{path.name}" in launch and f"--nproc-per-node {gpus}" in launch
        assert ("--nnodes 4" in launch) == (nodes == "4")
        recipe = load_recipe(path, re.findall(r"--set (\S+)", launch))
        tokens = recipe.train.tokens_per_micro_batch
        assert tokens >= recipe.max_length
        memory = estimate_memory(config, recipe.train, int(nodes) * int(gpus), tokens)
        assert f"{memory.total / 1e9:.1f}" == gigabytes, launch
        if host := re.search(r"and (\d+) GB of CPU memory", path.read_text()):
            assert memory.host in (0, pytest.approx(int(host[1]) * 1e9, rel=0.01))
