"""Long conversations cut into chunks that fit, between rounds: a question with its answer.

    rounds of 900, 900, 900 tokens, at most 2,048  →  [900, 900] [900]

TÜLU cuts at 2,048 tokens, LongAlign at 8,192. The published splitter (FastChat's, as open-instruct used it)
loses a last pair that does not fit its chunk any more, and a last one that follows a pair too long for any.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from boresight.data.sources.fields import Drop
from boresight.records import Conversation, Message

AROUND = 6
"""Tokens that a template puts around each message, as the published splitter reckons."""
TOO_LONG = "a round longer than a chunk"
UNANSWERED = "a question without an answer"
UNPAIRED = "a last message without its pair"
NOT_IN_TURN = "a chunk whose roles do not alternate"
LOST = "a last pair that the published splitter loses"


class Round(NamedTuple):
    """A question with its answer, and the tokens they take."""

    messages: list[Message]
    tokens: int


def split(
    conversation: Conversation, tokenizer: PreTrainedTokenizerFast, limit: int, published: bool = False
) -> Iterator[Conversation | Drop]:
    """A conversation's chunks, none over `limit` tokens, in order, and what is left out of them.

    A message takes its tokens, with the special ones that the tokenizer adds of itself, and `AROUND`. A round
    ends where an answer does; one that alone is over the limit is left out, and ends the chunk before it. A
    conversation that fits stays as it is. A system message at the beginning begins every chunk. A chunk keeps
    its conversation's other keys, and tells its id in `part_of`.

    Args:
        published: as open-instruct's script did: messages in twos from the first, whatever their roles; a
            chunk whose roles then do not alternate is left out, and so are the pairs it loses.
    """
    messages = conversation.messages
    lengths = count_tokens(tokenizer, [message.content for message in messages])
    if not published and sum(lengths) <= limit:
        yield conversation
        return
    lead = 0 if published else next((i for i, m in enumerate(messages) if m.role != "system"), len(messages))
    ends = range(2, len(messages) + 1, 2) if published else _ends_of_answers(messages)
    starts = [lead, *ends]
    rounds = [Round(messages[a:b], sum(lengths[a:b])) for a, b in pairwise(starts)]
    for chunk in _fill(rounds, sum(lengths[:lead]), limit, published):
        if isinstance(chunk, Drop):
            yield chunk
        elif published and any(m.role != ("user", "assistant")[i % 2] for i, m in enumerate(chunk)):
            yield Drop(NOT_IN_TURN, _plain(chunk))
        else:
            yield _part(conversation, messages[:lead] + chunk)
    if rest := messages[starts[-1] :]:
        yield Drop(UNPAIRED if published else UNANSWERED, _plain(rest))


def count_tokens(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[int]:
    """What each message takes of a chunk."""
    ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return [len(message) + AROUND for message in ids]


def _ends_of_answers(messages: list[Message]) -> list[int]:
    following = [*(m.role for m in messages[1:]), ""]
    return [
        i
        for i, (message, after) in enumerate(zip(messages, following, strict=True), 1)
        if message.role == "assistant" and after != "assistant"
    ]


def _fill(rounds: list[Round], lead: int, limit: int, published: bool) -> Iterator[list[Message] | Drop]:
    chunk: list[Message] = []
    tokens, fits = lead, True
    for round_ in rounds:
        fits = tokens + round_.tokens <= limit
        if not fits:
            if chunk:
                yield chunk
            chunk, tokens = [], lead
        tokens += round_.tokens
        if lead + round_.tokens > limit:
            yield Drop(TOO_LONG, _plain(round_.messages))  # counted in `tokens`, so that the next begins anew
        else:
            chunk = chunk + round_.messages
    if chunk and (fits or not published):
        yield chunk
    elif chunk:
        yield Drop(LOST, _plain(chunk))


def _plain(messages: list[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _part(whole: Conversation, messages: list[Message]) -> Conversation:
    if messages == whole.messages:
        return whole
    more = {**(whole.model_extra or {}), "part_of": whole.id}
    return Conversation(source=whole.source, messages=messages, **more)
