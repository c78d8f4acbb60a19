"""Baize (Xu et al. 2023): ChatGPT talking to itself; alpaca, medical, quora and stackoverflow, JSON lists.

    {"topic": "…", "input": "The conversation between … .\\n[|Human|] Hi\\n[|AI|] Hello!\\n[|Human|] "}

What stands before the first [|Human|] goes, and so does the blank marker at the end. A round without an
answer the published script left out; `fixed` ends the conversation before it, or before one with a blank
side. Two [|AI|] in a round stopped the published script: in its reading such a row is malformed, and `fixed`
drops it.
"""

from itertools import takewhile
from typing import Any

from boresight.data.sources.fields import Drop, Found, MalformedError, Reading, text
from boresight.records import Conversation, Message

HUMAN, AI = "[|Human|]", "[|AI|]"
TWO_ANSWERS = "two answers in a round"
INCOMPLETE = "a round without question or answer, or after one"
ROLES = ("user", "assistant")


def baize(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row."""
    rounds = [said.split(AI) for said in text(row, "input").split(HUMAN)[1:]]
    if any(len(parts) > 2 for parts in rounds):
        if reading.published:
            raise MalformedError(TWO_ANSWERS)
        yield Drop(TWO_ANSWERS, row)
        return
    if rounds and not "".join(rounds[-1]).strip() and len(rounds[-1]) == 1:
        rounds.pop()  # the marker that closes every transcript
    kept = _answered(rounds) if reading.published else list(takewhile(_whole, rounds))
    if len(kept) < len(rounds):
        yield Drop(INCOMPLETE, row, len(rounds) - len(kept))
    if kept:
        sides = [(role, said) for parts in kept for role, said in zip(ROLES, parts, strict=True)]
        messages = [Message.model_validate({"role": role, "content": said.strip()}) for role, said in sides]
        yield Conversation(source="baize", messages=messages)
    else:
        yield Drop("no rounds", row)


def _answered(rounds: list[list[str]]) -> list[list[str]]:
    return [parts for parts in rounds if len(parts) == 2]


def _whole(parts: list[str]) -> bool:
    """What follows a round that is not whole goes on from something that is not there."""
    return len(parts) == 2 and all(said.strip() for said in parts)
