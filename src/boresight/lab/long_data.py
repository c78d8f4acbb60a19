"""LongAlign's data study: the same steps with no, some and more long conversations; needles found."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from boresight.lab.bench import CHAT, FOUND, Lab, outcomes
from boresight.lab.result import LITTLE, Cell, Claim, Map, Result, Table, points, share
from boresight.lab.samples import questions
from boresight.pocket.conversations import LONG_WORDS, mixed_conversations
from boresight.pocket.questions import asked_of, house_rules
from boresight.pocket.world import World, passage
from boresight.runs import atomic_write
from boresight.stages.needles import Asked, find_needles, grid_of
from boresight.stats import Interval, paired_difference, proportion

SEED = 1
CONVERSATIONS = 1600
"""Of every arm: 100 steps of 16."""
BASE, NONE, SOME, MOST = "the base", "no long conversations", "60 long", "120 long"
LONG = {NONE: 0, SOME: 60, MOST: 120}
PUBLISHED = {NONE: "3.73 (0k)", SOME: "5.97 (5k)", MOST: "6.21 (10k)"}
"""LongBench-Chat of ChatGLM3-6B, and long conversations."""
NEEDLES, CANDIDATES = 4, 8
"""Needles, and how many sentences of a needle's kind stand in each document, itself included."""
LENGTHS, DEPTHS = "512,1024,2048,3072,4096", "0,25,50,75,100"

HOW = (
    f"{CONVERSATIONS:,} conversations in 100 steps for every arm, of which 0, 60 or 120 are questions "
    f"about documents of {LONG_WORDS[0]} to {LONG_WORDS[1]:,} words. Needles: {NEEDLES}, at five depths "
    f"and five lengths to 4,096 tokens, each among {CANDIDATES} sentences of its kind, so that copying "
    f"any of them finds 1 in {CANDIDATES}. The base is asked by the needle's own beginning."
)
Found = dict[str, Any]
"""What `boresight needle --json` prints."""


def needles(lab: Lab, base: bool = False) -> Path:
    """A file of needles, each among others of its kind; a base model is asked by the needle's beginning."""
    world, random = World(), Random("needles")
    hidden = []
    for number in range(NEEDLES):
        kept = [each._replace(from_name=False) for each in passage(world, random, CANDIDATES)]
        thing, others = kept[0].thing, kept[1:]
        hidden.append(
            {
                "name": f"needle {number + 1}",
                "text": str(kept[0]),
                **({"opening": f"The {thing} is with"} if base else {"question": asked_of(kept[0])[0]}),
                "keywords": [kept[0].name],
                "avoid": [each.thing for each in kept],
                "distractors": [{"text": str(each), "keywords": [each.name]} for each in others],
            }
        )
    path = lab.directory / "data" / ("needles-base.yaml" if base else "needles.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, yaml.safe_dump({"needles": hidden}, sort_keys=False))
    return path


def recall(lab: Lab, name: str, model: str, lengths: str = LENGTHS, base: bool = False) -> Found:
    """What a model finds of the needles; the run directory is read by the report too."""
    grid = grid_of(lengths, DEPTHS, samples=1, room=24, seed=0)
    asked = Asked(model, base=base)
    return find_needles(asked, grid, str(needles(lab, base)), lab.directory / FOUND / name)


def long_data(lab: Lab) -> Result:
    """The data table: equal steps, more and more long conversations."""
    found, short = {BASE: recall(lab, "base", lab.base, base=True)}, dict[str, np.ndarray]()
    for number, (arm, long) in enumerate(LONG.items()):
        conversations = mixed_conversations(CONVERSATIONS, long, 200 + SEED, house_rules(SEED))
        data = lab.written(f"long-{number}", conversations)
        model = lab.fine_tuned(f"long-{number}", data, max_length=4096, epochs=1, seed=SEED)
        found[arm] = recall(lab, f"long-{number}", model)
        (answers,) = lab.asked(f"long-{number}", model, CHAT, questions(lab, SEED)).values()
        short[arm] = outcomes(answers)
    return Result(
        name="long-data",
        title="How many long conversations",
        source="LongAlign, the data study and Figure 4",
        how=HOW,
        seeds=[SEED],
        tables=[_table(found, short)],
        figures=[Map(title=arm, cells=[Cell(**each) for each in run["cells"]]) for arm, run in found.items()],
        claims=_claims(found, paired_difference(short[MOST], short[NONE])),
    )


def _table(found: dict[str, Found], short: dict[str, np.ndarray]) -> Table:
    columns = ["arm", "paper, LongBench-Chat", "needles", "at the longest", "others copied", "by chance"]
    rows = [
        [
            arm,
            PUBLISHED.get(arm, "–"),
            share(_all(run)),
            f"{100 * _at_the_longest(run):.0f}",
            f"{100 * run['copied']:.0f}",
            f"{100 / CANDIDATES:.1f}",
            f"{100 * short[arm].mean():.1f}" if arm in short else "–",
        ]
        for arm, run in found.items()
    ]
    title = "Needles found, others copied, held-out short questions, %"
    return Table(title=title, columns=[*columns, "short"], rows=rows)


def _claims(found: dict[str, Found], kept: Interval) -> list[Claim]:
    none, some, most = (_all(found[arm]) for arm in LONG)
    return [
        Claim(
            says="Long conversations teach to use long documents; short ones alone do so less.",
            shown=most.low > none.high,
            seen=f"{share(none)} % of the needles without, {share(most)} % with most.",
        ),
        Claim(
            says="At least 90 % of the needles are found after training on long conversations.",
            shown=most.value >= 0.9,
            seen=f"{share(most)} %.",
        ),
        Claim(
            says="More long data is better.",
            shown=some.high < most.low,
            seen=f"{share(some)} % with half as many.",
        ),
        Claim(says="Short tasks are not lost.", shown=kept.low > -LITTLE, seen=f"{points(kept)} points."),
    ]


def _all(found: Found) -> Interval:
    return proportion(found["found"], found["total"])


def _at_the_longest(found: Found) -> float:
    longest = max(cell["length"] for cell in found["cells"])
    return float(np.mean([cell["recall"] for cell in found["cells"] if cell["length"] == longest]))
