"""What experiments share: held-out questions, pools of conversations, and the model tuned on a pool.

A seed draws them all, and the house whose rules they follow.
"""

from pathlib import Path

from boresight.lab.bench import Lab
from boresight.pocket.conversations import held_out_conversations, training_conversations
from boresight.pocket.questions import FAMILIES, house_rules

SEEDS = (1, 2, 3)
EACH_FAMILY = 16
"""Held-out questions of each family and seed."""
QUESTIONS = EACH_FAMILY * len(FAMILIES)
POOL = 4000
BUDGET = 400
"""Tokens of demonstrations: about ten."""


def questions(lab: Lab, seed: int) -> Path:
    """The held-out questions of a seed."""
    return lab.written(f"questions-{seed}", held_out_conversations(EACH_FAMILY, seed, house_rules(seed)))


def pool(lab: Lab, seed: int, count: int | None = None) -> Path:
    """Conversations of a seed: demonstrations for one way, training data for the other."""
    count = count or POOL
    return lab.written(
        f"pool-{seed}-{count}", training_conversations(count, 100 + seed, house=house_rules(seed))
    )


def fine_tuned(lab: Lab, seed: int) -> str:
    """The base fine-tuned on the whole pool, once through."""
    return lab.fine_tuned(f"pool-{seed}", pool(lab, seed), epochs=1, seed=seed)
