"""Training speed on a GPU: ours against padded and packed training with transformers and TRL.

    pip install -e '.[benchmark]' flash-attn
    python benchmarks/train_step_cuda.py --lengths 4096 16384
    python benchmarks/train_step_cuda.py --lengths 65536 --activation-checkpointing
    python benchmarks/train_step_cuda.py --device cpu --size toy --lengths 512 --rows 12 --repeats 1

Prints Markdown for RESULTS.md: of a whole optimizer step (forward, backward, clipping, AdamW) the real tokens
a second, padding not counted, the model FLOPs utilisation, and the peak of memory. Without activation
checkpointing a micro-batch of 64k tokens does not fit into 140 GB.

What is the same for all sides, and how losses are compared, stands in train_step.py; here the arithmetic is
in bf16, with weights, gradients and AdamW's moments in float32 on every side: ours by FSDP's mixed precision,
the others by autocast. Activation checkpointing is for all sides or none. Losses of the first step must
agree to 5e-4, in a round of short rows too, where rows that saw each other would show the most; the table has
the differences. A side that fails, for want of memory or otherwise, is shown with its reason.

Model FLOPs of a step: 6 for every token and every weight of a linear layer, output layer included, embeddings
not; and 12 · layers · heads · head size · Σ n²/2 for causal attention, over the lengths n of the real
conversations. Neither padding nor what is computed again in the backward pass counts as work done. The
utilisation is their share of what an H200 does in dense bf16, 989 TFLOP/s; other GPUs get none.

Sides take turns in one process. A turn: build the side, take one step that is not timed (kernels are
compiled, memory is allocated), time two, and free it all; so no side stands in the memory of another. Times
begin and end with the GPU idle. Peaks are what torch's allocator handed out over a turn. Micro-batches:

    ours          at most the maximum length of tokens; timed with planning, collation and transfer
    Trainer       rows in random order, padded, --trainer-batches rows; with SDPA, and FlashAttention if there
    SFTTrainer    packing=True, packing_strategy="bfd", max_length = the maximum, one pack a micro-batch; with
                  FlashAttention 3 or 2 (installed, or through `kernels`), else FlexAttention and SDPA both
    plain loop    a transformers model in a padded loop of our own: stands in where Trainer is missing

Collation and transfer of the others happen outside of the time measured.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import NamedTuple

import torch
from transformers import LlamaConfig

from boresight.train import varlen
from boresight.train.memory import count_parameters
from boresight.train.ranks import joined
from boresight.train.settings import STRATEGIES, TrainSettings
from sides import (
    OURS,
    Measured,
    Side,
    Work,
    disagreement,
    model_flops,
    our_side,
    plain_side,
    quiet,
    trainer_side,
    trl_side,
    work,
)

LOSS_TOLERANCE = 5e-4
"""Relative. At full width, over 800 tokens in short rows, weights in bf16 and autocast differ by 1e-4, rows
that see each other from those that do not by 2e-3 (8 layers, on a CPU)."""
WARM_UP_LENGTH = 512
TIMED = 2
"""Timed steps in a turn."""
H200_FLOPS = 989e12
"""A second, of dense bf16 matrix products, as its maker states them."""
FLASH = ("flash_attention_3", "flash_attention_2")
NEEDS = {"trainer": ("accelerate",), "trl": ("accelerate", "datasets", "trl"), "plain": ()}
"""Packages that each rival needs beside transformers."""

SIZES = {
    "1b": LlamaConfig(  # the shape of Llama 3.2 1B
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=2**17,
        tie_word_embeddings=True,
        pad_token_id=0,
        use_cache=False,
    ),
    "toy": LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2**17,
        tie_word_embeddings=True,
        pad_token_id=0,
        use_cache=False,
    ),
}

Builder = Callable[[], Side]


class Turn(NamedTuple):
    """One life of a side: its untimed first step and the timed ones, and its peak of memory in bytes."""

    first: Measured
    seconds: list[float]
    peak: int


Outcome = Turn | str
"""A turn, or why there is none."""


def main() -> None:
    args = arguments()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        raise SystemExit("no GPU here; try --device cpu --size toy")
    quiet()
    config, rivals = SIZES[args.size], list(usable(args.rivals))
    with joined(TrainSettings()) as ranks:
        print(machine(config, args, ranks.device), flush=True)
        given = partial(
            work,
            config=config,
            ranks=ranks,
            precision="bf16",
            activation_checkpointing=args.activation_checkpointing,
        )
        with given(args.rows, WARM_UP_LENGTH) as small:
            flash = best_flash(small)
            warm = compare(small, make_sides(small, rivals, flash, args), repeats=1)
        failed = {name: outcomes[0] for name, outcomes in warm.items() if isinstance(outcomes[0], str)}
        for name, reason in failed.items():
            print(f"\nLeft out, as it fails with short rows: {name}: {reason}", flush=True)
        for length in args.lengths:
            with given(args.rows, length) as long:
                sides = make_sides(long, rivals, flash, args)
                results = compare(long, {n: s for n, s in sides.items() if n not in failed}, args.repeats)
                print(table(long, results), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training speed on a GPU against Trainer and SFTTrainer.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", choices=SIZES, default="1b", help="of the model")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[4096, 16384, 65536], help="maximum lengths"
    )
    parser.add_argument("--rows", type=int, default=40, help="conversations in an optimizer step")
    parser.add_argument(
        "--repeats", type=int, default=2, help=f"turns of every side, {TIMED} timed steps each"
    )
    parser.add_argument("--activation-checkpointing", action="store_true", help="on all sides")
    parser.add_argument("--trainer-batches", type=int, nargs="+", default=[1, 4], help="rows")
    parser.add_argument(
        "--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES[::-1], help="ours, beside balanced"
    )
    parser.add_argument(
        "--rivals", nargs="+", choices=NEEDS, default=["trainer", "trl"], help="those to run if installed"
    )
    return parser.parse_args()


def usable(rivals: list[str]) -> Iterator[str]:
    """The rivals whose packages are here; `plain` for Trainer where it is missing."""
    for rival in rivals:
        if missing := [package for package in NEEDS[rival] if not installed(package)]:
            print(f"No {rival}: {', '.join(missing)} not installed here.", flush=True)
        if not missing:
            yield rival
        elif rival == "trainer" and "plain" not in rivals:
            yield "plain"


def installed(package: str) -> str | None:
    """The version of a package, None if it is not here."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def best_flash(work: Work) -> str | None:
    """The first FlashAttention that transformers can train with here."""
    for attention in FLASH:
        outcome = turn(partial(plain_side, work, 1, attention), work.ranks.device)
        if isinstance(outcome, Turn):
            return attention
        print(f"\nNo {attention} for the rivals here: {outcome}", flush=True)
    return None


