"""Targets are exactly what a model must write, whatever the template and the tokenizer."""

import copy
import re
from collections.abc import Callable
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AddedToken, PreTrainedTokenizerFast

from boresight.chat import Chat, RenderError, Tokenised
from boresight.errors import UserError
from boresight.records import Conversation, Message

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + "
    "'\\n<</SYS>>\\n\\n' %}{% set turns = messages[1:] %}{% else %}{% set system = '' %}"
    "{% set turns = messages %}{% endif %}"
    "{% for m in turns %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}{% set content = m['content'] %}"
    "{% if m['role'] == 'assistant' and '</think>' in content and not loop.last %}"
    "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN3_EMPTY_THOUGHT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SHOUTING = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | upper + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def talk(*turns: str | tuple[str, str]) -> list[Message]:
    """Messages that alternate between user and assistant, or (role, content)."""
    pairs = [t if isinstance(t, tuple) else (("user", "assistant")[i % 2], t) for i, t in enumerate(turns)]
    return [Message.model_validate({"role": role, "content": content}) for role, content in pairs]


def with_template(tokenizer: PreTrainedTokenizerFast, template: str) -> Chat:
    tokenizer.chat_template = template
    return Chat(tokenizer)


def tokenised(chat: Chat, messages: list[Message]) -> Tokenised:
    (result,) = chat.tokenise([chat.render(messages)])
    if isinstance(result, RenderError):
        raise result
    return result


def runs_of_targets(result: Tokenised) -> list[list[int]]:
    """The ids of each stretch of targets."""
    pairs = zip(result.tokens.tolist(), result.targets.tolist(), strict=True)
    return [[token for token, _ in run] for target, run in groupby(pairs, lambda pair: pair[1]) if target]


