"""A model behind a server, over real HTTP: what is sent, what is tried again, and nothing paid for twice."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.errors import UserError
from boresight.models import endpoint as module
from boresight.models import wire
from boresight.models.cache import Cache
from boresight.models.endpoint import Endpoint, EndpointError
from boresight.models.load import POCKET
from boresight.models.local import LocalModel
from boresight.models.open import named, open_model, served_models
from boresight.models.prices import OverBudget, Price, Spending
from boresight.models.requests import Asked, Generation, Options, Request, Sampling, seed_of
from boresight.records import Message
from faulty_server import BROKEN, FAULTS, ODD_ANSWERS, REFUSED, FaultyServer, asked, at_first, at_random, echo

KEY = "sk-very-secret-0123456789"
SHORT = Sampling(max_new_tokens=16)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys from outside, and pauses of milliseconds."""
    for name in ("OPENAI_API_KEY", "BORESIGHT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(module, "BUDGET_PAUSE", 0.005)


def text(prompt: str, **changes: Any) -> Request:
    return Request(prompt, SHORT._replace(**changes))


def chat(content: str, draw: int = 0, **changes: Any) -> Request:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=content))
    return Request(messages, SHORT._replace(**changes), draw)


def one(server: FaultyServer, request: Request, **settings: Any) -> Generation:
    return Endpoint(server.url, "model", **settings).generate([request])[0]


# What is sent, and what is read


def test_a_text_is_continued_and_messages_are_answered() -> None:
    with FaultyServer() as server:
        found = Endpoint(server.url + "/", "model").generate([text("abc"), chat("xyz")])
    assert [g.text for g in found] == ["cba", "zyx"]
    assert all(g.finish_reason == "stop" and g.prompt_tokens and g.new_tokens == 0 for g in found)
    by_path = dict(zip(server.paths, server.bodies, strict=True))
    common = {"model": "model", "max_tokens": 16, "temperature": 0.0, "top_p": 1.0}
    assert by_path["/v1/completions"] == {**common, "prompt": "abc"}
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "xyz"}]
    assert by_path["/v1/chat/completions"] == {**common, "messages": said}


def test_sampling_goes_over_the_wire_and_draws_have_seeds_of_their_own() -> None:
    with FaultyServer() as server:
        requests = [
            chat("x", draw, seed=7, temperature=0.5, top_p=0.9, stop=("\n", "##")) for draw in range(20)
        ]
        Endpoint(server.url, "model").generate(requests)
    assert all((b["temperature"], b["top_p"], b["stop"]) == (0.5, 0.9, ["\n", "##"]) for b in server.bodies)
    seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == 20 and 7 in seeds


@given(st.integers(-(2**40), 2**40), st.sets(st.integers(0, 2**31 - 1), min_size=2, max_size=50))
def test_no_two_draws_share_a_seed(seed: int, draws: set[int]) -> None:
    seeds = {seed_of(seed, draw) for draw in draws}
    assert len(seeds) == len(draws) and all(0 <= each < 2**31 for each in seeds)


@pytest.mark.parametrize(
    ("said", "read"),
    [("stop", "stop"), (None, "stop"), ("eos_token", "stop"), ("length", "length"), ("max_tokens", "length")],
)
def test_ends_of_answers(said: str | None, read: str) -> None:
    with FaultyServer(finish_reason=said) as server:
        assert one(server, text("abc")).finish_reason == read


@pytest.mark.parametrize("said", ["content_filter", "tool_calls"])
def test_an_answer_that_is_not_whole_is_an_error_and_paid_for_once(said: str, tmp_path: Path) -> None:
    with FaultyServer(finish_reason=said) as server:
        for _ in range(2):
            with pytest.raises(EndpointError, match="not whole") as refusal:
                one(server, text("abc"), cache=tmp_path / "c")
            assert refusal.value.permanent and refusal.value.reason == said.replace("_", " ")
    assert len(server.bodies) == 1


def test_a_stop_that_the_server_left_in_is_cut() -> None:
    with FaultyServer(answer=lambda body: "one\nUser: two\n##", finish_reason="length") as server:
        assert one(server, text("a", stop=("##", "\nUser:")))[:2] == ("one", "stop")
        assert one(server, text("a", stop=("none",)))[:2] == ("one\nUser: two\n##", "length")


