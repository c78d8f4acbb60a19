"""LongAlign's method study: how batches are cut and losses weighed, in score and in time."""

import json
from typing import Any, NamedTuple

import numpy as np

from boresight.lab.bench import ARMS, CHAT, Lab, outcomes
from boresight.lab.long_data import SEED, recall
from boresight.lab.result import Claim, Result, Table, points, share
from boresight.lab.samples import questions
from boresight.pocket.conversations import mixed_conversations
from boresight.pocket.questions import house_rules
from boresight.stats import Interval, paired_difference, proportion
from boresight.train.metrics import METRICS


class Method(NamedTuple):
    """A way to train, and the paper's score (LongBench-Chat, 1 to 10) and hours for ChatGLM3-6B."""

    settings: dict[str, Any]
    score: str
    hours: float


NAIVE, SORTED, PACKED, WEIGHTED = "naive", "sorted", "packing", "packing + weighting"
METHODS = {
    NAIVE: Method({"batching": "padded", "loss": "sequence"}, "5.87", 45.4),
    SORTED: Method({"batching": "sorted", "loss": "sequence"}, "5.40", 19.1),
    PACKED: Method({"batching": "packed", "loss": "token"}, "5.76", 20.5),
    WEIGHTED: Method({"batching": "packed", "loss": "sequence"}, "6.21", 20.5),
}
CONVERSATIONS, LONG = 480, 72
LENGTHS = "1024,4096"
HOW = (
    f"{CONVERSATIONS} conversations, {LONG} of them long, one pass, 16 a step, on this machine's "
    "processor. Packing without weighting is a mean over target tokens (α = 0); the others weigh "
    "conversations alike. Naive pads random conversations to the longest of their micro-batch."
)


class Outcome(NamedTuple):
    """Seconds of the steps, short questions right or wrong, and needles found."""

    seconds: float
    short: np.ndarray
    needles: Interval


def methods(lab: Lab) -> Result:
    """The method table: the same conversations and steps, in four ways."""
    found = {name: _outcome(lab, name, method) for name, method in METHODS.items()}
    return Result(
        name="methods",
        title="How batches are cut",
        source="LongAlign, the method study and Figure 5",
        how=HOW,
        seeds=[SEED],
        tables=[_table(found)],
        claims=_claims(found),
    )


def _table(found: dict[str, Outcome]) -> Table:
    naive = found[NAIVE].seconds
    rows = [
        [
            name,
            METHODS[name].score,
            f"{METHODS[NAIVE].hours / METHODS[name].hours:.2f}×",
            f"{100 * outcome.short.mean():.1f}",
            share(outcome.needles),
            f"{naive / outcome.seconds:.2f}×",
            f"{outcome.seconds:.0f}",
        ]
        for name, outcome in found.items()
    ]
    columns = ["method", "paper, score", "paper, speed", "short, %", "needles, %", "speed", "seconds"]
    return Table(title="Score and time; the paper's are ChatGLM3-6B's", columns=columns, rows=rows)


def _claims(found: dict[str, Outcome]) -> list[Claim]:
    weighted = found[WEIGHTED].short
    faster = {name: found[NAIVE].seconds / found[name].seconds for name in (SORTED, PACKED)}
    apart = [paired_difference(weighted, found[name].short) for name in (NAIVE, SORTED)]
    gain = paired_difference(weighted, found[PACKED].short)
    return [
        Claim(
            says="Sorting and packing train more than twice as fast as naive batches.",
            shown=min(faster.values()) > 2,
            seen=" and ".join(f"{times:.1f}" for times in faster.values()) + " times as fast.",
        ),
        Claim(
            says="Naive, sorted and weighted packing do not differ in score: they compute the same steps.",
            shown=all(each.low <= 0 <= each.high for each in apart),
            seen=" and ".join(map(points, apart)) + " points from naive and from sorted.",
        ),
        Claim(
            says="Loss weighting makes packing better.",
            shown=gain.low > 0,
            seen=f"{points(gain)} points on short questions.",
        ),
    ]


def _outcome(lab: Lab, name: str, method: Method) -> Outcome:
    slug = name.replace(" + ", "-")
    conversations = lab.written(
        "methods", mixed_conversations(CONVERSATIONS, LONG, 210 + SEED, house_rules(SEED))
    )
    model = lab.fine_tuned(
        f"methods-{slug}", conversations, max_length=4096, epochs=1, seed=SEED, **method.settings
    )
    metrics = lab.directory / ARMS / f"methods-{slug}" / METRICS
    seconds = sum(json.loads(line)["seconds"] for line in metrics.read_text().splitlines())
    (answers,) = lab.asked(f"methods-{slug}", model, CHAT, questions(lab, SEED)).values()
    needles = recall(lab, f"methods-{slug}", model, LENGTHS)
    return Outcome(seconds, outcomes(answers), proportion(needles["found"], needles["total"]))