def written(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    """What tokens spell, byte for byte, whichever of the two kinds of tokenizer they come from."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    if tokenizer.backend_tokenizer.model.byte_fallback:
        spelt = b"".join(
            bytes([int(p[3:5], 16)]) if re.fullmatch("<0x[0-9A-F]{2}>", p) else p.replace("▁", " ").encode()
            for p in pieces
        )
        return spelt.decode()
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


# The templates that come with us ---------------------------------------------------------------------

DIALOGUE = [
    ("system", "Be kind."),
    ("user", " Hi! "),
    ("assistant", "Hello.\n"),
    ("user", "Bye"),
    ("assistant", "Bye 👋"),
]


def test_tulu_as_published(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = Chat(tokenizer, "tulu")
    text, spans, _ = chat.render(talk(*DIALOGUE))
    assert text == (
        "<s><|system|>\nBe kind.\n<|user|>\nHi!\n<|assistant|>\nHello.</s>\n"
        "<|user|>\nBye\n<|assistant|>\nBye 👋</s>\n"
    )
    assert [text[start:end] for start, end in spans] == ["Hello.</s>", "Bye 👋</s>"]
    assert chat.prompt(talk(*DIALOGUE)[:2]) == "<s><|system|>\nBe kind.\n<|user|>\nHi!\n<|assistant|>\n"
    assert chat.stop_ids == [tokenizer.eos_token_id]


def test_chatml_as_published(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = Chat(tokenizer, "chatml")
    text, spans, _ = chat.render(talk("Hi!", "Hello.", "Bye", "Bye 👋"))
    assert text.removeprefix("<s>") == (
        "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nBye 👋<|im_end|>\n"
    )
    assert [text[start:end] for start, end in spans] == ["Hello.<|im_end|>", "Bye 👋<|im_end|>"]
    assert chat.prompt(talk("Hi!")).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") in chat.stop_ids


@pytest.mark.parametrize("template", ["tulu", "chatml"])
def test_targets_are_the_ids_of_the_answers(
    template: str, tokenizer: PreTrainedTokenizerFast, conversations: list[Conversation]
) -> None:
    """Both templates put a line break before an answer, and this tokenizer joins nothing across one.

    So every answer tokenised by itself, with the end of turn, gives the very ids.
    """
    chat = Chat(tokenizer, template)  # type: ignore[arg-type]
    end = {"tulu": "</s>", "chatml": "<|im_end|>"}[template]
    for conversation in conversations:
        answers = [m.content for m in conversation.messages if m.role == "assistant"]
        if template == "tulu":
            answers = [answer.strip() for answer in answers]
        expected = [tokenizer.encode(a + end, add_special_tokens=False) for a in answers]
        result = tokenised(chat, conversation.messages)
        assert runs_of_targets(result) == expected
        assert result.targets[-1], "nothing is learned from what follows the last answer"


def test_messages_not_trained_on_are_context(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = Chat(tokenizer, "tulu")
    messages = talk("a", "wrong", "b", "right")
    messages[1] = messages[1].model_copy(update={"train": False})
    result = tokenised(chat, messages)
    assert [written(tokenizer, run) for run in runs_of_targets(result)] == ["right</s>"]
    assert "wrong</s>" in written(tokenizer, result.tokens.tolist())
    messages[3] = messages[3].model_copy(update={"train": False})
    with pytest.raises(RenderError, match="no assistant message to train on"):
        chat.render(messages)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (talk("a"), "no assistant message to train on"),
        (talk("a", ""), "no assistant message to train on"),
        (talk("a </s> b", "c"), "special token </s>"),
        (talk("a", "b <|im_end|>"), "special token <|im_end|>"),
        (talk("a", "b \ue000"), "U\\+E000"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_the_reason(
    messages: list[Message], reason: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(RenderError, match=reason.replace("|", r"\|")):
        Chat(tokenizer, "tulu").render(messages)


# Random conversations --------------------------------------------------------------------------------

WORDS = ["a", "Hello", "world", ".", "0", "12", "'s"]
SPACES = [" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u2028", "\u00a0", "\u3000", "\x1c", "\u200b"]
MARKERS = ["<|assistant|>", "<|user|>\n", "[INST]", " [/INST] ", "<think>", "</think>", "</s", ">", "▁", "Ġ"]
REFUSED = ["</s>", "<|im_end|>", "<|im_start|>assistant\n", "\ue000", "\ue0000\ue001"]
LETTERS = [
    "é",
    "e\u0301",
    "\u0301",
    "😀",
    "👨‍👩‍👧",
    "中文",
    "\x00",
    "\ufeff",
    "\u202e",
    "{{ x }}",
    "{% endfor %}",
]
pieces = st.sampled_from(WORDS + SPACES + MARKERS + REFUSED + LETTERS)
contents = st.lists(pieces | st.text(st.characters(codec="utf-8"), max_size=3), max_size=8).map("".join)
messages_at_random = st.lists(
    st.builds(
        lambda role, content, train: Message(role=role, content=content, train=train),
        st.sampled_from(["user", "assistant", "assistant", "system"]),
        contents,
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=6,
)
plain_answers = st.lists(
    st.sampled_from(["a", "Hello", " ", "  ", "\n", ".", "é", "😀", "👨‍👩‍👧", "中文", "12", "\t"]), max_size=6
).map("".join)
alternating = st.lists(st.tuples(plain_answers, plain_answers), min_size=1, max_size=3).map(
    lambda pairs: talk(*(text for pair in pairs for text in pair))
)


def answers_to_learn(messages: list[Message]) -> list[str]:
    return [m.content for m in messages if m.role == "assistant" and m.train and m.content.strip()]


def assert_refused_or_exact(
    chat: Chat, messages: list[Message], expected: Callable[[str], str], prompt_is_shown: bool = True
) -> bool:
    """Every stretch of targets spells its answer, and begins where the model would be asked for it."""
    try:
        result = tokenised(chat, messages)
    except RenderError as refusal:
        assert str(refusal)
        return False
    spelt = [written(chat.tokenizer, run) for run in runs_of_targets(result)]
    assert spelt == [expected(answer) for answer in answers_to_learn(messages)]
    if prompt_is_shown:
        asked = [i for i, m in enumerate(messages) if m.train and m.role == "assistant" and m.content.strip()]
        starts = [i for i in range(1, len(result.targets)) if result.targets[i] > result.targets[i - 1]]
        for start, i in zip(starts, asked, strict=True):
            if i == 0:
                continue  # it speaks first: there is no prompt
            prompt = chat.tokenizer.encode(chat.prompt(messages[:i]), add_special_tokens=False)
            assert result.tokens[:start].tolist() == prompt
    return True


@pytest.mark.parametrize("trim", [False, True])
@settings(deadline=None, max_examples=300)
@given(messages=messages_at_random)
def test_tulu_refuses_or_is_exact(
    trim: bool, messages: list[Message], make_byte_tokenizer: MakeTokenizer
) -> None:
    chat = chat_of(make_byte_tokenizer, trim, "tulu")
    assert_refused_or_exact(chat, messages, lambda answer: answer.strip() + "</s>")


@pytest.mark.parametrize("trim", [False, True])
@settings(deadline=None, max_examples=300)
@given(messages=messages_at_random)
@example(messages=[Message(role="user", content="a"), Message(role="assistant", content="  \u2028a")])
def test_chatml_refuses_or_is_exact(
    trim: bool, messages: list[Message], make_byte_tokenizer: MakeTokenizer
) -> None:
    """This template keeps the white space around an answer, and so must the targets."""
    chat = chat_of(make_byte_tokenizer, trim, "chatml")
    assert_refused_or_exact(chat, messages, lambda answer: answer + "<|im_end|>", False)


@pytest.mark.parametrize("legacy", [False, True])
@settings(deadline=None, max_examples=200)
@given(messages=messages_at_random)
def test_tulu_on_a_sentencepiece_like_tokenizer(
    legacy: bool, messages: list[Message], make_metaspace_tokenizer: MakeTokenizer
) -> None:
    chat = chat_of(make_metaspace_tokenizer, legacy, "tulu")
    # It writes a space as ▁, so a ▁ in the text comes back as a space.
    assert_refused_or_exact(
        chat, messages, lambda answer: answer.strip().replace("▁", " ") + "</s>", prompt_is_shown=False
    )


kept_chats: dict[tuple, Chat] = {}


def chat_of(make: MakeTokenizer, option: bool, template: str) -> Chat:
    """A chat made once: training a tokenizer for every example would take long."""
    key = (make.__qualname__, option, template)
    if key not in kept_chats:
        tokenizer = make(option)
        own = {"llama2": LLAMA2, "llama3": LLAMA3, "qwen3": QWEN3}.get(template)
        kept_chats[key] = with_template(tokenizer, own) if own else Chat(tokenizer, template)  # type: ignore[arg-type]
    return kept_chats[key]


@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("kind", ["make_byte_tokenizer", "make_metaspace_tokenizer"])
@settings(deadline=None, max_examples=60)
@given(messages=alternating)
def test_own_templates_refuse_or_are_exact(
    kind: str, option: bool, messages: list[Message], request: pytest.FixtureRequest
) -> None:
    make = request.getfixturevalue(kind)
    for template, expected in (
        ("llama2", lambda answer: f" {answer.strip()} </s>"),
        ("llama3", lambda answer: f"{answer.strip()}<|eot_id|>"),
        ("qwen3", lambda answer: f"{answer}<|im_end|>"),
    ):
        assert_refused_or_exact(chat_of(make, option, template), messages, expected, False)


@pytest.mark.parametrize("template", ["tulu", "chatml", "llama2", "llama3", "qwen3"])
@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("kind", ["make_byte_tokenizer", "make_metaspace_tokenizer"])
def test_ordinary_conversations_are_not_refused(
    kind: str,
    option: bool,
    template: str,
    conversations: list[Conversation],
    request: pytest.FixtureRequest,
) -> None:
    """To refuse everything would pass the tests above."""
    chat = chat_of(request.getfixturevalue(kind), option, template)
    for conversation in conversations:
        result = tokenised(chat, conversation.messages)
        assert len(runs_of_targets(result)) == len(answers_to_learn(conversation.messages))


# A tokenizer's own template --------------------------------------------------------------------------


@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("kind", ["make_byte_tokenizer", "make_metaspace_tokenizer"])
def test_llama2_targets_begin_where_its_prompt_ends(
    kind: str, option: bool, request: pytest.FixtureRequest
) -> None:
    """The space before an answer belongs to it: the prompt ends in [/INST]."""
    chat = chat_of(request.getfixturevalue(kind), option, "llama2")
    messages = talk("Hi", "Hello ", "Bye", "Later")
    text, spans, _ = chat.render(messages)
    assert text == "<s>[INST] Hi [/INST] Hello </s><s>[INST] Bye [/INST] Later </s>"
    assert [text[start:end] for start, end in spans] == [" Hello </s>", " Later </s>"]
    result = tokenised(chat, messages)
    prompt = chat.tokenizer.encode(chat.prompt(messages[:1]), add_special_tokens=False)
    assert result.tokens[: len(prompt)].tolist() == prompt
    assert not result.targets[: len(prompt)].any() and result.targets[len(prompt)]
    assert [written(chat.tokenizer, run) for run in runs_of_targets(result)] == [" Hello </s>", " Later </s>"]


def test_llama2_refuses_what_its_template_refuses(make_byte_tokenizer: MakeTokenizer) -> None:
    chat = chat_of(make_byte_tokenizer, False, "llama2")
    with pytest.raises(RenderError, match="roles must alternate"):
        chat.render(talk(("user", "a"), ("user", "b"), ("assistant", "c")))


def test_llama3(make_byte_tokenizer: MakeTokenizer) -> None:
    chat = chat_of(make_byte_tokenizer, False, "llama3")
    text, spans, _ = chat.render(talk(("system", "Be kind."), ("user", "Hi"), ("assistant", " Hello ")))
    assert text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    )
    assert [text[start:end] for start, end in spans] == ["Hello<|eot_id|>"]
    ends = [chat.tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "<|eot_id|>")]
    assert chat.stop_ids == sorted(ends)


def test_qwen3_thoughts_stay_in_the_last_answer_and_leave_the_history(
    make_byte_tokenizer: MakeTokenizer,
) -> None:
    chat = chat_of(make_byte_tokenizer, False, "qwen3")
    last = tokenised(chat, talk("a", "b", "c", "<think>\nhm\n</think>\n\nd"))
    assert [written(chat.tokenizer, run) for run in runs_of_targets(last)] == [
        "b<|im_end|>",
        "<think>\nhm\n</think>\n\nd<|im_end|>",
    ]
    with pytest.raises(RenderError, match="rewrites"):
        chat.render(talk("a", "<think>\nhm\n</think>\n\nb", "c", "d"))


def test_what_a_template_adds_before_the_answer_is_written_by_the_model(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Qwen3's empty thought stands between the prompt and the last answer, so the model must write it."""
    chat = with_template(tokenizer, QWEN3_EMPTY_THOUGHT)
    result = tokenised(chat, talk("a", "b", "c", "d"))
    assert [written(tokenizer, run) for run in runs_of_targets(result)] == [
        "b<|im_end|>",
        "<think>\n\n</think>\n\nd<|im_end|>",
    ]


def test_a_template_that_rewrites_answers_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = with_template(tokenizer, SHOUTING)
    with pytest.raises(RenderError, match="rewrites"):
        chat.render(talk("a", "hello"))
    result = tokenised(chat, talk("A", "HELLO"))
    assert [written(tokenizer, run) for run in runs_of_targets(result)] == ["HELLO<|im_end|>"]


def test_a_template_that_joins_an_answer_to_what_stands_before_it_is_refused(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Here a token of the text runs from the prompt's space into the answer."""
    chat = with_template(
        tokenizer,
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    )
    with pytest.raises(RenderError, match="runs across"):
        tokenised(chat, talk("Say the year.", "the year"))


def test_a_template_without_an_end_of_turn_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    template = "{% for m in messages %}{{ m['role'] + '\\n' + m['content'] + '\\n' }}{% endfor %}"
    tokenizer.chat_template = template + "{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"
    with pytest.raises((RenderError, UserError), match="token of its own"):
        Chat(tokenizer).render(talk("a", "b"))


def test_a_tokenizer_without_a_template_is_the_users_to_mend(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match="tulu or chatml"):
        Chat(tokenizer)


def test_chatml_needs_its_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    vocabulary = tokenizer.backend_tokenizer.to_str().replace("<|im_end|>", "<|other|>")
    plain = PreTrainedTokenizerFast(
        tokenizer_object=type(tokenizer.backend_tokenizer).from_str(vocabulary), eos_token="</s>"
    )
    with pytest.raises(UserError, match=r"<\|im_end\|>"):
        Chat(plain, "chatml")


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
        "{{ raise_exception('only for tools') }}",
        "{% for m in messages %}{{ m['content'] ",
        "{{ messages[0]['tool_calls'][0]['name'] }}",
    ],
    ids=["leaves out answers", "refuses all", "not jinja", "wants keys that are not there"],
)
def test_a_template_that_cannot_be_used_is_the_users_to_mend(
    template: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UserError):
        Chat(tokenizer)


