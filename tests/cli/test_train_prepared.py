"""`boresight train` on what `data tokenise` made: the same run as on the conversations themselves."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from boresight.models.load import POCKET
from boresight.train.metrics import METRICS
from command_line import Run

TULU = Path(str(files("boresight"))) / "chat_templates" / "tulu.jinja"
CONVERSATIONS = 9
RECIPE = """\
model: pocket
max_length: 128
data: [{path: rows.jsonl}]
train: {epochs: 1, sequences_per_step: 2, tokens_per_micro_batch: 200, precision: fp32}
"""
PREPARED = ("--set", "data.0.path=rows.tokens")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boresight: Run) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        [{"role": "user", "content": "why " * n}, {"role": "assistant", "content": "so " * (1 + n * n % 11)}]
        for n in range(1, 1 + CONVERSATIONS)
    ]
    Path("rows.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    Path("recipe.yaml").write_text(RECIPE)
    tokens = ("-o", "rows.tokens", "--max-length", 128)
    assert boresight("data", "tokenise", "rows.jsonl", *tokens).returncode == 0
    shutil.copytree(POCKET, "mine")
    Path("mine/chat_template.jinja").write_text(TULU.read_text().replace("|>", ">"))
    return tmp_path / "recipe.yaml"


def losses(run: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (Path(run) / METRICS).read_text().splitlines()]


def test_a_prepared_store_trains_as_its_conversations_do(boresight: Run, recipe: Path) -> None:
    foreseen = boresight("train", recipe, *PREPARED, "--dry-run", "--json").json
    assert boresight("train", recipe, "-o", "runs/rows").returncode == 0
    trained = boresight("train", recipe, *PREPARED, "-o", "runs/tokens", "--json").json
    assert foreseen["data"]["sequences"] == trained["sequences"] == CONVERSATIONS
    assert losses("runs/tokens") == losses("runs/rows")
    weights = [Path(run, "model/model.safetensors").read_bytes() for run in ("runs/rows", "runs/tokens")]
    assert weights[0] == weights[1]
    assert "already done" in boresight("train", recipe, *PREPARED, "-o", "runs/tokens").stderr
    assert boresight("train", recipe, *PREPARED, "-o", "runs/tokens", "--force").returncode == 0
    assert boresight("report", "runs", "-o", "report.html").returncode == 0
    assert Path("rows.tokens/manifest.json").is_file(), "the store is the user's, and stays"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("max_length=64",), "rows.tokens: tokenised for another max_length"),
        (("model=mine", "template=own"), "rows.tokens: tokenised for another tokenizer or template"),
        (("data.0.limit=3",), "rows.tokens: a token store is trained on whole, and alone"),
    ],
)
def test_a_store_made_for_something_else_is_refused(
    boresight: Run, recipe: Path, settings: tuple[str, ...], message: str
) -> None:
    changes = [part for setting in settings for part in ("--set", setting)]
    refused = boresight("train", recipe, *PREPARED, *changes, "-o", "runs/other")
    assert refused.returncode == 2 and message in refused.stderr
