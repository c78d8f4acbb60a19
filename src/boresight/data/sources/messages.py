"""Our own records: messages with roles, the shape that TRL, axolotl and open-instruct read too."""

from typing import Any

from pydantic import ValidationError

from boresight.errors import UserError
from boresight.records import Conversation, explain


def messages(row: dict[str, Any], place: str) -> list[Conversation]:
    """The conversation a row is."""
    try:
        return [Conversation.model_validate(row)]
    except ValidationError as error:
        raise UserError(f"{place}: {explain(error)}") from error
