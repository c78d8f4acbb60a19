"""Commands that need an extra, at least one for each way in; run in a folder of small files."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from boresight.incontext.presets import PRESETS
from boresight.models.load import POCKET


class Needs(NamedTuple):
    """A package, the extra that brings it, and arguments of a command that cannot do without."""

    package: str
    extra: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.package}: {' '.join(self.arguments[:3])}"

    @property
    def message(self) -> str:
        """What is said last; before it, no more than how far the command came."""
        return f"boresight: {self.package} is not installed: pip install 'boresight[{self.extra}]'"


def _needs(package: str, extra: str, *commands: str) -> list[Needs]:
    return [Needs(package, extra, tuple(command.split())) for command in commands]


TASKS = "--tasks asked.jsonl -o out"
DENSE = "--demonstrations pool.jsonl --set retrieval.kind"
COMMANDS = [
    *_needs(
        "peft",
        "peft",
        "train recipe.yaml -o out --set train.lora.rank=2",
        "train recipe.yaml -o out --set model=adapters",
        "chat adapters",
        f"eval adapters {TASKS}",
        "needle adapters -o out --needles pocket --lengths 300",
    ),
    *_needs(
        "datasets",
        "hub",
        "data import messages hub:owner/name -o out.jsonl",
        "data import messages saved -o out.jsonl",
        "data mix mixture.yaml -o out.jsonl",
        "data long hub:owner/name -o out --teacher http://127.0.0.1:9/v1#none --model pocket",
        "eval pocket --tasks gsm --data gsm=hub:owner/name -o out",
    ),
    *_needs(
        "sentence_transformers",
        "dense",
        f"chat pocket {DENSE}=dense",
        "serve pocket --port 0 --demonstrations a=pool.jsonl --set retrieval.kind=hybrid",
        f"eval pocket {TASKS} {DENSE}=dense",
    ),
    *_needs(
        "ray",
        "ray",
        "data import conversations pool.jsonl -o out.jsonl --engine ray",
        "data clean pool.jsonl -o out.jsonl --engine ray",
        "data tokenise pool.jsonl -o out --engine ray",
    ),
    *_needs(
        "rjieba",
        "chinese",
        "eval pocket --tasks longbench:multifieldqa_zh --data . -o out",
        "score longbench:multifieldqa_zh answers.jsonl --data .",
    ),
    *_needs("tensorboard", "track", "train recipe.yaml -o out --set track=[tensorboard]"),
    *_needs("wandb", "track", "train recipe.yaml -o out --set track=[wandb]"),
]


def write_inputs(folder: Path) -> None:
    """The files that the commands name."""
    (folder / "pool.jsonl").write_bytes((PRESETS / "urial.jsonl").read_bytes())
    (folder / "asked.jsonl").write_bytes((PRESETS / "urial.jsonl").read_bytes())
    (folder / "recipe.yaml").write_text(
        "model: pocket\nmax_length: 512\ndata: [{path: pool.jsonl}]\ntrain: {epochs: 1}\n"
    )
    (folder / "mixture.yaml").write_text("members: {a: {source: messages, files: ['hub:owner/name']}}\n")
    weights = shutil.ignore_patterns("config.json", "generation_config.json", "model.safetensors")
    shutil.copytree(POCKET, folder / "adapters", ignore=weights)
    adapters = {"peft_type": "LORA", "base_model_name_or_path": "pocket"}
    (folder / "adapters" / "adapter_config.json").write_text(json.dumps(adapters))
    (folder / "saved").mkdir()
    (folder / "saved" / "state.json").write_text("{}")
    row = {"_id": "a1", "dataset": "multifieldqa_zh", "language": "zh", "input": "谁?", "context": "米拉。"}
    asked = row | {"answers": ["米拉"], "length": 3, "all_classes": None}
    (folder / "longbench").mkdir()
    (folder / "longbench" / "multifieldqa_zh.jsonl").write_text(json.dumps(asked))
    (folder / "answers.jsonl").write_text(json.dumps({"id": "a1", "output": "米拉"}))
