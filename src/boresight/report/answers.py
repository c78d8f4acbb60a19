"""Answer runs: accuracy by way of prompting and kind of question, and what separates two runs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from boresight.errors import UserError
from boresight.evaluate.held_out import ANSWERS, Answer
from boresight.records import read_records
from boresight.report.source import Source
from boresight.stats import Interval, paired_difference, proportion


@dataclass(frozen=True)
class AnswerRun:
    """A run's answers by setting, then by item, in the order of the file."""

    source: Source
    settings: dict[str, dict[str, Answer]]

    @property
    def in_context(self) -> bool:
        """Whether any was given after demonstrations."""
        return any(way and way["kind"] for way in self.source.config.get("ways", {}).values())

    @cached_property
    def accuracies(self) -> dict[str, Interval]:
        """Share answered correctly, by setting."""
        return {setting: accuracy(list(answers.values())) for setting, answers in self.settings.items()}

    @cached_property
    def best(self) -> str:
        """The setting with the highest accuracy, the first of several."""
        return max(self.accuracies, key=lambda setting: self.accuracies[setting].value)

    @property
    def best_answers(self) -> dict[str, Answer]:
        """Answers of the best setting, by item."""
        return self.settings[self.best]

    @property
    def best_accuracy(self) -> Interval:
        """Accuracy of the best setting."""
        return self.accuracies[self.best]

    @property
    def mean(self) -> float:
        """Mean accuracy over the settings."""
        return float(np.mean([interval.value for interval in self.accuracies.values()]))


@dataclass(frozen=True)
class Difference:
    """Accuracy of `run` minus that of `base`, on the items both answered."""

    run: str
    base: str
    items: int
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval.low > 0 or self.interval.high < 0


def read_answers(source: Source) -> AnswerRun:
    """The answers of a run; a run that is not finished may have none yet.

    Raises:
        UserError: a line is not an answer or answers a question again, or a finished run has none.
    """
    path = source.directory / ANSWERS
    settings: dict[str, dict[str, Answer]] = {}
    if source.finished or (path.is_file() and path.stat().st_size):
        for answer in read_records(path, Answer):
            if settings.setdefault(answer.setting, {}).setdefault(answer.id, answer) is not answer:
                raise UserError(f"{path}: {answer.id!r} is answered twice with setting {answer.setting!r}")
    return AnswerRun(source, settings)


def accuracy(answers: list[Answer]) -> Interval:
    """Share answered correctly."""
    return proportion(sum(answer.correct for answer in answers), len(answers))


def by_family(runs: list[AnswerRun]) -> dict[str, list[tuple[Interval, int] | None]]:
    """Accuracy and number of questions of each run's best setting, by kind of question."""
    groups: dict[str, list[list[Answer]]] = {}
    for i, run in enumerate(runs):
        for answer in run.best_answers.values():
            groups.setdefault(answer.family, [[] for _ in runs])[i].append(answer)
    return {
        family: [(accuracy(answers), len(answers)) if answers else None for answers in columns]
        for family, columns in groups.items()
    }


def difference(run: AnswerRun, base: AnswerRun) -> Difference | None:
    """What separates two runs, each in its best setting; None when they share no item."""
    shared = [item for item in run.best_answers if item in base.best_answers]
    if not shared:
        return None
    ours, theirs = (np.array([r.best_answers[item].correct for item in shared]) for r in (run, base))
    return Difference(run.source.name, base.source.name, len(shared), paired_difference(ours, theirs))
