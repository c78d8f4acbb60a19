"""OpenAssistant 1 (Köpf et al. 2023): trees of messages, `2023-04-12_oasst_ready.trees.jsonl`, all languages.

    {"prompt": {"role": "prompter", "text": "Hi", "replies": [{"role": "assistant", "text": "Hello!", …}, …]}}

The published reading, of the scripts near the paper, makes a row at every answer, so that early answers
repeat in all the rows that go on from them, and takes deleted messages too. (Their next version makes rows
at the leaves alone, which loses an answer whose only follow-ups are questions that nobody answered.)
`fixed` makes a row of every path to a last answer, and trains every answer once: where a path shares
answers with an earlier one, they are its context.
"""

from collections.abc import Generator, Iterator
from typing import Any

from boresight.data.sources.fields import (
    EMPTY_ANSWER,
    EMPTY_PROMPT,
    Drop,
    Found,
    MalformedError,
    Reading,
    objects,
    text,
)
from boresight.records import Conversation, Message

ROLES = {"prompter": "user", "assistant": "assistant"}
UNANSWERED = "a question without an answer"


def oasst1(row: dict[str, Any], reading: Reading) -> Found:
    """The conversations of a tree."""
    prompt = row.get("prompt")
    if not isinstance(prompt, dict):
        raise MalformedError("`prompt` is missing" if prompt is None else "`prompt` is not an object")
    return _every_answer(prompt, []) if reading.published else _every_path(prompt, [])


def _every_answer(node: dict[str, Any], before: list[Message]) -> Iterator[Conversation | Drop]:
    path = [*before, _message(node, before)]
    replies = _replies(node)
    if path[-1].role == "assistant":
        yield Conversation(source="oasst1", messages=path)
    elif not replies:
        yield Drop(UNANSWERED, node)
    for reply in replies:
        yield from _every_answer(reply, path)


def _every_path(node: dict[str, Any], before: list[Message]) -> Generator[Conversation | Drop, None, bool]:
    """The conversations below and at a message; returns whether there were any."""
    here = _message(node, before)
    if reason := _unusable(node, here):
        yield Drop(reason, node)
        return False
    path = [*before, here]
    found = False
    for reply in _replies(node):
        found |= yield from _every_path(reply, path)
    if not found and here.role == "user":
        yield Drop(UNANSWERED, node)
    elif not found:
        yield Conversation(source="oasst1", messages=[message.model_copy() for message in path])
        found = True
        for message in path:
            if message.role == "assistant":
                message.train = False
    return found


def _unusable(node: dict[str, Any], here: Message) -> str | None:
    if node.get("deleted"):
        return "deleted"
    if not here.content.strip():
        return EMPTY_ANSWER if here.role == "assistant" else EMPTY_PROMPT
    return None


def _message(node: dict[str, Any], before: list[Message]) -> Message:
    role = text(node, "role")
    if role not in ROLES:
        raise MalformedError(f"unknown role {role!r}; expected one of {', '.join(ROLES)}")
    if ROLES[role] == (before[-1].role if before else "assistant"):
        raise MalformedError(f"a message of {role} where the other side should speak")
    return Message.model_validate({"role": ROLES[role], "content": text(node, "text")})


def _replies(node: dict[str, Any]) -> list[dict[str, Any]]:
    return objects(node, "replies") if node.get("replies") is not None else []
