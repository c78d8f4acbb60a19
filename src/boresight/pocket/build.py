"""Build the pocket base model from a seed: `boresight pocket build -o DIRECTORY`.

Plain language modelling, every token a target, on rows that are cut from an endless text of pages. Matrices
are trained by Muon (Jordan et al. 2024), the rest by AdamW. Our engine for fine-tuning is not used: it keeps
conversations apart and knows one optimizer, and neither is wanted here.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from boresight.files import whole_file
from boresight.pocket.birth import new_model
from boresight.pocket.pages import page
from boresight.pocket.world import World
from boresight.runs import Run
from boresight.train.saving import save_model

VOCABULARY = 2048
CONTEXT = 4096
TOKENS = 16_000_000
STEP_TOKENS = 4096
ROW, LONG_ROW = 512, 2048
LONG_ROWS = 0.1
"""Share of the steps whose rows are long."""
REPEATS = 0.15
"""Copies for each page that stand between the pages."""
COPY_SIZES = {(2, 6): 0.7, (4, 24): 0.2, (8, 64): 0.1}
"""Least and most tokens that are said again, and how often."""
MATRICES, OTHERS = 5e-3, 1e-3
"""Learning rates: of Muon, in AdamW's scale (Liu et al. 2025, arXiv:2502.16982), and of AdamW."""
BORN, EMBEDDING = 0.03, 5e-5
"""The born heads and what they read learn slowly until it has shown what they are good for: the first block's
and the second attention's part of MATRICES, and the embedding's rate."""
THAW, FASTER = 0.2, 3.0
"""From this share of the training on they learn so many times faster."""
WARMUP_STEPS, DECAY = 20, 0.4
"""The rate rises over the first steps and falls over the last part of them."""
KEPT_EVERY = 200
"""Steps after which the state is written down, for a build that is interrupted."""


class Progress(NamedTuple):
    """One step done; the loss is the mean over its tokens, in nats."""

    step: int
    steps: int
    loss: float


def build(
    directory: Path,
    seed: int,
    tokens: int = TOKENS,
    report: Callable[[Progress], None] = lambda p: None,
    force: bool = False,
) -> Path:
    """Train tokenizer and model; the finished model lies in `directory`/base.

    An interrupted build goes on from the state it wrote down last.

    Raises:
        UserError: the directory holds another build, or something that is none.
    """
    base, state = directory / "base", directory / "state.pt"
    with Run(directory, "pocket build", {"tokens": tokens}, [], seed=seed, force=force) as run:
        if not base.exists():
            world, random = World(), Random(seed)
            tokenizer = build_tokenizer(page(world, random) for _ in range(6000))
            torch.manual_seed(seed)
            model = new_model(VOCABULARY, CONTEXT, "sdpa")
            pretrain(model, Text(world, tokenizer, seed), tokens // STEP_TOKENS, state, report)
            save_model(model.to(torch.bfloat16), tokenizer, base)
        if not run.finished:
            run.finish({"steps": tokens // STEP_TOKENS})
        state.unlink(missing_ok=True)
    return base


class Text:
    """What is read at each step, made from a seed: pages, with some copies between them."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, seed: int):
        self.world, self.tokenizer, self.seed = world, tokenizer, seed
        every = [*world.names, *world.towns, *world.tol, *world.tol.values()]
        self.words = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in every]

    def rows(self, step: int) -> Tensor:
        """The step's tokens [rows, length], cut from a text as it comes."""
        random = Random(f"{self.seed} {step}")
        length = LONG_ROW if random.random() < LONG_ROWS else ROW
        text: list[int] = []
        while len(text) < STEP_TOKENS:
            text += self._page(random)
        return torch.tensor(text[:STEP_TOKENS]).view(-1, length)

    def _page(self, random: Random) -> list[int]:
        tokens = self.tokenizer(page(self.world, random), add_special_tokens=False)["input_ids"]
        copies = (
            [0, *random.choice([_copies, _pairs])(self.words, random)] if random.random() < REPEATS else []
        )
        return [0, *tokens, 1, *copies]


def _copies(words: list[int], random: Random) -> list[int]:
    """Random words said two to four times over."""
    least, most = random.choices(list(COPY_SIZES), list(COPY_SIZES.values()))[0]
    return random.choices(words, k=random.randint(least, most)) * random.randint(2, 4)


def _pairs(words: list[int], random: Random) -> list[int]:
    """Pairs of random words, said two or three times in another order."""
    count = random.randint(2, 10)
    pairs = list(zip(random.sample(words, count), random.choices(words, k=count), strict=True))
    orders = [random.sample(pairs, count) for _ in range(random.randint(2, 3))]
    return [word for order in orders for pair in order for word in pair]


def pretrain(
    model: LlamaForCausalLM, text: Text, steps: int, state: Path, report: Callable[[Progress], None]
) -> None:
    """Train `model` in place; `state` is where it is written down on the way."""
    optimizers = _optimizers(model)
    for step in range(_resume(model, optimizers, state), steps):
        _set_rates(optimizers, step, steps)
        batch = text.rows(step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(batch, use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()
        report(Progress(step + 1, steps, loss.item()))
        if (step + 1) % KEPT_EVERY == 0:
            _keep(model, optimizers, step + 1, state)


def _keep(model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], step: int, state: Path) -> None:
    kept = {"step": step, "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
    with whole_file(state) as file:
        torch.save(kept, file)


def _resume(model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], state: Path) -> int:
    """The step to go on with."""
    if not state.exists():
        return 0
    kept: dict[str, Any] = torch.load(state)
    model.load_state_dict(kept["model"])
    for optimizer, its in zip(optimizers, kept["optimizers"], strict=True):
        optimizer.load_state_dict(its)
    return int(kept["step"])


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    born: list[Tensor] = []
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.model.layers.named_parameters():
        is_born = name.startswith(("0.", "1.self_attn"))
        (others if parameter.ndim < 2 else born if is_born else matrices).append(parameter)
    others += [model.model.norm.weight, model.lm_head.weight]
    muon = [
        {"params": matrices, "lr": MATRICES, "thaws": False},
        {"params": born, "lr": MATRICES * BORN, "thaws": True},
    ]
    adamw = [
        {"params": others, "lr": OTHERS, "thaws": False},
        {"params": [model.model.embed_tokens.weight], "lr": EMBEDDING, "thaws": True},
    ]
    optimizers = [
        torch.optim.Muon(muon, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(adamw, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    for group in _groups(optimizers):
        group["full"] = group["lr"]
    return optimizers


def _groups(optimizers: list[torch.optim.Optimizer]) -> Iterator[dict[str, object]]:
    return (group for optimizer in optimizers for group in optimizer.param_groups)


def _set_rates(optimizers: list[torch.optim.Optimizer], step: int, steps: int) -> None:
    rate = min(1.0, (step + 1) / WARMUP_STEPS, (1 - step / steps) / DECAY)
    for group in _groups(optimizers):
        faster = FASTER if group["thaws"] and step > THAW * steps else 1.0
        group["lr"] = group["full"] * rate * faster  # type: ignore[operator]


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of VOCABULARY entries in which every digit is a token of its own.

    A line's first word gets a space before it, which decoding takes away again: so a word is the same token
    wherever it stands, and a model need not learn it twice.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(Regex(r"\n(?=[^\n])"), "\n ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("\n ", "\n")])
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
