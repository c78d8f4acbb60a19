import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from boresight.chat import Chat
from boresight.data import tokenise
from boresight.data.store import TokenStore
from boresight.data.tokenise import TOO_LONG, prepare
from boresight.errors import UserError
from boresight.records import Conversation, Message, read_records


def talk(*turns: str) -> Conversation:
    """Messages that alternate between user and assistant."""
    messages = [
        {"role": "assistant" if i % 2 else "user", "content": content} for i, content in enumerate(turns)
    ]
    return Conversation.model_validate({"messages": messages})


def targets_of(store: TokenStore, index: int) -> list[int]:
    tokens, marks = store.sequence(index)
    return tokens[marks].tolist()


def text_of(chat: Chat, store: TokenStore, index: int) -> str:
    return chat.tokenizer.decode(store.sequence(index)[0], clean_up_tokenization_spaces=False)


@pytest.fixture
def chat(tokenizer: PreTrainedTokenizerFast) -> Chat:
    return Chat(tokenizer, "tulu")


DOCUMENT = " ".join(f"Paragraph {i} speaks of many things." for i in range(60))
QUESTION = f"Read this first. {DOCUMENT} And now: what did you read?"


def test_a_row_becomes_its_tokens_and_targets(chat: Chat, tmp_path: Path) -> None:
    store = prepare([talk("Hi", "Hello there")], chat, tmp_path / "store", 100)
    assert text_of(chat, store, 0) == "<s><|user|>\nHi\n<|assistant|>\nHello there</s>"
    assert chat.tokenizer.decode(targets_of(store, 0)) == "Hello there</s>"


def test_over_long_rows_lose_the_middle_of_the_longest_user_message(chat: Chat, tmp_path: Path) -> None:
    row = talk("Short one.", "Yes, short.", QUESTION, "Paragraphs, sixty of them.")
    whole = prepare([row], chat, tmp_path / "whole", 10_000)
    cut = prepare([row], chat, tmp_path / "cut", 200)
    assert cut.lengths[0] == 200 < whole.lengths[0]
    assert targets_of(cut, 0) == targets_of(whole, 0)
    text = text_of(chat, cut, 0)
    assert text.startswith(
        "<s><|user|>\nShort one.\n<|assistant|>\nYes, short.</s>\n<|user|>\nRead this first."
    )
    assert text.endswith("what did you read?\n<|assistant|>\nParagraphs, sixty of them.</s>")
    assert_middle_is_gone(whole.sequence(0)[0], cut.sequence(0)[0])
    counts = cut.manifest["counts"]
    assert counts["cut"] == 1 and counts["tokens_cut"] == whole.lengths[0] - 200
    assert (counts["rows"], counts["sequences"], counts["dropped"]) == (1, 1, {})


def assert_middle_is_gone(whole: np.ndarray, kept: np.ndarray) -> None:
    """Some head and some tail of the whole make up what is kept."""
    assert any(
        np.array_equal(kept, np.r_[whole[:head], whole[len(whole) - len(kept) + head :]])
        for head in range(1, len(kept))
    )


def test_the_cut_is_near_the_middle(chat: Chat, tmp_path: Path) -> None:
    row = talk("x " * 500, "Yes.")
    whole = prepare([row], chat, tmp_path / "whole", 10_000).sequence(0)[0]
    kept = prepare([talk("a" + " x" * 300 + " z", "Yes.")], chat, tmp_path / "cut", 100)
    text = text_of(chat, kept, 0)
    assert text.startswith("<s><|user|>\na x") and " z\n<|assistant|>" in text
    assert len(whole) > 500


