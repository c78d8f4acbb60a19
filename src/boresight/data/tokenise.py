"""Conversations → token store, in batches.

Every row that is not trained on is counted with its reason. An over-long row loses the middle of its
longest user message, so that the question and the answer survive.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Encoding

from boresight.chat import Chat, Rendered, RenderError, Tokenised, characters
from boresight.data.store import StoreWriter, TokenStore
from boresight.errors import UserError
from boresight.records import Conversation

BATCH = 1000
TOO_LONG = "too long, and no user message is long enough to cut"


def prepare(
    conversations: Iterable[Conversation],
    chat: Chat,
    directory: Path,
    max_length: int,
    lost: Mapping[str, int] | None = None,
) -> TokenStore:
    """Tokenise conversations into a store that appears whole or not at all.

    Args:
        lost: rows that gave no conversation, by reason, filled while `conversations` is read; the store
            counts them too.

    Raises:
        UserError: an input line is malformed, or no row is left; nothing stays behind.
    """
    with whole_or_nothing(directory, {"max_length": max_length}, "conversation") as writer:
        for batch in _batches(conversations, BATCH):
            _add(batch, chat, writer, max_length)
        for reason, count in (lost or {}).items():
            writer.counts.rows += count
            writer.counts.drop(reason, count)
    return TokenStore(directory)


@contextmanager
def whole_or_nothing(directory: Path, description: dict[str, object], row: str) -> Iterator[StoreWriter]:
    """A writer whose store replaces what is at `directory` once the block is through, whole or not at all.

    Args:
        row: what the input consists of, for the message when nothing of it is left.

    Raises:
        UserError: no sequence was written.
    """
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with StoreWriter(partial, description) as writer:
            yield writer
            if not writer.counts.sequences:
                raise UserError(f"no {row} can be trained on; dropped: {writer.counts.dropped}")
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _batches(conversations: Iterable[Conversation], size: int) -> Iterator[list[Conversation]]:
    rows = iter(conversations)
    while batch := list(islice(rows, size)):
        yield batch


def _add(batch: list[Conversation], chat: Chat, writer: StoreWriter, max_length: int) -> None:
    writer.counts.rows += len(batch)
    rows: list[tuple[Conversation, Rendered]] = []
    for conversation in batch:
        try:
            rows.append((conversation, chat.render(conversation.messages)))
        except RenderError as refusal:
            writer.counts.drop(str(refusal))
    for (conversation, rendered), tokenised in zip(
        rows, chat.tokenise([rendered for _, rendered in rows]), strict=True
    ):
        if isinstance(tokenised, RenderError):
            writer.counts.drop(str(tokenised))
        elif len(tokenised.tokens) <= max_length:
            writer.append(tokenised.tokens, tokenised.targets)
        elif (kept := keep_ends(conversation, rendered, tokenised, max_length)) is None:
            writer.counts.drop(TOO_LONG)
        else:
            writer.append(tokenised.tokens[kept], tokenised.targets[kept])
            writer.counts.cut += 1
            writer.counts.tokens_cut += len(tokenised.tokens) - len(kept)


def keep_ends(
    conversation: Conversation, rendered: Rendered, tokenised: Tokenised, max_length: int
) -> np.ndarray | None:
    """The tokens that stay when the middle of the longest user message goes; None if it is too short."""
    users = [s for s, m in zip(rendered.messages, conversation.messages, strict=True) if m.role == "user"]
    start, end = max(users, key=lambda span: span[1] - span[0], default=(0, 0))
    first = tokenised.encoding.char_to_token(start)
    last = tokenised.encoding.char_to_token(end - 1) if end > start else None
    excess = len(tokenised.tokens) - max_length
    if first is None or last is None or last >= len(tokenised.tokens) or last - first - 1 <= excess:
        return None
    begin = _character_start(tokenised.encoding, first + (last - first - excess) // 2, -1)
    until = _character_start(tokenised.encoding, begin + excess, 1)
    if begin <= first or until > last:
        return None
    assert not tokenised.targets[begin:until].any()
    return np.concatenate([np.arange(begin), np.arange(until, len(tokenised.tokens))])


def _character_start(encoding: Encoding, token: int, step: int) -> int:
    """The nearest token from here, going by `step`, that does not begin inside a character."""
    while 0 < token < len(encoding) and characters(encoding, token)[0] < characters(encoding, token - 1)[1]:
        token += step
    return token
