"""The shape of ShareGPT, whoever speaks.

{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]}
"""

from typing import Any

from boresight.data.sources.fields import Drop, Found, MalformedError, Reading, objects, text
from boresight.records import Conversation, Message

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip


def conversations(row: dict[str, Any], reading: Reading) -> Found:
    """The conversation a row is, turns and all, whatever the reading."""
    turns = objects(row, "conversations")
    if turns:
        yield Conversation(source="conversations", messages=[message(turn, ROLES) for turn in turns])
    else:
        yield Drop("no turns", row)


def message(turn: dict[str, Any], roles: dict[str, str]) -> Message:
    """A turn as a message.

    Raises:
        MalformedError: it has no speaker or text, or the speaker is none of `roles`.
    """
    speaker = text(turn, "from")
    if speaker not in roles:
        raise MalformedError(f"unknown speaker {speaker!r}; expected one of {', '.join(roles)}")
    return Message.model_validate({"role": roles[speaker], "content": text(turn, "value")})