def test_a_tokenizer_that_was_used_with_truncation_and_padding(tokenizer: PreTrainedTokenizerFast) -> None:
    """Calling a tokenizer leaves its last truncation and padding set; saved files come with them, too."""
    chat = Chat(tokenizer, "tulu")
    both = [talk("A rather long question, " * 5, "Yes, it is."), talk("Short", "Yes")]
    expected = [tokenised(chat, messages) for messages in both]
    tokenizer.pad_token = "</s>"
    tokenizer(["a", "b b b b b b b b b b b b b b b b b"], truncation=True, max_length=12, padding=True)
    results = chat.tokenise([chat.render(messages) for messages in both])
    for result, wanted in zip(results, expected, strict=True):
        assert isinstance(result, Tokenised)
        assert result.tokens.tolist() == wanted.tokens.tolist()
        assert result.targets.tolist() == wanted.targets.tolist()


def test_added_tokens_that_are_not_special_may_stand_in_a_message(tokenizer: PreTrainedTokenizerFast) -> None:
    """As Qwen3's <think>: reasoning data is full of it, and it is one token and no control."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    chat = Chat(tokenizer, "tulu")
    result = tokenised(chat, talk("Why?", "<think>hm</think>Because."))
    assert [written(tokenizer, run) for run in runs_of_targets(result)] == [
        f"<think>hm</think>Because.{tokenizer.eos_token}"
    ]
