"""Training speed: ours against transformers' Trainer (padded) and TRL's SFTTrainer (packed), on a CPU.

    pip install -e '.[benchmark]'
    python benchmarks/train_step.py --lengths 2048 8192 16384 --repeats 3

Prints Markdown for RESULTS.md: real tokens a second (padding is not counted) of a whole optimizer step:
forward, backward, clipping, AdamW. In one process, alternately: ours, Trainer, SFTTrainer, ours, …

What is the same for all sides: the rows, the initial weights, float32, fused AdamW, clipping at 1, the
threads, the objective (mean over target tokens; every token but a row's first is a target), no activation
checkpointing, no logging, saving or evaluation. One optimizer step takes exactly one pass over all rows on
every side, whatever it is cut into, so tokens and targets of a step are equal. Every side's tokens are
counted as they enter the model, and the losses of the first step, before any update, must agree: they
would not if a side lost a token or let packed rows see each other. A round of short rows, not timed, warms
the process up.

What is each side's own:

    ours        at most the maximum length of tokens in a micro-batch; timed with planning and collation
    Trainer     rows in random order, padded to the longest of a micro-batch; the micro-batch sizes given
                by --trainer-batches are all timed. A micro-batch of 1 has no padding and needs no mask
    SFTTrainer  packing=True, packing_strategy="bfd", max_length = the maximum, one pack a micro-batch
                (two packs would be laid end to end, and attention would cost four times as much)

The rivals run on SDPA: on a CPU FlashAttention does not exist, FlexAttention has no backward pass, and
eager attention would hold all scores of all layers. Their collation is outside of the time measured.

How the ratios depend on the model: packing with a dense mask costs attention over the square of the pack;
the linear layers cost everybody the same. Attention weighs about (length / 6·width) against the linear
layers, so these 256 channels at 16k stand for 4,096 channels at 256k; at equal length a wider model
shows smaller ratios. The output layer is narrow too (4,096 tokens).

And on the lengths: with these, full packs have 1.94 times the squares of their rows, and a causal kernel
needs half of a square, so a dense mask does 3.9 times our work in attention. What goes beyond that is the
cost of reading the mask. Rows one by one have no padding and no mask either: a Trainer with micro-batches
of 1 does our work in attention, and loses only to the many small steps.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

import datasets
import numpy as np
import torch
import transformers
import trl
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from boresight.data.store import StoreWriter, TokenStore
from boresight.train.attention import NAME as OUR_ATTENTION
from boresight.train.loop import model_cost, optimizer_step
from boresight.train.plan import Plan
from boresight.train.settings import STRATEGIES, Strategy, TrainSettings
from lengths import longalign_lengths

VOCABULARY, WIDTH, LAYERS, HEAD_SIZE = 4096, 256, 4, 64
LEARNING_RATE = 1e-5
LOSS_TOLERANCE = 1e-5
WARM_UP_LENGTH = 512
OURS = "ours, balanced"

Rows = list[np.ndarray]
"""Tokens of each conversation, int64."""


class Measured(NamedTuple):
    """One optimizer step. `slots` are the tokens that went through the model, padding included."""

    seconds: float
    tokens: int
    slots: int
    loss: float


Side = Callable[[], Measured]
"""Takes one optimizer step over all rows."""


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    quiet()
    print(machine(), flush=True)
    compare(make_rows(args.rows, WARM_UP_LENGTH), WARM_UP_LENGTH, args.trainer_batches, repeats=1)
    for length in args.lengths:
        rows = make_rows(args.rows, length)
        print(table(length, rows, compare(rows, length, args.trainer_batches, args.repeats)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training speed against Trainer and SFTTrainer.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 16384], help="maximum lengths")
    parser.add_argument("--rows", type=int, default=40, help="conversations in an optimizer step")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of every side")
    parser.add_argument("--trainer-batches", type=int, nargs="+", default=[1, 2], help="rows")
    parser.add_argument("--threads", type=int, help="of torch; default: what torch takes")
    return parser.parse_args()


def quiet() -> None:
    """Keep the rivals' progress bars and warnings out of the table."""
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def make_rows(count: int, maximum: int) -> Rows:
    random = np.random.default_rng(0)
    return [random.integers(2, VOCABULARY, n) for n in longalign_lengths(count, maximum)]


def make_sides(rows: Rows, length: int, trainer_batches: list[int], folder: Path) -> dict[str, Side]:
    """All sides by name, in the order in which they take turns."""
    store = write_store(rows, folder / "store")
    sides = {f"ours, {s}": our_side(store, length, s) for s in reversed(STRATEGIES)}
    for batch in trainer_batches:
        name = f"Trainer, padded, {batch} rows" if batch > 1 else "Trainer, row by row"
        sides[name] = trainer_side(rows, batch, folder)
    sides["SFTTrainer, packed (bfd)"] = trl_side(rows, length, folder)
    return sides


