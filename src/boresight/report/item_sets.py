"""The sets of items of benchmarks, held-out questions, needles and people's ratings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from boresight.evaluate.needle_run import ANSWERS, NeedleAnswer
from boresight.evaluate.summary import TaskAnswer
from boresight.records import read_records
from boresight.report.answers import AnswerRun
from boresight.report.benchmarks import HELD_OUT, System, Told
from boresight.report.items import Column, Item, ItemSet, Said, Value
from boresight.report.judged_items import mean, winner
from boresight.report.source import Source, short_names
from boresight.study.published import RatingRow


def of_benchmarks(read: Sequence[Told], names: Mapping[System, str]) -> Iterator[ItemSet]:
    """A set for each setting of a task, with all systems' answers."""
    for column in dict.fromkeys(told.column for told in read):
        own = [told for told in read if told.column == column]
        items: dict[str, Item] = {}
        for place, told in enumerate(own):
            for answer in told.answers:
                item = items.get(answer.id)
                if item is None:
                    groups = ", ".join(answer.groups.values())
                    item = Item(answer.id, answer.prompt, groups, [None] * len(own), answer.references)
                    items[answer.id] = item
                item.values[place] = score = answer.scores.get(told.told["headline"])
                item.answer(names[told.system], answer, begun=answer.begins, **_scored(answer, score))
        columns = [Column(names[told.system], "score") for told in own]
        yield ItemSet(str(column), columns, list(items.values()))


def _scored(answer: TaskAnswer, score: Value) -> dict[str, Any]:
    facts = [(f"{reader} read", text) for reader, text in answer.read.items()]
    facts += [(name, f"{value:.3g}") for name, value in answer.scores.items()]
    if answer.logprobs:
        options = zip(answer.options, answer.logprobs, strict=True)
        facts.append(
            ("log-likelihoods", "  ".join(f"{option.strip()}\u00a0{value:.2f}" for option, value in options))
        )
    facts += [("examples", str(answer.shots) if answer.shots else ""), ("note", answer.note)]
    facts += [("draw", str(answer.draw))] if answer.draw else []
    return {"outcome": "" if score is None else f"{score:.3g}", "good": _good(score), "facts": facts}


def _good(score: Value) -> bool | None:
    return None if score not in (0, 1) else score == 1


def of_held_out(runs: Sequence[AnswerRun]) -> Iterator[ItemSet]:
    """The questions of the runs, each prompted its best way."""
    items: dict[str, Item] = {}
    for place, run in enumerate(runs):
        for id, answer in run.best_answers.items():
            references = [answer.reference] if answer.reference is not None else []
            blank = Item(id, answer.prompt, answer.family, [None] * len(runs), references)
            item = items.setdefault(id, blank)
            item.values[place] = float(answer.correct)
            outcome = "correct" if answer.correct else "incorrect"
            facts = [("asked by", answer.setting)]
            item.answer(run.source.name, answer, outcome=outcome, good=answer.correct, facts=facts)
    if items:
        columns = [Column(run.source.name, "score") for run in runs]
        yield ItemSet(HELD_OUT, columns, list(items.values()))


def of_needles(source: Source) -> ItemSet:
    """Every needle of a run."""
    answers = list(read_records(source.directory / ANSWERS, NeedleAnswer))
    items = []
    for answer in answers:
        group = f"{answer.length:,} at {answer.depth} %"
        item = Item(answer.id, answer.prompt, group, [answer.recall], [answer.reference or ""])
        facts = [("prompt", f"{answer.prompt_length:,}"), ("depth reached", f"{answer.depth_reached} %")]
        said = f"recall {answer.recall:.3g}"
        item.answer(
            short_names([answer.model])[0], answer, outcome=said, good=_good(answer.recall), facts=facts
        )
        items.append(item)
    return ItemSet(f"needles {source.name}", [Column("recall", "score")], items)


def of_ratings(rows: Iterable[RatingRow]) -> Iterator[ItemSet]:
    """What people said, a set for each group of systems shown together; raters go by numbers."""
    raters: dict[str, int] = {}
    sets: dict[tuple[str, ...], dict[tuple[str, int], tuple[Item, list[Value]]]] = {}
    for row in rows:
        items = sets.setdefault(tuple(row.models), {})
        item, given = items.setdefault((row.id, row.draw), (_rated_item(row), []))
        item.verdicts.append(_rating(row, raters.setdefault(row.rater, len(raters) + 1)))
        value = row.answers.get("preference", row.answers.get("score"))
        if isinstance(value, int | float) and not row.flag and not row.gold:
            given.append(float(value))
    for models, items in sets.items():
        for item, given in items.values():
            item.values = [mean(given)]
        first = (
            Column(f"for {models[0]}, mean", "preference") if len(models) > 1 else Column("mean", "rating")
        )
        name = f"rated by people: {' against '.join(models)}"
        yield ItemSet(name, [first], [item for item, _ in items.values()])


def _rated_item(row: RatingRow) -> Item:
    item = Item(f"{row.id}, draw {row.draw}" if row.draw else row.id, row.prompt, "", [])
    for name, output in zip(row.models, row.outputs, strict=True):
        item.answers.append(Said(name, output))
    return item


def _rating(row: RatingRow, number: int) -> Said:
    facts = [(name, _as_text(value, row.models)) for name, value in row.answers.items()]
    facts += [("marked", row.flag), ("gold item", "yes" if row.gold else "")]
    preference = row.answers.get("preference")
    outcome = winner(preference, row.models) if isinstance(preference, int | float) else ""
    return Said(f"rater {number}", row.comment, outcome, None, facts)


def _as_text(value: Any, models: Sequence[str]) -> str:
    if isinstance(value, list):
        return "; ".join(f"{name}: {_as_text(each, ())}" for name, each in zip(models, value, strict=False))
    return "–" if value is None else ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"