@pytest.mark.parametrize("said", ["", "\x00\x1b[31m", "\ud800 half", "😀" * 100, "</script>\u2028", " a "])
def test_whatever_a_model_writes_can_be_written_and_comes_back_the_same(said: str, tmp_path: Path) -> None:
    with FaultyServer(answer=lambda body: said) as server:
        found = [one(server, chat("a \udc00 b"), cache=tmp_path / "c") for _ in range(2)]
    assert found[0] == found[1] and len(server.bodies) == 1
    assert found[0].text.encode() == said.encode("utf-8", "replace").replace(b"?", "\ufffd".encode())


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_a_server_that_wants_max_completion_tokens_is_found_out_once(path: str) -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with FaultyServer(refuse={"max_tokens": words}) as server:
        endpoint = Endpoint(server.url, "model", concurrency=1)
        assert [g.text for g in endpoint.generate([chat("ab"), chat("cd"), chat("ef")])] == ["ba", "dc", "fe"]
        names = [[n for n in body if n.startswith("max")] for body in server.bodies]
    assert names == [["max_tokens"]] + [["max_completion_tokens"]] * 3


def test_a_400_that_only_names_the_limit_stays_a_400() -> None:
    words = "'max_tokens' or 'max_completion_tokens' is too large: 16"
    with FaultyServer(refuse={"max_tokens": words, "max_completion_tokens": words}) as server:
        with pytest.raises(EndpointError, match="too large") as refusal:
            one(server, chat("ab"))
        assert refusal.value.status == 400 and len(server.bodies) == 2


@pytest.mark.parametrize("said", ["Unrecognized request argument: seed", "max_completion_tokens, no seed"])
def test_a_server_that_knows_no_seed_is_asked_without_and_found_out_once(said: str) -> None:
    names = ("max_tokens", "seed") if "max" in said else ("seed",)
    with FaultyServer(refuse=dict.fromkeys(names, said)) as server:
        endpoint = Endpoint(server.url, "model", concurrency=1)
        found = endpoint.generate([chat("ab", seed=1), chat("cd", seed=1), chat("ef")])
    assert [g.text for g in found] == ["ba", "dc", "fe"]
    assert ["seed" in body for body in server.bodies] == [True] * len(names) + [False] * 3


# What is tried again


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_ends_in_an_answer(fault: str) -> None:
    with FaultyServer(faults=at_first(fault), hang=0.4) as server:
        endpoint = Endpoint(server.url, "model", timeout=0.2 if fault in ("hang", "drip") else 5)
        answer = endpoint.generate([chat("abc")])[0]
    usual = fault not in ODD_ANSWERS or fault == "drip"
    assert answer.text == ("" if fault == "null content" else "cba")
    assert (answer.prompt_tokens is None) == (fault == "no usage")
    assert len(server.bodies) == 1 + usual and endpoint.faults.total() == usual


@pytest.mark.parametrize("fault", [*REFUSED, *BROKEN])
def test_when_no_attempt_is_left_the_item_fails_alone(fault: str) -> None:
    def for_b(body: dict[str, Any], before: int) -> str | None:
        return fault if body["prompt"] == "b" else None

    with FaultyServer(faults=for_b, wait="0", hang=0.4) as server:
        endpoint = Endpoint(server.url, "model", retries=2, timeout=0.2 if fault == "hang" else 5)
        outcomes = endpoint.outcomes([text("a"), text("b"), text("c")])
        assert [type(outcome) for outcome in outcomes] == [Generation, EndpointError, Generation]
        assert sum(body["prompt"] == "b" for body in server.bodies) == 3
        assert endpoint.faults.total() == 3
        assert isinstance(outcomes[1], EndpointError) and "in 3 attempts" in str(outcomes[1])
        assert not outcomes[1].permanent and outcomes[1].reason in endpoint.faults
        assert outcomes[1].status in (
            REFUSED.get(fault, 200),
            None if fault in ("hang", "reset", "cut") else 0,
        )
        with pytest.raises(EndpointError, match="1 of 3 requests got no answer; the first: http://127"):
            endpoint.generate([text("a"), text("b"), text("c")])