@pytest.mark.parametrize("trim", [False, True])
@settings(deadline=None, max_examples=60)
@given(
    words=st.lists(
        st.sampled_from(["word", "two words", "é", "😀", "👨‍👩‍👧", "谢谢", "\n", "x = 1;", "ß"]), min_size=60
    ),
    limit=st.integers(5, 150),
)
def test_any_cut_keeps_the_limit_the_targets_and_whole_characters(
    trim: bool,
    words: list[str],
    limit: int,
    make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chat, place = Chat(make_byte_tokenizer(trim), "tulu"), tmp_path_factory.mktemp("store")
    row = talk("Begin. " + " ".join(words) + " Why?", "Because 😀.")
    whole = prepare([row], chat, place / "whole", 10_000)
    try:
        store = prepare([row], chat, place / "cut", limit)
    except UserError as refusal:
        assert TOO_LONG in str(refusal)
        assert limit < whole.lengths[0] - sum(len(w) for w in words) / 4, "there was enough to cut"
        return
    assert store.lengths[0] <= limit
    assert targets_of(store, 0) == targets_of(whole, 0)
    text = text_of(chat, store, 0)
    assert "�" not in text, "a character was cut in two"
    assert text.startswith("<s><|user|>\nB") and text.endswith("?\n<|assistant|>\nBecause 😀.</s>")


def test_a_row_of_exactly_the_limit_is_whole(chat: Chat, tmp_path: Path) -> None:
    row = talk(QUESTION, "Sixty.")
    length = int(prepare([row], chat, tmp_path / "whole", 10_000).lengths[0])
    store = prepare([row], chat, tmp_path / "same", length)
    assert store.lengths[0] == length and store.manifest["counts"]["cut"] == 0


def test_the_users_message_is_cut_where_another_quotes_it(chat: Chat, tmp_path: Path) -> None:
    """The text of the longest user message stands in the system message and in an answer as well."""
    row = Conversation.model_validate(
        {
            "messages": [
                {"role": "system", "content": f"Someone will say: {DOCUMENT} Be kind."},
                {"role": "user", "content": DOCUMENT},
                {"role": "assistant", "content": "Thanks."},
            ]
        }
    )
    whole = prepare([row], chat, tmp_path / "whole", 10_000)
    store = prepare([row], chat, tmp_path / "cut", int(whole.lengths[0]) - 50)
    assert text_of(chat, store, 0).startswith(f"<s><|system|>\nSomeone will say: {DOCUMENT} Be kind.")
    assert targets_of(store, 0) == targets_of(whole, 0)


def test_every_dropped_row_is_counted_with_its_reason(chat: Chat, tmp_path: Path) -> None:
    rows = [
        talk("Hi", "Hello"),
        talk("No answer"),
        talk("An empty answer", " \n"),
        talk("One with </s> in it", "Well"),
        talk("Too long an answer", "word " * 300),
        talk("Hi again", "Hello again"),
    ]
    store = prepare(rows, chat, tmp_path / "store", 100)
    counts = store.manifest["counts"]
    assert counts["rows"] == 6 and counts["sequences"] == len(store) == 2
    assert store.dropped == {
        "no assistant message to train on": 2,
        "a message contains the special token </s>": 1,
        TOO_LONG: 1,
    }
    assert counts["rows"] == counts["sequences"] + sum(store.dropped.values())


def test_when_no_row_is_left_nothing_is_left_behind(chat: Chat, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no assistant message to train on"):
        prepare([talk("No answer")], chat, tmp_path / "store", 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad_line", [1, 3, 2500])
def test_a_malformed_line_leaves_nothing_behind(bad_line: int, chat: Chat, tmp_path: Path) -> None:
    lines = [talk("Hi", f"Hello {i}").model_dump_json() for i in range(bad_line - 1)]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join([*lines, '{"messages": [{"role": "user"}]}', *lines]))
    with pytest.raises(UserError, match=rf"data\.jsonl:{bad_line}: "):
        prepare(read_records(data, Conversation), chat, tmp_path / "out" / "store", 100)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["data.jsonl"]
    assert not (tmp_path / "out" / "store").exists()


def test_a_failed_attempt_keeps_the_store_that_was_there(chat: Chat, tmp_path: Path) -> None:
    prepare([talk("Hi", "Hello")], chat, tmp_path / "store", 100)
    with pytest.raises(UserError):
        prepare([talk("No answer")], chat, tmp_path / "store", 100)
    assert len(TokenStore(tmp_path / "store")) == 1


def test_what_a_killed_attempt_left_is_no_hindrance(chat: Chat, tmp_path: Path) -> None:
    half = tmp_path / "store.partial"
    half.mkdir()
    (half / "tokens.bin").write_bytes(b"\0" * 400)
    assert len(prepare([talk("Hi", "Hello")], chat, tmp_path / "store", 100)) == 1
    assert not half.exists()


def test_batches_change_nothing(chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [talk(f"Question {i}", f"Answer {i} " * i) for i in range(11)]
    stores = []
    for size in (1, 4, 1000):
        monkeypatch.setattr(tokenise, "BATCH", size)
        stores.append(prepare(iter(rows), chat, tmp_path / str(size), 60))
    for store in stores[1:]:
        assert json.dumps(store.manifest) == json.dumps(stores[0].manifest)
        for i in range(len(store)):
            assert store.sequence(i)[0].tolist() == stores[0].sequence(i)[0].tolist()


def test_an_assistant_that_speaks_first_without_any_header_is_dropped_not_a_crash(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Nothing stands before the first answer, so nothing could predict its first token."""
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    opening = Conversation.model_validate(
        {"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Oh"}]}
    )
    store = prepare([opening, talk("a", "b")], Chat(tokenizer), tmp_path / "store", 100)
    assert len(store) == 1 and sum(store.dropped.values()) == 1


def test_rows_lost_before_are_counted_too(chat: Chat, tmp_path: Path) -> None:
    lost: dict[str, int] = {}

    def read() -> Iterator[Conversation]:
        lost["an empty answer"] = 2
        yield Conversation(
            messages=[Message(role="user", content="One?"), Message(role="assistant", content="One.")]
        )

    store = prepare(read(), chat, tmp_path / "store", 100, lost)
    assert store.dropped == {"an empty answer": 2}
    assert store.manifest["counts"]["rows"] == 3
