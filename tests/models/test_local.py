"""A model in this process: texts and messages in, answers out, each by its own rule."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from boresight.errors import UserError
from boresight.models.decoding import Decoder
from boresight.models.local import LocalModel
from boresight.models.requests import Generation, Model, Request, Sampling
from boresight.records import Message

TEXTS = [
    "<s>The old harbour",
    "<s>Q: Who keeps the grey coat?\nA:",
    "<s>A",
    "<s>The white drum is with Vivu. " * 6,
]


@pytest.fixture(scope="module")
def pocket() -> LocalModel:
    return LocalModel("pocket")


def reference(local: LocalModel, text: str, sampling: Sampling) -> tuple[str, str]:
    """By transformers, one at a time: the text to its first stop, and how it ended."""
    ids = local.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    written = local.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=sampling.max_new_tokens,
        do_sample=False,
        pad_token_id=0,
    )[0, ids.shape[1] :].tolist()
    ended = 1 in written
    text = local.tokenizer.decode(written[: written.index(1)] if ended else written)
    places = [text.find(stop) for stop in sampling.stop if stop in text]
    return text[: min(places, default=len(text))], "stop" if ended or places else "length"


@pytest.mark.parametrize("stop", [(), ("\n",), (". ",), ("Vivu", "\nQ")])
def test_answers_are_those_of_transformers(stop: tuple[str, ...], pocket: LocalModel) -> None:
    sampling = Sampling(40, stop=stop)
    answers = pocket.generate([Request(text, sampling) for text in TEXTS])
    assert [answer[:2] for answer in answers] == [reference(pocket, text, sampling) for text in TEXTS]
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer.prompt_tokens == len(pocket.tokenizer(text, add_special_tokens=False)["input_ids"])
        assert answer.new_tokens is not None and 0 < answer.new_tokens <= 40
        assert (answer.finish_reason == "length") <= (answer.new_tokens == 40)


def test_it_is_a_model(pocket: LocalModel) -> None:
    model: Model = pocket
    assert model.name == "pocket" and model.generate([]) == []
    assert pocket.end_ids == {1}


def test_a_stop_ends_the_work_at_once(pocket: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: steps.append(1) or step(self))
    (answer,) = pocket.generate([Request(TEXTS[0], Sampling(200, stop=(".",)))])
    assert answer.finish_reason == "stop" and "." not in answer.text
    assert len(steps) == answer.new_tokens < 60


def test_progress_counts_every_request_once(pocket: LocalModel) -> None:
    done: list[int] = []
    requests = [Request(text, Sampling(n)) for n, text in enumerate(TEXTS * 3, 3)]
    pocket.generate(requests, done.append)
    assert sum(done) == len(requests) and max(done) < len(requests)


def test_answers_are_told_as_soon_as_they_are_whole(
    pocket: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self: steps.append(1) or step(self))
    told: dict[int, tuple[int, Generation]] = {}
    requests = [Request(TEXTS[0], Sampling(n)) for n in (9, 3, 6)]
    answers = pocket.generate(requests, answered=lambda i, answer: told.update({i: (len(steps), answer)}))
    assert list(told) == [1, 2, 0] and [told[i][1] for i in range(3)] == answers
    assert [told[i][0] for i in range(3)] == [9, 3, 6]


def test_an_answer_begins_as_it_is_told_and_leaves_that_out() -> None:
    chatting = LocalModel("pocket")
    chatting.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    messages = (Message(role="user", content="Who keeps the grey coat?"),)
    (begun,) = chatting.generate([Request(messages, Sampling(9), begins="The")])
    assert chatting.generate([Request("[user]Who keeps the grey coat?</s>[assistant]The", Sampling(9))]) == [
        begun
    ]
    (text,) = chatting.generate([Request("The", Sampling(9), begins="No")])
    assert chatting.generate([Request("The", Sampling(9))]) == [text], "a text has no answer to begin"


def test_each_request_goes_by_its_own_rule_in_any_company(pocket: LocalModel) -> None:
    requests = [
        Request(text, Sampling(12, temperature, top_p, stop, seed), draw_number)
        for text in TEXTS
        for temperature, top_p, stop, seed in [
            (0.0, 1.0, (), None),
            (1.0, 0.9, ("\n",), 5),
            (1.5, 1.0, (), 6),
        ]
        for draw_number in (0, 1)
    ]
    together = pocket.generate(requests)
    assert together == [pocket.generate([request])[0] for request in requests]
    assert together == pocket.generate(requests[::-1])[::-1]


def test_draws_differ_and_a_seed_holds(pocket: LocalModel) -> None:
    def texts(seed: int | None, draws: Sequence[int]) -> list[str]:
        sampling = Sampling(20, temperature=1.0, seed=seed)
        return [a.text for a in pocket.generate([Request(TEXTS[0], sampling, draw) for draw in draws])]

    assert len(set(texts(7, range(6)))) == 6
    assert texts(7, [3, 1]) == [texts(7, [1])[0], texts(7, [3])[0]][::-1]
    assert len(set(texts(None, [0, 0, 0]))) == 3


def test_messages_are_put_by_the_models_own_template(pocket: LocalModel) -> None:
    messages = (Message(role="user", content="Who keeps the grey coat?"),)
    with pytest.raises(UserError, match="pocket: the tokenizer has no chat template"):
        pocket.generate([Request(messages, Sampling(5))])
    chatting = LocalModel("pocket")
    chatting.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    text = "[user]Who keeps the grey coat?</s>[assistant]"
    assert chatting.encode(messages) == chatting.encode(text)
    sampling = Sampling(9)
    assert chatting.generate([Request(messages, sampling)]) == chatting.generate([Request(text, sampling)])


def test_bad_prompts_are_named_before_any_work(pocket: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "step", lambda self: pytest.fail("it began"))
    good = Request(TEXTS[0], Sampling(5))
    for text, said in (("why " * 5000, "context of 4096"), ("", "empty"), ("\ud800", "not Unicode")):
        with pytest.raises(UserError, match=said):
            pocket.generate([good, Request(text, Sampling(5))])


def test_special_tokens_in_a_text_are_read_as_such_and_none_are_added(pocket: LocalModel) -> None:
    assert pocket.encode("<s>A")[0] == 0 and pocket.encode("A")[0] != 0


def test_broken_weights_are_an_error() -> None:
    broken = LocalModel("pocket")
    with torch.no_grad():
        broken.model.get_output_embeddings().weight[5] = float("nan")
    with pytest.raises(UserError, match="pocket: the model computes NaN"):
        broken.generate([Request(TEXTS[0], Sampling(5))])


def test_long_texts_are_encoded_whole(pocket: LocalModel, tmp_path: Path) -> None:
    """Some tokenizers' files ask for texts to be cut, or padded."""
    pocket.tokenizer.backend_tokenizer.enable_truncation(5)
    pocket.tokenizer.backend_tokenizer.enable_padding(length=5)
    pocket.tokenizer.save_pretrained(tmp_path)
    pocket.model.save_pretrained(tmp_path)
    pocket.tokenizer.backend_tokenizer.no_truncation()
    pocket.tokenizer.backend_tokenizer.no_padding()
    cut = LocalModel(str(tmp_path))
    assert cut.encode(TEXTS[3]) == pocket.encode(TEXTS[3]) and cut.encode("<s>") == [0]


def test_the_text_does_not_hold_the_stop_that_came_with_the_last_token(pocket: LocalModel) -> None:
    (whole,) = pocket.generate([Request(TEXTS[0], Sampling(10))])
    (cut,) = pocket.generate([Request(TEXTS[0], Sampling(10, stop=(whole.text[-2:],)))])
    assert cut == Generation(whole.text[:-2], "stop", whole.prompt_tokens, 10) or len(cut.text) < len(
        whole.text
    )
