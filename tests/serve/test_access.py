"""Keys, hosts, sizes, origins, paths: every refusal in one shape, and nothing told to whom it is not for."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from live_server import Live, chat, in_process
from openai import OpenAI

from boresight.errors import UserError
from boresight.incontext.alignment import Alignment
from boresight.models.local import LocalModel
from boresight.serve.app import Access
from boresight.serve.listening import SERVER_KEY, allowed_hosts, bind, read_keys
from boresight.serve.start import open_alignments, open_base

BODY = {"model": "pocket+terse", "messages": [{"role": "user", "content": "Boats?"}], "max_tokens": 2}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def locked(pocket: LocalModel, alignments: dict[str, Alignment]) -> Iterator[Live]:
    access = Access(("first-key", "second-key"), (), ("https://page.example",), most_body=5000)
    with in_process(pocket, alignments, access=access, show=True) as running:
        yield running


def assert_error(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == code
    return error


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_each_key_opens(locked: Live, key: str) -> None:
    with OpenAI(base_url=f"{locked.url}/v1/", api_key=key, max_retries=0) as client:
        assert client.chat.completions.create(**BODY).choices  # type: ignore[arg-type]


def test_a_wrong_key_does_not(locked: Live) -> None:
    with chat(locked.url) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    wrong = ["", "Bearer", "Bearer first-ke", "Bearer first-key2", "Basic first-key", "first-key",
             "Bearer first-key second-key", b"Bearer \xff\xfe"]  # fmt: skip
    for value in wrong:
        for method, path in (
            ("POST", CHAT),
            ("GET", "/v1/models"),
            ("GET", "/v1/ica/retrieve"),
            ("PUT", "/v1/x"),
        ):
            response = httpx.request(method, locked.url + path, headers={"Authorization": value}, json=BODY)
            error = assert_error(response, 401, "invalid_api_key")
            assert "key" not in error["message"].replace("API key", "")


def test_health_metrics_and_page_need_no_key_and_tell_nothing(locked: Live) -> None:
    assert httpx.get(f"{locked.url}/health").json() == {"status": "ok"}
    page = httpx.get(f"{locked.url}/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "key" not in page.text and "Boats" not in page.text


def test_bodies_that_are_too_large(locked: Live) -> None:
    headers = {"Authorization": "Bearer first-key", "Content-Type": "application/json"}
    large = json.dumps(BODY | {"made_up": "x" * 9000}).encode()
    assert_error(httpx.post(locked.url + CHAT, content=large, headers=headers), 413, "body_too_large")

    def pieces() -> Iterator[bytes]:
        yield from (large[i : i + 1000] for i in range(0, len(large), 1000))

    assert_error(httpx.post(locked.url + CHAT, content=pieces(), headers=headers), 413, "body_too_large")
    # 50 MB, far beyond what sockets hold: the client can send it all, and is told.
    assert_error(
        httpx.post(locked.url + CHAT, content=b"x" * 50_000_000, headers=headers), 413, "body_too_large"
    )
    with OpenAI(base_url=f"{locked.url}/v1", api_key="first-key", max_retries=0) as client:
        assert client.chat.completions.create(**BODY).choices  # type: ignore[arg-type]


def test_a_body_that_does_not_end_is_not_waited_for(locked: Live) -> None:
    host, port = locked.url.removeprefix("http://").split(":")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer first-key\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + b"Content-Length: 99999999\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "application/json", "invalid_value"),
        (b"{", "application/json", "invalid_json"),
        (b"[]", "application/json", "invalid_value"),
        (b"null", "application/json", "invalid_value"),
        (b"\xff\xfe", "application/json", "invalid_json"),
        (b'{"a": NaN}', "application/json", "invalid_value"),
        (b"[" * 4000, "application/json", "invalid_value"),
        (b'{"a": ' + b"9" * 4800 + b"}", "application/json", "invalid_value"),
        (json.dumps(BODY).encode(), "text/plain", "invalid_value"),
        (json.dumps(BODY).encode(), "application/x-www-form-urlencoded", "invalid_value"),
        (json.dumps(BODY | {"model": "\ud800"}).encode(), "application/json", "invalid_value"),
        (json.dumps(BODY | {"x_ica": {"\ud800": 1}}).encode(), "application/json", "invalid_value"),
        (json.dumps(BODY | {"temperature": float("inf")}).encode(), "application/json", "invalid_value"),
        (json.dumps(BODY | {"seed": 2**64}).encode(), "application/json", "invalid_value"),
    ],
)  # fmt: skip
def test_malformed_bodies(locked: Live, body: bytes, kind: str, code: str) -> None:
    headers = {"Authorization": "Bearer first-key", "Content-Type": kind}
    assert_error(httpx.post(locked.url + CHAT, content=body, headers=headers), 400, code)


def test_paths_and_methods(locked: Live) -> None:
    headers = {"Authorization": "Bearer first-key"}
    assert_error(httpx.get(f"{locked.url}/v1/nothing", headers=headers), 404, "not_found")
    assert_error(httpx.get(f"{locked.url}/nothing"), 404, "not_found")
    assert_error(httpx.get(f"{locked.url}/page/../service.py"), 404, "not_found")
    assert_error(httpx.get(f"{locked.url}{CHAT}", headers=headers), 405, "method_not_allowed")
    assert_error(httpx.post(f"{locked.url}/health"), 405, "method_not_allowed")


def test_pages_of_allowed_origins_may_ask(locked: Live) -> None:
    def ask(origin: str) -> httpx.Response:
        preflight = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        return httpx.options(locked.url + CHAT, headers={"Origin": origin, **preflight})

    assert ask("https://page.example").headers["access-control-allow-origin"] == "https://page.example"
    assert "access-control-allow-origin" not in ask("https://other.example").headers
    refused = httpx.get(f"{locked.url}/v1/models", headers={"Origin": "https://page.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://page.example"


def test_every_answer_says_what_browsers_may_do_with_it(locked: Live) -> None:
    for path in ("/health", "/v1/models", "/nothing"):
        headers = httpx.get(locked.url + path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_names_of_other_machines_are_refused(pocket: LocalModel) -> None:
    hosts = allowed_hosts("127.0.0.1", (), no_key=False)
    with in_process(pocket, {}, access=Access(hosts=hosts)) as running:
        port = running.url.rpartition(":")[2]
        for host, status in (
            (f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("localhost", 200),
            (f"[::1]:{port}", 200),
            (f"evil.example:{port}", 400), ("evil.example", 400), ("", 400), ("localhost.evil.example", 400),
        ):  # fmt: skip
            assert httpx.get(f"{running.url}/v1/models", headers={"Host": host}).status_code == status


def test_demonstrations_are_told_if_the_server_was_told_to(locked: Live) -> None:
    asked = BODY | {"x_ica": {"provenance": True}}
    made = httpx.post(locked.url + CHAT, json=asked, headers={"Authorization": "Bearer first-key"}).json()
    for shown in made["x_ica"]["demonstrations"]:
        topic = shown["id"].removeprefix("terse-")
        assert shown["messages"] == [
            {"role": "user", "content": f"What about {topic}?"},
            {"role": "assistant", "content": f"TERSE on {topic}."},
        ]


def test_others_are_let_in_by_key_or_by_word_only() -> None:
    with pytest.raises(UserError, match="--no-key"):
        allowed_hosts("0.0.0.0", (), no_key=False)
    assert allowed_hosts("0.0.0.0", ("key",), no_key=False) == ()
    assert allowed_hosts("::", (), no_key=True) == ()
    assert "localhost" in allowed_hosts("::1", (), no_key=False)


def test_keys_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVER_KEY, raising=False)
    path = tmp_path / "keys"
    path.write_text("one\n\n  two \n")
    assert read_keys(path) == ["one", "two"] and read_keys(None) == []
    monkeypatch.setenv(SERVER_KEY, "three")
    assert read_keys(path) == ["three", "one", "two"]
    path.write_text("\n \n")
    for wrong in (path, tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match=str(wrong)):
            read_keys(wrong)


def test_a_port_is_taken_while_models_load_and_who_comes_waits() -> None:
    with bind("127.0.0.1", 0) as first:
        with pytest.raises(UserError, match="--port"):
            bind("127.0.0.1", first.getsockname()[1])
        socket.create_connection(first.getsockname(), timeout=5).close()


def test_what_cannot_be_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="--port"):
        bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match="cannot listen at"):
        bind("no.such.host.example", 0)
    for wrong in ("helpful", "=pool", "helpful=", "two words=pool"):
        with pytest.raises(UserError, match="NAME=POOL"):
            open_alignments([wrong], "default", [], "pocket", lambda done: None)
    with pytest.raises(UserError, match="there is a urial already"):
        open_alignments(["urial=urial", "urial=urial"], "default", [], "pocket", lambda done: None)
    with pytest.raises(UserError, match="--tokenizer"):
        open_base("http://127.0.0.1:9/v1#base", None, None, None, 1.0)
    with pytest.raises(UserError, match="in this process"):
        open_base("pocket", "pocket", None, None, 1.0)


def test_names_and_contexts() -> None:
    base, _, of = open_base("http://127.0.0.1:9/v1#org/Base-7b", "pocket", 512, None, 1.0)
    assert (base.id, base.context, of) == ("Base-7b", 512, "pocket")
    base, _, of = open_base("http://127.0.0.1:9/v1#base", "pocket", 4096, "mine", 1.0)
    assert (base.id, base.context, of) == ("mine", 4096, "pocket")
    for asked, context in ((None, 4096), (512, 512), (8192, 4096)):
        assert open_base("pocket", None, asked, None, 1.0)[0].context == context
