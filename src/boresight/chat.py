"""Chat templates: a conversation as text, and as tokens with its training targets.

The targets of a conversation are what a model must write: each assistant message, from where the prompt
would end at inference, through its end-of-turn token. They are found as character spans of the rendered
text, which is tokenised once. A conversation whose spans cannot be found exactly is refused.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np
from jinja2 import TemplateError
from tokenizers import Encoding, Tokenizer
from tokenizers.processors import ByteLevel
from transformers import PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.records import Message

Template = Literal["own", "tulu", "chatml"]
MARK = "\ue000{}\ue001"
"""Stands in for a message's text, in private-use characters, to see what a template puts around it."""
MOST_KNOWN = 1000
"""Sequences of roles of which is remembered what a template puts around them."""


class RenderError(Exception):
    """This conversation cannot be trained on; the message is the reason, fit to be counted."""


class Rendered(NamedTuple):
    """The text of a conversation, with character spans, start and end, of its targets and of its messages."""

    text: str
    spans: list[tuple[int, int]]
    messages: list[tuple[int, int]]


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
        # Tokens such as <think> are added but not special: a message may hold them, a turn end with them.
        added = tokenizer.added_tokens_decoder.values()
        self._special = _any_of({*tokenizer.all_special_tokens, *(t.content for t in added if t.special)})
        self._added = _any_of({*tokenizer.all_special_tokens, *(t.content for t in added)})
        # A copy of our own: no truncation or padding left over from others, and offsets as they are.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.post_processor = ByteLevel(trim_offsets=False)
        self._known_around: dict[tuple[str, ...], list[str]] = {}
        self._lead = self._find_lead()

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text a model is given to answer `messages`."""
        return self._render([{"role": m.role, "content": m.content} for m in messages], prompt=True)

    @property
    def stop_ids(self) -> list[int]:
        """The ids that end an answer: the template's end-of-turn token and the end of the sequence."""
        rendered = self.render([Message(role="user", content="a"), Message(role="assistant", content="b")])
        end_of_turn = self._added.findall(rendered.text[slice(*rendered.spans[0])])[-1]
        ids = {self.tokenizer.convert_tokens_to_ids(end_of_turn), self.tokenizer.eos_token_id}
        return sorted(ids)

    @property
    def identity(self) -> str:
        """SHA-256 of what decides a conversation's tokens: template, special tokens, tokenizer."""
        tokenizer = self.tokenizer
        decides = [tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token, self._backend.to_str()]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()

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
        around = self._around(messages)
        if len(around) != len(messages) + 1:
            raise RenderError("the template leaves out a message")
        if not text.startswith(around[0]):
            raise RenderError("the template rewrites a message")
        spans, places, at = [], [], 0
        for message, before, after in zip(messages, around, around[1:], strict=False):
            start = at + len(before)
            at = start + _written(message.content, text, start, after)
            places.append((start, at))
            if message.role == "assistant" and message.train and message.content.strip():
                lead = len(self._lead) if before.endswith(self._lead) else 0
                spans.append((start - lead, at + self._end_of_turn(after)))
        if text[at:] != around[-1]:
            raise RenderError("the template rewrites a message")
        if not spans:
            raise RenderError("no assistant message to train on")
        return Rendered(text, spans, places)

    def tokenise(self, conversations: Sequence[Rendered]) -> list[Tokenised | RenderError]:
        """Tokens and targets of rendered conversations, on all cores; an error in place of what is not exact.

        What follows the last target is left off: nothing is learned from it.
        """
        encodings = self._backend.encode_batch([c.text for c in conversations], add_special_tokens=False)
        return [_mark_targets(c, e) for c, e in zip(conversations, encodings, strict=True)]

    def pieces(self, found: Tokenised) -> list[tuple[str, bool]]:
        """Texts that are targets and texts that are not, in turns; no character is broken."""
        pairs = zip(found.tokens.tolist(), found.targets.tolist(), strict=True)
        runs = groupby(pairs, key=lambda pair: pair[1])
        return [(str(self.tokenizer.decode([t for t, _ in run])), target) for target, run in runs]

    def _around(self, messages: Sequence[Message]) -> list[str]:
        """What the template puts before, between and after messages: it depends on their roles alone."""
        if any("\ue000" in m.content for m in messages):
            raise RenderError("a message contains U+E000, which marks messages here")
        roles = tuple(m.role for m in messages)
        if (around := self._known_around.get(roles)) is None:
            marked = [{"role": role, "content": MARK.format(i)} for i, role in enumerate(roles)]
            around = re.split("\ue000\\d+\ue001", self._render(marked))
            if len(self._known_around) < MOST_KNOWN and "strftime_now" not in self.tokenizer.chat_template:
                self._known_around[roles] = around
        return around

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
        question, mark = {"role": "user", "content": "a"}, MARK.format(0)
        try:
            asked = self._render([question], prompt=True)
            answered = self._render([question, {"role": "assistant", "content": mark}])
        except RenderError as error:
            raise UserError(f"the chat template cannot be used: {error}; ask for tulu or chatml") from error
        if not answered.startswith(asked) or mark not in answered:
            raise UserError("the chat template's prompt is not how its conversations begin; ask for tulu")
        return answered[len(asked) : answered.index(mark)]

    def _end_of_turn(self, after: str) -> int:
        """Length of the end-of-turn token, and any space before it, in what follows an answer."""
        space = len(after) - len(after.lstrip())
        token = self._added.match(after, space)
        if token is None:
            raise RenderError("the template ends no assistant message with a token of its own")
        return token.end()


def _any_of(tokens: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "$^")


def _written(content: str, text: str, start: int, after: str) -> int:
    """Length of a message as the template wrote it: whole, or stripped of white space."""
    for written in (content, content.strip()):
        if text.startswith(written + after, start):
            return len(written)
    raise RenderError("the template rewrites a message")


def _mark_targets(conversation: Rendered, encoding: Encoding) -> Tokenised | RenderError:
    tokens = np.array(encoding.ids, dtype=np.int64)
    targets = np.zeros(len(tokens), dtype=bool)
    last = 0
    for start, end in conversation.spans:
        first, final = encoding.char_to_token(start), encoding.char_to_token(end - 1)
        if first is None or final is None:
            return RenderError("the tokenizer drops characters of an answer")
        if first == 0 or characters(encoding, first - 1)[1] != start:
            return RenderError("a token runs across the start of an answer")
        last = final + 1
        targets[first:last] = True
    return Tokenised(tokens[:last], targets[:last], encoding)


def characters(encoding: Encoding, token: int) -> tuple[int, int]:
    """The characters of a token, start and end."""
    return encoding.token_to_chars(token) or (0, 0)
