"""LongBench's twelve sets that LongAlign reports (Bai et al. 2023), with their free metrics.

LongBench/data/hotpotqa.jsonl    {"input": "…", "context": "…", "answers": […], "dataset": "hotpotqa", …}

A setting is a set. Prompts are LongAlign's: document, blank line, question; a base model gets a word for the
answer besides. What is too long loses the middle of its document, and `tokens_cut` says how much. With each
answer goes what a judge is shown: the question without its document, the references, and the language.
"""

import sys
from collections.abc import Iterator

from boresight.errors import UserError
from boresight.evaluate.longbench import DATASETS, prompt, read_items
from boresight.evaluate.longbench import Item as Row
from boresight.evaluate.longbench import score as score_free
from boresight.evaluate.task import Answered, Item, Room, Setting, Task, Tools, Verdict, each
from boresight.evaluate.tasks.sources import files, is_table
from boresight.extras import require

SETTINGS = {
    name: Setting(0, dataset.max_new_tokens, () if dataset.task == "summarisation" else ("\n",))
    for name, dataset in DATASETS.items()
}
"""Answers as long as LongBench lets them be; a base model's to a question are of one line."""
CHINESE = ("multifieldqa_zh", "dureader", "vcsum")
CUES = {"en": "\n\nAnswer:", "zh": "\n\n回答："}
SPARE = 16
"""Units left free: a text within a template may come to a few more than the two apart."""


def items(source: str, setting: str, room: Room) -> Iterator[Item]:
    """The items of a set, from the folder that LongBench unpacks to, or from the file itself.

    Raises:
        UserError: the file is not there, is malformed, or of another set; names file and item.
    """
    if is_table(source):
        raise UserError(f"{source}: name the folder that LongBench's data.zip unpacks to")
    for path in files(source, f"data/{setting}.jsonl", f"{setting}.jsonl"):
        for number, row in enumerate(read_items(path), 1):
            if row.dataset.removesuffix("_e") != setting:
                raise UserError(f"{path}, item {number}: is of {row.dataset}, not of {setting}")
            yield _item(row, setting, room)


def score(answered: Answered) -> Verdict:
    """Token F1 or ROUGE-L with the best of the references, by the set."""
    item, output = answered.item, answered.outputs[0]
    return Verdict({"score": score_free(item.extra["dataset"], output, item.references)})


def require_words(setting: str, tools: Tools) -> None:
    """Chinese sets are scored by words, which takes a package of its own.

    Raises:
        UserError: it is not installed.
    """
    if setting in CHINESE:
        require("rjieba", "chinese")


def _item(row: Row, setting: str, room: Room) -> Item:
    cue = CUES.get(row.language, CUES["en"])
    most = sys.maxsize if room.most is None else room.most - len(room.measure.starts(cue)) - SPARE
    asked = prompt(row, room.measure.starts, most)
    return Item(
        row.id,
        asked.text + cue,
        instruction=asked.text,
        references=tuple(row.answers),
        groups={"task": DATASETS[setting].task, "language": row.language},
        extra={
            "question": row.question,
            "language": row.language,
            "dataset": setting,
            "tokens_cut": str(asked.tokens_cut),
        },
    )


TASK = Task("longbench", SETTINGS, items, each(score), headline="score", require=require_words)
