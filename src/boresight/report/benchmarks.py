"""Benchmarks as in TÜLU's Table 8: a row a model in a way of asking, a column a setting of a task."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from boresight.errors import UserError
from boresight.evaluate.suite import ANSWERS
from boresight.evaluate.summary import AVERAGED, TaskAnswer, average
from boresight.evaluate.tasks import NAMES, load_task
from boresight.records import read_records
from boresight.report.answers import AnswerRun
from boresight.report.source import Source, short_names
from boresight.settings_file import nearest
from boresight.stats import Interval, macro_mean, proportion

LEFT_OUT = {
    "too_long": "too long for the model, and left out",
    "unanswered": "without an answer, and left out",
    "fewer_shots": "with fewer examples, as there was no room",
    "cut_short": "answers cut at the most tokens",
}
"""What a run counts, in words."""
HELD_OUT = "held-out questions"
SAME = 1e-12


class System(NamedTuple):
    """A model, by the name or path that its runs have, in a way of asking."""

    model: str
    asked: str


class Column(NamedTuple):
    """A setting of a task."""

    task: str
    setting: str

    @property
    def lower_is_better(self) -> bool:
        """As of shares of toxic answers."""
        return self.task in NAMES and load_task(self.task).lower_is_better

    def __str__(self) -> str:
        return f"{self.task} {self.setting}".strip()


@dataclass(frozen=True)
class Result:
    """What a system reached in a setting.

    `outcomes` has the quoted score by item, and `groups` what each counts under in the mean; `told` is what
    the run says besides.
    """

    interval: Interval
    outcomes: dict[str, float]
    groups: dict[str, str]
    told: Mapping[str, Any]

    @property
    def left_out(self) -> dict[str, int]:
        """What was left out or cut, by reason in words."""
        counts = {said: self.told.get(key, 0) for key, said in LEFT_OUT.items()}
        return {
            said: n
            for said, count in counts.items()
            if (n := count if isinstance(count, int) else len(count))
        }


class Paired(NamedTuple):
    """A system's score minus the baseline's, over the items both have."""

    interval: Interval
    items: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Benchmarks:
    """All results; systems and columns in the order in which they are shown."""

    results: dict[tuple[System, Column], Result]
    base: System

    @cached_property
    def names(self) -> dict[System, str]:
        """What to call each system."""
        return system_names(system for system, _ in self.results)

    @property
    def others(self) -> list[System]:
        """All but the baseline."""
        return [system for system in self.names if system != self.base]

    @cached_property
    def columns(self) -> list[Column]:
        """TÜLU's first, in its order."""
        found = dict.fromkeys(column for _, column in self.results)
        return sorted(found, key=_place)

    @property
    def tasks(self) -> list[tuple[str, list[Column]]]:
        """Columns by task."""
        return [(task, list(columns)) for task, columns in groupby(self.columns, lambda c: c.task)]

    def average(self, system: System) -> dict[str, Any] | None:
        """TÜLU's, with what entered."""
        headlines: dict[str, dict[str, float]] = defaultdict(dict)
        for (each, column), result in self.results.items():
            if each == system:
                headlines[column.task][column.setting] = result.interval.value
        return average(headlines)

    @cached_property
    def averages(self) -> dict[System, dict[str, Any]]:
        """TÜLU's of every system that has one."""
        return {system: found for system in self.names if (found := self.average(system))}

    @property
    def entered(self) -> list[tuple[dict[str, Any], list[System]]]:
        """What entered averages, with the systems of which it did."""
        found: list[tuple[dict[str, Any], list[System]]] = []
        for system, total in self.averages.items():
            same = next((systems for entered, systems in found if entered == total["entered"]), None)
            if same is None:
                found.append((total["entered"], [system]))
            else:
                same.append(system)
        return found

    def difference(self, system: System, columns: Sequence[Column]) -> Paired | None:
        """From the baseline in the mean over settings of one task; None where they share no item.

        As in the score itself, each group counts the same; items are resampled within groups, an item in
        all settings at once.
        """
        pairs = [(self.results.get((system, c)), self.results.get((self.base, c))) for c in columns]
        known = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
        if not known:
            return None
        every = [each for pair in known for each in pair]
        shared = [item for item in known[0][0].outcomes if all(item in each.outcomes for each in every)]
        if not shared:
            return None
        gaps = [[ours.outcomes[item] - theirs.outcomes[item] for item in shared] for ours, theirs in known]
        groups = np.array([known[0][0].groups[item] for item in shared])
        return Paired(_mean_gap(np.mean(gaps, axis=0), groups), len(shared))

    def average_difference(self, system: System) -> Paired | None:
        """From the baseline in TÜLU's average, over the benchmarks and settings that both have.

        Benchmarks are independent; their intervals are put together as Zou and Donner do (Statistics in
        Medicine 27, 2008): distances of ends from estimates add up as standard errors do.
        """
        found = [
            self.difference(system, [Column(task, setting) for setting in settings])
            for task, settings in AVERAGED.items()
        ]
        known = [each for each in found if each]
        if not known:
            return None
        value = sum(each.interval.value for each in known) / len(known)
        below = sqrt(sum((i.value - i.low) ** 2 for i, _ in known)) / len(known)
        above = sqrt(sum((i.high - i.value) ** 2 for i, _ in known)) / len(known)
        return Paired(Interval(value, value - below, value + above), sum(each.items for each in known))

    def asked(self, column: Column) -> list[System]:
        """Systems that have a result in a setting."""
        return [system for system in self.names if (system, column) in self.results]

    def breakdowns(self, column: Column) -> dict[str, dict[str, list[tuple[float, int] | None]]]:
        """By kind of group with several and by group, the quoted score and number of items of each system
        asked."""
        found: dict[str, dict[str, list[tuple[float, int] | None]]] = {}
        asked = self.asked(column)
        for place, system in enumerate(asked):
            result = self.results[system, column]
            for kind, groups in result.told["by"].items():
                for group, means in groups.items():
                    row = found.setdefault(kind, {}).setdefault(group, [None] * len(asked))
                    if (value := means.get(result.told["headline"])) is not None:
                        row[place] = value, means["n"]
        return {kind: groups for kind, groups in found.items() if len(groups) > 1}


