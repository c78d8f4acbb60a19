"""`boresight train RECIPE`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import print_result, quiet_transformers, say, training

if TYPE_CHECKING:
    from boresight.chat import Chat
    from boresight.data.store import TokenStore
    from boresight.recipe import Recipe


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, YAML.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run directory.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: train.epochs=1")] = None,
    force: Annotated[bool, typer.Option("--force", help="Start over whatever is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fine-tune a model as a recipe says. Run again, it resumes, or does nothing when all is done.

    Example: boresight train recipes/gsm8k.yaml --set model=pocket --set data.0.path=train.jsonl -o runs/gsm8k
    """
    from boresight.recipe import load_recipe

    counts = train_recipe(load_recipe(recipe, set_), output, force)
    print_result(
        counts, as_json, f"{output / 'model'}: {counts['steps']} steps, loss {counts['last_loss']:.4f}"
    )


def train_recipe(recipe: "Recipe", output: Path, force: bool = False) -> dict[str, float]:
    """Tokenise and train under one run directory; returns what was counted."""
    from boresight.chat import Chat
    from boresight.models.load import context_length, load_config, load_model, load_tokenizer, resolve
    from boresight.recipe import check_fits
    from boresight.runs import Run
    from boresight.train.attention import NAME
    from boresight.train.checkpoint import remove_checkpoints
    from boresight.train.loop import MODEL, summary
    from boresight.train.loop import train as train_model

    quiet_transformers()
    check_fits(recipe, context_length(load_config(recipe.model)))
    tokenizer = load_tokenizer(recipe.model)
    chat = Chat(tokenizer, recipe.template)
    model_path = Path(resolve(recipe.model))
    inputs = [*(file.path for file in recipe.data), *([model_path] if model_path.is_dir() else [])]
    config = {"recipe": recipe.model_dump(mode="json")}
    with Run(output, "train", config, inputs, seed=recipe.train.seed, force=force) as run:
        if run.finished:
            say(f"{output}: already done; nothing has changed")
            return dict(run.record["counts"])
        store = _tokens(recipe, chat, output / "tokens")
        size = f"{len(store):,} conversations, {store.lengths.sum():,} tokens"
        say(f"{size}; dropped: {store.dropped or 'none'}")
        model = load_model(recipe.model, attention=NAME)
        model.generation_config.eos_token_id = chat.stop_ids
        if not (output / MODEL).exists():
            with training() as show:
                train_model(model, tokenizer, store, recipe.train, output, show)
        remove_checkpoints(output)
        counts = summary(output, store, model)
        run.finish(counts)
    return counts


def _tokens(recipe: "Recipe", chat: "Chat", directory: Path) -> "TokenStore":
    """The run's token store, made once."""
    from itertools import chain, islice

    from boresight.data.sources import import_file
    from boresight.data.store import TokenStore
    from boresight.data.tokenise import prepare

    if directory.exists():
        return TokenStore(directory)
    files = (islice(import_file(file.path, file.source), file.limit) for file in recipe.data)
    return prepare(chain.from_iterable(files), chat, directory, recipe.max_length)
