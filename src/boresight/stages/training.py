"""Training as a recipe says: tokens, model, run, in one run directory."""

from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from boresight.chat import Chat
from boresight.data.documents import prepare_documents, read_documents
from boresight.data.sources import Tally, import_file
from boresight.data.store import TokenStore, is_store
from boresight.data.tokenise import open_prepared, prepare
from boresight.errors import UserError
from boresight.models.load import (
    context_length,
    empty_model,
    load_config,
    load_model,
    load_tokenizer,
    resolve,
)
from boresight.progress import quiet_transformers, say, training
from boresight.recipe import Recipe, check_fits
from boresight.runs import Run
from boresight.train.attention import NAME
from boresight.train.checkpoint import remove_checkpoints, steps_saved
from boresight.train.extend import extended
from boresight.train.loop import train
from boresight.train.metrics import StepMetrics, summary
from boresight.train.ranks import Ranks, joined
from boresight.train.saving import MODEL
from boresight.train.settings import SPEED_ALONE
from boresight.train.sharding import DTYPES
from boresight.train.track import tracker


def train_recipe(recipe: Recipe, output: Path, force: bool = False) -> dict[str, float]:
    """Tokenise and train under one run directory, on all ranks; returns what was counted."""
    quiet_transformers()
    config = model_config(recipe)
    tokenizer = load_tokenizer(recipe.model)
    model_path = Path(resolve(recipe.model))
    inputs = [*(file.path for file in recipe.data), *([model_path] if model_path.is_dir() else [])]
    asked = {"recipe": recipe.model_dump(mode="json")}
    may_change = frozenset(f"recipe.{name}" for name in ("ranks", "track", *SPEED_ALONE))

    def begin() -> Run:
        return Run(output, "train", asked, inputs, seed=recipe.train.seed, force=force, may_change=may_change)

    with joined(recipe.train) as ranks, ExitStack() as stack:
        run = ranks.once(begin)
        if run.finished:
            say(f"{output}: already done; nothing has changed")
            return dict(run.record["counts"])
        if ranks.first:
            stack.enter_context(run)
            if before := steps_saved(output):
                say(f"{output}: goes on after step {before:,}")
        store = _shared_tokens(recipe, tokenizer, output / "tokens", ranks)
        say(f"{describe_store(store)}; dropped: {store.dropped or 'none'}")
        model = _model(recipe, config, tokenizer, ranks)
        parameters = model.num_parameters()
        _train_unless_done(recipe, model, tokenizer, store, output, ranks)
        counts = ranks.once(lambda: summary(output, store, parameters))
        if ranks.first:
            remove_checkpoints(output)
            run.finish(counts)
    return counts


def model_config(recipe: Recipe) -> PreTrainedConfig:
    """The model's configuration, with the context that the recipe gives it.

    Raises:
        UserError: conversations would be longer than that.
    """
    config = load_config(recipe.model)
    if recipe.extend:
        config = extended(config, recipe.extend)
    check_fits(recipe, context_length(config))
    return config


def tokens(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, directory: Path) -> TokenStore:
    """The token store of a recipe's data, made unless it is there."""
    if directory.exists():
        return TokenStore(directory)
    if recipe.stage == "pretrain":
        documents = chain.from_iterable(islice(read_documents(f.path), f.limit) for f in recipe.data)
        return prepare_documents(documents, tokenizer, directory, recipe.max_length)
    chat = Chat(tokenizer, recipe.template)
    if prepared := _prepared(recipe):
        store = open_prepared(prepared, chat, recipe.max_length)
        directory.symlink_to(prepared.resolve())
        return store
    tally = Tally()
    files = (islice(import_file(f.path, f.source, tally=tally), f.limit) for f in recipe.data)
    return prepare(chain.from_iterable(files), chat, directory, recipe.max_length, tally.dropped)


def _prepared(recipe: Recipe) -> Path | None:
    """The token store that is to be trained on, if the data is one."""
    stores = [file.path for file in recipe.data if file.path.is_dir() and is_store(file.path)]
    if stores and (len(recipe.data) > 1 or recipe.data[0].limit):
        raise UserError(
            f"{stores[0]}: a token store is trained on whole, and alone; "
            "mix the conversations first, and tokenise the mixture"
        )
    return stores[0] if stores else None


def describe_store(store: TokenStore) -> str:
    """How much there is to train on, in words."""
    counts = store.manifest["counts"]
    return f"{len(store):,} sequences, {counts['tokens']:,} tokens, {counts['targets']:,} of them targets"


def _shared_tokens(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, directory: Path, ranks: Ranks
) -> TokenStore:
    """Made by the first rank, read by all."""
    made = ranks.alone(lambda: tokens(recipe, tokenizer, directory))
    try:
        return made or TokenStore(directory)
    except UserError as error:
        raise UserError(f"{error}; the run directory must be one that all nodes see") from error


def _model(
    recipe: Recipe, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, ranks: Ranks
) -> PreTrainedModel:
    """The model with its weights on the first rank, without them on the others."""
    # Weights that adapters leave as they are need no more precision than the arithmetic has. Others are read
    # as they lie on the disk: sharding makes them float32, and the whole is held for that by one rank alone.
    frozen = DTYPES[recipe.train.precision]
    as_it_lies = recipe.train.precision == "bf16" and not recipe.train.lora
    loaded = ranks.alone(lambda: load_model(recipe.model, NAME, "auto" if as_it_lies else frozen, config))
    model = loaded or empty_model(config, NAME, frozen)
    if recipe.extend:
        tokenizer.model_max_length = recipe.extend.context
    if recipe.stage == "finetune":
        model.generation_config.eos_token_id = Chat(tokenizer, recipe.template).stop_ids
    return model


def _train_unless_done(
    recipe: Recipe,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    store: TokenStore,
    output: Path,
    ranks: Ranks,
) -> None:
    if ranks.once((output / MODEL).exists):
        return
    names, asked = list[str](recipe.track), recipe.model_dump(mode="json")
    with ExitStack() as stack:
        tracking = tracker(names, output, asked, steps_saved(output))
        track = ranks.alone(lambda: stack.enter_context(tracking))
        show = stack.enter_context(training())

        def report(metrics: StepMetrics) -> None:
            show(metrics)
            if track:
                track(metrics)

        train(model, tokenizer, store, recipe.train, output, report, ranks)