def make_sides(
    work: Work, rivals: list[str], flash: str | None, args: argparse.Namespace
) -> dict[str, Builder]:
    """How to build each side, by name, in the order in which they take turns."""
    sides: dict[str, Builder] = {OURS: partial(our_side, work, "balanced")}
    sides |= {f"ours, {s}": partial(our_side, work, s) for s in args.strategies}
    for batch in args.trainer_batches:
        rows = f"padded, {batch} rows" if batch > 1 else "row by row"
        for attention in ("sdpa", flash) if flash else ("sdpa",):
            if "trainer" in rivals:
                sides[f"Trainer, {rows}, {attention}"] = partial(trainer_side, work, batch, attention)
            if "plain" in rivals:
                sides[f"plain loop, {rows}, {attention}"] = partial(plain_side, work, batch, attention)
    if "trl" in rivals:
        for attention in (flash,) if flash else ("flex_attention", "sdpa"):
            sides[f"SFTTrainer, packed (bfd), {attention}"] = partial(trl_side, work, attention)
    return sides


# --- measuring


def compare(work: Work, sides: dict[str, Builder], repeats: int) -> dict[str, list[Outcome]]:
    """Turns of every side, one side after the other, then again; a side that failed gets no other turn.

    Each is told on stderr at once, for runs that are cut off.
    """
    results: dict[str, list[Outcome]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, build in sides.items():
            if not any(isinstance(outcome, str) for outcome in results[name]):
                outcome = turn(build, work.ranks.device)
                ours = results[OURS][0] if results[OURS] else outcome
                results[name].append(checked(outcome, ours))
                print(f"{work.length}: {name}: {results[name][-1]}", file=sys.stderr, flush=True)
    return results


def turn(build: Builder, device: torch.device) -> Outcome:
    """Build a side, take its steps, and free it."""
    cuda = device.type == "cuda"
    before = torch.cuda.memory_allocated(device) if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        first, *timed = steps_of(build)
        seconds = [measured.seconds for measured in timed]
        return Turn(first, seconds, torch.cuda.max_memory_allocated(device) - before if cuda else 0)
    except Exception as error:  # of any package, in any way: it is shown in place of a result
        return reason(error)
    finally:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()


def steps_of(build: Builder) -> list[Measured]:
    """The steps of a turn. Nothing holds the side when this returns."""
    side = build()
    return [side() for _ in range(1 + TIMED)]


def reason(error: Exception) -> str:
    """An error in a few words."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def checked(outcome: Outcome, ours: Outcome) -> Outcome:
    """A turn whose first step, before any update, saw the same tokens and computed the same loss as ours."""
    if isinstance(outcome, str) or isinstance(ours, str):
        return outcome
    return disagreement(outcome.first, ours.first, LOSS_TOLERANCE) or outcome


def table(work: Work, results: dict[str, list[Outcome]]) -> str:
    tokens = sum(map(len, work.rows))
    lines = [
        f"\n### Maximum length {work.length:,}: {len(work.rows)} rows, {tokens:,} tokens a step\n",
        "| side | real tokens/s | MFU | peak GiB | seconds a step, each | padding | first loss "
        "| ours is faster by (lowest–highest) |",
        "|---|--:|--:|--:|---|--:|--:|--:|",
    ]
    reference, ours = results[OURS][0], seconds_of(results[OURS])
    for name, outcomes in results.items():
        if failure := next((o for o in outcomes if isinstance(o, str)), None):
            lines.append(f"| {name} | – | – | – | {failure} | – | – | – |")
            continue
        turns = [o for o in outcomes if isinstance(o, Turn)]
        seconds = seconds_of(outcomes)
        lines.append(
            f"| {name} | {tokens / median(seconds):,.0f} | {utilisation(work, median(seconds))} "
            f"| {gibibytes(max(t.peak for t in turns))} | {' '.join(f'{s:.3f}' for s in seconds)} "
            f"| {1 - tokens / turns[0].first.slots:.0%} | {against(turns[0], reference)} "
            f"| {ratio(seconds, ours)} |"
        )
    return "\n".join(lines)


def seconds_of(outcomes: list[Outcome]) -> list[float]:
    """All timed steps, in order."""
    return [s for outcome in outcomes if isinstance(outcome, Turn) for s in outcome.seconds]


def gibibytes(peak: int) -> str:
    return f"{peak / 2**30:.1f}" if peak else "–"


def against(turn: Turn, ours: Outcome) -> str:
    """The relative difference of the first losses."""
    return "–" if isinstance(ours, str) else f"{turn.first.loss / ours.first.loss - 1:+.0e}"


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Of medians, and the lowest and highest of steps with the same number."""
    if len(ours) != len(theirs):
        return "–"
    pairs = [a / b for a, b in zip(theirs, ours, strict=True)]
    return f"{median(theirs) / median(ours):.2f}× ({min(pairs):.2f}–{max(pairs):.2f})"


def utilisation(work: Work, seconds: float) -> str:
    device = work.ranks.device
    if device.type == "cpu" or "H200" not in torch.cuda.get_device_name(device):
        return "–"
    return f"{model_flops(work) / seconds / H200_FLOPS:.1%}"


def machine(config: LlamaConfig, args: argparse.Namespace, device: torch.device) -> str:
    packages = ("torch", "transformers", "accelerate", "trl", "flash-attn", "kernels")
    versions = ", ".join(f"{name} {found}" for name in packages if (found := installed(name)))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    kernel = "FlashAttention" if varlen.FLASH else "torch's varlen_attn" if varlen.TORCH else "SDPA"
    kernel = kernel if device.type == "cuda" else "SDPA"
    return (
        f"{date.today()}; {name}; {versions}; bf16 over float32 weights; activation checkpointing "
        f"{'on' if args.activation_checkpointing else 'off'}; Llama of "
        f"{count_parameters(config) / 1e6:,.1f} M parameters; our attention by {kernel}. Medians."
    )


if __name__ == "__main__":
    main()