def make_model(attention: str) -> LlamaForCausalLM:
    """A Llama of 5 million parameters, with the same random weights each time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=8 * WIDTH // 3 // 8 * 8,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // HEAD_SIZE,
        max_position_embeddings=2**17,
        pad_token_id=0,
        use_cache=False,
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config).train()


# --- ours


def write_store(rows: Rows, folder: Path) -> TokenStore:
    with StoreWriter(folder, {}) as writer:
        for tokens in rows:
            writer.append(tokens, np.arange(len(tokens)) > 0)
    return TokenStore(folder)


def our_side(store: TokenStore, length: int, strategy: Strategy) -> Side:
    model = make_model(OUR_ATTENTION)
    settings = TrainSettings(
        sequences_per_step=len(store),
        steps=10**6,
        loss="token",
        batching=strategy,
        tokens_per_micro_batch=length,
        learning_rate=LEARNING_RATE,
        warmup=0,
        precision="fp32",
    )
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    cost = model_cost(model.config, sum(p.numel() for p in model.parameters()))
    steps = Plan(store.lengths, store.target_counts, settings, cost).steps()

    def step() -> Measured:
        began = time.perf_counter()
        done = optimizer_step(model, optimizer, store, next(steps), settings, settings.steps)
        return Measured(time.perf_counter() - began, done.tokens, done.tokens + done.padding, done.loss)

    return step


# --- the rivals


class StepClock(TrainerCallback):
    """Times the optimizer step inside the rivals' own loop."""

    def on_step_begin(self, *_: object, **__: object) -> None:  # noqa: D102
        self.began = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:  # noqa: D102
        self.seconds = time.perf_counter() - self.began


class TokenCounter:
    """Counts the tokens that enter a model, with and without padding."""

    def __init__(self, model: LlamaForCausalLM):
        self.tokens = self.slots = 0
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _: object, __: tuple, inputs: dict) -> None:
        mask = inputs.get("attention_mask")
        self.slots += inputs["input_ids"].numel()
        self.tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())


def trainer_side(rows: Rows, batch: int, folder: Path) -> Side:
    model = make_model("sdpa")
    trainer = Trainer(
        model,
        TrainingArguments(**common(folder, batch, -(-len(rows) // batch))),
        data_collator=DataCollatorForSeq2Seq(blank_tokenizer()),  # pads labels with -100
        train_dataset=as_dataset(rows, labels=True),
    )
    return rival(trainer, model)


def trl_side(rows: Rows, length: int, folder: Path) -> Side:
    model, dataset = make_model("sdpa"), as_dataset(rows, labels=False)
    packs = len(trl.pack_dataset(dataset, length, "bfd"))
    packing = {"packing": True, "packing_strategy": "bfd", "max_length": length}
    trainer = trl.SFTTrainer(
        model,
        trl.SFTConfig(**common(folder, 1, packs), **packing),
        train_dataset=dataset,
        processing_class=blank_tokenizer(),
    )
    assert len(trainer.train_dataset) == packs
    return rival(trainer, model)


def common(folder: Path, batch: int, micro_batches: int) -> dict[str, object]:
    """Arguments of both rivals; one optimizer step is one pass over the rows."""
    return {
        "output_dir": str(folder / "rival"),
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": micro_batches,
        "max_steps": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def rival(trainer: Trainer, model: LlamaForCausalLM) -> Side:
    clock, counter = StepClock(), TokenCounter(model)
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)

    def step() -> Measured:
        tokens, slots = counter.tokens, counter.slots
        loss = trainer.train().training_loss
        return Measured(clock.seconds, counter.tokens - tokens, counter.slots - slots, loss)

    return step


def as_dataset(rows: Rows, *, labels: bool) -> datasets.Dataset:
    tokens = [row.tolist() for row in rows]
    return datasets.Dataset.from_dict({"input_ids": tokens} | ({"labels": tokens} if labels else {}))


def blank_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that only knows the padding token; the rows are token ids already."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<end>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")


# --- measuring


def compare(rows: Rows, length: int, trainer_batches: list[int], repeats: int) -> dict[str, list[Measured]]:
    """Steps of every side, taken in turns."""
    with tempfile.TemporaryDirectory() as folder:
        sides = make_sides(rows, length, trainer_batches, Path(folder))
        rounds = [{name: step() for name, step in sides.items()} for _ in range(repeats)]
    check(rounds[0])
    return {name: [done[name] for done in rounds] for name in sides}


def check(first: dict[str, Measured]) -> None:
    """All sides saw the same tokens and, before any update, computed the same loss."""
    ours = first[OURS]
    for name, theirs in first.items():
        assert theirs.tokens == ours.tokens, f"{name} saw {theirs.tokens} tokens, we {ours.tokens}"
        error = abs(theirs.loss - ours.loss) / ours.loss
        assert error < LOSS_TOLERANCE, f"{name}: loss {theirs.loss:.6f}, ours {ours.loss:.6f}"


def table(length: int, rows: Rows, results: dict[str, list[Measured]]) -> str:
    tokens = sum(map(len, rows))
    lines = [
        f"\n### Maximum length {length:,}: {len(rows)} rows, {tokens:,} tokens a step\n",
        "| side | real tokens/s | seconds a step, each | padding | ours is faster by (lowest–highest) |",
        "|---|--:|---|--:|--:|",
    ]
    ours = [m.seconds for m in results[OURS]]
    for name, measured in results.items():
        seconds = [m.seconds for m in measured]
        ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
        lines.append(
            f"| {name} | {tokens / median(seconds):,.0f} | {' '.join(f'{s:.2f}' for s in seconds)} "
            f"| {1 - tokens / measured[0].slots:.0%} "
            f"| {median(seconds) / median(ours):.2f}× ({min(ratios):.2f}–{max(ratios):.2f}) |"
        )
    return "\n".join(lines)


def machine() -> str:
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, transformers, trl))
    parameters = sum(p.numel() for p in make_model("sdpa").parameters())
    load = os.getloadavg()[0]
    return (
        f"{date.today()}; {cpu_name()}, {torch.get_num_threads()} threads (load at the start {load:.1f}); "
        f"{versions}; float32; Llama of {parameters / 1e6:.1f} M parameters ({LAYERS} layers of width "
        f"{WIDTH}, heads of {HEAD_SIZE}, vocabulary {VOCABULARY:,}). Medians."
    )


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU"
    )


if __name__ == "__main__":
    main()