class Script:
    """A server that says one thing, byte for byte."""

    def __init__(self, status: int, content: bytes, *headers: str):
        self.head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n"
        self.content, self.headers, self.count = content, headers, 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        await reader.readuntil(b"\r\n\r\n")
        extra = "".join(f"{header}\r\n" for header in self.headers)
        writer.write(f"{self.head}{extra}\r\n".encode() + self.content)
        await writer.drain()
        writer.close()


def against(script: Script, request: Request, **settings: Any) -> Generation:
    async def ask() -> Generation:
        server = await asyncio.start_server(script, "127.0.0.1", 0)
        async with server, Endpoint(f"http://127.0.0.1:{port(server)}/v1", "model", **settings) as endpoint:
            return await endpoint.ask(request)

    return asyncio.run(ask())


def port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("status", "content", "raised", "said"),
    [
        (400, b'{"error": {"message": "too long"}}', EndpointError, r"HTTP 400 \(too long\)"),
        (422, b'{"detail": [{"loc": ["body", "n"], "msg": "bad", "input": "P"}]}', EndpointError, "bad"),
        (400, b'{"object": "error", "message": "flat"}', EndpointError, "flat"),
        (413, b"<html>" * 999, EndpointError, "HTTP 413$"),
        (401, b'{"error": "no"}', UserError, "refuses the key.*BORESIGHT_API_KEY"),
        (403, b"", UserError, "refuses the key"),
        (402, b"", UserError, "nothing left"),
        (404, b'{"detail": "Not Found"}', UserError, r"/v1/completions: not found.*ends in /v1.*'model'"),
        (429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}', UserError, "left .pay"),
        (307, b"", UserError, "elsewhere"),
    ],
)  # fmt: skip
def test_what_will_not_go_better_is_not_tried_again(
    status: int, content: bytes, raised: type[Exception], said: str
) -> None:
    script = Script(status, content, "Location: http://elsewhere.example/v1")
    with pytest.raises(raised, match=said) as error:
        against(script, text("P"))
    assert script.count == 1 and "127.0.0.1" in str(error.value) and "\n" not in str(error.value)
    assert error.type is raised
    assert not isinstance(error.value, EndpointError) or (
        error.value.permanent and error.value.reason == f"HTTP {status}"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b"null", b"[]", b'"x"', b"7", b"\xff\xfe", b'{"choices": 3}', b'{"choices": [3]}',
        b'{"choices": ["message"]}', b'{"choices": [{}]}', b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {}}]}', b'{"choices": [{"text": 3}]}', b'{"choices": [{"text": ["a"]}]}',
        b'{"choices": [{"text": "a", "finish_reason": {}}]}',
        b'{"choices": [{"text": "a", "finish_reason": "x"}]}',
        b'{"choices": {"0": {"text": "a"}}}', b'{"error": {"message": "in a 200"}}',
    ],
)  # fmt: skip
def test_bodies_that_are_no_answers_are_faults_never_defects(content: bytes) -> None:
    script = Script(200, content)
    with pytest.raises(EndpointError, match="in 2 attempts"):
        against(script, text("P"), retries=1)
    assert script.count == 2


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["choices", "message", "content", "text", "usage", "finish_reason", "error", "detail", "model", "logprobs", "top_logprobs"]), inner)), st.sampled_from([text("P"), Options("P", ("A",))]))  # fmt: skip  # noqa: E501
def test_no_json_whatever_breaks_the_reading(found: Any, asked: Asked) -> None:
    content = json.dumps(found).encode()
    assert isinstance(wire.server_message(content), str)
    try:
        answer = wire.read_answer(content, asked)
    except wire.Malformed:
        return
    assert isinstance(answer.text, str) and answer.finish_reason in (*wire.FINISHED, *wire.BROKEN_OFF)


@pytest.mark.parametrize(
    "usage", [None, [], {"prompt_tokens": "12"}, {"prompt_tokens": -1}, {"prompt_tokens": 2.5}]
)
def test_an_answer_with_an_odd_usage_is_an_answer(usage: Any) -> None:
    content = json.dumps({"choices": [{"text": "a", "finish_reason": "stop"}], "usage": usage}).encode()
    assert against(Script(200, content), text("P")) == ("a", "stop", None, None, ())


