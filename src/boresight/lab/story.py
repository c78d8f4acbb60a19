"""The story that `boresight demo` tells: vanilla, aligned in context, aligned by training; short and long."""

from pathlib import Path
from typing import Any, NamedTuple

from boresight.lab.bench import ARMS, ASKED, CHAT, FOUND, Lab, LabAnswer, Way, Ways
from boresight.lab.long_data import recall
from boresight.lab.samples import BUDGET
from boresight.pocket.conversations import held_out_conversations, mixed_conversations
from boresight.pocket.pages import CUES
from boresight.pocket.questions import FAMILIES
from boresight.progress import say
from boresight.report import write_report
from boresight.stats import Interval, proportion

QUESTIONS = 16
"""Held-out questions of each family."""
CONVERSATIONS, LONG = 1600, 120
"""To learn from, and how many of them are about long documents."""
LENGTHS = "512,2048,4096"
VANILLA, IN_CONTEXT, TRAINED = "vanilla", "aligned in context", "aligned by training"


class Line(NamedTuple):
    """What a system does: short questions by its best way of asking, and needles in long texts."""

    system: str
    setting: str
    short: Interval
    needles: Interval | None

    def as_json(self) -> dict[str, Any]:
        """In plain numbers."""
        needles = self.needles and self.needles._asdict()
        return {**self._asdict(), "short": self.short._asdict(), "needles": needles}


def tell(output: Path, force: bool = False) -> list[Line]:
    """Run it all under `output` and write its report.html; what is done already is not done again."""
    lab = Lab("pocket", output)
    if force:
        lab.restart()
    conversations = lab.written("conversations", mixed_conversations(CONVERSATIONS, LONG, 1))
    questions = lab.written("questions", held_out_conversations(QUESTIONS, seed=2))
    asked = len(FAMILIES) * QUESTIONS
    say(f"1  {CONVERSATIONS:,} conversations to learn from, {LONG} of them long; {asked} questions")
    say("2  the vanilla model answers, under four cues")
    answers = {VANILLA: lab.asked("vanilla", lab.base, {_name(cue): Way(cue) for cue in CUES}, questions)}
    say("3  the same model answers, after demonstrations of the conversations")
    ways: Ways = {
        "random demonstrations": Way("q", "random", conversations, BUDGET),
        "retrieved demonstrations": Way("q", "bm25", conversations, BUDGET),
    }
    answers[IN_CONTEXT] = lab.asked("in-context", lab.base, ways, questions)
    say("4  fine-tuning on all of them, packed, every conversation weighing the same")
    model = lab.fine_tuned("training", conversations, max_length=4096, epochs=1)
    answers[TRAINED] = lab.asked("trained", model, CHAT, questions)
    say("5  needles in long texts, before and after")
    found = {
        VANILLA: recall(lab, "vanilla-needles", lab.base, LENGTHS, base=True),
        TRAINED: recall(lab, "trained-needles", model, LENGTHS),
    }
    runs = [output / ASKED / name for name in ("vanilla", "in-context", "trained")]
    runs += [output / FOUND / name for name in ("vanilla-needles", "trained-needles")]
    write_report([*runs, output / ARMS / "training"], output / "report.html")
    return [_line(system, by_way, found.get(system)) for system, by_way in answers.items()]


def _name(cue: str) -> str:
    question, reply = CUES[cue]
    return f"{question.strip()} … {reply.strip()}"


def _line(system: str, by_way: dict[str, list[LabAnswer]], needles: dict[str, Any] | None) -> Line:
    right = {setting: sum(answer.correct for answer in found) for setting, found in by_way.items()}
    best = max(right, key=lambda setting: right[setting])
    short = proportion(right[best], len(by_way[best]))
    return Line(system, best, short, proportion(needles["found"], needles["total"]) if needles else None)
