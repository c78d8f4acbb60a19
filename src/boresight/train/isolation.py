"""The self-test at the start of every run: do packed conversations see each other in this very model?

Remote code, a new architecture or a kernel of another version can break what the tests of this package
hold. A few hundred tokens on the actual model, device and precision tell.
"""

import math

import numpy as np
import torch

from boresight.errors import UserError
from boresight.train.batch import Batch
from boresight.train.sharding import Objective

LENGTHS = (37, 90, 53)
"""Of three packed sequences; the second is the one observed."""
NEIGHBOURS = {"bf16": 1e-4, "fp32": 1e-5}
"""Largest relative change of a loss when only the tokens of its neighbours change: the same kernels run on
the same shapes, so next to nothing."""
ALONE = {"bf16": 5e-2, "fp32": 1e-3}
"""And when it stands alone: other shapes round differently."""


def check_isolation(objective: Objective, precision: str, device: torch.device) -> None:
    """Compare a sequence's loss between other neighbours, other still, and none.

    Raises:
        UserError: its loss depends on its neighbours, or is not finite.
    """
    random = np.random.default_rng(0)
    vocabulary = objective.model.config.vocab_size
    observed = random.integers(vocabulary, size=LENGTHS[1])

    def among(before: int, after: int) -> list[np.ndarray]:
        return [random.integers(vocabulary, size=before), observed, random.integers(vocabulary, size=after)]

    packed, changed = (_loss(objective, among(LENGTHS[0], LENGTHS[2]), device) for _ in range(2))
    alone = _loss(objective, among(0, 0), device)
    if not math.isfinite(packed + changed + alone):
        raise UserError(f"the model's loss is {packed} before the first step; its weights may be damaged")
    for other, tolerance, what in (
        (changed, NEIGHBOURS[precision], "changes with the conversations packed beside it"),
        (alone, ALONE[precision], "is another one packed than alone"),
    ):
        if abs(other - packed) > tolerance * abs(packed):
            raise UserError(
                f"{type(objective.model).__name__} cannot be trained packed: a conversation's loss {what} "
                f"({packed:.6f} and {other:.6f}). Its attention or positions do not keep sequences apart"
            )


def _loss(objective: Objective, sequences: list[np.ndarray], device: torch.device) -> float:
    """The mean loss of the middle sequence, without gradient or dropout."""
    was_training = objective.training
    objective.eval()
    try:
        with torch.no_grad():
            assert objective.ranks is not None
            return objective.ranks.total(objective(_batch(sequences).to(device)).item()) / (
                objective.ranks.data_size
            )
    finally:
        objective.train(was_training)


def _batch(sequences: list[np.ndarray]) -> Batch:
    sequences = [s for s in sequences if len(s)]
    middle = len(sequences) // 2
    start, length = sum(map(len, sequences[:middle])), len(sequences[middle])
    tokens = torch.from_numpy(np.concatenate(sequences))
    return Batch(
        tokens=tokens[None],
        positions=torch.cat([torch.arange(len(s)) for s in sequences])[None],
        segments=tuple(map(len, sequences)),
        states=torch.arange(start, start + length - 1),
        targets=tokens[start + 1 : start + length],
        weights=torch.full((length - 1,), 1 / (length - 1)),
    )
