"""Recipes: what is refused, where, and what is offered instead."""

from pathlib import Path

import pytest

from boresight.errors import UserError
from boresight.recipe import Recipe, check_fits, load_recipe

GOOD = """\
model: pocket
template: tulu
max_length: 512
data:
  - {source: gsm8k, path: rows.jsonl}
train:
  epochs: 1
  learning_rate: 1.0e-3
"""
ROOT = Path(__file__).parent.parent


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_recipe_is_read_and_its_paths_start_where_it_lies(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.data[0].path == tmp_path / "rows.jsonl"
    assert recipe.train.epochs == 1
    assert recipe.train.alpha == 1.0


def test_overrides_reach_any_depth_and_paths_in_them_start_here(tmp_path: Path) -> None:
    overrides = ["train.loss=0.5", "data.0.path=here.jsonl", "data.0.limit=3", "train.tokens_per_step=4096"]
    recipe = load_recipe(write(tmp_path, GOOD), overrides)
    assert recipe.train.alpha == 0.5
    assert recipe.data[0].path == Path("here.jsonl")
    assert recipe.data[0].limit == 3
    assert recipe.train.tokens_per_step == 4096


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("template: tulu", "templat: tulu"), 2, "did you mean 'template'?"),
        (("template: tulu", "template: alpaca"), 2, "'alpaca'"),
        (("max_length: 512", "max_length: many"), 3, "max_length"),
        (("source: gsm8k", "source: gsm9k"), 5, "did you mean 'gsm8k'?"),
        (("path: rows", "file: rows"), 5, "valid are limit, path, source"),
        (("path: rows.jsonl", "path: hub:openai/gsm8k#main"), 5, "data.0.path: a run trains on files"),
        (
            ("data:\n  - {source: gsm8k, path: rows.jsonl}", "data: 5"),
            4,
            "data: Input should be a valid list",
        ),
        (("epochs: 1", "epoch: 1"), 7, "did you mean 'epochs'?"),
        (("epochs: 1", "epochs: 0"), 7, "train.epochs"),
        (("learning_rate: 1.0e-3", "learning_rate: fast"), 8, "train.learning_rate"),
        (("epochs: 1", "tokens_per_step: 9\n  sequences_per_step: 3"), 6, "keep one"),
        (("model: pocket\n", ""), 1, "'model' is missing"),
        (("epochs: 1", "epochs: [1"), 8, "not YAML"),
        (("epochs: 1", "epochs: 1\n  epochs: 2"), 8, "the key 'epochs' is there twice"),
        (("model: pocket\n", "model: pocket\nmodel: other\n"), 2, "the key 'model' is there twice"),
        (("template: tulu", "template: tu\0lu"), 2, r"not YAML: the character '\x00'"),
        (("template: tulu", "template: tulu # \x1b[31m"), 2, r"not YAML: the character '\x1b'"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, change: tuple[str, str], line: int, said: str
) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(UserError) as refusal:
        load_recipe(path)
    assert str(refusal.value).startswith(f"{path}:{line}: "), refusal.value
    assert said in str(refusal.value)


def test_a_merged_key_may_be_set_again(tmp_path: Path) -> None:
    """Of an anchor below: what is merged into a mapping does not stand in it twice."""
    merged = """\
data:
  - &one {source: gsm8k, path: rows.jsonl}
  - &two {<<: *one, path: other.jsonl}
  - {<<: *two, path: third.jsonl}
"""
    recipe = load_recipe(
        write(tmp_path, GOOD.replace(GOOD[GOOD.index("data") : GOOD.index("train")], merged))
    )
    assert [(part.source, part.path.name) for part in recipe.data] == [
        ("gsm8k", "rows.jsonl"), ("gsm8k", "other.jsonl"), ("gsm8k", "third.jsonl")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochz=1", "did you mean 'epochs'?"),
        ("train.epochs=none", "train.epochs"),
        ("train.epochs", "expected key=value"),
        ("train={epochs: 1, epochs: 2}", "not YAML"),
        ("data.7.path=x", "no such place"),
        ("model.name=x", "no such place"),
    ],
)
def test_mistakes_in_overrides_name_the_override(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        load_recipe(write(tmp_path, GOOD), [override])
    assert f"--set {override}" in str(refusal.value)
    assert said in str(refusal.value)


def test_a_context_longer_than_the_models_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD))
    check_fits(recipe, 512)
    check_fits(recipe, None)
    with pytest.raises(UserError, match="512 is longer than the context of pocket, 256 tokens"):
        check_fits(recipe, 256)


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n"])
def test_what_is_no_mapping_is_no_recipe(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="a recipe is a mapping"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_we_ship_is_valid(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)
