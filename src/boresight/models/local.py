"""A model in this process, through transformers."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.models.load import context_length, load_model, load_tokenizer

TOKENS_PER_BATCH = 16384
"""Prompt and answer tokens, padding included, that are generated together."""


class Generation(NamedTuple):
    """What a model wrote, without the stop; `length` when it ran out of tokens before it stopped."""

    text: str
    finish_reason: Literal["stop", "length"]


class LocalModel:
    """A causal language model that continues texts.

    Args:
        name: a directory, a hub id, or `pocket`.
    """

    def __init__(self, name: str):
        self.name = name
        self.tokenizer: PreTrainedTokenizerFast = load_tokenizer(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load_model(name, attention="sdpa").to(device).eval()
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        """Continue each text greedily until it stops, in batches of like length.

        Args:
            prompts: whole texts, special tokens included; nothing is added to them.
            stop: texts that end an answer, besides the model's own end-of-turn tokens.
            progress: called with the number of prompts just finished.

        Raises:
            UserError: a prompt and its answer do not fit the model's context.
        """
        encoded = self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        self._require_room(encoded, max_new_tokens)
        order = sorted(range(len(prompts)), key=lambda i: -len(encoded[i]))
        answers: list[Generation | None] = [None] * len(prompts)
        while order:
            size = max(1, TOKENS_PER_BATCH // (len(encoded[order[0]]) + max_new_tokens))
            batch, order = order[:size], order[size:]
            texts = self._continue([encoded[i] for i in batch], max_new_tokens, stop)
            for i, text in zip(batch, texts, strict=True):
                answers[i] = text
            progress(len(batch))
        return [answer for answer in answers if answer is not None]

    def _require_room(self, encoded: list[list[int]], max_new_tokens: int) -> None:
        context = context_length(self.model.config)
        longest = max(map(len, encoded), default=0)
        if context is not None and longest + max_new_tokens > context:
            raise UserError(
                f"{self.name}: a prompt of {longest} tokens and an answer of {max_new_tokens} "
                f"do not fit its context of {context}"
            )

    @torch.inference_mode()
    def _continue(self, rows: list[list[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        batch = self.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
        written = self.model.generate(
            **batch.to(self.model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            tokenizer=self.tokenizer,
            **({"stop_strings": list(stop)} if stop else {}),
        )[:, batch["input_ids"].shape[1] :]
        return [self._read(row, stop) for row in written.tolist()]

    def _read(self, tokens: list[int], stop: Sequence[str]) -> Generation:
        ends = self.model.generation_config.eos_token_id
        end_ids = set(ends) if isinstance(ends, list) else {ends}
        at = next((i for i, token in enumerate(tokens) if token in end_ids), None)
        text = self.tokenizer.decode(tokens[:at], skip_special_tokens=False)
        places = [place for place in map(text.find, stop) if place >= 0]
        stopped = at is not None or bool(places)
        return Generation(text[: min(places, default=len(text))], "stop" if stopped else "length")