def test_retry_after_is_honoured_in_seconds_and_as_a_date() -> None:
    for form in ("0.4", "date"):
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)  # to the second
        with FaultyServer(faults=at_first("429 wait"), wait=soon if form == "date" else form) as server:
            start = time.monotonic()
            assert one(server, text("abc")).text == "cba"
            assert time.monotonic() - start >= (1.0 if form == "date" else 0.4)


@given(st.one_of(st.text(max_size=40), st.sampled_from(["inf", "nan", "-3", "1e400", "Wed, 99 Foo 2026"])))
def test_no_header_whatever_breaks_the_wait(value: str) -> None:
    wait = wire.retry_after({"retry-after": value})
    assert wait is None or wait >= 0


def test_a_server_that_wants_hours_is_not_waited_for() -> None:
    with FaultyServer(faults=at_first("429 wait"), wait="7200") as server:
        with pytest.raises(EndpointError, match="HTTP 429") as refusal:
            one(server, text("abc"))
        assert refusal.value.status == 429 and len(server.bodies) == 1


def test_pauses_double_up_to_a_limit_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 4.0)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    with FaultyServer(faults=at_first(*["500"] * 6)) as server:
        assert one(server, text("abc")).text == "cba"
    assert len(pauses) == 6
    for pause, least in zip(pauses, (0.5, 1, 2, 4, 4, 4), strict=True):
        assert least <= pause <= 1.5 * least
    assert len({pause / least for pause, least in zip(pauses, (0.5, 1, 2, 4, 4, 4), strict=True)}) == 6


def test_a_server_that_is_not_there_is_the_users_mistake() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(UserError, match=f"{url}: no server answers there.*in 3 attempts"):
            Endpoint(url, "m", retries=2).generate([text("a")] * 50)
        with pytest.raises(UserError, match="no server answers there"):
            named(url)


def test_a_server_that_goes_away_is_a_fault() -> None:
    with FaultyServer() as server:
        endpoint = Endpoint(server.url, "model", retries=1)
        endpoint.generate([text("a")])
    with pytest.raises(EndpointError, match="no connection"):
        endpoint.generate([text("b")])


# Many


def test_results_are_in_order_and_never_more_at_once_than_asked_for() -> None:
    requests = [text(f"request {i}") for i in range(200)]
    done: list[int] = []
    with FaultyServer(faults=at_random(0.2, 3, ("429", "500", "cut")), delay=0.004) as server:
        found = Endpoint(server.url, "model", concurrency=7, retries=20).generate(requests, done.append)
    assert [g.text for g in found] == [echo({"prompt": r.prompt}) for r in requests]
    assert server.most_at_once == 7
    assert done == [1] * 200


def test_ask_holds_to_the_limit_too() -> None:
    async def ask(endpoint: Endpoint) -> list[Generation]:
        async with endpoint:
            return await asyncio.gather(*(endpoint.ask(text(f"r {i}")) for i in range(60)))

    with FaultyServer(delay=0.01) as server:
        endpoint = Endpoint(server.url, "model", concurrency=5)
        for _ in range(2):  # an endpoint outlives an event loop
            found = asyncio.run(ask(endpoint))
    assert [g.text for g in found] == [f"r {i}"[::-1] for i in range(60)]
    assert server.most_at_once == 5


def test_equal_requests_at_one_time_are_asked_once() -> None:
    with FaultyServer(delay=0.05) as server:
        endpoint = Endpoint(server.url, "model", spending=Spending(Price(1, 1)))
        found = endpoint.generate([chat("same")] * 10 + [chat("same", draw=1)])
    assert len(set(found)) == 1 and len(server.bodies) == 2
    assert (endpoint.spending.requests_paid, endpoint.spending.requests_saved) == (2, 9)


def test_one_who_stops_waiting_takes_the_answer_from_nobody(tmp_path: Path) -> None:
    async def run(url: str) -> Generation:
        async with Endpoint(url, "model", cache=tmp_path / "c") as endpoint:
            first, second = (asyncio.create_task(endpoint.ask(text("abc"))) for _ in range(2))
            await asyncio.sleep(0.1)
            alone = asyncio.create_task(endpoint.ask(text("alone")))  # ends after the others
            await asyncio.sleep(0.05)
            first.cancel()
            alone.cancel()
            return await second

    with FaultyServer(delay=0.2) as server:
        assert asyncio.run(run(server.url)).text == "cba"
        assert one(server, text("alone"), cache=tmp_path / "c").text == "enola"  # it was paid for, and kept
    assert len(server.bodies) == 2


