"""Judges and the systems they compare with, all scripted: what is judged here has one right answer.

A judge of the world's gives two points for content and one for being said as the house does; the higher score
wins (as two scores of one judge do in In-Context Alignment, section 2.1). A reference system is fixed: it is
right in a share of its answers, and speaks as the house in as many, both drawn once from the question.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from boresight.lab.bench import LabAnswer
from boresight.stats import Interval, clustered_share

WEAK, STRONG = 0.5, 0.9
"""Reference systems: in what share of its answers each is right."""


class Judged(NamedTuple):
    """Win, tie and loss in percent; the deviation of the win rate over draws (population, as published), and
    its 95 % interval over questions."""

    win: float
    tie: float
    loss: float
    over_draws: float
    interval: Interval


def reference_score(question: str, able: float) -> int:
    """The score of a reference system's answer, 0 to 3."""
    random = Random(f"{able} {question}")
    return 2 * (random.random() < able) + (random.random() < able)


def judge(answers: Sequence[LabAnswer], able: float) -> Judged:
    """Compare each answer with a reference system's."""
    ahead = np.array([answer.score - reference_score(answer.id, able) for answer in answers])
    draws = np.array([answer.draw for answer in answers])
    rates = [float((ahead[draws == draw] > 0).mean()) for draw in np.unique(draws)]
    win, tie, loss = (100 * float((np.sign(ahead) == sign).mean()) for sign in (1, 0, -1))
    interval = clustered_share((ahead > 0).astype(float), np.array([answer.id for answer in answers]))
    return Judged(win, tie, loss, 100 * float(np.std(rates)), interval)
