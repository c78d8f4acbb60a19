"""Scoring: what a plain forward pass over each whole text says, while every beginning is read once."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from boresight.errors import UserError
from boresight.models import tree_reading
from boresight.models.key_values import KeyValues
from boresight.models.local import LocalModel
from boresight.models.requests import Options, Scored, Scorer
from boresight.models.scoring import Text, score
from boresight.records import Message
from models_of_every_kind import KINDS, tiny

SLACK = {torch.float64: 1e-9, torch.float32: 1e-4}


def by_whole_texts(model: PreTrainedModel, text: Text) -> tuple[float, bool]:
    """The oracle: one text, no cache, all logits."""
    ids = torch.tensor([list(text.ids)])
    logprobs = model(ids[:, :-1], use_cache=False).logits[0].double().log_softmax(-1)[text.start - 1 :]
    ends = ids[0, text.start :]
    return logprobs.gather(1, ends[:, None]).sum().item(), bool((logprobs.argmax(-1) == ends).all())


def assert_exact(model: PreTrainedModel, texts: Sequence[Text], dtype: torch.dtype) -> None:
    found = dict(score(model, texts))
    assert sorted(found) == list(range(len(texts)))
    for i, text in enumerate(texts):
        logprob, likeliest = by_whole_texts(model, text)
        assert found[i].logprob == pytest.approx(logprob, abs=SLACK[dtype])
        assert found[i].likeliest == likeliest


def few_shot(seed: int) -> list[Text]:
    """Heads, their questions, and the questions' options of one token and of several."""
    random = Random(seed)

    def some(*lengths: int) -> list[int]:
        return [random.randrange(3, 97) for _ in range(random.choice(lengths))]

    texts = []
    for head in (some(20), some(9), []):
        for _ in range(3):
            question = head + some(1, 5, 12)
            options = [some(1), some(1), some(3), some(14)]
            texts += [Text(question + option, len(question)) for option in options]
    random.shuffle(texts)
    return texts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [2048, 7])
def test_every_kind_of_model_scores_as_it_would_one_text_at_a_time(
    kind: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tree_reading.TOGETHER, "cpu", together)
    # Some kinds compute in float32 here and there, whatever they are told.
    dtype = torch.float32 if kind in ("gemma2", "mixtral", "bloom") else torch.float64
    assert_exact(tiny(kind, dtype), few_shot(1), dtype)


def test_models_that_take_distances_from_columns_read_one_branch_at_a_time() -> None:
    assert {kind for kind in KINDS if not tree_reading.reads_branches(tiny(kind, torch.float32))} == {"bloom"}


def test_a_window_of_a_models_own_is_found_out() -> None:
    """GPT-Neo's local layers look back over columns, by no mask."""
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 6}
    sizes |= {"initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model("gpt_neo", **sizes, attention_types=[[["global", "local"], 1]])
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    assert not tree_reading.reads_branches(model)
    assert_exact(model, few_shot(2), torch.float32)  # its attention is, whatever it is told


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny("llama", torch.float64)


texts_to_score = st.lists(
    st.lists(st.integers(3, 5), min_size=2, max_size=12).flatmap(
        lambda ids: st.builds(Text, st.just(ids), st.integers(1, len(ids) - 1))
    ),
    max_size=10,
)


@settings(max_examples=30, deadline=None)
@given(
    texts=texts_to_score, together=st.sampled_from([1, 4, 2048]), most_logits=st.sampled_from([1, 500, 2**26])
)
def test_any_texts_that_share_anything_are_scored_exactly(
    texts: list[Text], together: int, most_logits: int, llama: PreTrainedModel
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tree_reading.TOGETHER, "cpu", together)
        patch.setattr(tree_reading, "MOST_LOGITS", most_logits)
        assert_exact(llama, texts, torch.float64)


def calls_of(model: PreTrainedModel, work: Callable[[], Any]) -> list[tuple[int, int]]:
    """Tokens read and logits computed in each pass."""
    seen: list[tuple[int, int]] = []
    hook = model.register_forward_hook(
        lambda _, args, inputs, out: seen.append((inputs["input_ids"].numel(), out.logits.shape[1])),
        with_kwargs=True,
    )
    work()
    hook.remove()
    return seen


def test_every_beginning_is_read_once_and_one_token_options_cost_nothing(llama: PreTrainedModel) -> None:
    head = [5] * 30
    questions = [[*head, 10 + i, 7, 8] for i in range(6)]
    letters = [Text([*question, 20 + i], 33) for question in questions for i in range(4)]
    tree_reading.reads_branches(llama)  # tried before
    assert calls_of(llama, lambda: list(score(llama, letters))) == [(30 + 6 * 3, 6)]
    texts = [Text([*question, 20 + i, 40, 41], 33) for question in questions for i in range(4)]
    assert calls_of(llama, lambda: list(score(llama, texts))) == [(30 + 6 * (3 + 4 * 2), 6 * (1 + 4 * 2))]


def test_few_logits_are_held_at_once(llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_reading, "MOST_LOGITS", 97 * 8)
    seen = calls_of(llama, lambda: list(score(llama, [Text([5, 6, 7] * 40, 1)])))
    assert sum(tokens for tokens, _ in seen) == 119 and max(logits for _, logits in seen) == 8


def test_scores_are_told_as_soon_as_they_are_known(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tree_reading.TOGETHER, "cpu", 8)
    read: list[int] = []
    texts = [Text([i, *range(10, 22)], 5) for i in range(3, 13)]
    hook = llama.register_forward_pre_hook(
        lambda _, args, inputs: read.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    after = [sum(read) for _ in score(llama, texts)]
    hook.remove()
    assert after[0] <= 24 < sum(read) and after == sorted(after)


def test_bfloat16_is_near(llama: PreTrainedModel) -> None:
    model = tiny("llama", torch.bfloat16)
    texts = few_shot(3)
    exact = dict(score(tiny("llama", torch.float32), texts))
    for i, found in score(model, texts):
        assert found.logprob == pytest.approx(exact[i].logprob, rel=0.1, abs=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (Text([5, 6], 0), "the prompt is empty"),
        (Text([5, 6], 2), "adds no token"),
        (Text([5] * 130, 3), r"130 tokens do not fit the model's context of 128"),
    ],
)
def test_what_cannot_be_scored_is_named_before_any_work(
    text: Text, said: str, llama: PreTrainedModel
) -> None:
    with pytest.raises(UserError, match=said):
        next(score(llama, [Text([5, 6, 7], 1), text]))
    assert len(list(score(llama, [Text([5] * 129, 3)]))) == 1, "the last token need not be read"


def test_models_without_keys_and_values_are_refused() -> None:
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **sizes))
    with pytest.raises(UserError, match=r"mamba: .*key and value"):
        next(score(model, [Text([5, 6], 1)]))


