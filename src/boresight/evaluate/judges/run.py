"""The whole of it, in a run directory.

judged/judgments.jsonl     a verdict a line, with the judge's own words
judged/canaries.jsonl      verdicts whose outcome is known beforehand, if asked for
judged.judge.gpt-4.sqlite  every reply of the judge gpt-4, and what it cost
judged.lock                held while a command is at work

Replies lie beside the run directory, so that starting over does not throw away what was paid for.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from boresight.errors import Unfinished, UserError
from boresight.evaluate.judges import pairs, rate
from boresight.evaluate.judges.asking import (
    FREE,
    Asking,
    Foreseen,
    Heard,
    Judge,
    Task,
    foresee,
    judge_name,
    paid_before,
)
from boresight.evaluate.judges.pairs import Order, Shown
from boresight.evaluate.judges.rate import Rated
from boresight.evaluate.judges.responses import read_examples, read_joined, read_questions, read_systems
from boresight.evaluate.judges.results import pairs_agreement, pairs_result, rate_agreement, rate_result
from boresight.evaluate.judges.rubric import Rubric
from boresight.evaluate.judges.unique import compare, counter, is_unique
from boresight.models.open import is_url
from boresight.models.prices import Price, price_of
from boresight.records import Judgment, write_records
from boresight.runs import Run, alone, beside

JUDGMENTS, CANARIES = "judgments.jsonl", "canaries.jsonl"
NOT_IN_NAMES = re.compile(r"[^\w.-]+")
"""What names of models may hold and names of files should not."""
Counting = Callable[[str, int | None, Callable[[], str]], AbstractContextManager[Callable[[int], None]]]
"""A progress bar: a title, a total and what to show beside it, to what is called with how many more are
done."""


class Job(NamedTuple):
    """What is judged: the files of two systems, or of any; by which judges; and how it is asked.

    `order` is of pairs alone; `examples` and `runs` are of ratings alone.
    """

    task: Literal["pairs", "rate"]
    files: list[Path]
    judges: list[str]
    questions: Path | None = None
    examples: Path | None = None
    order: Order = "both"
    runs: int = 1
    canaries: bool = False


class Work(NamedTuple):
    """What judges are asked about, the canaries last; prompts only one of two files has; and answers that the
    rubric is not for."""

    items: list[Shown] | list[Rated]
    canaries: list[Shown] | list[Rated]
    only_in: dict[str, int]
    left_out: int = 0

    def tasks(self, rubric: Rubric, seed: int) -> list[Task]:
        """As a judge is asked."""
        every = [*self.items, *self.canaries]
        return pairs.tasks([each for each in every if isinstance(each, Shown)], rubric, seed) + rate.tasks(
            [each for each in every if isinstance(each, Rated)], rubric, seed
        )


def plan(job: Job, rubric: Rubric, seed: int) -> Work:
    """Read the files and say what is to be judged.

    Raises:
        UserError: a file cannot be read, or something is missing in it.
    """
    questions = read_questions(job.questions) if job.questions else {}
    if job.order not in get_args(Order):
        raise UserError(f"--order {job.order}: expected both, random or given")
    if job.task == "pairs":
        first, second = read_systems(job.files)
        found = pairs.match(first, second, questions, job.order, seed)
        return Work(found.shown, list(pairs.canaries(found.shown)) if job.canaries else [], found.only_in)
    examples = read_examples(job.examples) if job.examples else []
    rated, left_out = rate.choose(read_joined(job.files), questions, examples, job.runs, rubric)
    return Work(rated, list(rate.canaries(rated)) if job.canaries else [], {}, left_out)


def foresee_job(job: Job, rubric: Rubric, asking: Asking) -> Foreseen:
    """What the judges would be asked; those in this process and the dummy cost nothing."""
    prompts = [task.prompt for task in plan(job, rubric, asking.seed).tasks(rubric, asking.seed)]
    asked = [judge for judge in job.judges if not is_unique(judge)]
    return foresee(prompts, rubric, [_price(judge, asking) for judge in asked])


def _price(judge: str, asking: Asking) -> Price | None:
    return asking.price or price_of(judge.partition("#")[2]) if is_url(judge) else FREE


def run_job(
    job: Job, rubric: Rubric, asking: Asking, output: Path, counting: Counting, force: bool = False
) -> dict[str, Any]:
    """Do, or go on with, a job; returns what came out.

    Raises:
        UserError: files or judges cannot be used, some requests failed, or the limit is reached, and the same
            command goes on; or another one is at work there.
    """
    more = {"rubric": rubric.version, "tries": asking.tries}
    inputs = [*job.files, *(path for path in (job.questions, job.examples) if path)]
    with (
        alone(output),
        Run(output, f"judge {job.task}", job._asdict() | more, inputs, seed=asking.seed, force=force) as run,
    ):
        if run.finished:
            return dict(run.record["counts"])
        work = plan(job, rubric, asking.seed)
        panel = _Panel(job.judges, _names(job.judges, asking), rubric, asking, output)
        rows: list[Judgment] = []
        costs: dict[str, Any] = {}
        for number, name in enumerate(panel.names):
            heard, cost = panel.hear(number, work, counting)
            costs |= {name: cost} if cost else {}
            rows += _judgments(work, name, heard, rubric, asking.seed)
        write_records(output / CANARIES, (row for row in rows if _is_canary(row)))
        write_records(output / JUDGMENTS, (row for row in rows if not _is_canary(row)))
        result = _result(job, output, rubric, work) | {"cost": _total(costs) | {"limit": asking.limit}}
        run.finish(result)
    return result


def _names(judges: Sequence[str], asking: Asking) -> list[str]:
    """Of all judges, once it is known that all of them can be asked."""
    names = [judge if is_unique(judge) else judge_name(judge, asking) for judge in judges]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"--judge {judges[number]}: there is another judge of the name {name!r}")
    return names


class _Panel(NamedTuple):
    """The judges of a job, as the user names them and as they are called; and where their replies lie."""

    judges: list[str]
    names: list[str]
    rubric: Rubric
    asking: Asking
    output: Path

    def hear(self, number: int, work: Work, counting: Counting) -> tuple[list[Heard], dict[str, Any] | None]:
        """What a judge says of everything, and what that cost."""
        judge = self.judges[number]
        if is_unique(judge):
            count = counter(judge)
            shown = [each for each in (*work.items, *work.canaries) if isinstance(each, Shown)]
            return [compare(each, count) for each in shown], None
        tasks = work.tasks(self.rubric, self.asking.seed)
        opened = Judge(judge, self._replies(number), self.asking, self._left(number))
        with counting(opened.name, len(tasks), opened.spending.so_far) as progress:
            heard = opened.hear(tasks, self.rubric, progress)
        _require_all(opened.name, heard)
        cost = opened.spending.as_json()
        return heard, {part: cost[part] for part in ("total", "paid", "saved")}

    def _replies(self, number: int) -> Path:
        return beside(self.output, f".judge.{NOT_IN_NAMES.sub('-', self.names[number]).strip('-')}.sqlite")

    def _left(self, number: int) -> float | None:
        """Of the limit, which is for all judges together, what the others have left."""
        if self.asking.limit is None:
            return None
        spent = 0.0
        for other, (judge, name) in enumerate(zip(self.judges, self.names, strict=True)):
            if other != number and is_url(judge):
                price = self.asking.price or price_of(name)
                assert price, "a limit was refused without it"
                spent += price.of(paid_before(self._replies(other)))
        return max(0.0, self.asking.limit - spent)


def _total(costs: dict[str, Any]) -> dict[str, Any]:
    """What all judges cost, in all attempts, and each; dollars where all their prices are known."""
    totals = [cost["total"] for cost in costs.values()]
    tokens = {part: sum(total[part] for total in totals) for part in ("prompt_tokens", "new_tokens")}
    known = [total["dollars"] for total in totals if total["dollars"] is not None]
    dollars = round(sum(known), 6) if len(known) == len(totals) else None
    return {"total": tokens | {"dollars": dollars}, "judges": costs}


def _require_all(judge: str, heard: Sequence[Heard]) -> None:
    if failed := Counter(each.error for each in heard if each.error and not each.lasting):
        (why, _), *_ = failed.most_common()
        raise Unfinished(
            f"{judge}: {failed.total():,} of {len(heard):,} requests got no answer, most of them so: {why}; "
            "run the same command again for these"
        )


def _judgments(work: Work, judge: str, heard: Sequence[Heard], rubric: Rubric, seed: int) -> list[Judgment]:
    dummy = is_unique(judge)
    parameters = {
        "temperature": rubric.temperature,
        "max_new_tokens": rubric.max_new_tokens,
        "seed": seed,
    }  # fmt: skip
    made_of = {"prompt": judge if dummy else rubric.version, "parameters": {} if dummy else parameters}
    return [
        pairs.judgment(each, judge, said, made_of)
        if isinstance(each, Shown)
        else rate.judgment(each, judge, said, made_of)
        for each, said in zip([*work.items, *work.canaries], heard, strict=True)
    ]


def _is_canary(row: Judgment) -> bool:
    return "canary" in (row.model_extra or {})


def _result(job: Job, output: Path, rubric: Rubric, work: Work) -> dict[str, Any]:
    judgments, canaries = output / JUDGMENTS, output / CANARIES
    result: dict[str, Any] = {"rubric": rubric.version, "judgments": len(work.items) * len(job.judges)}
    if job.task == "pairs":
        result |= {"only_in": work.only_in, "results": pairs_result(judgments)}
        result |= {"agreement": pairs_agreement(judgments)}
        canary = pairs_result(canaries) if work.canaries else []
    else:
        result |= {"left_out": work.left_out, "results": rate_result(judgments, rubric)}
        result |= {"agreement": rate_agreement(judgments)}
        canary = rate_result(canaries, rubric) if work.canaries else []
    return result | {"canaries": canary}
