"""Chat templates: a conversation as text, and as tokens with its training targets.

The targets of a conversation are what a model must write: each assistant message, from where the prompt
would end at inference, through its end-of-turn token. They are found as character spans of the rendered
text, which is tokenised once. A conversation whose spans cannot be found exactly is refused.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
from jinja2 import TemplateError
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.records import Message

Template = Literal["own", "tulu", "chatml"]
MARK = "\ue000{}\ue001"
"""Stands in for an assistant's text, in private-use characters, to see what a template puts around it."""


class RenderError(Exception):
    """This conversation cannot be trained on; the message is the reason, fit to be counted."""


class Rendered(NamedTuple):
    """The text of a conversation and the character spans, start and end, of its targets."""

    text: str
    spans: list[tuple[int, int]]


class Tokenised(NamedTuple):
    """Token ids, int64, and which of them are targets, bool; both [tokens]."""

    tokens: np.ndarray
    targets: np.ndarray
    encoding: Encoding


class Chat:
    """A tokenizer with the chat template it speaks.

    Args:
        template: `tulu`, `chatml`, or `own` for the one that comes with the tokenizer.

    Raises:
        UserError: the tokenizer has no template of its own, or cannot speak the one asked for.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, template: Template = "own"):
        self.tokenizer = tokenizer
        if template != "own":
            tokenizer.chat_template = (
                files("boresight").joinpath(f"chat_templates/{template}.jinja").read_text()
            )
        if tokenizer.chat_template is None:
            raise UserError("the tokenizer has no chat template of its own; ask for tulu or chatml")
        if template == "chatml" and "<|im_end|>" not in tokenizer.get_added_vocab():
            raise UserError("chatml needs a tokenizer that knows <|im_end|>; ask for tulu")
        special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "$^")
        self._lead = self._find_lead()

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text a model is given to answer `messages`."""
        return self._render([{"role": m.role, "content": m.content} for m in messages], prompt=True)

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end an answer: the template's end-of-turn token and the end of the sequence."""
        rendered = self.render([Message(role="user", content="a"), Message(role="assistant", content="b")])
        end_of_turn = self._special.findall(rendered.text[slice(*rendered.spans[0])])[-1]
        ids = {self.tokenizer.convert_tokens_to_ids(end_of_turn), self.tokenizer.eos_token_id}
        return sorted(ids)

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The text of a conversation with the spans of its targets.

        Raises:
            RenderError: the spans cannot be found exactly, or nothing is left to train on.
        """
        for message in messages:
            if special := self._special.search(message.content):
                raise RenderError(f"a message contains the special token {special.group()}")
        plain = [{"role": m.role, "content": m.content} for m in messages]
        text = self._render(plain)
        around = re.split("\ue000\\d+\ue001", self._render(_marked(plain)))
        answers = [m for m in messages if m.role == "assistant"]
        if len(around) != len(answers) + 1:
            raise RenderError("the template leaves out an assistant message")
        spans, at = [], 0
        for answer, before, after in zip(answers, around, around[1:], strict=False):
            start = at + len(before)
            at = start + self._written(answer.content, text, start, after)
            if answer.train and answer.content.strip():
                start -= len(self._lead) if before.endswith(self._lead) else 0
                spans.append((start, at + self._end_of_turn(after)))
        if text[at:] != around[-1] or not text.startswith(around[0]):
            raise RenderError("the template rewrites a message")
        if not spans:
            raise RenderError("no assistant message to train on")
        return Rendered(text, spans)

    def tokenise(self, conversations: Sequence[Rendered]) -> list[Tokenised | RenderError]:
        """Tokens and targets of rendered conversations, on all cores; an error in place of what is not exact.

        What follows the last target is left off: nothing is learned from it.
        """
        backend = self.tokenizer.backend_tokenizer
        encodings = backend.encode_batch([c.text for c in conversations], add_special_tokens=False)
        return [_mark_targets(c, e) for c, e in zip(conversations, encodings, strict=True)]

    def _render(self, messages: list[dict[str, str]], prompt: bool = False) -> str:
        try:
            text: Any = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=prompt
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise RenderError(f"the template refuses it: {error}") from error
        return str(text)

    def _find_lead(self) -> str:
        """What the template puts between the end of a prompt and the answer: often nothing or a space."""
        question = {"role": "user", "content": "a"}
        asked = self._render([question], prompt=True)
        answered = self._render([question, {"role": "assistant", "content": MARK.format(0)}])
        if not answered.startswith(asked):
            raise UserError(
                "the chat template's prompt is not how its own conversations begin; use tulu or chatml"
            )
        return answered[len(asked) : answered.index(MARK.format(0))]

    def _written(self, content: str, text: str, start: int, after: str) -> int:
        """Length of an answer as the template wrote it: whole, or stripped of white space."""
        for written in (content, content.strip()):
            if text.startswith(written + after, start):
                return len(written)
        raise RenderError("the template rewrites an assistant message")

    def _end_of_turn(self, after: str) -> int:
        """Length of the end-of-turn token, and any space before it, in what follows an answer."""
        space = len(after) - len(after.lstrip())
        token = self._special.match(after, space)
        if token is None:
            raise RenderError("the template ends no assistant message with a special token")
        return token.end()


def _marked(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same messages with a mark in place of each assistant's text."""
    if any("\ue000" in m["content"] for m in messages):
        raise RenderError("a message contains U+E000, which marks answers here")
    return [
        m | {"content": MARK.format(i)} if m["role"] == "assistant" else m for i, m in enumerate(messages)
    ]


def _mark_targets(conversation: Rendered, encoding: Encoding) -> Tokenised | RenderError:
    tokens = np.array(encoding.ids, dtype=np.int64)
    targets = np.zeros(len(tokens), dtype=bool)
    last = 0
    for start, end in conversation.spans:
        # A tokenizer may trim a leading space off a token's characters: the first token that shows counts.
        shown = (encoding.char_to_token(place) for place in range(start, end))
        first = next(token for token in shown if token is not None)
        if characters(encoding, first - 1)[1] != start:
            return RenderError("a token runs across the start of an answer")
        last = token_at(encoding, end - 1) + 1
        targets[first:last] = True
    return Tokenised(tokens[:last], targets[:last], encoding)


def characters(encoding: Encoding, token: int) -> tuple[int, int]:
    """The characters of a token, start and end; none before the first."""
    return (encoding.token_to_chars(token) or (0, 0)) if token >= 0 else (0, 0)


def token_at(encoding: Encoding, place: int) -> int:
    """The token that holds a character that is known to be in one."""
    token = encoding.char_to_token(place)
    assert token is not None, f"no token holds character {place}"
    return token
