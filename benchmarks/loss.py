"""The chunked loss against the plain one: memory and time of a forward and a backward pass.

    python benchmarks/loss.py
    python benchmarks/loss.py --device cuda

Prints Markdown for RESULTS.md. Both sides take the same hidden states, output layer, targets and weights, and
give the weighted cross-entropy and its gradients in hidden states and output layer. The plain one is
`(F.cross_entropy(hidden @ weight.T, targets, reduction="none") * weights).sum()`, in float32 from the logits
on. Their losses and gradients must agree, or there is no table.

Memory is what a pass takes at its peak beyond its inputs and their gradients. On a CPU that is the growth
of the peak resident size of a fresh process, libraries warmed up; on CUDA what torch's allocator counted.
Time is the median of alternating passes in one process.

On CUDA the width and vocabulary are those of a large model (4,096 and 128k), the precision bf16: of the
weight itself, and by autocast of a float32 weight.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from boresight.train.loss import Head, weighted_cross_entropy

TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "autocast": 2e-2}
"""Largest difference of loss and gradients, by norm, against the plain side."""
MB = 1e6


class Size(NamedTuple):
    """Of one problem. `precision` is that of everything, or "autocast": float32, computed in bf16."""

    targets: int
    vocabulary: int
    width: int
    precision: str
    device: str


MEMORY = {
    "cpu": [Size(n, 32_000, 512, "float32", "cpu") for n in (1_024, 4_096, 16_384)],
    "cuda": [
        Size(n * 1024, 2**17, 4096, precision, "cuda")
        for precision in ("bfloat16", "autocast")
        for n in (16, 32, 64)
    ],
}
TIME = {
    "cpu": [
        Size(n, v, w, "float32", "cpu")
        for n, v, w in ((2048, 4096, 256), (2048, 32_000, 512), (1024, 32_000, 1024))
    ],
    "cuda": [
        Size(n, v, w, precision, "cuda")
        for precision in ("float32", "bfloat16", "autocast")
        for n, v, w in ((8192, 32_000, 4096), (8192, 2**17, 4096))
    ],
}
PLAIN_FITS = {"cpu": 4_096, "cuda": 16_384}
"""Targets up to which the plain loss is measured too."""

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Side = Callable[[Inputs, Size], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description="The chunked loss against the plain one.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each side")
    args = parser.parse_args()
    print(machine(args.device), flush=True)
    print("\n| targets | vocabulary | width | precision | ours, MB | plain, MB |\n|--:|--:|--:|---|--:|--:|")
    for size in MEMORY[args.device]:
        fits = size.targets <= PLAIN_FITS[args.device]
        plain_mb = f"{beyond(plain, size) / MB:,.0f}" if fits else "—"
        print(f"{columns(size)} {beyond(ours, size) / MB:,.0f} | {plain_mb} |", flush=True)
    print("\n| targets | vocabulary | width | precision | ours, s | plain, s | plain / ours | difference |")
    print("|--:|--:|--:|---|--:|--:|--:|--:|")
    for size in TIME[args.device]:
        apart = difference(size)
        assert apart < TOLERANCE[size.precision], f"{size}: the two sides differ by {apart:.1e}"
        mine, theirs = times(size, args.repeats)
        print(f"{columns(size)} {mine:.3f} | {theirs:.3f} | {theirs / mine:.2f} | {apart:.0e} |", flush=True)


def machine(device: str) -> str:
    on = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{date.today()}, torch {torch.__version__}, {on}"


def columns(size: Size) -> str:
    return f"| {size.targets:,} | {size.vocabulary:,} | {size.width:,} | {size.precision} |"


def ours(inputs: Inputs, size: Size) -> Tensor:
    hidden, weight, targets, weights = inputs
    with torch.autocast(size.device, torch.bfloat16, enabled=size.precision == "autocast"):
        return weighted_cross_entropy(hidden, Head(weight), targets, weights)


def plain(inputs: Inputs, size: Size) -> Tensor:
    hidden, weight, targets, weights = inputs
    with torch.autocast(size.device, torch.bfloat16, enabled=size.precision == "autocast"):
        logits = (hidden @ weight.T).float()
        return (cross_entropy(logits, targets, reduction="none") * weights).sum()


def make(size: Size) -> Inputs:
    torch.manual_seed(0)
    dtype = torch.bfloat16 if size.precision == "bfloat16" else torch.float32
    hidden = torch.randn(size.targets, size.width, dtype=dtype, device=size.device)
    weight = torch.randn(size.vocabulary, size.width, dtype=dtype, device=size.device).mul_(size.width**-0.5)
    targets = torch.randint(size.vocabulary, (size.targets,), device=size.device)
    weights = torch.rand(size.targets, device=size.device)
    return hidden.requires_grad_(), weight.requires_grad_(), targets, weights


def step(side: Side, inputs: Inputs, size: Size) -> float:
    """Forward and backward; returns the seconds."""
    inputs[0].grad = inputs[1].grad = None
    synchronize(size)
    began = time.perf_counter()
    side(inputs, size).backward()
    synchronize(size)
    return time.perf_counter() - began


def synchronize(size: Size) -> None:
    if size.device == "cuda":
        torch.cuda.synchronize()


def beyond(side: Side, size: Size) -> int:
    """Bytes at the peak beyond inputs and gradients, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (side, size, torch.get_num_threads()))


def peak(side: Side, size: Size, threads: int) -> int:
    torch.set_num_threads(threads)
    small = size._replace(targets=8, vocabulary=512)
    step(side, make(small), small)  # libraries, buffers of theirs, compilation
    inputs = make(size)
    before = peak_bytes(size)
    step(side, inputs, size)
    return peak_bytes(size) - before - sum(t.grad.nbytes for t in inputs[:2])


def peak_bytes(size: Size) -> int:
    """The most memory held since the last call on CUDA, and ever on a CPU."""
    if size.device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most


def difference(size: Size) -> float:
    """The largest relative difference of the two sides: of the losses, and of each gradient by norm."""
    results = []
    for side in (ours, plain):
        inputs = make(size)
        loss = side(inputs, size)
        results.append([loss.detach(), *torch.autograd.grad(loss, inputs[:2])])
    pairs = zip(*results, strict=True)
    return max(((a.float() - b.float()).norm() / b.float().norm()).item() for a, b in pairs)


def times(size: Size, repeats: int) -> tuple[float, float]:
    """Median seconds of ours and of the plain one, taken in turn."""
    inputs = make(size)
    for side in (ours, plain):
        step(side, inputs, size)
    pairs = [(step(ours, inputs, size), step(plain, inputs, size)) for _ in range(repeats)]
    mine, theirs = zip(*pairs, strict=True)
    return statistics.median(mine), statistics.median(theirs)


if __name__ == "__main__":
    main()
