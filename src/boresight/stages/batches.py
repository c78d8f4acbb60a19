"""What each way of cutting steps into batches would waste, on any number of ranks, before any is rented."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from boresight.errors import UserError
from boresight.models.load import load_tokenizer
from boresight.progress import counting, quiet_transformers, say
from boresight.recipe import Recipe
from boresight.stages.training import model_config, tokens
from boresight.train.loop import model_cost
from boresight.train.memory import count_parameters
from boresight.train.ranks import data_size
from boresight.train.simulate import Waste, simulate, simulate_packing

MOST = 1_000_000
"""Sequences simulated; more are represented by so many of them, drawn at random."""


class Simulated(NamedTuple):
    """The waste of every strategy, by number of ranks, and for how many of these a step is planned."""

    sequences: int
    tokens: int
    groups: dict[int, int]
    wastes: dict[int, list[Waste]]


def simulate_batches(recipe: Recipe, ranks: Sequence[int], lengths: Path | None = None) -> Simulated:
    """Every strategy, and packing as others do it, over one epoch of a recipe.

    Args:
        ranks: numbers of GPUs.
        lengths: tokens of each sequence in place of the recipe's data: a `.npy`, or a number a line.

    Raises:
        UserError: of model, data and settings as training would; or `lengths` holds something else.
    """
    quiet_transformers()
    settings = recipe.train
    groups = {n: data_size(n, settings) for n in ranks}
    config = model_config(recipe)
    cost = model_cost(config, count_parameters(config))
    long, targets = _sample(*(_read_lengths(lengths) if lengths else _prepare(recipe)), settings.seed)
    wastes: dict[int, list[Waste]] = {}
    with counting("simulate", len(groups)) as done:
        for n, at_once in groups.items():
            wastes[n] = simulate(long, targets, settings, cost, at_once)
            wastes[n] += simulate_packing(long, settings, cost, at_once)
            done(1)
    return Simulated(len(long), int(long.sum()), groups, wastes)


def _prepare(recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and targets of each sequence of the recipe's data."""
    with TemporaryDirectory() as directory:
        store = tokens(recipe, load_tokenizer(recipe.model), Path(directory) / "tokens")
        return store.lengths, store.target_counts


def _read_lengths(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each sequence from a file; every token but a sequence's first is a target."""
    try:
        if path.suffix == ".npy":
            lengths = np.load(path, mmap_mode="r")
        else:
            lengths = np.array([_length(line, f"{path}:{i}") for i, line in enumerate(path.open(), 1)])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu":
        raise UserError(f"{path}: expected a list of whole numbers, found {lengths.dtype} {lengths.shape}")
    if (shortest := int(lengths.min())) < 2:
        raise UserError(
            f"{path}: a sequence of length {shortest}; the shortest has a token and its target, 2"
        )
    return lengths, lengths - 1


def _length(line: str, place: str) -> int:
    try:
        return int(line)
    except ValueError as error:
        raise UserError(f"{place}: {line.strip()[:40]!r} is not a whole number") from error


def _sample(lengths: np.ndarray, targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(lengths) <= MOST:
        return lengths, targets
    say(f"{len(lengths):,} sequences: {MOST:,} of them, drawn at random, stand for all")
    drawn = np.random.default_rng(seed).choice(len(lengths), MOST, replace=False, shuffle=False)
    return lengths[drawn], targets[drawn]
