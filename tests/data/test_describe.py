"""Descriptions: Table 1 worked by hand, and every number against a plain count."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from boresight.chat import Chat
from boresight.data.describe import Description, TableRow, describe, script
from boresight.data.store import TokenStore
from boresight.records import Conversation
from boresight.report.describe import describe_figure


def conversation(source: str, *texts: str, **keys: Any) -> Conversation:
    roles = ["user", "assistant"] * len(texts)
    turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return Conversation.model_validate({"source": source, "messages": turns, **keys})


@pytest.fixture
def words() -> Chat:
    """A chat whose tokens are words, to be counted by eye, and whose tokenizer adds one to every text."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\S+|\s"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    return Chat(fast, "tulu")


SMALL = [
    conversation("a", "one two three", "four"),
    conversation("a", "one", "two", "three four five", "six seven", task="sums"),
    conversation("b", "One two three four.", "Пять шесть."),
    conversation("b", "Say it.", ""),
    conversation("a", "one two three", "four"),
]


def test_table_1_by_hand(words: Chat) -> None:
    found = describe(SMALL, words)
    assert found.table == {
        # a: prompts 3, 1, 3, 3 and completions 1, 1, 2, 1 in three conversations of 1, 2 and 1 rounds
        "a": TableRow(3, 4 / 3, 10 / 4, 5 / 4),
        # b: prompts 4, 2 and completions 2, 0
        "b": TableRow(2, 1.0, 3.0, 1.0),
        "all": TableRow(5, 6 / 5, 16 / 6, 7 / 6),
    }
    assert found.duplicates == 1
    assert found.tasks == {"sums": 1}
    assert found.refused == {"no assistant message to train on": 1}
    assert len(found.lengths) == 4
    assert found.letters["Cyrillic"] == 9
    assert set(found.letters) == {"Latin", "Cyrillic"}


def test_lengths_and_targets_are_those_training_sees(
    conversations: list[Conversation],
    store: TokenStore,
    make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast],
) -> None:
    found = describe(conversations, Chat(make_byte_tokenizer(), "tulu"))
    assert list(found.lengths) == store.lengths.tolist()
    assert found.target_share == store.target_counts.sum() / store.lengths.sum()
    told = found.as_json()
    assert told["lengths"]["longest"] == store.lengths.max()
    assert told["table"]["all"]["conversations"] == len(conversations)


@given(st.lists(st.integers(1, 5000), min_size=1))
def test_the_histogram_counts_every_length_once(lengths: list[int]) -> None:
    found = Description()
    found.lengths.extend(lengths)
    bins = found.histogram()
    assert [n for _, n in bins] == [sum(start <= n < 2 * start for n in lengths) for start, _ in bins]
    assert sum(n for _, n in bins) == len(lengths)
    assert [start for start, _ in bins] == [bins[0][0] * 2**k for k in range(len(bins))]


def test_nothing_is_left_to_train_on(words: Chat) -> None:
    found = describe([conversation("a", "Hello?")], words)
    assert found.table["a"] == TableRow(1, 0.0, 1.0, None)
    told = found.as_json()
    assert told["target_share"] is None and told["lengths"]["median"] is None
    assert told["lengths"]["histogram"] == []
    assert "1 prompts" in describe_figure(found)


@pytest.mark.parametrize(
    ("letters", "name"),
    [
        ("aÉßＡ", "Latin"),
        ("Яж", "Cyrillic"),
        ("λ", "Greek"),
        ("漢字", "Han"),
        ("ひカ", "Kana"),
        ("한", "Hangul"),
        ("ש", "Hebrew"),
        ("ع", "Arabic"),
        ("ह", "Devanagari"),
        ("ก", "Thai"),
        ("ᚠ", "other"),
    ],
)
def test_scripts(letters: str, name: str) -> None:
    assert {script(letter) for letter in letters} == {name}


def test_the_figure_is_an_svg_document_in_light_and_dark(words: Chat) -> None:
    drawn = describe_figure(describe(SMALL, words))
    assert drawn.startswith("<svg xmlns=") and drawn.rstrip().endswith("</svg>")
    assert "6 prompts, median 3; 6 completions, median 1; 4 conversations" in drawn
    assert "prefers-color-scheme: dark" in drawn and "var(--series-1)" in drawn
