"""Splitting: hand-worked chunks, the published splitter step by step, and what no conversation may lose."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.data.sources.fields import Drop
from boresight.data.split import (
    AROUND,
    LOST,
    NOT_IN_TURN,
    TOO_LONG,
    UNANSWERED,
    UNPAIRED,
    count_tokens,
    split,
)
from boresight.records import Conversation


class Words:
    """A tokenizer whose tokens are words, so that lengths can be reckoned by hand; `add` before each text."""

    def __init__(self, add: int = 0):
        self.add = add

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * (self.add + len(text.split())) for text in texts]}


def talk(*sizes: int, roles: str = "ua") -> Conversation:
    """A conversation in which the k-th message takes sizes[k] tokens, what is around it included."""
    names = {"u": "user", "a": "assistant", "s": "system"}
    turns = [
        {"role": names[roles[i % len(roles)]], "content": " ".join([f"w{i}"] * (size - AROUND))}
        for i, size in enumerate(sizes)
    ]
    return Conversation.model_validate({"source": "s", "messages": turns})


def numbers(found: Conversation | Drop) -> list[int] | tuple[str, list[int]]:
    """Which messages a chunk holds; of a drop its reason too."""
    if isinstance(found, Drop):
        assert isinstance(found.part, list)
        return found.reason, [int(message["content"].split()[0][1:]) for message in found.part]
    return [int(message.content.split()[0][1:]) for message in found.messages]


def cut(conversation: Conversation, limit: int, published: bool = False) -> list[Any]:
    return [numbers(found) for found in split(conversation, Words(), limit, published)]  # type: ignore[arg-type]


def test_the_tail_pair_worked_by_hand() -> None:
    # Pairs of 100, 80 and 90 tokens, at most 200: the third overflows the first chunk and is the last.
    conversation = talk(40, 60, 30, 50, 40, 50)
    assert cut(conversation, 200) == [[0, 1, 2, 3], [4, 5]]
    assert cut(conversation, 200, published=True) == [[0, 1, 2, 3], (LOST, [4, 5])]
    # Where the last pair joins others in its chunk, both keep it.
    for published in (False, True):
        assert cut(talk(40, 60, 60, 50, 40, 50), 200, published) == [[0, 1], [2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("sizes", "fixed", "published"),
    [
        ((100, 100), [[0, 1]], [[0, 1]]),
        ((100, 101), [(TOO_LONG, [0, 1])], [(TOO_LONG, [0, 1])]),
        # A pair too long ends the chunk before it; the published script loses a last pair after one.
        (
            (20, 20, 100, 101, 20, 20),
            [[0, 1], (TOO_LONG, [2, 3]), [4, 5]],
            [[0, 1], (TOO_LONG, [2, 3]), (LOST, [4, 5])],
        ),
        (
            (20, 20, 100, 101, 20, 20, 30, 30),
            [[0, 1], (TOO_LONG, [2, 3]), [4, 5, 6, 7]],
            [[0, 1], (TOO_LONG, [2, 3]), [4, 5, 6, 7]],
        ),
        ((90, 90, 50), [[0, 1], (UNANSWERED, [2])], [[0, 1], (UNPAIRED, [2])]),
        ((10, 10, 10), [[0, 1, 2]], [[0, 1], (UNPAIRED, [2])]),  # it fits, and is nobody's business to cut
    ],
)
def test_chunks_of_at_most_200(sizes: tuple[int, ...], fixed: list[Any], published: list[Any]) -> None:
    assert cut(talk(*sizes), 200) == fixed
    assert cut(talk(*sizes), 200, published=True) == published


def test_the_length_of_a_message_is_its_tokens_and_six() -> None:
    assert count_tokens(Words(), ["a b c", ""]) == [9, 6]  # type: ignore[arg-type]
    assert count_tokens(Words(add=1), ["a b c"]) == [10]  # type: ignore[arg-type]
    assert cut(talk(100, 99), 199) == [[0, 1]]
    assert cut(talk(100, 99), 198) == [(TOO_LONG, [0, 1])]


def test_a_system_message_begins_every_chunk_and_takes_its_room() -> None:
    conversation = talk(20, 40, 40, 40, 40, roles="suaua")
    assert cut(conversation, 179) == [[0, 1, 2], [0, 3, 4]]
    assert cut(conversation, 180) == [[0, 1, 2, 3, 4]]
    assert cut(talk(20, 40, 40, 40, 40, 40, 40, roles="suauaua"), 179) == [[0, 1, 2], [0, 3, 4], [0, 5, 6]]
    assert cut(conversation, 99) == [(TOO_LONG, [1, 2]), (TOO_LONG, [3, 4])]


def test_a_side_that_speaks_twice_stays_in_its_round() -> None:
    conversation = talk(20, 20, 20, 20, 20, 20, 20, roles="uuaauua")
    assert cut(conversation, 100) == [[0, 1, 2, 3], [4, 5, 6]]
    assert cut(conversation, 100, published=True) == [
        (NOT_IN_TURN, [0, 1, 2, 3]),
        (LOST, [4, 5]),
        (UNPAIRED, [6]),
    ]


def test_chunks_know_where_they_come_from_and_keep_the_other_keys() -> None:
    whole = Conversation.model_validate({**talk(60, 60, 60, 60).model_dump(), "language": "en"})
    chunks = [c for c in split(whole, Words(), 120) if isinstance(c, Conversation)]  # type: ignore[arg-type]
    assert [c.model_extra for c in chunks] == [{"language": "en", "part_of": whole.id}] * 2
    assert len({whole.id, *(c.id for c in chunks)}) == 3
    assert list(split(whole, Words(), 240)) == [whole]  # type: ignore[arg-type]


conversations = st.lists(st.integers(7, 60), min_size=1, max_size=24).flatmap(
    lambda sizes: st.text("ua", min_size=len(sizes), max_size=len(sizes)).map(
        lambda roles: talk(*sizes, roles=roles)
    )
)


@given(conversations, st.integers(20, 150), st.booleans())
def test_every_message_is_in_one_chunk_or_counted_and_chunks_fit(
    conversation: Conversation, limit: int, published: bool
) -> None:
    found = list(split(conversation, Words(), limit, published))  # type: ignore[arg-type]
    seen = [n for part in map(numbers, found) for n in (part[1] if isinstance(part, tuple) else part)]
    assert seen == list(range(len(conversation.messages)))
    for part in found:
        if isinstance(part, Conversation):
            assert sum(count_tokens(Words(), [m.content for m in part.messages])) <= limit  # type: ignore[arg-type]


@given(st.lists(st.integers(7, 60), min_size=2, max_size=24).filter(lambda sizes: len(sizes) % 2 == 0))
def test_the_published_reading_differs_by_its_defect_alone(sizes: list[int]) -> None:
    fixed, published = (cut(talk(*sizes), 100, reading) for reading in (False, True))
    assert [part[1] if part[0] == LOST else part for part in published] == fixed