# Rows to continue ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    before=st.lists(st.integers(3, 5), max_size=10),
    shared=st.integers(0, 10),
    texts=st.lists(st.lists(st.integers(3, 5), max_size=10), min_size=1, max_size=6),
    together=st.sampled_from([1, 4, 2048]),
)
@example(
    before=[3, 4, 5, 3], shared=4, texts=[[5, 5, 5, 4], [4, 4, 3, 3, 3], [3], []], together=2
)  # several stretches after a past
def test_rows_read_as_a_tree_go_on_as_each_alone(
    before: list[int], shared: int, texts: list[list[int]], together: int, llama: PreTrainedModel
) -> None:
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setitem(tree_reading.TOGETHER, "cpu", together)
        kept = KeyValues.read(llama, [[], before]).beginning(1, before)
        texts = [before[:shared] + text for text in texts]
        rows = KeyValues.read(llama, texts, kept)
        for step in range(2):
            logits = rows.extend([7 + step] * len(texts))
            for row, text in enumerate(texts):
                alone = llama(torch.tensor([[*text, 7, 8][: len(text) + step + 1]]), use_cache=False).logits
                torch.testing.assert_close(logits[row], alone[0, -1], rtol=0, atol=1e-9)


# Texts and messages ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pocket() -> LocalModel:
    return LocalModel("pocket")


ASKED = [
    Options("<s>Q: Who keeps the grey coat?\nA:", (" Vivu", " the old keeper", " Nonas and Vivu")),
    Options("<s>Q: Who keeps the grey coat?\nA: ", ("Vivu",)),
    Options("<s>The old", (" harbour", " drum")),
]


def test_texts_are_cut_where_the_prompt_alone_would_end(pocket: LocalModel) -> None:
    model: Scorer = pocket
    told: dict[int, Scored] = {}
    done: list[int] = []
    found = model.score(ASKED, done.append, told.__setitem__)
    assert [told[i] for i in range(3)] == found and sum(done) == 3
    for options, scored in zip(ASKED, found, strict=True):
        bare = options.prompt.rstrip()
        start = len(pocket.encode(bare))
        for i, option in enumerate(options.continuations):
            text = Text(pocket.encode(options.prompt + option), start)
            logprob, likeliest = by_whole_texts(pocket.model, text)
            assert scored.logprobs[i] == pytest.approx(logprob, abs=1e-4)
            assert scored.tokens[i] == len(text.ids) - start and scored.likeliest[i] == likeliest
    assert found[1].logprobs[0] == pytest.approx(found[0].logprobs[0], abs=1e-4), "a space has moved"
    assert pocket.score([]) == []


def test_messages_are_scored_after_what_their_answer_begins_with() -> None:
    chatting = LocalModel("pocket")
    chatting.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    messages = (Message(role="user", content="Who?"),)
    (begun,) = chatting.score([Options(messages, (" A", " B"), begins="The answer is:")])
    assert chatting.score([Options("[user]Who?</s>[assistant]The answer is:", (" A", " B"))]) == [begun]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options("", ("a",)), "pocket: the prompt is empty"),
        (Options("<s>A", ()), "pocket: a prompt without continuations"),
        (Options("<s>A", ("",)), "pocket: .*adds no token"),
        (Options("<s>A", ("\ud800",)), "not Unicode"),
        (Options("<s>" + "why " * 5000, ("a",)), "pocket: .*context of 4096"),
    ],
)
def test_bad_options_are_named(options: Options, said: str, pocket: LocalModel) -> None:
    with pytest.raises(UserError, match=said):
        pocket.score([ASKED[0], options])


def test_broken_weights_are_an_error() -> None:
    broken = LocalModel("pocket")
    with torch.no_grad():
        broken.model.get_output_embeddings().weight[5] = float("nan")
    with pytest.raises(UserError, match="pocket: the model computes NaN"):
        broken.score(ASKED)


def test_what_was_told_stays_when_a_run_is_killed(
    pocket: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tree_reading.TOGETHER, "cpu", 16)
    told: dict[int, Scored] = {}

    def write(at: int, found: Scored) -> None:
        if len(told) == 2:
            raise KeyboardInterrupt
        told[at] = found

    with pytest.raises(KeyboardInterrupt):
        pocket.score(ASKED, scored=write)
    left = [i for i in range(3) if i not in told]
    (rest,) = pocket.score([ASKED[i] for i in left])
    whole = pocket.score(ASKED)
    for i, found in (told | {left[0]: rest}).items():
        assert found.logprobs == pytest.approx(whole[i].logprobs, abs=1e-4)
