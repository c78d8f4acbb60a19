"""Conversations as a model is trained on them, by the names that a user says."""

from typing import cast, get_args

from boresight.chat import Chat, RenderError, Template, Tokenised
from boresight.errors import UserError
from boresight.models.load import load_tokenizer
from boresight.progress import quiet_transformers
from boresight.records import Conversation
from boresight.settings_file import nearest


def load_chat(model: str, template: str) -> Chat:
    """The chat of a MODEL's tokenizer under a template.

    Raises:
        UserError: there is no such model or template.
    """
    if template not in get_args(Template):
        raise UserError(f"unknown template {template!r}{nearest(template, get_args(Template))}")
    quiet_transformers()
    return Chat(load_tokenizer(model), cast(Template, template))


def with_targets(conversation: Conversation, chat: Chat, place: str) -> Tokenised:
    """Tokens and targets of one conversation.

    Raises:
        UserError: it cannot be trained on; says why, and `place`.
    """
    try:
        (found,) = chat.tokenise([chat.render(conversation.messages)])
    except RenderError as error:
        found = error
    if isinstance(found, RenderError):
        raise UserError(f"{place} would be dropped: {found}")
    return found
