"""Conversations in a notebook: read, looked at, described."""

from collections.abc import Iterable
from itertools import islice

from markupsafe import Markup

from boresight.data.describe import describe as measure
from boresight.data.sources import Tally, check_source, import_file
from boresight.errors import UserError
from boresight.library.shown import TEXT, File, Files, Found, names
from boresight.progress import say
from boresight.records import Conversation
from boresight.report.describe import describe_figure
from boresight.report.text import visible
from boresight.stages.conversations import load_chat, with_targets


class Targets(list[tuple[str, bool]]):
    """A conversation's text in pieces, and of each whether a model learns to write it."""

    def __str__(self) -> str:
        return "".join(f"⟨{text}⟩" if target else text for text, target in self)

    def _repr_html_(self) -> str:
        looks = {True: "background: rgba(10, 140, 90, 0.25)", False: "opacity: 0.65"}
        piece = Markup("<span style='{}'>{}</span>")
        pieces = Markup("").join(piece.format(looks[target], visible(text)) for text, target in self)
        return Markup("<pre style='{}'>{}</pre>").format(TEXT, pieces)


def read_conversations(
    files: Files, source: str = "messages", limit: int | None = None
) -> list[Conversation]:
    """Conversations of files in our own format or in that of a published dataset; says what was left out.

    Examples:
        >>> boresight.write_records("talk.jsonl", [boresight.Conversation(messages=TALK)])
        1
        >>> boresight.read_conversations("talk.jsonl")[0].messages[1].content
        '4'

    Args:
        files: JSON Lines, JSON or Parquet, compressed or not; saved datasets; `hub:owner/name#config:split`.
        source: their format: `messages`, `alpaca`, `sharegpt`, `gsm8k`, … as `boresight data import` lists.
        limit: the first so many only.

    Raises:
        UserError: there is no such format or file, or a row is malformed; names file and line.
    """
    check_source(source)
    tally = Tally()
    found = (c for name in names(files) for c in import_file(name, source, tally=tally))
    conversations = list(islice(found, limit))
    if tally.dropped:
        say("left out: " + ", ".join(f"{n:,} × {reason}" for reason, n in tally.dropped.most_common()))
    return conversations


def show_targets(conversation: Conversation, model: File = "pocket", template: str = "tulu") -> Targets:
    """A conversation as a model is trained on it, with the tokens it learns to write marked.

    Examples:
        >>> print(boresight.show_targets(boresight.Conversation(messages=TALK)))
        <s><|user|>
        2 + 2?
        <|assistant|>
        ⟨4</s>⟩

    Args:
        conversation: of any source.
        model: whose tokenizer: a directory, a hub id, or `pocket`.
        template: `tulu`, `chatml`, or the tokenizer's `own`.

    Raises:
        UserError: it cannot be trained on, or there is no such model or template.
    """
    chat = load_chat(str(model), template)
    return Targets(chat.pieces(with_targets(conversation, chat, f"conversation {conversation.id}")))


def describe(conversations: Iterable[Conversation], model: File = "pocket", template: str = "tulu") -> Found:
    """What conversations hold: Table 1 of TÜLU (Wang et al. 2023), lengths, targets, duplicates.

    Examples:
        >>> boresight.describe([boresight.Conversation(messages=TALK)])["targets"]
        2

    Args:
        conversations: of any sources, as `read_conversations` gives them.
        model: whose tokenizer counts: a directory, a hub id, or `pocket`.
        template: `tulu`, `chatml`, or the tokenizer's `own`.

    Returns:
        What `boresight data describe --json` prints; a row a source, means in tokens; a figure of lengths.

    Raises:
        UserError: there is none, or no such model or template.
    """
    found = measure(conversations, load_chat(str(model), template))
    if not found.sources:
        raise UserError("no conversation to describe")
    rows = [{"source": name, **row._asdict()} for name, row in found.table.items()]
    return Found(found.as_json(), rows, describe_figure(found))
