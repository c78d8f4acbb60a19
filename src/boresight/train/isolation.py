"""The self-test at the start of every run: do packed conversations see each other in this very model?

Remote code, a new architecture or a kernel of another version can break what the tests of this package
hold. A few hundred tokens on the actual model, device and precision tell.
"""

import numpy as np
import torch
from torch import Tensor

from boresight.errors import UserError
from boresight.train.batch import Batch
from boresight.train.sharding import Objective

LENGTHS = (37, 90, 53)
"""Of three packed sequences; the second is the one observed."""
TOLERANCE = {"bf16": 5e-2, "fp32": 1e-3}
"""Largest relative change of a token's last hidden state. Rounding changes it by a tenth of that when shapes
change; a neighbour that is seen, or a position that runs on, by the whole of it and more."""


def check_isolation(objective: Objective, precision: str, device: torch.device) -> None:
    """Compare a sequence's hidden states between some neighbours, others, and none.

    Raises:
        UserError: they depend on the neighbours, or are not finite.
    """
    assert objective.ranks is not None
    random = np.random.default_rng(0)
    vocabulary = objective.model.config.vocab_size
    observed = random.integers(vocabulary, size=LENGTHS[1])

    def among(before: int, after: int) -> list[np.ndarray]:
        return [random.integers(vocabulary, size=before), observed, random.integers(vocabulary, size=after)]

    packed, changed = (_states(objective, among(LENGTHS[0], LENGTHS[2]), device) for _ in range(2))
    alone = _states(objective, among(0, 0), device)
    if objective.ranks.any(not bool(torch.stack([packed, changed, alone]).isfinite().all())):
        raise UserError("the model's states are not finite before the first step; its weights may be damaged")
    for other, what in ((changed, "change with its neighbours"), (alone, "are others than when it is alone")):
        change = objective.ranks.largest(((other - packed).norm(dim=1) / packed.norm(dim=1)).max().item())
        if change > TOLERANCE[precision]:
            raise UserError(
                f"{type(objective.model).__name__} cannot be trained packed: the states of a conversation "
                f"{what} (by {change:.1%}). Its attention or positions do not keep sequences apart"
            )


def _states(objective: Objective, sequences: list[np.ndarray], device: torch.device) -> Tensor:
    """The last hidden states of the middle sequence, without gradient or dropout."""
    was_training = objective.training
    objective.eval()
    try:
        with torch.no_grad():
            return objective.states(_batch(sequences).to(device)).float().cpu()
    finally:
        objective.train(was_training)


def _batch(sequences: list[np.ndarray]) -> Batch:
    """Packed, with every token of the middle sequence but its last before a target."""
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
