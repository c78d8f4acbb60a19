"""The whole run, in a run directory: documents chosen once, then asked about until all are through.

long/documents.jsonl      what was chosen
long/conversations.jsonl  the result
long/discarded.jsonl      documents that gave none, and why
long.teacher.sqlite       every answer of the teacher, and what it cost
long.lock                 held while a command is at work

Answers lie beside the run directory, so that starting over does not throw away what was paid for.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from boresight.data.long.choose import Chosen, Wanted, choose
from boresight.data.long.construct import Recipe
from boresight.data.long.make import DISCARDED, Made, make
from boresight.data.long.prompts import PromptBook
from boresight.errors import Unfinished, UserError
from boresight.models.cache import Cache
from boresight.models.endpoint import Endpoint
from boresight.models.load import load_tokenizer
from boresight.models.prices import NOTHING, Price, Spending
from boresight.runs import Run, alone, atomic_write, beside

DOCUMENTS, CHOSEN, ANSWERS = "documents.jsonl", "chosen.json", ".teacher.sqlite"

Counting = Callable[..., AbstractContextManager[Callable[[int], None]]]
"""A progress bar: a title, a total, if there is one, and perhaps a function of what to show beside it, to
what is called with how many more are done."""


class Job(NamedTuple):
    """What is asked for: documents, those wanted of them, the tokenizer that counts, and the teacher."""

    documents: list[str]
    licence: str
    wanted: Wanted
    model: str
    url: str
    teacher: str
    verify: bool


class Asking(NamedTuple):
    """How the teacher is asked, which decides no answer: requests and documents under way together, attempts
    after the first, its price, and the most dollars that the run may cost, over all its interruptions."""

    concurrency: int
    retries: int
    price: Price | None
    limit: float | None


def run_job(
    job: Job,
    output: Path,
    book: PromptBook,
    asking: Asking,
    counting: Counting,
    force: bool = False,
) -> dict[str, Any]:
    """Do, or go on with, a job; returns what was counted.

    Raises:
        UserError: documents or teacher cannot be used, some documents failed, none gave a conversation, or
            the limit is reached, and the same command goes on; or another one is at work there.
    """
    with alone(output):
        return _run(job, output, book, asking, counting, force)


def _run(
    job: Job, output: Path, book: PromptBook, asking: Asking, counting: Counting, force: bool
) -> dict[str, Any]:
    answers = beside(output, ANSWERS)
    config = job._asdict() | {"wanted": job.wanted._asdict(), "prompts": book.version}
    inputs = [Path(name) for name in job.documents if Path(name).exists()]
    try:
        started = Run(output, "data long", config, inputs, seed=job.wanted.seed, force=force)
    except UserError as error:
        kept = f". --force keeps {answers}; another output pays for its answers again"
        raise UserError(f"{error}{kept if answers.exists() else ''}") from None
    with started as run:
        if run.finished:
            return dict(run.record["counts"])
        spending = _spending(answers, asking)
        if not (output / CHOSEN).exists():
            chosen = choose_documents(job, output / DOCUMENTS, counting)
            atomic_write(output / CHOSEN, json.dumps(chosen._asdict()))
        chosen = Chosen(**json.loads((output / CHOSEN).read_text()))
        teacher = Endpoint(
            job.url,
            job.teacher,
            cache=answers,
            concurrency=asking.concurrency,
            retries=asking.retries,
            spending=spending,
        )
        recipe = Recipe(job.wanted.seed, job.verify, job.teacher, book.version)
        with counting("asking", chosen.chosen, spending.so_far) as progress:
            made = make(output / DOCUMENTS, output, book, teacher, recipe, asking.concurrency, progress)
        _require_all(made, output)
        counts = {"documents": chosen._asdict(), **made._asdict(), "cost": spending.as_json()}
        run.finish(counts)
    return counts


def choose_documents(job: Job, output: Path, counting: Counting) -> Chosen:
    """Read the documents and write those that are asked about."""
    tokenizer = load_tokenizer(job.model)
    with counting("documents", None) as progress:
        return choose(job.documents, job.licence, job.wanted, tokenizer, output, progress)


def _spending(answers: Path, asking: Asking) -> Spending:
    """The limit is for the run as a whole: what earlier attempts have cost counts."""
    before = NOTHING
    if answers.exists():
        cache = Cache(answers)
        before = cache.tokens()
        cache.close()
    return Spending(asking.price, asking.limit, before)


def _require_all(made: Made, output: Path) -> None:
    if made.failed:
        (why, _), *_ = sorted(made.failed.items(), key=lambda item: -item[1])
        raise Unfinished(
            f"{sum(made.failed.values()):,} documents failed, most of them so: {why}; "
            "run the same command again for these"
        )
    if not made.conversations:
        why = ", ".join(f"{n:,} × {reason}" for reason, n in sorted(made.discarded.items()))
        raise Unfinished(f"{output}: no document gave a conversation: {why}; see {output / DISCARDED}")
