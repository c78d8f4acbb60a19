"""A thousand conversations by a second, slow way: the text written by hand, each character marked.

For each of three templates a function below writes a conversation and says of every part whether a model has
to write it. The tokenizer's ordinary call turns the whole text into tokens, and their bytes are counted: a
token is a target if its bytes are. A conversation must be refused exactly where this way finds that it cannot
be trained on; what it is refused for is looked for here, not believed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from boresight.chat import Chat, RenderError
from boresight.data.tokenise import prepare
from boresight.models.load import load_tokenizer
from boresight.records import Conversation, Message

CONVERSATIONS = 1000
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set first = '<<SYS>>\\n' + messages[0]['content'] + "
    "'\\n<</SYS>>\\n\\n' %}{% set turns = messages[1:] %}{% else %}{% set first = '' %}"
    "{% set turns = messages %}{% endif %}{% for turn in turns %}"
    "{% if turn['role'] != ('assistant' if loop.index0 % 2 else 'user') %}"
    "{{ raise_exception('user and assistant must take turns') }}{% endif %}"
    "{% if turn['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (first if loop.first else '') + turn['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + turn['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

Part = tuple[str, bool]
"""Text, and whether it has to be learned."""


# The templates, by hand ----------------------------------------------------------------------------------


def tulu(messages: list[Message]) -> Iterator[Part]:
    yield "<s>", False
    for message in messages:
        yield f"<|{message.role}|>\n", False
        if message.role == "assistant":
            yield message.content.strip() + "</s>", learned(message)
            yield "\n", False
        else:
            yield message.content.strip() + "\n", False


def chatml(messages: list[Message]) -> Iterator[Part]:
    yield "<s>", False
    for message in messages:
        yield f"<|im_start|>{message.role}\n", False
        yield f"{message.content}<|im_end|>", learned(message)
        yield "\n", False


def llama2(messages: list[Message]) -> Iterator[Part]:
    begin = "<s>[INST] "
    if messages[0].role == "system":
        begin += f"<<SYS>>\n{messages[0].content}\n<</SYS>>\n\n"
        messages = messages[1:]
    for place, message in enumerate(messages):
        if message.role != ("user", "assistant")[place % 2]:
            raise ImpossibleError("turns")
        if message.role == "user":
            yield f"{begin}{message.content.strip()} [/INST]", False
            begin = "<s>[INST] "
        else:
            yield f" {message.content.strip()} </s>", learned(message)


TEMPLATES: dict[str, Callable[[list[Message]], Iterator[Part]]] = {
    "tulu": tulu,
    "chatml": chatml,
    "own": llama2,
}


def learned(message: Message) -> bool:
    return message.role == "assistant" and message.train and message.content.strip() != ""


# The slow way --------------------------------------------------------------------------------------------


class ImpossibleError(Exception):
    """Why a conversation cannot be trained on."""


def spelt(letters: list[tuple[str, bool]], tokenizer: PreTrainedTokenizerFast) -> list[bool | None]:
    """Of every byte that the tokens spell, whether it is learned.

    The pocket's tokenizer puts a space of nobody's (None) before a line's first word.
    """
    if tokenizer.backend_tokenizer.normalizer is None:
        return [learn for letter, learn in letters for _ in letter.encode()]
    text = "".join(letter for letter, _ in letters)
    # Special tokens are cut out first: a line that ends at one is not begun by it.
    ends = ("\n", *(token.content for token in tokenizer.added_tokens_decoder.values()))
    marks: list[bool | None] = []
    for i, (letter, learn) in enumerate(letters, 1):
        marks += [learn] * len(letter.encode())
        if letter == "\n" and i < len(text) and not text.startswith(ends, i):
            marks.append(None)
    return marks


def expected(
    messages: list[Message], template: str, tokenizer: PreTrainedTokenizerFast
) -> tuple[list[int], list[bool]]:
    """Tokens and targets, to the last target."""
    contents = "\n".join(message.content for message in messages)
    if any(token.content in contents for token in tokenizer.added_tokens_decoder.values()):
        raise ImpossibleError("special")
    if "\ue000" in contents:
        raise ImpossibleError("mark")
    parts = list(TEMPLATES[template](messages))
    if not any(learn for _, learn in parts):
        raise ImpossibleError("nothing to learn")
    marks = spelt([(letter, learn) for text, learn in parts for letter in text], tokenizer)
    ids = tokenizer("".join(text for text, _ in parts), add_special_tokens=False)["input_ids"]
    targets, at = [], 0
    for token in tokenizer.convert_ids_to_tokens(ids):
        # A byte-level vocabulary spells every byte as one character; its added tokens are spelt as they are.
        inside = [mark for mark in marks[at : at + len(token)] if mark is not None] or [bool(marks[at - 1])]
        at += len(token)
        if any(inside) != all(inside):
            raise ImpossibleError("a token across the start")
        targets.append(all(inside))
    assert at == len(marks)
    last = len(targets) - targets[::-1].index(True)
    return ids[:last], targets[:last]


# Conversations -------------------------------------------------------------------------------------------

WORDS = [
    "Hello",
    "the",
    "answer",
    "is",
    "42",
    "3.14",
    "it's",
    "they'll",
    "naïve",
    "—",
    "def f(x):",
    "don’t",
    "!",
]
SPACES = [" ", " ", " ", " ", "\n", "  ", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c"]
MARKERS = [
    "<|assistant|>\n", "<|user|>", "<|system|>", "[INST]", "[/INST] ", "<<SYS>>", "<</SYS>>", "<|im_start|",
    "im_end|>", "</s", "<s", "{{ messages }}", "{% endfor %}", "Ġ", "▁",
]  # fmt: skip
UNICODE = [
    "e\u0301", "é", "\u0301", "ﬁ", "ſ", "İ", "½", "٣٤", "שלום", "\u202eabc\u202c", "مرحبا", "👨‍👩‍👧‍👦", "🏳️‍🌈",
    "😀", "𝔘𝔫𝔦", "𠮷", "中文字", "한국", "각", "\u200b", "\u200d", "\ufeff", "\x00", "\u180e", "ก็",
]  # fmt: skip
FORBIDDEN = ["</s>", "<s>", "<|im_end|>", "\ue0001\ue001"]


def random_text(draw: random.Random) -> str:
    if draw.random() < 0.04:
        return draw.choice(["", " ", "\n", "\u200b"])
    pieces = []
    for _ in range(draw.randint(1, 12)):
        kind = draw.choices([WORDS, MARKERS, UNICODE, FORBIDDEN], [60, 6, 12, 0.3])[0]
        pieces += [draw.choice(kind), draw.choice(SPACES) if draw.random() < 0.8 else ""]
    if draw.random() < 0.03:
        pieces.append(draw.choice(["a", "é", "ab", "0", "👍"]) * draw.randint(200, 600))
    if draw.random() < 0.15:
        pieces.insert(0, draw.choice(SPACES))
    return "".join(pieces)


def random_conversation(draw: random.Random) -> Conversation:
    roles = ["user", "assistant"] * draw.randint(2, 4)
    if draw.random() < 0.3:
        roles.insert(0, "system")
    if draw.random() < 0.1:
        roles.insert(draw.randrange(1, len(roles)), draw.choice(["user", "assistant", "system"]))
    if draw.random() < 0.1:
        roles.pop()
    return Conversation.model_validate(
        {
            "messages": [
                {"role": role, "content": random_text(draw), "train": draw.random() < 0.9} for role in roles
            ]
        }
    )


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    draw = random.Random(7)
    return [random_conversation(draw) for _ in range(CONVERSATIONS)]


def trained(conversations: list[Conversation]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of these very texts, so that long tokens run over all that is odd in them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((m.content for c in conversations[:300] for m in c.messages), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("kind", ["pocket", "trained"])
def test_targets_are_the_answers_and_their_ends(
    kind: str, template: str, conversations: list[Conversation], tmp_path: Path
) -> None:
    tokenizer = load_tokenizer("pocket") if kind == "pocket" else trained(conversations)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = LLAMA2
    chat = Chat(tokenizer, template)  # type: ignore[arg-type]
    wanted, refused = [], Counter[str]()
    for conversation in conversations:
        try:
            wanted.append(expected(conversation.messages, template, tokenizer))
        except ImpossibleError as reason:
            refused[str(reason)] += 1
            with pytest.raises(RenderError):
                raise_refusal(chat, conversation.messages)
    store = prepare(conversations, chat, tmp_path / "store", 10**6)
    found = [tuple(array.tolist() for array in store.sequence(i)) for i in range(len(store))]
    assert found == wanted
    assert sum(store.dropped.values()) == sum(refused.values()) == CONVERSATIONS - len(store)
    assert len(store) > CONVERSATIONS / 2, refused
    assert refused["special"] and refused["mark"], "the conversations are not as odd as they should be"
    assert (template == "own") == ("turns" in refused)


def raise_refusal(chat: Chat, messages: list[Message]) -> None:
    (result,) = chat.tokenise([chat.render(messages)])
    if isinstance(result, RenderError):
        raise result
