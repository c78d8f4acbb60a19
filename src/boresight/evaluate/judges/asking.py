"""Judges, and how they are asked: again where a reply holds no verdict, and never twice for the same.

    judge = Judge("https://host/v1#gpt-4", Path("judge.sqlite"), Asking(tries=3, seed=0))
    judge.hear([Task(prompt, 0, lambda reply: read_verdict(reply, rubric, shown))], rubric)

Replies lie in a file, so that a killed run goes on from there: those of models in this process too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from boresight.errors import Unfinished, UserError
from boresight.evaluate.judges.rubric import Rubric
from boresight.evaluate.judges.verdict import Verdict
from boresight.models.cache import Answer, Cache, answer_key
from boresight.models.endpoint import Endpoint, EndpointError
from boresight.models.in_order import run_in_order
from boresight.models.load import load_tokenizer, resolve
from boresight.models.local import LocalModel
from boresight.models.open import is_url, named
from boresight.models.prices import NOTHING, Price, Spending, Tokens, price_of
from boresight.models.requests import Generation, Request, Sampling
from boresight.records import Message
from boresight.runs import digest

RUNS = 1000
"""More than anyone asks; the draws of a second try begin here, those of a third at twice that."""
IN_A_ROW = 20
"""Requests that fail one after another before the judge is taken to be gone."""
USELESS = 50
"""Requests, at the beginning, none of which gives a verdict, before the judge is taken to be of no use."""
QUOTED = 80
"""Characters of such a reply that are shown."""
TOGETHER = 64
"""Requests that a model in this process is given at a time, so that it is seen how far it is."""
BYTES_PER_TOKEN = 4
REPLY = 250
"""Tokens of a reply, as a rule of thumb."""
FREE = Price(0, 0)
"""Of a model in this process."""


class Task(NamedTuple):
    """A prompt, which of its repetitions it is, and how the reply is read."""

    prompt: str
    run: int
    read: Callable[[Generation], Verdict]


class Heard(NamedTuple):
    """What came of a task: the reply, at which try; or in `error` why there is none.

    `lasting`: the judge understood the request and refused it, and would again.
    """

    verdict: Verdict
    text: str = ""
    tries: int = 1
    served: str | None = None
    fingerprint: str | None = None
    error: str | None = None
    lasting: bool = False

    @property
    def reason(self) -> str | None:
        """Why there is no verdict."""
        return self.error or self.verdict.unparsed


class Asking(NamedTuple):
    """How judges are asked. All but `tries` and `seed` decide no verdict."""

    tries: int
    seed: int
    concurrency: int = 16
    retries: int = 6
    timeout: float = 600.0
    price: Price | None = None
    limit: float | None = None


class Foreseen(NamedTuple):
    """What judges would be asked: requests, about how many tokens they would read and write, and dollars
    where the price is known."""

    requests: int
    prompt_tokens: int
    new_tokens: int
    dollars: float | None


def judge_name(model: str, asking: Asking) -> str:
    """What a judge is called; to be asked of all judges before the first of them is paid.

    Raises:
        UserError: there is no such model, it has no chat template, or its price must be known and is not.
    """
    if is_url(model):
        _, name = named(model)
        Spending(asking.price or price_of(name), asking.limit)
        return name
    if load_tokenizer(model).chat_template is None:
        raise UserError(f"{model}: has no chat template, so it cannot be asked as a judge; name a chat model")
    return model


def paid_before(replies: Path) -> Tokens:
    """What a file of replies has cost, if it is there."""
    if not replies.exists():
        return NOTHING
    cache = Cache(replies)
    tokens = cache.tokens()
    cache.close()
    return tokens


class Judge:
    """A model as a judge, with the file of its replies.

    Args:
        model: as the user names it.
        replies: the file.
        limit: most dollars for this judge, over all interruptions.

    Raises:
        UserError: there is no such model.
    """

    def __init__(self, model: str, replies: Path, asking: Asking, limit: float | None = None):
        self.asking = asking
        self.model: Endpoint | LocalModel
        if is_url(model):
            url, self.name = named(model)
            self.spending = Spending(asking.price or price_of(self.name), limit, paid_before(replies))
            self.model = Endpoint(
                url,
                self.name,
                cache=replies,
                concurrency=asking.concurrency,
                retries=asking.retries,
                timeout=asking.timeout,
                spending=self.spending,
            )
            self._source = url
        else:
            self.name = model
            self.spending = Spending(FREE)
            self.model = LocalModel(model)
            path = Path(resolve(model))
            self._source = digest(path)[:12] if path.exists() else model
        self._replies = Cache(replies)

    def hear(
        self, tasks: Sequence[Task], rubric: Rubric, progress: Callable[[int], None] = lambda done: None
    ) -> list[Heard]:
        """What comes of each task, in their order. A reply without a verdict is asked for again, as a
        further draw, until there have been `tries`; the last one counts.

        Raises:
            UserError: the judge fails again and again, or gives no verdict from the beginning, or its price
                has reached the limit.
        """
        heard: dict[int, Heard] = {}
        waiting = list(range(len(tasks)))
        in_a_row = 0
        for attempt in range(self.asking.tries):
            requests = [self._request(tasks[at], rubric, attempt) for at in waiting]
            for at, request, outcome in zip(waiting, requests, self._ask(requests), strict=True):
                heard[at] = self._heard(tasks[at], request, outcome, attempt + 1)
                gone = heard[at].error is not None and not heard[at].lasting
                in_a_row = in_a_row + 1 if gone else 0
                if in_a_row == IN_A_ROW:
                    raise Unfinished(f"{IN_A_ROW} requests in a row got no answer; the last: {outcome}")
                if attempt == 0:
                    progress(1)
                    _require_a_verdict(heard)
            waiting = [at for at in waiting if heard[at].verdict.value is None and not heard[at].error]
        return [heard[at] for at in range(len(tasks))]

    def _request(self, task: Task, rubric: Rubric, attempt: int) -> Request:
        sampling = Sampling(rubric.max_new_tokens, rubric.temperature, seed=self.asking.seed)
        message = Message(role="user", content=task.prompt)
        return Request((message,), sampling, task.run + RUNS * attempt)

    def _heard(self, task: Task, request: Request, outcome: Generation | EndpointError, tries: int) -> Heard:
        if isinstance(outcome, EndpointError):
            return Heard(Verdict(None), tries=tries, error=str(outcome), lasting=outcome.permanent)
        kept = self._replies.get(answer_key(self._source, self.name, request))
        assert kept, "a reply is kept before anyone sees it"
        return Heard(task.read(outcome), outcome.text, tries, kept.model, kept.fingerprint)

    def _ask(self, requests: Sequence[Request]) -> Iterator[Generation | EndpointError]:
        if isinstance(self.model, LocalModel):
            for at in range(0, len(requests), TOGETHER):
                yield from self._ask_here(self.model, requests[at : at + TOGETHER])
        else:
            yield from _ask_there(self.model, requests)

    def _ask_here(self, model: LocalModel, requests: Sequence[Request]) -> list[Generation]:
        keys = [answer_key(self._source, self.name, request) for request in requests]
        new = {
            key: request for key, request in zip(keys, requests, strict=True) if not self._replies.get(key)
        }
        wanted = list(new)

        def keep(at: int, written: Generation) -> None:
            tokens = (written.prompt_tokens, written.new_tokens)
            answer = Answer(written.text, written.finish_reason, *tokens, self.name, self._source)
            self._replies.put(wanted[at], answer)

        model.generate(list(new.values()), answered=keep)
        return [_generation(self._replies.get(key)) for key in keys]


def _ask_there(endpoint: Endpoint, requests: Sequence[Request]) -> Iterator[Generation | EndpointError]:
    async def one(request: Request) -> Generation | EndpointError:
        try:
            return await endpoint.ask(request)
        except EndpointError as error:
            return error

    return run_in_order(requests, one, endpoint.concurrency, endpoint)


def _require_a_verdict(heard: Mapping[int, Heard]) -> None:
    """Later on, replies without one are of the answers' making, and counted."""
    if len(heard) == USELESS and all(each.verdict.value is None for each in heard.values()):
        last = list(heard.values())[-1]
        said = f" ({last.text[:QUOTED]!r})" if last.text else ""
        raise Unfinished(
            f"none of the first {USELESS} replies gives a verdict; the last: {last.reason}{said}"
        )


def _generation(kept: Answer | None) -> Generation:
    assert kept and kept.finish_reason in ("stop", "length")
    return Generation(
        kept.text,
        "length" if kept.finish_reason == "length" else "stop",
        kept.prompt_tokens,
        kept.new_tokens,
    )


def foresee(prompts: Sequence[str], rubric: Rubric, prices: Sequence[Price | None]) -> Foreseen:
    """For so many judges, each at its price, if every first reply holds a verdict."""
    read = sum(len(prompt.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN for prompt in prompts)
    tokens = Tokens(read, min(REPLY, rubric.max_new_tokens) * len(prompts))
    known = [price.of(tokens) for price in prices if price]
    dollars = round(sum(known), 4) if len(known) == len(prices) else None
    n = len(prices)
    return Foreseen(len(prompts) * n, tokens.prompt * n, tokens.new * n, dollars)
