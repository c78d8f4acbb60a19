"""All documents, many at a time.

What was paid for lies in the teacher's cache, so a killed run pays nothing twice: the same command asks
again, is answered from there, and goes on where it stopped.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from boresight.data.long.construct import Discarded, Recipe, construct
from boresight.data.long.documents import Document
from boresight.data.long.prompts import PromptBook
from boresight.errors import Unfinished
from boresight.models.endpoint import Endpoint, EndpointError
from boresight.models.in_order import run_in_order
from boresight.records import Conversation, Record, read_records, write_records

CONVERSATIONS, DISCARDED = "conversations.jsonl", "discarded.jsonl"
IN_A_ROW = 20
"""Documents that fail or are refused one after another before the teacher is taken to be of no use."""

REFUSED = "refused by the teacher"
PROMPT, WRITTEN = 300, 250
"""Tokens of a request besides the document, and of what is answered, as a rule of thumb."""


class Failed(NamedTuple):
    """A document whose requests the teacher did not answer, after all retries."""

    document: str
    error: str


class Made(NamedTuple):
    """What became of documents: conversations by task, those discarded by reason, failures by error."""

    conversations: dict[str, int]
    discarded: dict[str, int]
    failed: dict[str, int]


def make(
    documents: Path,
    directory: Path,
    book: PromptBook,
    teacher: Endpoint,
    recipe: Recipe,
    at_once: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Made:
    """Ask about every document of a file, and write a directory's conversations and discarded documents.

    Both files appear once every document has been through, in the documents' order.

    Args:
        at_once: documents under way together.

    Raises:
        Unfinished: the teacher fails or refuses again and again, or its price has reached the limit.
    """
    made = Made(Counter(), Counter(), Counter())
    discarded: list[Discarded] = []

    async def one(document: Document) -> Conversation | Discarded | Failed:
        try:
            return await construct(document, book.of(document.language), teacher.ask, recipe)
        except EndpointError as error:
            if error.permanent:
                return Discarded(document.id, f"{REFUSED} ({error.reason})", "", said=str(error))
            return Failed(document.id, str(error))

    def kept() -> Iterator[Conversation]:
        in_a_row = 0
        for result in run_in_order(read_records(documents, Document), one, at_once, teacher):
            progress(1)
            why = _unanswered(result)
            in_a_row = in_a_row + 1 if why else 0
            if in_a_row == IN_A_ROW:
                raise Unfinished(f"{IN_A_ROW} documents in a row failed or were refused; the last: {why}")
            if isinstance(result, Failed):
                made.failed[result.error] += 1
            elif isinstance(result, Discarded):
                made.discarded[result.reason] += 1
                discarded.append(result)
            else:
                made.conversations[(result.model_extra or {})["task"]] += 1
                yield result

    write_records(directory / CONVERSATIONS, kept())
    write_records(directory / DISCARDED, (Record.model_validate(each._asdict()) for each in discarded))
    return made


def _unanswered(result: Conversation | Discarded | Failed) -> str | None:
    """What the teacher, or the way to it, said in place of an answer."""
    if isinstance(result, Failed):
        return result.error
    return result.said if isinstance(result, Discarded) and result.reason.startswith(REFUSED) else None


class Foreseen(NamedTuple):
    """What a run would ask of a teacher: requests, and about how many tokens it would read and write."""

    requests: int
    prompt_tokens: int
    new_tokens: int


def foresee(documents: int, tokens: int, verify: bool) -> Foreseen:
    """For documents of so many tokens in all, if none is discarded on the way."""
    passes, requests = (3, 5) if verify else (2, 2)
    return Foreseen(
        requests * documents,
        passes * tokens + requests * PROMPT * documents,
        requests * WRITTEN * documents,
    )
