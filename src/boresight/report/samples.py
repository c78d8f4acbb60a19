"""Answers side by side: the same question, put to every run."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from boresight.evaluate.held_out import Answer
from boresight.report.answers import AnswerRun
from boresight.report.text import Passage, passage

SAMPLES = 12


@dataclass(frozen=True)
class Sample:
    """One question with each run's answer to it, None where a run has none."""

    id: str
    family: str
    messages: list[tuple[str, Passage]]
    reference: Passage | None
    answers: list[tuple[Answer, Passage] | None]


def choose_samples(runs: list[AnswerRun]) -> list[Sample]:
    """A fixed choice of questions, spread over kinds and over which runs got them right."""
    items = [item for run in runs for item in run.best_answers]
    shared = [item for item in items if all(item in run.best_answers for run in runs)]
    return [_sample(item, runs) for item in _spread(shared or items, runs)]


def _spread(items: Iterable[str], runs: list[AnswerRun]) -> list[str]:
    """Items of every outcome, then in proportion to how common it is; of each, the family least shown."""
    first = {item: next(r.best_answers[item] for r in runs if item in r.best_answers) for item in items}
    outcomes: dict[tuple[int, ...], list[str]] = {}
    for item in sorted(first, key=lambda item: hashlib.sha256(item.encode()).digest()):
        outcomes.setdefault(tuple(_mark(run.best_answers.get(item)) for run in runs), []).append(item)
    due = [
        (k / len(group), -len(group), o)
        for o, group in enumerate(outcomes.values())
        for k in range(len(group))
    ]
    shown: Counter[str] = Counter()
    chosen = []
    for _, _, o in sorted(due)[:SAMPLES]:
        group = list(outcomes.values())[o]
        item = min(group, key=lambda item: shown[first[item].family])
        group.remove(item)
        shown[first[item].family] += 1
        chosen.append(item)
    return sorted(chosen, key=lambda item: first[item].family)


def _mark(answer: Answer | None) -> int:
    """1 for a correct answer, 0 for an incorrect one, -1 for none."""
    return answer.correct if answer else -1


def _sample(item: str, runs: list[AnswerRun]) -> Sample:
    answers = [run.best_answers.get(item) for run in runs]
    first = next(answer for answer in answers if answer)
    return Sample(
        item,
        first.family,
        [(message.role, passage(message.content)) for message in first.prompt],
        None if first.reference is None else passage(first.reference),
        [(answer, passage(answer.output)) if answer else None for answer in answers],
    )