# The cache, and money


def test_what_is_in_the_cache_is_not_asked_again(tmp_path: Path) -> None:
    requests = [chat(f"q {i}") for i in range(20)] + [text("t", stop=("x",))]
    with FaultyServer() as server:
        first = Endpoint(server.url, "model", cache=tmp_path / "c").generate(requests)
        spending = Spending(Price(1, 1), limit=0.0)  # free is within any budget
        endpoint = Endpoint(server.url, "model", cache=tmp_path / "c", spending=spending)
        assert endpoint.generate(requests) == first
        assert len(server.bodies) == 21
        assert (spending.requests_paid, spending.requests_saved) == (0, 21) and sum(spending.saved) > 0
        Endpoint(server.url, "other", cache=tmp_path / "c").generate(requests[:1])
        assert len(server.bodies) == 22


CLIENT = """
import sys
from pathlib import Path
from boresight.models import endpoint as module
from boresight.models.requests import Request, Sampling, seed_of
module.FIRST_PAUSE, module.LONGEST_PAUSE = 0.01, 0.05
endpoint = module.Endpoint(sys.argv[1], "m", cache=Path(sys.argv[2]), concurrency=4, retries=50, timeout=1)
requests = [Request(f"request {i}", Sampling(16)) for i in range(int(sys.argv[3]))]
found = endpoint.generate(requests, lambda done: print(flush=True))
assert [g.text for g in found] == [r.prompt[::-1] for r in requests], found
"""


def test_killed_twice_and_resumed_nothing_is_paid_twice(tmp_path: Path) -> None:
    count, kills = 150, 0
    kinds = ("429", "500", "503", "reset", "cut", "not JSON", "empty", "html", "no choices", "hang")
    with FaultyServer(faults=at_random(0.2, 5, kinds), delay=0.01, hang=1.2) as server:
        command = [sys.executable, "-c", CLIENT, server.url, str(tmp_path / "c"), str(count)]
        for lines in (30, 80, None):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stdout is not None and process.stderr is not None
            if lines is None:
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors.decode()
                break
            for _ in range(lines):
                assert process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
            process.stdout.close()
            process.stderr.close()
        again = subprocess.run(command, capture_output=True, check=True)
    assert kills == 2 and len(again.stdout) == count
    assert len(server.paid) == count  # nothing lost
    # Answers on their way when the client was killed never reached it: at most one a connection.
    assert sum(server.paid.values()) - count <= 2 * 4


def test_spending_is_what_the_server_says_and_the_worst_case_where_it_does_not() -> None:
    request = text("a prompt of some length")
    worst = wire.most_tokens(request)
    for fault, count in (("no usage", 1), ("not JSON", 2), ("500", 1), (None, 1)):
        with FaultyServer(faults=at_first(fault)) as server:
            spending = Spending(Price(3, 5))
            answer = one(server, request, spending=spending)
        assert spending.requests_paid == count
        assert spending.estimated == (fault in ("no usage", "not JSON"))
        told = (answer.prompt_tokens or 0, answer.new_tokens or 0)
        expected = {"no usage": worst, "not JSON": (worst.prompt + told[0], worst.new + told[1])}
        assert spending.paid == expected.get(str(fault), told)


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_what_an_attempt_is_charged_is_in_the_file_before_the_next(fault: str, tmp_path: Path) -> None:
    with FaultyServer(faults=at_first(fault), hang=0.4, wait="0") as server:
        timeout = 0.2 if fault in ("hang", "drip") else 5
        spending = Spending()
        with contextlib.suppress(EndpointError):
            settings = {"cache": tmp_path / "c", "spending": spending, "retries": 0, "timeout": timeout}
            one(server, text("a prompt"), **settings)
        charged = Cache(tmp_path / "c").tokens()
        assert charged == spending.paid and (charged == (0, 0)) == (fault in REFUSED)
        one(server, text("a prompt"), cache=tmp_path / "c", spending=spending)
        assert Cache(tmp_path / "c").tokens() == spending.paid


