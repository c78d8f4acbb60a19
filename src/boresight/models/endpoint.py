"""A model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, transformers, a hosted one.

    teacher = Endpoint("http://localhost:8000/v1", "Qwen/Qwen3-32B", cache=Path("answers.sqlite"))
    teacher.generate([Request("Once upon a time", Sampling(max_new_tokens=20))])

Servers are busy, slow and sometimes broken: what may go better is tried again. Answers cost money: one that
was received is kept, and never asked for again.
"""

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from threading import local
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import httpx2

from boresight.errors import UserError
from boresight.models.address import OPENAI_KEY, OWN_KEY, headers_with, key_for, read_address, without
from boresight.models.cache import Answer, Cache, answer_key
from boresight.models.first_tokens import require_first_tokens, scored_by
from boresight.models.prices import Spending, Tokens
from boresight.models.requests import Asked, Generation, Options, Request, Scored
from boresight.models.wire import (
    BROKEN_OFF,
    FINISHED,
    NO_LOGPROBS,
    Dialect,
    Fault,
    body_of,
    most_tokens,
    path_of,
    read_response,
    shortened,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the second attempt, and before any; they double in between."""
BUDGET_PAUSE = 0.05
CONNECT_TIMEOUT = 20.0
NONE_TOLD = "no option is among the likeliest tokens"


Said = TypeVar("Said", Generation, Scored)


class EndpointError(Exception):
    """A request that got no answer, though others may.

    `status` is HTTP's, if there is one, and `reason` a short name to count by. `permanent`: the server
    understood the request, and would refuse it again.
    """

    def __init__(self, message: str, status: int | None = None, reason: str = "", permanent: bool = False):
        super().__init__(message)
        self.status, self.reason, self.permanent = status, reason, permanent


class _Session(NamedTuple):
    """What belongs to one event loop: connections, places in the queue, and what is being asked for."""

    loop: asyncio.AbstractEventLoop
    client: httpx2.AsyncClient
    places: asyncio.Semaphore
    asking: dict[bytes, "asyncio.Task[Answer]"]


class Endpoint:
    """A model that a server serves under `name`.

    Inside an event loop of one's own, `async with endpoint:` waits at the end for answers that nobody waits
    for any more, as they are paid for, and lets go of its connections.

    Args:
        url: the server's address, as `http://localhost:8000/v1`.
        key: the server's API key; else one of the environment, see `address.key_for`.
        cache: a file of answers already paid for, and of all that was charged.
        concurrency: most requests in flight in one event loop.
        retries: attempts after the first, with pauses of half a second to a minute, or as the server asks.
        timeout: seconds for one attempt, from connecting to the last byte.
        spending: counts, and may limit, what is spent.

    Attributes:
        faults: attempts that gave no answer, by reason.

    Raises:
        UserError: the URL is none, the key cannot be one, or the cache cannot be opened.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key: str | None = None,
        cache: Path | None = None,
        concurrency: int = 16,
        retries: int = 6,
        timeout: float = 600.0,
        spending: Spending | None = None,
    ):
        self.url, self.name = read_address(url), name
        self.concurrency, self.retries, self.timeout = concurrency, retries, timeout
        self.spending = spending or Spending()
        self.faults: Counter[str] = Counter()
        self._key = key_for(self.url, key)
        self._cache = Cache(cache) if cache else None
        self._dialect = Dialect()
        self._reached = False
        self._thread = local()

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.name!r})"

    def generate(
        self,
        requests: Sequence[Request],
        progress: Callable[[int], None] = lambda done: None,
        answered: Callable[[int, Generation], None] = lambda at, generation: None,
    ) -> list[Generation]:
        """An answer to each request, in their order; all are asked, even if one fails.

        `answered` is given those that came, whatever became of the others.

        Raises:
            EndpointError: some got no answer.
            UserError: the server cannot be used, or the budget is spent.
        """
        return _whole(self.outcomes(requests, progress, answered))

    def outcomes(
        self,
        requests: Sequence[Request],
        progress: Callable[[int], None] = lambda done: None,
        answered: Callable[[int, Generation], None] = lambda at, generation: None,
    ) -> list[Generation | EndpointError]:
        """An answer to each request, or why there is none; for use where no event loop runs.

        Raises:
            UserError: the server cannot be used, or the budget is spent. Requests in flight end first, so
                that what they cost is in the cache.
        """
        return asyncio.run(self._outcomes(requests, self.ask, progress, answered))

    def score(
        self,
        requests: Sequence[Options],
        progress: Callable[[int], None] = lambda done: None,
        scored: Callable[[int, Scored], None] = lambda at, found: None,
    ) -> list[Scored]:
        """How likely options of one token each are, by the likeliest first tokens that the server tells.

        One request a question, which the cache, retries and the budget treat as any other. An option is the
        token of the same text, or else the likeliest that differs in leading space alone. One that is not
        among those told is a bound, see `Scored`; `begins` is not sent.

        Raises:
            EndpointError: some got no answer, or one that tells of none of the options.
            UserError: an option is not one word; the server tells no log-probabilities, or cannot be used; or
                the budget is spent.
        """
        require_first_tokens(requests)
        return _whole(asyncio.run(self._outcomes(requests, self._score_one, progress, scored)))

    def cost(self, asked: Iterable[Asked]) -> dict[str, Any] | None:
        """Tokens and dollars that answers to these took in all attempts, earlier runs' among them; None if
        there is no cache, which knows of them."""
        if self._cache is None:
            return None
        keys = {answer_key(self.url, self.name, each) for each in asked}
        return self.spending.priced(self._cache.tokens(keys))

    async def _score_one(self, options: Options) -> Scored:
        answer = await self._answer(options)
        scored = scored_by([(token, p) for token, p in json.loads(answer.text)], options.continuations)
        if scored is None:
            self.faults[NONE_TOLD] += 1
            raise EndpointError(f"{self.url}: {NONE_TOLD}", 200, NONE_TOLD, permanent=True)
        return scored

    async def _outcomes(
        self,
        requests: Sequence[Any],
        ask: Callable[[Any], Awaitable[Said]],
        progress: Callable[[int], None],
        told: Callable[[int, Said], None],
    ) -> list[Said | EndpointError]:
        found: dict[int, Said | EndpointError] = {}
        queue = deque(enumerate(requests))

        async def work() -> None:
            while queue:
                at, request = queue.popleft()
                try:
                    try:
                        found[at] = said = await ask(request)
                        told(at, said)
                    except EndpointError as error:
                        found[at] = error
                    progress(1)
                except BaseException:
                    queue.clear()
                    raise

        async with self:
            workers = (work() for _ in range(min(self.concurrency, len(requests))))
            for failure in await asyncio.gather(*workers, return_exceptions=True):
                if failure is not None:
                    raise failure
        return [found[at] for at in range(len(requests))]

    async def ask(self, request: Request) -> Generation:
        """The answer to one request, from the cache if it is there.

        Equal requests at one time in one event loop are asked once.

        Raises:
            EndpointError: no attempt gave an answer, or the answer is not whole, as one cut by a filter.
            UserError: the server cannot be used, or the budget is spent.
        """
        return self._generation(await self._answer(request), request)

    async def _answer(self, asked: Asked) -> Answer:
        key = answer_key(self.url, self.name, asked)
        session = self._session()
        if self._cache and (answer := self._cache.get(key)):
            return self._saved(answer, asked)
        if task := session.asking.get(key):
            return self._saved(await asyncio.shield(task), asked)
        task = session.asking[key] = session.loop.create_task(self._pay(key, asked, session))
        task.add_done_callback(lambda task: _forget(session, key, task))
        # Whoever asked may go away; others may wait for the answer, and it is paid for.
        return await asyncio.shield(task)

    def _saved(self, answer: Answer, asked: Asked) -> Answer:
        self.spending.save(answer.used or most_tokens(asked))
        return answer

    async def _pay(self, key: bytes, asked: Asked, session: _Session) -> Answer:
        async with session.places:
            return await self._persist(key, asked, session.client)

    async def _persist(self, key: bytes, asked: Asked, client: httpx2.AsyncClient) -> Answer:
        pause = FIRST_PAUSE
        for attempt in range(self.retries + 1):
            outcome = await self._attempt(key, asked, client)
            if isinstance(outcome, Answer):
                return outcome
            self.faults[outcome.reason] += 1
            if not outcome.again or attempt == self.retries:
                raise self._error(outcome, asked, attempt + 1)
            # Spread out, so that requests refused together do not come back together.
            await asyncio.sleep(max(outcome.wait or 0.0, pause) * random.uniform(1.0, 1.5))
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("unreachable")

    async def _attempt(self, key: bytes, asked: Asked, client: httpx2.AsyncClient) -> Answer | Fault:
        """Ask once, within the budget; an answer is in the cache on return."""
        worst = most_tokens(asked)
        while not self.spending.reserve(worst):
            await asyncio.sleep(BUDGET_PAUSE)  # threads and loops may share the budget: no one can wake us
        outcome: Answer | Fault = Fault("not sent")
        number = 0
        try:
            number = self._cache.charge(key, worst) if self._cache else 0
            outcome = Fault("cancelled", charged=True)
            outcome = await self._negotiate(asked, client)
        finally:
            if isinstance(outcome, Answer) or outcome.charged:
                self.spending.pay(worst, outcome.used if isinstance(outcome, Answer) else None)
            else:
                self.spending.release(worst)
            if self._cache and number:
                _keep(self._cache, key, outcome, number, worst)
        return outcome

    async def _negotiate(self, asked: Asked, client: httpx2.AsyncClient) -> Answer | Fault:
        """Ask in another way where the server does not take the usual one, and remember what it took."""
        dialect, other = self._dialect, None
        outcome = await self._post(asked, client, dialect)
        while isinstance(outcome, Fault) and outcome.status == 400 and (other := dialect.after(outcome.said)):
            dialect = other
            outcome = await self._post(asked, client, dialect)
        if other and isinstance(outcome, Answer):
            self._dialect = dialect
        return outcome

    async def _post(self, asked: Asked, client: httpx2.AsyncClient, dialect: Dialect) -> Answer | Fault:
        content = json.dumps(body_of(asked, self.name, dialect))
        try:
            async with asyncio.timeout(self.timeout):
                response = await client.post(self.url + path_of(asked), content=content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            return Fault("no connection", str(error))
        except (TimeoutError, httpx2.TimeoutException):
            return Fault("timed out", charged=True)
        except httpx2.RequestError as error:
            return Fault("connection lost", str(error), charged=True)
        self._reached = True
        return read_response(response.status_code, response.headers, response.content, asked)

    def _generation(self, answer: Answer, request: Request) -> Generation:
        """The answer without the stop, should the server have left it in."""
        if answer.finish_reason in BROKEN_OFF:
            reason = answer.finish_reason.replace("_", " ")
            raise EndpointError(f"{self.url}: the answer is not whole: {reason}", 200, reason, permanent=True)
        text, finish_reason = answer.text, FINISHED[answer.finish_reason]
        places = [place for place in map(text.find, request.sampling.stop) if place >= 0]
        if places:
            text, finish_reason = text[: min(places)], "stop"
        return Generation(text, finish_reason, answer.prompt_tokens, answer.new_tokens)

    def _error(self, fault: Fault, asked: Asked, attempts: int) -> Exception:
        """What to raise of a fault: a `UserError` where every other request would meet the same."""
        said = shortened(without(self._key, fault.said), asked)
        tail = f" ({said})" if said else ""
        match fault.status:
            case 401 | 403:
                return UserError(
                    f"{self.url}: the server refuses the key, or there is none{tail}; set {OWN_KEY}, "
                    f"or {OPENAI_KEY} for a server behind https"
                )
            case 404:
                return UserError(
                    f"{self.url}{path_of(asked)}: not found{tail}; is it the address, which mostly ends in "
                    f"/v1, and does the server have the model {self.name!r}?"
                )
            case 402:
                return UserError(f"{self.url}: the account has nothing left{tail}")
            case status if status is not None and 300 <= status < 400:
                return UserError(f"{self.url}: the server is elsewhere (HTTP {status}); give that address")
            case 200 if fault.reason == NO_LOGPROBS:
                return UserError(
                    f"{self.url}: the server tells no log-probabilities; let it write the answers, or "
                    "score with a model in this process"
                )
            case None if fault.reason == "no connection" and not self._reached:
                return UserError(f"{self.url}: no server answers there{tail}, in {attempts} attempts")
        times = f", in {attempts} attempts" if attempts > 1 else ""
        message = f"{self.url}: {fault.reason}{tail}{times}"
        return EndpointError(message, fault.status, fault.reason, fault.permanent)

    def _session(self) -> _Session:
        """That of the running event loop; a thread runs one at a time."""
        loop = asyncio.get_running_loop()
        session: _Session | None = getattr(self._thread, "session", None)
        if session is None or session.loop is not loop:
            client = httpx2.AsyncClient(
                headers={"Content-Type": "application/json", **headers_with(self._key)},
                timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),  # an attempt has one of its own
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self.concurrency),
            )
            session = _Session(loop, client, asyncio.Semaphore(self.concurrency), {})
            self._thread.session = session
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session()
        del self._thread.session
        if not isinstance(error, asyncio.CancelledError):
            await asyncio.gather(*session.asking.values(), return_exceptions=True)
        await session.client.aclose()


def _whole(outcomes: "Sequence[Said | EndpointError]") -> list[Said]:
    """The answers, if all of them came."""
    if failed := [outcome for outcome in outcomes if isinstance(outcome, EndpointError)]:
        first = failed[0]
        raise EndpointError(
            f"{len(failed)} of {len(outcomes)} requests got no answer; the first: {first}",
            first.status,
            first.reason,
            first.permanent,
        )
    return [outcome for outcome in outcomes if not isinstance(outcome, EndpointError)]


def _forget(session: _Session, key: bytes, task: "asyncio.Task[Answer]") -> None:
    """Done: the next one finds the answer in the cache. Whoever asked may be gone, and its error unseen."""
    del session.asking[key]
    if not task.cancelled():
        task.exception()


def _keep(cache: Cache, key: bytes, outcome: Answer | Fault, number: int, worst: Tokens) -> None:
    """Write an attempt's answer down, and then what it took: killed in between, it counts at its worst."""
    if isinstance(outcome, Answer):
        cache.put(key, outcome)
        cache.settle(number, outcome.used or worst)
    else:
        cache.settle(number, worst if outcome.charged else None, outcome.reason)
