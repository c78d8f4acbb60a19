"""Build the pocket base model from a seed: `boresight pocket build -o DIRECTORY`.

Two runs of our own training engine on plain pages, every token a target: first repeated random tokens,
which teach a small model to copy from its context, then the pages of the world.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import StoreWriter, TokenStore
from boresight.models.load import load_model
from boresight.pocket.pages import page
from boresight.pocket.world import World
from boresight.train.attention import NAME as ATTENTION
from boresight.train.loop import train
from boresight.train.metrics import StepMetrics
from boresight.train.saving import MODEL, save_model
from boresight.train.settings import TrainSettings

VOCABULARY = 2048
CONTEXT = 1024
COPY_SIZES = {(2, 6): 0.79, (4, 24): 0.14, (8, 64): 0.07}
"""Least and most tokens that are said again, and how often. A small model finds copying within minutes when
handfuls of tokens are among what it copies; from long stretches alone it had not after a million tokens."""
COPY_TOKENS = 300_000
PAGE_TOKENS = 5_500_000
REPEATS = 0.2
"""Copies for each page that stay between the pages, so that copying is not forgotten."""


SETTINGS = TrainSettings(
    tokens_per_step=2048,
    tokens_per_micro_batch=4096,
    epochs=1,
    loss="token",
    learning_rate=2e-3,
    schedule="cosine",
    warmup=0.02,
    weight_decay=0.01,
    precision="fp32",
)


def build(
    directory: Path, seed: int, tokens: int = PAGE_TOKENS, report: Callable[[StepMetrics], None] = print
) -> Path:
    """Train tokenizer and model; the finished model lies in `directory`/base. Resumes when interrupted."""
    world = World()
    tokenizer = build_tokenizer(_texts(world, Random(seed), 4000))
    torch.manual_seed(seed)
    model = new_model()
    copies = _copies(Random(seed))
    model = _stage(model, tokenizer, copies, COPY_TOKENS, directory / "copies", seed, report)
    pages = _pages(world, tokenizer, seed)
    model = _stage(model, tokenizer, pages, tokens, directory / "pages", seed, report)
    save_model(model.to(torch.bfloat16), tokenizer, directory / "base")
    return directory / "base"


def _stage(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    sequences: Iterator[list[int]],
    tokens: int,
    directory: Path,
    seed: int,
    report: Callable[[StepMetrics], None],
) -> PreTrainedModel:
    """Train on so many tokens of what `sequences` gives, unless that has been done."""
    if not (directory / MODEL).exists():
        store = _store(directory, sequences, tokens)
        train(model, tokenizer, store, SETTINGS.model_copy(update={"seed": seed}), directory, report)
    return load_model(str(directory / MODEL), ATTENTION)


def _texts(world: World, random: Random, count: int) -> Iterator[str]:
    return (page(world, random) for _ in range(count))


def _copies(random: Random) -> Iterator[list[int]]:
    """Random tokens said two to four times over."""
    while True:
        sizes = random.choices(list(COPY_SIZES), list(COPY_SIZES.values()))[0]
        once = [random.randrange(2, VOCABULARY) for _ in range(random.randint(*sizes))]
        yield [0, *once * random.randint(2, 4)]


def _pages(world: World, tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[list[int]]:
    """Pages as tokens between start and end, with some copies between them."""
    random = Random(seed)
    copies = _copies(random)
    while True:
        for tokens in tokenizer(list(_texts(world, random, 500)), add_special_tokens=False)["input_ids"]:
            yield [0, *tokens[: CONTEXT - 2], 1]
            if random.random() < REPEATS:
                yield next(copies)


def _store(directory: Path, sequences: Iterator[list[int]], tokens: int) -> TokenStore:
    with StoreWriter(directory / "tokens", {}) as writer:
        while writer.counts.tokens < tokens:
            sequence = np.array(next(sequences))
            writer.append(sequence, np.arange(len(sequence)) > 0)
    return TokenStore(directory / "tokens")


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of VOCABULARY entries in which every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT
    )


def new_model() -> PreTrainedModel:
    """The untrained model: a Llama of 1.97 million parameters."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=0,
        eos_token_id=1,
        attn_implementation=ATTENTION,
    )
    return LlamaForCausalLM(config)
