"""Who answers in `boresight chat`: a model with demonstrations, or a server that chats by itself."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import httpx2

from boresight.errors import UserError
from boresight.models.address import headers_with, key_for, without
from boresight.models.endpoint import CONNECT_TIMEOUT
from boresight.models.requests import FinishReason, Sampling
from boresight.models.wire import FINISHED, LIMIT, server_message, unicode
from boresight.records import Message
from boresight.serve.answer import Ends, answer
from boresight.serve.backends import Backend, Continued
from boresight.serve.errors import ApiError
from boresight.serve.served import Aligned, Base
from boresight.serve.service import DEFAULT_TOKENS
from boresight.serve.start import open_alignments, open_base

LONGEST_LINE = 2**20
"""Bytes of one event; what has no line end for longer is no stream."""


class Demonstration(NamedTuple):
    """One that an answer was shown; `question` is None where a server does not tell it."""

    id: str
    score: float
    tokens: int
    question: str | None


class Context(NamedTuple):
    """What stood before a question, and how many earlier rounds had no room."""

    demonstrations: tuple[Demonstration, ...]
    dropped_turns: int


class Said(NamedTuple):
    """Text that goes on an answer; how it ended, with the last; what it was shown, where that is known."""

    text: str = ""
    finish: FinishReason | None = None
    shown: Context | None = None


class Settings(NamedTuple):
    """How answers are drawn; None leaves it to the model, or to its server."""

    temperature: float | None
    max_tokens: int | None
    patience: float
    """Seconds to a server's next token."""


class Answerer(Protocol):
    """Answers conversations, one at a time, in one event loop."""

    name: str

    def answer(self, messages: Sequence[Message]) -> AsyncGenerator[Said, None]:
        """An answer as it is written; closing the generator stops it.

        Raises:
            ApiError: there is none, or it breaks off.
        """
        ...

    async def start(self) -> None:
        """Called once, before anything is asked."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Continuing:
    """A model that continues texts, in this process or behind `/v1/completions`."""

    def __init__(self, model: Base | Aligned, backend: Backend, settings: Settings):
        self.name = model.id
        self._model = model
        self._backend = backend
        temperature = model.temperature if settings.temperature is None else settings.temperature
        limit = settings.max_tokens or min(DEFAULT_TOKENS, model.context // 4)
        self._sampling = Sampling(limit, temperature)
        self.start, self.close = backend.start, backend.close

    async def answer(self, messages: Sequence[Message]) -> AsyncGenerator[Said, None]:
        """See `Answerer`."""
        model, sampling = self._model, self._sampling
        prompt = model.prompt(messages, sampling.max_new_tokens, None)
        if isinstance(model, Aligned):
            yield Said(shown=_context(model.provenance(prompt)))
        asked = Continued(prompt.text, sampling._replace(stop=prompt.stop))
        async with aclosing(answer(self._backend, asked, Ends(model.finished, model.closing))) as pieces:
            async for piece in pieces:
                yield Said(piece.text, piece.finish)


class Chatting:
    """A server's own `/v1/chat/completions`. If it is one of ours, it tells what answers were shown."""

    def __init__(self, address: str, name: str, settings: Settings):
        self.name = name
        self._address = address
        self._settings = settings
        self._key = key_for(address)

    async def start(self) -> None:
        """Open the connections, and see whose server it is."""
        timeout = httpx2.Timeout(self._settings.patience, connect=CONNECT_TIMEOUT)
        self._client = httpx2.AsyncClient(headers=headers_with(self._key), timeout=timeout)
        self._is_ours = await self._tells_provenance()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answer(self, messages: Sequence[Message]) -> AsyncGenerator[Said, None]:
        """See `Answerer`."""
        url = f"{self._address}/chat/completions"
        try:
            async with self._client.stream("POST", url, json=self._body(messages)) as response:
                if response.status_code != 200:
                    words = without(self._key, server_message(await response.aread()))
                    status = f"{url}: HTTP {response.status_code}"
                    raise ApiError(502, f"{status}: {words}" if words else status, "upstream_error")
                async for said in _heard(response):
                    yield said
        except httpx2.RequestError as error:
            reason = without(self._key, str(error)) or type(error).__name__
            raise ApiError(502, f"{url}: {reason}", "upstream_error") from error

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
        }
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.max_tokens is not None:
            body[LIMIT] = self._settings.max_tokens
        if self._is_ours:  # others refuse what they do not know
            body["x_ica"] = {"provenance": True}
        return body

    async def _tells_provenance(self) -> bool:
        try:
            found = (await self._client.get(f"{self._address}/models")).json()
            return any(row["id"] == self.name and "x_ica" in row for row in found["data"])
        except (httpx2.RequestError, ValueError, KeyError, TypeError, RecursionError):
            return False  # what is wrong with it will show when it is asked


async def _heard(response: httpx2.Response) -> AsyncGenerator[Said, None]:
    """The events of a stream. Not `aiter_lines`, which takes U+2028 within a text for a line's end."""
    heard, finish = b"", None
    async for data in response.aiter_bytes():
        *lines, heard = (heard + data).split(b"\n")
        if len(heard) > LONGEST_LINE:
            raise ApiError(502, "the server sent an event without end", "upstream_error")
        for event in (line[5:].strip() for line in lines if line.startswith(b"data:")):
            if event == b"[DONE]":
                yield Said(finish=finish or "stop")
                return
            said = _read(event)
            finish = said.finish or finish
            yield said._replace(finish=None)
    if finish is None:
        raise ApiError(502, "the server broke off in the middle of an answer", "upstream_error")
    yield Said(finish=finish)


def _read(event: bytes) -> Said:
    try:
        chunk = json.loads(event)
        if "error" in chunk:
            raise ApiError(502, server_message(event) or "the server failed", "upstream_error")
        choice: dict[str, Any] = next(iter(chunk.get("choices") or ()), {})
        text, reason = (choice.get("delta") or {}).get("content") or "", choice.get("finish_reason")
        finish = FINISHED.get(reason, "stop") if reason else None
        return Said(unicode(text), finish, _context(chunk["x_ica"]) if "x_ica" in chunk else None)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ApiError(502, "the server sent what is no piece of an answer", "upstream_error") from error


def _context(told: Any) -> Context:
    """What `x_ica` of docs/serve.md says."""
    rows = tuple(
        Demonstration(
            unicode(row["id"]),
            float(row["score"]),
            int(row["tokens"]),
            unicode(row["messages"][0]["content"]) if "messages" in row else None,
        )
        for row in told["demonstrations"]
    )
    return Context(rows, int(told["dropped_turns"]))


def open_continuing(
    model: str,
    demonstrations: str | None,
    preset: str,
    overrides: list[str],
    tokenizer: str | None,
    context: int | None,
    settings: Settings,
) -> Continuing:
    """A model that continues texts, with or without demonstrations. See `open_base` and `open_alignments`.

    Raises:
        UserError: something cannot be loaded; or without demonstrations, the model has no chat template.
    """
    base, backend, of = open_base(model, tokenizer, context, None, settings.patience)
    if demonstrations is None:
        if not base.chats:
            raise UserError(f"{model}: a base model without a chat template; give it --demonstrations POOL")
        return Continuing(base, backend, settings)
    pool = f"demonstrations={demonstrations}"
    (alignment,) = open_alignments([pool], preset, overrides, of, lambda done: None).values()
    aligned = Aligned(base, alignment)
    aligned.index_texts()
    return Continuing(aligned, backend, settings)
