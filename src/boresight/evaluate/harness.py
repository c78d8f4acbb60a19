"""The LM Evaluation Harness (Gao et al. 2021) over our engine: all its tasks, with shared prefixes read once.

    python -m boresight.evaluate.harness --model boresight --model_args pretrained=pocket --tasks arc_easy

    import boresight.evaluate.harness
    lm_eval.simple_evaluate("boresight", model_args={"pretrained": "pocket"}, tasks=["arc_easy"])

Tokens, their places and what is cut are those of the harness's own `hf` model, and so are log-likelihoods,
but for rounding.
"""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

from boresight.errors import UserError
from boresight.extras import require
from boresight.models.load import context_length
from boresight.models.local import LocalModel
from boresight.models.requests import Generation, Sampling
from boresight.models.scoring import Text, score


def main() -> None:
    """The harness's own command line, with our model; the user's mistakes end in a line and exit code 2."""
    try:
        import_module("boresight.evaluate.harness")  # registers it
        require("lm_eval.__main__", "harness").cli_evaluate()
    except UserError as error:
        print(f"boresight: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
    sys.exit()  # What follows is there already, as the module of its own name.

require("lm_eval", "harness")
api, registry, of_models, utils = (
    require(f"lm_eval.{name}", "harness") for name in ("api.model", "api.registry", "models.utils", "utils")
)
log = logging.getLogger(__name__)

UNKNOWN_CONTEXT = 2048
"""The harness's context of a model that does not say."""
MAX_NEW_TOKENS = 256
UNDERSTOOD = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Scored = tuple[float, bool]
"""A log-likelihood, and whether every token is the likeliest."""


@registry.register_model("boresight")
class HarnessModel(api.TemplateLM):  # type: ignore[name-defined]  # a package that may be missing
    """A model in this process, as the harness asks it.

    Args:
        pretrained: a directory, a hub id or `pocket`; or a model that is loaded.
        dtype: of weights and arithmetic, as `bfloat16`; that of the files by default, as `hf` has it.
        max_length: tokens of context, if not the model's own.
        batch_size, max_batch_size, device: without meaning here: batches are cut by tokens, and a GPU is used
            where there is one.

    Raises:
        UserError: the model cannot be loaded, or a dtype of that name is not known.
    """

    def __init__(
        self,
        pretrained: str | LocalModel,
        dtype: str = "auto",
        max_length: int | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
    ):
        super().__init__()
        self._local = pretrained if isinstance(pretrained, LocalModel) else _loaded(pretrained, dtype)
        self.tokenizer = self._local.tokenizer
        self.max_length = max_length or context_length(self._local.model.config) or UNKNOWN_CONTEXT

    @property
    def eot_token_id(self) -> int:
        """The end of a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has nothing before it."""
        begins = self.tokenizer.bos_token_id
        return self.eot_token_id if begins is None else int(begins)

    @property
    def tokenizer_name(self) -> str:
        """Part of the name of the harness's own caches."""
        return self._local.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Tokens, with the special ones that the tokenizer adds, unless the text begins with one."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.tokenizer.decode(self.prefix_token_id))
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return ids

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Turns as text, up to where the answer begins, or within an answer that is begun."""
        text: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[Scored]:
        """Of continuations' tokens after contexts'; contexts too long lose their beginning."""
        whole = [(context + continuation)[-self.max_length - 1 :] for _, context, continuation in requests]
        cut = sum(len(c) + len(n) > len(ids) for (_, c, n), ids in zip(requests, whole, strict=True))
        if cut:
            log.warning("%d of %d contexts are too long and lose their beginning", cut, len(requests))
        texts = [Text(ids, len(ids) - len(n)) for (_, _, n), ids in zip(requests, whole, strict=True)]
        found: dict[int, Scored] = {}
        for at, likelihood in score(self._local.model, texts):
            found[at] = likelihood.logprob, likelihood.likeliest
            if requests[at][0] is not None:
                self.cache_hook.add_partial("loglikelihood", requests[at][0], found[at])
        return [found[at] for at in range(len(requests))]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Of whole texts, in windows of the context's length that share no scored token."""
        owners, windows = [], []
        for i, (text,) in enumerate(request.args for request in requests):
            for window in utils.get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            ):
                owners.append(i)
                windows.append((None, *utils.make_disjoint_window(window)))
        totals = [0.0] * len(requests)
        for i, (logprob, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[i] += logprob
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Continuations up to a stop; contexts that leave no room for them lose their beginning.

        Raises:
            UserError: a task draws its answers in a way that there is not here, as by beams.
        """
        samplings = [self._sampling(request.args[1], draw) for draw, request in enumerate(requests)]
        prompts = [
            self.tok_encode(request.args[0])[-(self.max_length - sampling.max_new_tokens) :]
            for request, sampling in zip(requests, samplings, strict=True)
        ]

        def answered(at: int, written: Generation) -> None:
            self.cache_hook.add_partial("generate_until", requests[at].args, written.text)

        return [written.text for written in self._local.continued(prompts, samplings, answered=answered)]

    def _sampling(self, asked: dict[str, Any], draw: int) -> Sampling:
        given = of_models.normalize_gen_kwargs(asked, MAX_NEW_TOKENS)
        if unknown := set(given) - UNDERSTOOD:
            raise UserError(f"the task asks for {', '.join(sorted(unknown))}, which is not known here")
        if given["max_gen_toks"] >= self.max_length:
            raise UserError(
                f"answers of {given['max_gen_toks']} tokens leave no room in the context of {self.max_length}"
            )
        return Sampling(
            given["max_gen_toks"],
            given.get("temperature", 1.0) if given["do_sample"] else 0.0,
            given.get("top_p", 1.0),
            tuple(stop for stop in given["until"] if stop),
            # The harness has seeded torch: a run can be repeated, and each request is drawn for itself.
            (torch.initial_seed() + draw) % 2**31,
        )


def _loaded(name: str, dtype: str) -> LocalModel:
    if dtype == "auto":
        return LocalModel(name, "auto")
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r}: expected auto, {', '.join(DTYPES)}")
    return LocalModel(name, DTYPES[dtype])
