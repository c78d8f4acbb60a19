"""Conversations → token store, in batches.

Every row that is not trained on is counted with its reason. An over-long row loses the middle of its
longest user message, so that the question and the answer survive.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Encoding

from boresight.chat import Chat, Rendered, RenderError, Tokenised, characters
from boresight.data.engine import Engine
from boresight.data.pieces import Piece, cut
from boresight.data.store import Block, Counts, StoreWriter, TokenStore, is_store
from boresight.data.words import Words
from boresight.errors import UserError
from boresight.files import whole_directory
from boresight.records import Conversation, parse_record

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
    with whole_or_nothing(directory, _made_for(chat, max_length), "conversation") as writer:
        tokeniser = Tokeniser(chat, max_length)
        for batch in _batches(conversations, BATCH):
            writer.write(tokeniser(batch))
        for reason, count in (lost or {}).items():
            writer.counts.rows += count
            writer.counts.drop(reason, count)
    return TokenStore(directory)


def prepare_file(path: Path, chat: Chat, directory: Path, max_length: int, engine: Engine) -> TokenStore:
    """Tokenise a conversations file, a piece of it in each process; the store is the one `prepare` makes.

    Raises:
        UserError: as `prepare`, or the file is missing or empty.
    """
    with whole_or_nothing(directory, _made_for(chat, max_length), "conversation") as writer:
        for block in engine.map(partial(_tokenise_piece, Tokeniser(chat, max_length)), cut(path)):
            writer.write(block)
        if not writer.counts.rows:
            raise UserError(f"{path}: the file is empty")
    return TokenStore(directory)


def open_prepared(directory: Path, chat: Chat, max_length: int) -> TokenStore:
    """The store at `directory`, if it is the one that `prepare_file` makes for this tokenizer and template.

    Raises:
        UserError: it was made for others, or is not finished.
    """
    store = TokenStore(directory)
    wanted = _made_for(chat, max_length)
    if differ := [name for name in wanted if store.manifest.get(name) != wanted[name]]:
        what = "another tokenizer or template" if "chat" in differ else "another max_length"
        raise UserError(f"{directory}: tokenised for {what} than the recipe's; tokenise again, or change it")
    return store


def _made_for(chat: Chat, max_length: int) -> dict[str, object]:
    return {"max_length": max_length, "chat": chat.identity}


@contextmanager
def whole_or_nothing(directory: Path, description: dict[str, object], row: str) -> Iterator[StoreWriter]:
    """A writer whose store replaces what is at `directory` once the block is through, whole or not at all.

    Args:
        row: what the input consists of, for the message when nothing of it is left.

    Raises:
        UserError: no sequence was written, or something that is no token store is at `directory`.
    """
    with whole_directory(directory, is_store) as partial, StoreWriter(partial, description) as writer:
        yield writer
        if not writer.counts.sequences:
            raise UserError(f"no {row} can be trained on; dropped: {writer.counts.dropped}")


def _tokenise_piece(tokeniser: "Tokeniser", piece: Piece) -> Block:
    return tokeniser(list(_conversations(piece)))


def _conversations(piece: Piece) -> Iterator[Conversation]:
    for number, line in piece.lines():
        place = f"{piece.path}:{number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: not UTF-8 text ({error.reason})") from error
        if text.strip():
            yield parse_record(text, Conversation, place)


def _batches(conversations: Iterable[Conversation], size: int) -> Iterator[list[Conversation]]:
    rows = iter(conversations)
    while batch := list(islice(rows, size)):
        yield batch


class Tokeniser:
    """Conversations to the sequences they are trained as. Picklable, for workers of their own process."""

    def __init__(self, chat: Chat, max_length: int):
        self._chat, self._max_length, self._words = chat, max_length, Words.of(chat)

    def __call__(self, batch: Sequence[Conversation]) -> Block:
        """The sequences of a batch; rows that gave none are counted by reason, in the order of the rows."""
        rendered = [self._render(conversation) for conversation in batch]
        quick = [self._quick(row) for row in rendered]
        asked = (
            row for row, done in zip(rendered, quick, strict=True) if isinstance(row, Rendered) and not done
        )
        slow = iter(self._chat.tokenise(list(asked)))
        block = Block(Counts(rows=len(batch)))
        for conversation, row, done in zip(batch, rendered, quick, strict=True):
            if done:
                block.append(*done)
            elif isinstance(row, RenderError):
                block.counts.drop(str(row))
            else:
                self._add(conversation, row, next(slow), block)
        return block

    def _render(self, conversation: Conversation) -> Rendered | RenderError:
        try:
            return self._chat.render(conversation.messages)
        except RenderError as refusal:
            return refusal

    def _quick(self, row: Rendered | RenderError) -> tuple[np.ndarray, np.ndarray] | None:
        """Tokens and targets, unless it takes the tokenizer to tell them, or they are to be cut."""
        if self._words is None or isinstance(row, RenderError):
            return None
        found = self._words.tokenise(row)
        return found if found and len(found[0]) <= self._max_length else None

    def _add(
        self, conversation: Conversation, row: Rendered, found: Tokenised | RenderError, block: Block
    ) -> None:
        if isinstance(found, RenderError):
            block.counts.drop(str(found))
        elif len(found.tokens) <= self._max_length:
            block.append(found.tokens, found.targets)
        elif (kept := keep_ends(conversation, row, found, self._max_length)) is None:
            block.counts.drop(TOO_LONG)
        else:
            block.append(found.tokens[kept], found.targets[kept])
            block.counts.cut += 1
            block.counts.tokens_cut += len(found.tokens) - len(kept)


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
