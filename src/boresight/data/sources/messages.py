"""Our own records: messages with roles, the shape that TRL, axolotl and open-instruct read too."""

from typing import Any

from boresight.data.sources.fields import Found, Reading
from boresight.records import Conversation


def messages(row: dict[str, Any], reading: Reading) -> Found:
    """The conversation a row is, whatever the reading."""
    yield Conversation.model_validate(row)