def _place(column: Column) -> tuple[int, int]:
    """TÜLU's benchmarks and settings in its order, behind them others as they come."""
    averaged = [Column(task, setting) for task, settings in AVERAGED.items() for setting in settings]
    if column in averaged:
        return 0, averaged.index(column)
    settings = list(load_task(column.task).settings) if column.task in NAMES else []
    return 1, settings.index(column.setting) if column.setting in settings else 0


def _mean_gap(gaps: np.ndarray, groups: np.ndarray) -> Interval:
    """The mean over groups of gaps from -1 to 1, with an interval that resamples items.

    Where all gaps are alike, resampling shows no spread. Then the interval is as if as many items as Wilson's
    interval of none would have the greatest or the smallest gap.
    """
    if np.ptp(gaps) < SAME:
        value, unlike = float(gaps[0]), proportion(0, len(gaps)).high
        return Interval(value, value - unlike * (1 + value), value + unlike * (1 - value))
    found = macro_mean((1 + gaps) / 2, groups)  # it takes outcomes from 0 to 1
    return Interval(*(2 * end - 1 for end in found))


class Told(NamedTuple):
    """A setting of a run with its answers."""

    source: Source
    system: System
    column: Column
    told: Mapping[str, Any]
    answers: list[TaskAnswer]


def read_told(sources: Sequence[Source]) -> Iterator[Told]:
    """What finished runs of `eval` and `score` hold.

    Raises:
        UserError: an answer cannot be read.
    """
    for source in sources:
        if source.command not in ("eval", "score") or not source.finished:
            continue
        answers = list(read_records(source.directory / ANSWERS, TaskAnswer))
        for told in source.counts.get("results") or [source.config | source.counts]:
            column = Column(told["task"], told["setting"])
            system = System(told["model"], told["asked"])
            own = [a for a in answers if (a.model, a.asked, a.task, a.setting) == (*system, *column)]
            # `eval` calls a model as the user does, and its answers by the name it has.
            yield Told(source, system, column, told, own if source.command == "score" else answers)


def of_benchmarks(read: Sequence[Told], baseline: str | None = None) -> Benchmarks | None:
    """The table of what has scores, if anything has.

    Raises:
        UserError: two runs are of one system in one setting, or no system is called as the baseline.
    """
    results: dict[tuple[System, Column], Result] = {}
    made: dict[tuple[System, Column], Source] = {}
    for source, system, column, told, answers in read:
        if not told["scores"]:  # they are a judge's
            continue
        if other := made.get((system, column)):
            raise UserError(
                f"{other.directory} and {source.directory}: both are {column} by {system.model}, "
                f"{system.asked}; give one of them"
            )
        made[system, column] = source
        results[system, column] = _result(told, answers)
    return _compared(results, baseline)


def _result(told: Mapping[str, Any], answers: Sequence[TaskAnswer]) -> Result:
    headline, over = told["headline"], told["mean_over"]
    items = {answer.id: answer for answer in answers if headline in answer.scores}
    return Result(
        Interval(**told["scores"][headline]),
        {item: answer.scores[headline] for item, answer in items.items()},
        {item: "" if over == "items" else answer.groups[over] for item, answer in items.items()},
        told,
    )


def of_held_out(runs: Sequence[AnswerRun], baseline: str | None = None) -> Benchmarks | None:
    """Runs that answered held-out questions, each in its best way, as one column."""
    return _compared(
        {
            (System(run.source.name, run.best), Column(HELD_OUT, "")): Result(
                run.best_accuracy,
                {item: float(answer.correct) for item, answer in run.best_answers.items()},
                dict.fromkeys(run.best_answers, ""),
                {"n": len(run.best_answers), "by": {}},
            )
            for run in runs
        },
        baseline,
    )


def _compared(results: dict[tuple[System, Column], Result], baseline: str | None) -> Benchmarks | None:
    if not results:
        return None
    names = system_names(system for system, _ in results)
    if baseline is None:
        return Benchmarks(results, next(iter(names)))
    fits = [s for s, name in names.items() if baseline in (name, s.model, short_names([s.model])[0])]
    if len(fits) != 1:
        why = f"is the name of {len(fits)} systems" if fits else "is no system here"
        raise UserError(f"--baseline {baseline}: {why}{nearest(baseline, names.values())}")
    return Benchmarks(results, fits[0])


def system_names(systems: Iterable[System]) -> dict[System, str]:
    """Short names of systems that are not alike; the way of asking is part of them."""
    found = list(dict.fromkeys(systems))
    models = list(dict.fromkeys(system.model for system in found))
    short = dict(zip(models, short_names(models), strict=True))
    names = {system: f"{short[system.model]} ({system.asked})" for system in found}
    assert max(Counter(names.values()).values(), default=1) == 1, "models and ways are told apart"
    return names
