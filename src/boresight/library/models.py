"""Models in a notebook: loaded, aligned in context, asked."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from boresight.errors import UserError
from boresight.incontext.aligned import AlignedModel
from boresight.incontext.alignment import load_alignment
from boresight.library.shown import Answers, File
from boresight.models.load import context_length
from boresight.models.local import LocalModel
from boresight.models.open import open_model
from boresight.models.requests import Model, Request, Sampling
from boresight.progress import counting, quiet_transformers
from boresight.records import Conversation, Message, Response

Prompt = str | Sequence[Message] | Conversation
"""A question; messages to answer; or a conversation, whose last answer is the reference."""


def load_model(name: File, *, cache: File | None = None, concurrency: int = 16) -> Model:
    """A model that generates and, but for some servers, scores.

    Args:
        name: a directory, a hub id, `pocket`, or a server: `http://host:8000/v1#name`.
        cache: a file where a server's answers are kept, so that none is paid for twice.
        concurrency: requests a server has at a time.

    Raises:
        UserError: there is none of that name.
    """
    quiet_transformers()
    return open_model(str(name), cache=Path(cache) if cache else None, concurrency=concurrency)


def align_model(
    model: Model | File, demonstrations: File, preset: str = "default", overrides: Sequence[str] = ()
) -> AlignedModel:
    """A base model that chats, without training: answered questions like each prompt are put before it.

    Han, "In-Context Alignment: Chat with Vanilla Language Models Before Fine-Tuning", 2023.

        aligned = boresight.align_model("pocket", "talk.jsonl")
        boresight.generate(aligned, ["2 + 3?"])

    Args:
        model: a model in this process, or its name.
        demonstrations: a conversations file, or a preset that brings its own, as `urial`.
        preset: template, retrieval and budget, by name or as a file: see docs/in_context.md.
        overrides: of the preset, as `policy.budget=1000`.

    Raises:
        UserError: the model is behind a server, or a file or preset cannot be used.
    """
    base = load_model(model) if isinstance(model, str | PathLike) else model
    if not isinstance(base, LocalModel):
        raise UserError(
            f"{base.name}: a server's tokens are not known here; `boresight serve` aligns it there"
        )
    alignment = load_alignment("in-context", Path(demonstrations), base.tokenizer, preset, list(overrides))
    return AlignedModel(base, alignment, context_length(base.model.config) or base.tokenizer.model_max_length)


def generate(
    model: Model,
    prompts: Iterable[Prompt],
    *,
    max_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    draws: int = 1,
    seed: int = 0,
) -> Answers:
    """A model's answers to questions or conversations, by its chat template or in context.

    A text is continued as it is by `model.generate([Request(text, Sampling(max_new_tokens=20))])`, with both
    from `boresight.models.requests`.

    Args:
        model: of `load_model` or `align_model`.
        prompts: questions; lists of messages; or conversations, whose last answers become references.
        max_tokens: most tokens of an answer.
        temperature: 0 takes the likeliest token.
        top_p: draw from the likeliest tokens alone that together are so probable.
        draws: answers to each prompt, which differ at a temperature.
        seed: of what is drawn.

    Returns:
        A response a prompt and draw, with `demonstrations` where some were shown.

    Raises:
        UserError: the model has no chat template and is not aligned, or a prompt does not fit.
    """
    if isinstance(model, LocalModel) and model.tokenizer.chat_template is None:
        raise UserError(
            f"{model.name}: a base model does not chat; train it, or align it: boresight.align_model"
        )
    asked = [_asked(prompt) for prompt in prompts]
    sampling = Sampling(max_tokens, temperature, top_p, seed=seed if temperature else None)
    requests = [Request(tuple(each.prompt), sampling, draw) for each in asked for draw in range(draws)]
    with counting("answering", len(requests)) as done:
        written = model.generate(requests, done)
    of = (each for each in asked for _ in range(draws))
    return Answers(
        Response.model_validate(
            {
                **each._asdict(),
                "output": said.text,
                "model": model.name,
                "draw": request.draw,
                "finish_reason": said.finish_reason,
                "demonstrations": [shown._asdict() for shown in said.demonstrations],
            }
        )
        for each, request, said in zip(of, requests, written, strict=True)
    )


class _Asked(NamedTuple):
    """What waits for an answer, and the right one if it is known."""

    id: str
    prompt: list[Message]
    reference: str | None


def _asked(prompt: Prompt) -> _Asked:
    if isinstance(prompt, str):
        prompt = [Message(role="user", content=prompt)]
    talk = prompt if isinstance(prompt, Conversation) else Conversation(messages=list(prompt))
    *before, last = talk.messages
    if last.role == "assistant":
        return _Asked(talk.id, before, last.content)
    return _Asked(talk.id, talk.messages, None)
