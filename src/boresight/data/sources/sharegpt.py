"""ShareGPT: what people asked ChatGPT and shared; the html-cleaned copy, `sg_90k_part*.json`.

    {"id": "…", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}

Both readings drop a conversation that holds a system turn or Bing's. `fixed` also drops one that does not
begin with the user, in which one side speaks twice in a row, or that has an empty turn (LongAlign, Bai et al.
2024, removes empty answers too), and cuts a last question that nobody answered. Long conversations stay
whole here.
"""

from itertools import pairwise
from typing import Any

from boresight.data.sources.conversations import message
from boresight.data.sources.fields import Drop, Found, Reading, objects, text
from boresight.records import Conversation, Message

ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"}


def sharegpt(row: dict[str, Any], reading: Reading) -> Found:
    """The conversation a row is, unless the rules above drop it."""
    turns = objects(row, "conversations")
    for speaker in (text(turn, "from") for turn in turns):
        if speaker in ("system", "bing"):
            yield Drop(f"a turn of {speaker}", row)
            return
    found = [message(turn, ROLES) for turn in turns]
    if not reading.published and found and found[-1].role == "user":
        found.pop()
        yield Drop("a last question without an answer", row["conversations"][-1])
    reason = "no turns" if not found else None if reading.published else _unusable(found)
    yield Drop(reason, row) if reason else Conversation(source="sharegpt", messages=found)


def _unusable(found: list[Message]) -> str | None:
    if found[0].role != "user":
        return "does not begin with the user"
    if any(a.role == b.role for a, b in pairwise(found)):
        return "one side speaks twice in a row"
    if not all(turn.content.strip() for turn in found):
        return "an empty turn"
    return None
