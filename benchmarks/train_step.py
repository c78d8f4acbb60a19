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
import time
from datetime import date
from pathlib import Path
from statistics import median

import torch
import transformers
import trl
from transformers import LlamaConfig

from boresight.train.memory import count_parameters
from boresight.train.ranks import Ranks, joined
from boresight.train.settings import STRATEGIES, TrainSettings
from sides import (
    OURS,
    Measured,
    Side,
    Work,
    disagreement,
    model_flops,
    our_side,
    quiet,
    trainer_side,
    trl_side,
    work,
)

VOCABULARY, WIDTH, LAYERS, HEAD_SIZE = 4096, 256, 4, 64
LOSS_TOLERANCE = 1e-5
WARM_UP_LENGTH = 512
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=WIDTH,
    intermediate_size=8 * WIDTH // 3 // 8 * 8,
    num_hidden_layers=LAYERS,
    num_attention_heads=WIDTH // HEAD_SIZE,
    max_position_embeddings=2**17,
    pad_token_id=0,
    use_cache=False,
)


def main() -> None:
    args = arguments()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # every side would take a GPU if there is one
    if args.threads:
        torch.set_num_threads(args.threads)
    quiet()
    print(machine(), flush=True)
    with joined(TrainSettings()) as ranks:
        compare(WARM_UP_LENGTH, args, ranks, repeats=1)
        for length in args.lengths:
            with work(args.rows, length, CONFIG, ranks) as given:
                needed = model_flops(given) / 1e12
            results = compare(length, args, ranks, args.repeats)
            print(table(length, args.rows, results), flush=True)
            print(f"\nThe model needs {needed:.2f} TFLOP a step, forward and backward.", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training speed against Trainer and SFTTrainer.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 16384], help="maximum lengths")
    parser.add_argument("--rows", type=int, default=40, help="conversations in an optimizer step")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of every side")
    parser.add_argument("--trainer-batches", type=int, nargs="+", default=[1, 2], help="rows")
    parser.add_argument("--threads", type=int, help="of torch; default: what torch takes")
    return parser.parse_args()


def make_sides(work: Work, trainer_batches: list[int]) -> dict[str, Side]:
    """All sides by name, in the order in which they take turns."""
    sides = {f"ours, {s}": our_side(work, s) for s in reversed(STRATEGIES)}
    for batch in trainer_batches:
        name = f"Trainer, padded, {batch} rows" if batch > 1 else "Trainer, row by row"
        sides[name] = trainer_side(work, batch)
    sides["SFTTrainer, packed (bfd)"] = trl_side(work)
    return sides


def compare(length: int, args: argparse.Namespace, ranks: Ranks, repeats: int) -> dict[str, list[Measured]]:
    """Steps of every side, taken in turns."""
    with work(args.rows, length, CONFIG, ranks) as given:
        sides = make_sides(given, args.trainer_batches)
        rounds = [{name: step() for name, step in sides.items()} for _ in range(repeats)]
    check(rounds[0])
    return {name: [done[name] for done in rounds] for name in sides}


def check(first: dict[str, Measured]) -> None:
    """All sides saw the same tokens and, before any update, computed the same loss."""
    for name, theirs in first.items():
        difference = disagreement(theirs, first[OURS], LOSS_TOLERANCE)
        assert difference is None, f"{name}: {difference}"


def table(length: int, rows: int, results: dict[str, list[Measured]]) -> str:
    tokens = results[OURS][0].tokens
    lines = [
        f"\n### Maximum length {length:,}: {rows} rows, {tokens:,} tokens a step\n",
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
    load, parameters = os.getloadavg()[0], count_parameters(CONFIG)
    return (
        f"{date.today()}; {cpu_name()}, {torch.get_num_threads()} threads (load at the start {load:.1f}); "
        f"{versions}; float32; Llama of {parameters / 1e6:.1f} M parameters ({LAYERS} layers of width "
        f"{WIDTH}, heads of {HEAD_SIZE}, vocabulary {VOCABULARY:,}). Medians. A product of two 4,096² "
        f"matrices runs at {matrix_rate():.0f} GFLOP/s."
    )


def matrix_rate(size: int = 4096) -> float:
    """What the machine computes in float32 at best, in GFLOP/s: the median of seven plain products."""
    a, b = torch.randn(2, size, size)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2e-9 * size**3 / median(seconds)


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU"
    )


if __name__ == "__main__":
    main()