def test_who_is_killed_has_paid_for_what_was_in_flight_at_its_worst(tmp_path: Path) -> None:
    with FaultyServer(delay=30) as server:
        command = [sys.executable, "-c", CLIENT, server.url, str(tmp_path / "c"), "9"]
        process = subprocess.Popen(command)
        while len(server.bodies) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    worst = wire.most_tokens(text("request 0"))
    assert Cache(tmp_path / "c").tokens() == (4 * worst.prompt, 4 * worst.new)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_the_worst_case_is_no_less_than_any_tokenizer_counts(prompt: str) -> None:
    assert wire.most_tokens(text(prompt)).prompt >= len(
        prompt.encode()
    )  # a byte-level token is a byte or more
    assert wire.most_tokens(chat(prompt)).new == 16


def test_the_budget_ends_a_run_before_it_is_overspent_and_the_same_command_goes_on(tmp_path: Path) -> None:
    requests = [text(f"request {i:3}") for i in range(60)]
    found: list[Generation] = []
    stops = 0
    with FaultyServer(delay=0.005) as server:
        while not found and stops < 20:
            spending = Spending(Price(1e6, 1e6), limit=700.0)  # a dollar a token
            endpoint = Endpoint(server.url, "model", cache=tmp_path / "c", spending=spending)
            try:
                found = endpoint.generate(requests)
            except OverBudget as error:
                assert re.search(r"\$6\d\d\.\d* of \$700\.0000 are spent", str(error))
                stops += 1
            assert 0 < sum(spending.paid) <= 700
    assert [g.text for g in found] == [str(r.prompt)[::-1] for r in requests]
    assert stops >= 2 and set(server.paid.values()) == {1}


def test_a_budget_for_one_request_at_a_time_is_enough_for_all_while_it_lasts() -> None:
    requests = [text(f"request {i:3}") for i in range(10)]
    limit = sum(wire.most_tokens(requests[0])) + 10 * 40  # the worst case of one, and what ten take
    with FaultyServer(delay=0.01) as server:
        spending = Spending(Price(1e6, 1e6), limit=float(limit))
        assert len(Endpoint(server.url, "model", spending=spending).generate(requests)) == 10
        assert 0 < sum(spending.paid) <= limit


# Secrets, and names


def every_text_of(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), "".join(traceback.format_exception(error)))
        error = error.__cause__ or error.__context__


def test_keys_show_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException] = []
    with FaultyServer(key=KEY, faults=at_first("500", "reset", "cut")) as server:
        right = Endpoint(server.url, "model", key=KEY, cache=tmp_path / "c")
        right.generate([text("a"), chat("b")])
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
        wrong = Endpoint(server.url, "model", key=KEY + "x", retries=0)
        for broken in (wrong, Endpoint("http://127.0.0.1:9/v1", "model", key=KEY, retries=0)):
            with pytest.raises(UserError) as refusal:
                broken.generate([text("c")])
            errors.append(refusal.value)
        assert "Incorrect API key provided: Bearer ***" in str(errors[0])
    for bad in (f"{KEY}\n{KEY}", f"{KEY} ", f"{KEY}…"):
        if bad.strip() != KEY:
            with pytest.raises(UserError, match="characters that no key has") as refusal:
                Endpoint("http://localhost/v1", "m", key=bad)
            errors.append(refusal.value)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    shown = [text for error in errors for text in every_text_of(error)]
    shown += [repr(right), str(vars(right)), repr(vars(right)), caplog.text, *capfd.readouterr()]
    assert caplog.text and not any(KEY in text for text in shown) and KEY.encode() not in kept


def test_the_key_for_openai_is_not_sent_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer() as server:
        one(server, text("a"))
        assert "Authorization" not in server.headers[0]
        monkeypatch.setenv("BORESIGHT_API_KEY", "local-key\n")
        one(server, text("a"))
        assert server.headers[1]["Authorization"] == "Bearer local-key"
    assert "local-key" not in str(vars(Endpoint("https://api.example.com/v1", "m")))
    monkeypatch.delenv("BORESIGHT_API_KEY")
    assert Endpoint("https://api.example.com/v1", "m")._key.get_secret_value() == KEY


