"""Prints the Markdown for RESULTS.md: what batching wastes on lengths of LongAlign's shape, how long planning
takes, and in how much memory. Everything is computed from lengths; no model is run.

The lengths: 78,000 short ones, log-normal as ShareGPT's and cut at 8,192, and 10,000 uniform from 8k to
64k. The cost is LLaMA-2-7B's, 6.74 billion multiply-adds a token and the attention's square. A step of
`next-fit` or `best-fit` is one pack a rank, as LongAlign trained: about 96 sequences on 8 ranks.
"""

import argparse
import os
import resource
import time
from datetime import date

import numpy as np

from boresight.train.plan import Cost, Plan
from boresight.train.settings import TrainSettings
from boresight.train.simulate import Waste, simulate, simulate_packing

LLAMA_2_7B = Cost(6.74e9, 32 * 32 * 128.0)
CAP = 65_536
SHORT, LONG = 78_000, 10_000
MEDIAN, SPREAD = 925, 0.85
"""Of the short lengths; gives 471 million tokens in all."""


def main() -> None:
    parser = argparse.ArgumentParser(description="What batching wastes; how long planning takes.")
    parser.add_argument("--millions", type=int, default=100, help="sequences planned to measure the memory")
    millions = parser.parse_args().millions
    lengths = longalign(SHORT, LONG)
    print(f"{date.today()}; {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}); numpy {np.__version__}.")
    print(f"{len(lengths):,} sequences, {lengths.sum() / 1e6:.0f} M tokens.")
    for sequences, cap in ((96, CAP), (192, CAP), (384, CAP), (768, CAP), (96, 2 * CAP), (768, 2 * CAP)):
        print(waste_table(lengths, 8, sequences, cap), flush=True)
    for ranks in (64, 512):
        print(waste_table(lengths, ranks, 96, CAP), flush=True)
        print(waste_table(lengths, ranks, 96 * ranks, CAP), flush=True)
    print(time_table(np.concatenate([lengths] * 12)[:1_000_000]), flush=True)
    print(memory_line(millions * 10**6))


def longalign(short: int, long: int, seed: int = 0) -> np.ndarray:
    """Lengths in random order, int64."""
    random = np.random.default_rng(seed)
    chats = np.clip(random.lognormal(np.log(MEDIAN), SPREAD, short), 16, 8192)
    return random.permutation(np.concatenate([chats, random.uniform(8192, 65_536, long)]).astype(np.int64))


def waste_table(lengths: np.ndarray, ranks: int, sequences: int, cap: int) -> str:
    settings = TrainSettings(sequences_per_step=sequences, tokens_per_micro_batch=cap)
    began = time.perf_counter()
    wastes = simulate(lengths, lengths - 1, settings, LLAMA_2_7B, ranks)
    wastes += simulate_packing(lengths, settings, LLAMA_2_7B, ranks)
    seconds = time.perf_counter() - began
    limit = wastes[0].to_ideal / wastes[0].to_limit
    return "\n".join(
        [
            f"\n### {ranks} ranks, {sequences:,} sequences a step, at most {cap:,} tokens a micro-batch\n",
            f"In {wastes[0].dominated:.1%} of the steps one sequence takes longer than an even share; the "
            f"least any cut can take is {limit:.3f} times the ideal. Simulated in {seconds:.1f} s.\n",
            "| strategy | padding | idle | time / ideal | time / least | rounds a step | steps |",
            "|---|--:|--:|--:|--:|--:|--:|",
            *(waste_row(waste) for waste in wastes),
        ]
    )


def waste_row(w: Waste) -> str:
    """The packings make steps of their own, so the least that ours can take says nothing of theirs."""
    to_limit = f"{w.to_limit:.3f}" if w.strategy not in ("next-fit", "best-fit") else "–"
    shares = f"{w.padding:.1%} | {w.idle:.1%} | {w.to_ideal:.3f} | {to_limit}"
    return f"| {w.strategy} | {shares} | {w.rounds:.2f} | {w.steps:,} |"


def time_table(lengths: np.ndarray) -> str:
    lines = [
        f"\n### Planning {len(lengths):,} sequences, `balanced`\n",
        "| ranks | sequences a step | seconds of one core |",
        "|--:|--:|--:|",
    ]
    for ranks, sequences in ((1, 128), (8, 96), (8, 768), (64, 768), (1024, 1024), (1024, 12_288)):
        began = time.process_time()
        for _ in make_plan(lengths, ranks, sequences).steps():
            pass
        lines.append(f"| {ranks:,} | {sequences:,} | {time.process_time() - began:.1f} |")
    return "\n".join(lines)


def memory_line(sequences: int) -> str:
    """Lengths and target counts, int64, and the first thousand steps of 768 sequences."""
    lengths = np.random.default_rng(0).integers(16, CAP, sequences)
    target_counts = lengths - 1
    before = peak()
    began = time.perf_counter()
    steps = make_plan(lengths, 8, 768, target_counts).steps()
    for _ in range(1000):
        next(steps)
    seconds = time.perf_counter() - began
    return (
        f"\nThe first 1,000 steps of {sequences:,} sequences ({lengths.sum() / 1e12:.1f} T tokens): "
        f"{seconds:.1f} s, at most {peak():.1f} GB in use, {before:.1f} GB before planning."
    )


def make_plan(
    lengths: np.ndarray, ranks: int, sequences: int, target_counts: np.ndarray | None = None
) -> Plan:
    settings = TrainSettings(sequences_per_step=sequences, tokens_per_micro_batch=CAP, epochs=1)
    return Plan(lengths, lengths - 1 if target_counts is None else target_counts, settings, LLAMA_2_7B, ranks)


def peak() -> float:
    """Most memory this process had in use until now, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
