"""The official client and curl, against the pocket model in process and before a stub."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from live_server import TOPICS, Behind, Live, chat
from openai import OpenAI
from upstream_stub import DONE, Reply, event, stream

from boresight.incontext.alignment import Alignment
from boresight.models.local import LocalModel
from boresight.models.requests import Request, Sampling
from boresight.records import Message

ASK = [{"role": "user", "content": "Tell me about bridges, please."}]


def greedy(pocket: LocalModel, alignment: Alignment, new: int, messages: Any = ASK) -> tuple[str, str]:
    """The answer by way of the library, and the prompt."""
    prompt = alignment.prompt([Message(**message) for message in messages], 1024, new)
    asked = Request(prompt.text, Sampling(new, stop=prompt.stop))
    return alignment.answer(pocket.generate([asked])[0].text), prompt.text


@pytest.mark.parametrize("name", ["helpful", "terse"])
def test_an_answer_is_that_of_the_library(
    client: OpenAI, pocket: LocalModel, alignments: dict[str, Alignment], name: str
) -> None:
    expected, prompt = greedy(pocket, alignments[name], 20)
    asked: dict[str, Any] = {"model": f"pocket+{name}", "messages": ASK, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == expected
    assert whole.choices[0].message.role == "assistant" and whole.object == "chat.completion"
    assert whole.usage is not None and whole.usage.prompt_tokens == len(pocket.encode(prompt))
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert len({c.id for c in chunks}) == 1


def test_n_answers_are_those_of_seeds_that_follow(client: OpenAI) -> None:
    def ask(seed: int, n: int) -> list[str | None]:
        made = client.chat.completions.create(
            model="pocket+helpful", messages=ASK, max_tokens=12, n=n, seed=seed, temperature=1.0
        )
        assert [choice.index for choice in made.choices] == list(range(n))
        return [choice.message.content for choice in made.choices]

    four = ask(10, 4)
    assert four == [ask(10 + i, 1)[0] for i in range(4)]
    assert len(set(four)) > 1


def test_n_answers_in_one_stream(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "pocket+helpful", "messages": ASK, "max_tokens": 12, "n": 4, "seed": 3}
    whole = client.chat.completions.create(**asked)
    texts, finished = [""] * 4, [""] * 4
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            assert not finished[choice.index]
            texts[choice.index] += choice.delta.content or ""
            finished[choice.index] = choice.finish_reason or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert finished == [choice.finish_reason for choice in whole.choices]


def test_stops_end_an_answer_before_them(client: OpenAI, pocket: LocalModel, server: Live) -> None:
    asked: dict[str, Any] = {"model": "pocket", "prompt": "The old harbour", "max_tokens": 30, "seed": 1}
    text = client.completions.create(**asked).choices[0].text
    stop = text[10:13]
    made = client.completions.create(**asked, stop=[stop, "never that"])
    assert made.choices[0].text == text[: text.index(stop)]
    assert made.choices[0].finish_reason == "stop"
    streamed = list(client.completions.create(**asked, stop=stop, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == text[: text.index(stop)]
    assert server.measure("writing") == server.measure("waiting") == 0


def test_logprobs_of_a_chat(client: OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": "pocket+terse", "messages": ASK, "max_tokens": 10, "temperature": 0, "logprobs": True,
        "top_logprobs": 3,
    }  # fmt: skip
    choice = client.chat.completions.create(**asked).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content
    for entry in choice.logprobs.content:
        assert entry.token == entry.top_logprobs[0].token and entry.logprob == entry.top_logprobs[0].logprob
        assert len(entry.top_logprobs) == 3 and entry.logprob <= 0
    told = "".join(entry.token for entry in choice.logprobs.content).strip()
    assert told.startswith(choice.message.content or "")
    streamed = [
        entry
        for chunk in client.chat.completions.create(**asked, stream=True)
        for entry in (chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else None) or []
    ]
    assert streamed == choice.logprobs.content


def test_a_completion_is_the_base_alone(client: OpenAI, pocket: LocalModel) -> None:
    prompts = ["The old harbour", "In the winter"]
    made = client.completions.create(
        model="pocket", prompt=prompts, max_tokens=8, temperature=0, n=2, logprobs=2
    )
    expected = [g.text for g in pocket.generate([Request(p, Sampling(8)) for p in prompts])]
    assert [choice.text for choice in made.choices] == [t for t in expected for _ in range(2)]
    for choice in made.choices:
        assert choice.logprobs is not None and choice.logprobs.tokens and choice.logprobs.text_offset
        # Alone, a line's first token has the space that decoding a whole text takes away.
        assert "".join(choice.logprobs.tokens).replace("\n ", "\n") == choice.text
        assert choice.logprobs.text_offset[1] == len(choice.logprobs.tokens[0])


def test_provenance_when_asked_for(client: OpenAI, alignments: dict[str, Alignment]) -> None:
    asked: dict[str, Any] = {"model": "pocket+helpful", "messages": ASK, "max_tokens": 4}
    assert client.chat.completions.create(**asked).model_extra == {}
    shown = alignments["helpful"].prompt([Message(**ASK[0])], 1024, 4)
    made = client.chat.completions.create(**asked, extra_body={"x_ica": {"provenance": True}})
    told = (made.model_extra or {})["x_ica"]
    assert told == {
        "alignment": "helpful",
        "prompt_tokens": shown.tokens,
        "dropped_turns": 0,
        "demonstrations": [each._asdict() for each in shown.shown],
    }
    few = client.chat.completions.create(**asked, extra_body={"x_ica": {"provenance": True, "budget": 60}})
    fewer = (few.model_extra or {})["x_ica"]["demonstrations"]
    assert 0 < len(fewer) < len(shown.shown) and sum(each["tokens"] for each in fewer) <= 60
    chunks = list(
        client.chat.completions.create(**asked, stream=True, extra_body={"x_ica": {"provenance": True}})
    )
    assert (chunks[-1].model_extra or {})["x_ica"] == told


def test_a_dry_run_asks_no_model(client: OpenAI, server: Live, alignments: dict[str, Alignment]) -> None:
    query = {"model": "pocket+terse", "prompt": ASK[0]["content"], "budget": 80, "max_tokens": 4}
    found = client.get("/ica/retrieve", cast_to=dict[str, Any], options={"params": query})
    assert found["alignment"] == "terse" and found["retrieval_seconds"] > 0
    assert {d["id"].split("-")[0] for d in found["demonstrations"]} == {"terse"}
    with pytest.raises(openai.BadRequestError):
        client.get("/ica/retrieve", cast_to=dict[str, Any], options={"params": query | {"model": "pocket"}})


def test_models(client: OpenAI) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == ["pocket", "pocket+helpful", "pocket+terse"]
    assert [(m.model_extra or {})["x_ica"]["chat"] for m in listed] == [False, True, True]


def test_the_base_without_a_template_says_whom_to_ask(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"pocket\+NAME"):
        client.chat.completions.create(model="pocket", messages=ASK)


def test_unknown_models_are_told_what_is_there(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"pocket\+helpful, pocket\+terse") as caught:
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_prompt_that_does_not_fit_is_an_error_with_the_numbers(client: OpenAI) -> None:
    long = [{"role": "user", "content": "harbour " * 2000}]
    for streams in (False, True):
        with pytest.raises(openai.BadRequestError, match=r"1,024 tokens") as caught:
            client.chat.completions.create(model="pocket+helpful", messages=long, stream=streams)
        assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match=r"1,024 tokens") as caught:
        client.completions.create(model="pocket", prompt=long[0]["content"])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop.0"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"extra_body": {"x_ica": {"budgets": 3}}}, "x_ica.budgets"),
        ({"extra_body": {"top_k": 5}}, "top_k"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a", "tool_call_id": "b"}]}, "messages.0.role"),
        ({"messages": [*ASK, {"role": "assistant", "content": "Yes"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "messages.0.content"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(client: OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "pocket+helpful", "messages": ASK, "max_tokens": 2} | more)
    assert caught.value.param == param and caught.value.type == "invalid_request_error"


def test_values_that_ask_for_nothing_are_taken(client: OpenAI) -> None:
    client.chat.completions.create(
        model="pocket+helpful", messages=ASK, max_tokens=2, presence_penalty=0, frequency_penalty=0.0,
        logit_bias={}, tools=[], response_format={"type": "text"}, user="me", store=False,
        extra_body={"repetition_penalty": 1.0, "top_k": -1, "made_up": {"a": 1}},
    )  # fmt: skip


def test_text_parts_and_developer_messages(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "Tell me about "}, {"type": "text", "text": "bridges, please."}]
    asked: dict[str, Any] = {"model": "pocket+helpful", "max_tokens": 12, "temperature": 0}
    with_parts = client.chat.completions.create(messages=[{"role": "user", "content": parts}], **asked)
    plain = client.chat.completions.create(messages=ASK, **asked)
    assert with_parts.choices[0].message == plain.choices[0].message
    system, developer = (
        client.chat.completions.create(messages=[{"role": role, "content": "Be brief."}, *ASK], **asked)
        for role in ("system", "developer")
    )
    assert system.usage == developer.usage and system.usage != plain.usage


def test_two_alignments_interleaved(
    client: OpenAI, pocket: LocalModel, alignments: dict[str, Alignment]
) -> None:
    """Each gets its own demonstrations and the answer that it gets alone, in whatever company."""
    asks = [
        (name, [{"role": "user", "content": f"What about {topic} and {i}?"}])
        for i in range(3) for topic in TOPICS for name in ("helpful", "terse")
    ]  # fmt: skip

    def ask(name: str, messages: Any) -> tuple[str | None, set[str]]:
        made = client.chat.completions.create(
            model=f"pocket+{name}", messages=messages, max_tokens=10, temperature=0,
            extra_body={"x_ica": {"provenance": True}},
        )  # fmt: skip
        shown = (made.model_extra or {})["x_ica"]["demonstrations"]
        return made.choices[0].message.content, {each["id"].split("-")[0] for each in shown}

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda each: ask(*each), asks))
    for (name, messages), (text, pools) in zip(asks, answers, strict=True):
        assert pools == {name}
        assert text == greedy(pocket, alignments[name], 10, messages)[0]


@pytest.fixture
def echoing(behind: Behind) -> Iterator[Live]:
    """An upstream that says which pool it was shown, and what was asked."""

    def reply(body: dict[str, Any]) -> Reply:
        prompt = body["prompt"]
        pools = [name for name in ("HELPFUL", "TERSE") if name in prompt]
        question = prompt.rpartition("Question: ")[2].partition("\n")[0]
        return stream([" \n ", *pools, ": ", *question.split(), "\nQues", "tion", ": and on"], tell=False)

    return behind(reply)


def test_an_upstream_that_heeds_no_stop(echoing: Live) -> None:
    with chat(echoing.url) as client:
        for name in ("helpful", "terse"):
            asked: dict[str, Any] = {"model": f"stub+{name}", "messages": ASK}
            made = client.chat.completions.create(**asked)
            expected = f"{name.upper()}: Tellmeaboutbridges,please."
            assert made.choices[0].message.content == expected and made.choices[0].finish_reason == "stop"
            streamed = list(client.chat.completions.create(**asked, stream=True))
            assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == expected
            assert made.usage is not None and made.usage.completion_tokens > 0


def test_what_an_upstream_is_asked(behind: Behind) -> None:
    server = behind(lambda body: stream(["Yes."]))
    with chat(server.url) as client:
        made = client.chat.completions.create(
            model="stub+terse", messages=ASK, n=3, seed=5, max_completion_tokens=9, top_p=0.5,
            stop=["A", "B"], presence_penalty=0.5,
            extra_body={"top_k": 7, "echo": False, "made_up": 1, "prompt": "mine"},
        )  # fmt: skip
    assert [choice.message.content for choice in made.choices] == ["Yes."] * 3
    assert made.usage is not None and (made.usage.prompt_tokens, made.usage.completion_tokens) == (7, 3)
    bodies = sorted(server.upstream.bodies, key=lambda body: body["seed"])  # type: ignore[attr-defined]
    prompt = bodies[0].pop("prompt")
    assert "TERSE on bridges." in prompt and prompt.rstrip().endswith("answer:")
    assert bodies[0] == {
        "model": "stub", "max_tokens": 9, "temperature": 0.7, "top_p": 0.5, "seed": 5,
        "stop": ["\nQuestion:", "A", "B"], "stream": True, "stream_options": {"include_usage": True},
        "presence_penalty": 0.5, "top_k": 7,
    }  # fmt: skip
    assert [body["seed"] for body in bodies] == [5, 6, 7]


def test_logprobs_of_an_upstream(behind: Behind) -> None:
    def token(text: str) -> bytes:
        lists = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{text: -0.5, "x": -1.5}]}
        return event(text, logprobs=lists)

    server = behind(lambda body: Reply([token("One"), token(" two"), event("", "stop"), DONE]))
    with chat(server.url) as client:
        made = client.chat.completions.create(
            model="stub+terse", messages=ASK, logprobs=True, top_logprobs=2
        ).choices[0]
    assert made.logprobs is not None and made.logprobs.content is not None
    assert [entry.token for entry in made.logprobs.content] == ["One", " two"]
    assert [top.token for top in made.logprobs.content[1].top_logprobs] == [" two", "x"]
    assert server.upstream.bodies[0]["logprobs"] == 2  # type: ignore[attr-defined]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl(server: Live) -> None:
    body = json.dumps({"model": "pocket+helpful", "messages": ASK, "max_tokens": 3, "stream": True})

    def curl(*words: str) -> str:
        return subprocess.run(
            ["curl", "-sS", "-N", *words], capture_output=True, text=True, check=True
        ).stdout

    url = f"{server.url}/v1/chat/completions"
    lines = curl(url, "--json", body).strip().split("\n\n")
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["choices"][0]["finish_reason"] in ("stop", "length")
    assert json.loads(curl(url, "--json", "{"))["error"]["code"] == "invalid_json"
    assert json.loads(curl(f"{server.url}/health")) == {"status": "ok"}
    assert "boresight_requests_total" in curl(f"{server.url}/metrics")