def test_a_server_that_repeats_the_prompt_does_not_get_it_into_the_error() -> None:
    prompt = "the very private document " * 5
    content = json.dumps(
        {"error": {"message": f"cannot read\n{prompt} as\x1b[31m it is " + "x" * 999}}
    ).encode()
    with pytest.raises(EndpointError) as error:
        against(Script(400, content), text(prompt))
    assert "private" not in str(error.value) and len(str(error.value)) < 300
    assert "cannot read … as" in str(error.value) and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("HTTP://LocalHost:8000/v1//", "http://localhost:8000/v1"),
        ("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000/v1"),
        ("https://host.example/openai/V1/completions/", "https://host.example/openai/V1"),
        ("http://host", "http://host"),
        ("http://host./v1", "http://host./v1"),
        ("http://käse.example/v1", "http://käse.example/v1"),
    ],
)
def test_addresses_have_one_form(url: str, address: str) -> None:
    assert named(f"{url}#org/name#1") == (address, "org/name#1")
    assert Endpoint(url, "m").url == address


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@host/v1", f"http://{KEY}@host/v1", f"http://host/v1?api-key={KEY}",
        f"http://user:{KEY}@host:port/v1", f"ftp://u:{KEY}@host/", f"http://[u:{KEY}@/v1", f"http://u:a@{KEY}@h/",
        f"http://host/v 1?{KEY}", f"http://u:{KEY}/@host/v1\n", "http://", "http:///v1", "http://host:99999/v1",
        "http://a..b/v1", f"http://{'a' * 70}/v1", "http://é\u200b.com/v1", "http://host/\x01",
    ],
)  # fmt: skip
def test_a_url_with_a_secret_or_that_is_none_is_refused_without_showing_it(url: str) -> None:
    for make in (lambda: open_model(url + "#m"), lambda: Endpoint(url, "m")):
        with pytest.raises(UserError, match=r"http|ftp") as refusal:
            make()
        assert not any(KEY in shown for shown in every_text_of(refusal.value))


def test_a_model_is_named_by_its_server_if_it_is_the_only_one() -> None:
    with FaultyServer(models=("the one",)) as server:
        model = open_model(server.url)
        assert isinstance(model, Endpoint) and model.name == "the one"
        assert model.generate([text("abc")])[0].text == "cba"
        assert open_model(f"{server.url}/#mine").name == "mine"
        with pytest.raises(UserError, match=r"/models: HTTP 404.*ends in /v1.*#NAME"):
            open_model(server.url.removesuffix("/v1"))
    with FaultyServer(models=tuple(f"m{i}" for i in range(30))) as server:
        assert len(served_models(server.url)) == 30
        with pytest.raises(
            UserError, match=r"has 30 models \(m0, m1, .*, …\); name one, as http://.*/v1#NAME"
        ):
            open_model(server.url)
    with FaultyServer(models=()) as server, pytest.raises(UserError, match="has no model"):
        open_model(server.url)


def test_a_wrong_name_or_address_says_what_to_do() -> None:
    with FaultyServer() as server:
        wrong = server.url.removesuffix("/v1")
        with pytest.raises(UserError, match=rf"{wrong}/completions: not found \(Not Found\).*/v1.*'model'"):
            Endpoint(wrong, "model").generate([text("a")])


def test_what_is_no_url_is_a_model_in_this_process() -> None:
    with pytest.raises(UserError, match="no such model directory"):
        open_model("/nowhere/at/all")


# Servers of others


@pytest.mark.slow
def test_a_server_of_transformers_answers_as_the_model_in_this_process_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    requests = [text("The old harbour"), text("Once upon a time"), text("Once", stop=(" page",))]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(POCKET)]
    with (tmp_path / "log").open("w") as log:
        as_here = ("--port", str(port), "--device", "cpu", "--dtype", "float32")
        process = subprocess.Popen([*command, *as_here], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while "running on" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline and process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        endpoint = open_model(f"http://127.0.0.1:{port}/v1#{POCKET}", concurrency=2)
        assert endpoint.generate(requests) == LocalModel("pocket").generate(requests)
        assert isinstance(endpoint, Endpoint) and not endpoint.faults
    finally:
        process.terminate()
        process.wait()


# The server itself


def test_the_faulty_server_counts_whole_answers_only() -> None:
    with FaultyServer(faults=at_first(*BROKEN[1:], "no usage"), hang=0.1) as server:
        one(server, text("a"), retries=20)
    assert server.paid == {asked(server.bodies[0]): 1} and len(server.bodies) == len(BROKEN)
