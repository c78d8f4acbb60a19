"""Mixtures: exact counts, the same rows from however many files, and nothing twice that was not asked for."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from boresight.data.mix import mix
from boresight.data.mixture import Mixture, shares_out
from boresight.errors import UserError


def row(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]}


def write(path: Path, texts: Sequence[str]) -> str:
    path.write_text("".join(json.dumps(row(text)) + "\n" for text in texts))
    return str(path)


def texts(path: Path) -> list[str]:
    return [json.loads(line)["messages"][0]["content"] for line in path.read_text().splitlines()]


def mixture(members: dict[str, Any], **keys: Any) -> Mixture:
    return Mixture.model_validate({"members": members, **keys})


@pytest.fixture
def two(tmp_path: Path) -> dict[str, str]:
    """Files of 100 and of 10 conversations."""
    return {
        name: write(tmp_path / f"{name}.jsonl", [f"{name} {i}" for i in range(n)])
        for name, n in (("a", 100), ("b", 10))
    }


def test_counts_are_exact_and_no_row_comes_twice(two: dict[str, str], tmp_path: Path) -> None:
    wanted = mixture({"a": {"files": [two["a"]], "count": 30}, "b": {"files": [two["b"]], "at_most": 30}})
    taken = mix(wanted, tmp_path / "out.jsonl")
    assert {n: (t.rows, t.conversations, t.chosen) for n, t in taken.items()} == {
        "a": (100, 100, 30), "b": (10, 10, 10),
    }  # fmt: skip
    found = texts(tmp_path / "out.jsonl")
    assert len(set(found)) == 40 and Counter(text[0] for text in found) == {"a": 30, "b": 10}
    assert set(tmp_path.iterdir()) == {Path(two["a"]), Path(two["b"]), tmp_path / "out.jsonl"}


def test_members_are_mingled_and_the_draw_favours_no_place_in_the_file(
    two: dict[str, str], tmp_path: Path
) -> None:
    drawn: Counter[str] = Counter()
    first_half: Counter[str] = Counter()
    for seed in range(60):
        parts = {name: {"files": [two[name]], "count": 10} for name in two}
        mix(mixture(parts, seed=seed), tmp_path / "out.jsonl")
        found = texts(tmp_path / "out.jsonl")
        drawn.update(found)
        first_half.update(text[0] for text in found[:10])
    # 60 draws of 10 of 100: a row comes 6 times, with a deviation of 2.3; halves are binomial, 300 ± 12.
    assert len([n for text, n in drawn.items() if text[0] == "a" and n > 0]) > 90
    assert max(n for text, n in drawn.items() if text[0] == "a") < 18
    assert sum(n for text, n in drawn.items() if text[0] == "a" and int(text[2:]) < 50) in range(240, 360)
    assert first_half["a"] in range(240, 360)


def test_a_smaller_count_is_part_of_a_larger_and_other_members_do_not_matter(
    two: dict[str, str], tmp_path: Path
) -> None:
    mix(mixture({"a": {"files": [two["a"]], "count": 20}}), tmp_path / "few.jsonl")
    mix(
        mixture({"a": {"files": [two["a"]], "count": 50}, "b": {"files": [two["b"]]}}),
        tmp_path / "more.jsonl",
    )
    few, more = texts(tmp_path / "few.jsonl"), texts(tmp_path / "more.jsonl")
    assert set(few) < set(more)
    assert [text for text in more if text in few] == few
    mix(mixture({"a": {"files": [two["a"]], "count": 20}}, seed=1), tmp_path / "other.jsonl")
    assert set(texts(tmp_path / "other.jsonl")) != set(few)


def test_equal_rows_are_drawn_apart(tmp_path: Path) -> None:
    twins = write(tmp_path / "twins.jsonl", ["x", "x", "y", "y"])
    drawn = set()
    for seed in range(40):
        mix(mixture({"m": {"files": [twins], "count": 2}}, seed=seed), tmp_path / "out.jsonl")
        drawn.add("".join(texts(tmp_path / "out.jsonl")))
    assert drawn == {"xx", "xy", "yx", "yy"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_how_rows_are_spread_over_files_decides_nothing(
    rows: list[str], random: Random, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 2 * len(rows)))
    with TemporaryDirectory() as directory:
        outputs = []
        for attempt in range(2):
            random.shuffle(rows)
            cut = random.randrange(len(rows)) if len(rows) > 1 else 0
            parts = [part for part in (rows[:cut], rows[cut:]) if part]
            files = [
                write(Path(directory) / f"{attempt}{i}{random.random()}.jsonl", p)
                for i, p in enumerate(parts)
            ]
            out = Path(directory) / "out.jsonl"
            member = {"files": files, "count": count, "repeat": count > len(rows)}
            assert mix(mixture({"m": member}), out)["m"].chosen == count
            outputs.append(out.read_bytes())
        assert outputs[0] == outputs[1]
        found, there = Counter(texts(Path(directory) / "out.jsonl")), Counter(rows)
        passes, rest = divmod(count, len(rows))
        assert found.total() == count
        for text, times in there.items():  # a text that is there twice is two rows
            assert passes * times <= found[text] <= passes * times + min(times, rest)


def test_more_than_there_is_names_the_member_and_the_remedy(two: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"members\.b: 11 conversations wanted, its files give 10; .*repeat"):
        mix(mixture({"b": {"files": [two["b"]], "count": 11}}), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert len(list(tmp_path.iterdir())) == 2
    mix(mixture({"b": {"files": [two["b"]], "count": 25, "repeat": True}}), tmp_path / "out.jsonl")
    assert sorted(Counter(texts(tmp_path / "out.jsonl")).values()) == [2] * 5 + [3] * 5


def members(*shares: float, repeat: Sequence[int] = ()) -> dict[str, Any]:
    return {str(i): {"files": ["f"], "share": share, "repeat": i in repeat} for i, share in enumerate(shares)}


@pytest.mark.parametrize(
    ("wanted", "have", "counts"),
    [
        (mixture(members(0.7, 0.2, 0.1), total=10), [9, 9, 9], [7, 2, 1]),
        (mixture(members(1, 1, 1), total=10), [9, 9, 9], [4, 3, 3]),
        (mixture(members(0.9, 0.1)), [1000, 10], [90, 10]),  # the tenth sets the size
        (mixture(members(0.9, 0.1, repeat=[1])), [1000, 10], [1000, 111]),
        (mixture(members(3, 1), total=8), [6, 2], [6, 2]),
    ],
)
def test_shares(wanted: Mixture, have: list[int], counts: list[int]) -> None:
    available = {str(i): n for i, n in enumerate(have)}
    assert list(shares_out(wanted, available).values()) == counts


def test_shares_that_cannot_be_had() -> None:
    with pytest.raises(UserError, match=r"members\.1: 3 conversations wanted, its files give 2"):
        shares_out(mixture(members(1, 1), total=6), {"0": 9, "1": 2})
    with pytest.raises(UserError, match="give a total"):
        shares_out(mixture(members(1, repeat=[0])), {"0": 9})
    with pytest.raises(UserError, match="the mixture is empty"):
        shares_out(mixture(members(1, 1)), {"0": 0, "1": 5})


positive = st.integers(1, 500)


@given(st.lists(st.tuples(st.integers(1, 100), positive), min_size=1, max_size=6))
def test_shares_fill_the_total_within_one_and_take_nothing_twice(parts: list[tuple[int, int]]) -> None:
    shares, have = zip(*parts, strict=True)
    available = {str(i): n for i, n in enumerate(have)}
    bound = min(n * sum(shares) // share for share, n in parts)
    if not bound:
        return
    counts = shares_out(mixture(members(*shares)), available)
    assert sum(counts.values()) == bound
    for i, (share, n) in enumerate(parts):
        assert counts[str(i)] <= n
        assert abs(counts[str(i)] - bound * share / sum(shares)) < 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"members": {"a": {"files": ["f"], "count": 1, "share": 1}}}, "one of count, at_most and share"),
        ({"members": {"a": {"files": ["f"], "repeat": True}}}, "repeat needs"),
        ({"members": {"a": {"files": ["f"], "share": 1}, "b": {"files": ["f"]}}}, "every member needs one"),
        ({"members": {"a": {"files": ["f"]}}, "total": 3}, "need shares"),
        ({"members": {"a": {"files": ["f"], "split": 10}}}, "needs a model"),
        ({"members": {"a": {"files": ["f"], "source": "alpacca"}}}, "unknown source 'alpacca'"),
        ({"members": {"a": {"files": []}}}, "at least 1"),
    ],
)
def test_a_mixture_that_contradicts_itself_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mixture.model_validate(keys)


def test_missing_files_are_named_before_any_is_read(two: dict[str, str], tmp_path: Path) -> None:
    parts = {"a": {"files": [two["a"]]}, "z": {"files": ["nowhere.jsonl"]}}
    read: list[str] = []
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file \(members\.z\.files\)"):
        mix(mixture(parts), tmp_path / "out.jsonl", progress=read.append)
    assert not read
    parts["z"]["at_most"] = 0  # type: ignore[assignment]
    assert mix(mixture(parts), tmp_path / "out.jsonl")["z"].chosen == 0
    with pytest.raises(UserError, match="one of the files to read"):
        mix(mixture({"a": {"files": [two["a"]]}}), Path(two["a"]))
    assert len(texts(Path(two["a"]))) == 100


def test_long_conversations_are_split_and_what_is_lost_is_counted(
    tmp_path: Path, make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast]
) -> None:
    pair = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "It is a harbour. " * 20}]
    path = tmp_path / "sg.json"
    path.write_text(json.dumps([{"id": "x", "conversations": pair * 3}]))
    tokenizer = make_byte_tokenizer()
    size = sum(len(tokenizer(turn["value"])["input_ids"]) + 6 for turn in pair)
    member = {"source": "sharegpt", "files": [str(path)], "split": 2 * size}
    out = tmp_path / "out.jsonl"
    taken = mix(mixture({"s": member}, model="pocket"), out, tokenizer)["s"]
    assert (taken.rows, taken.conversations, taken.dropped) == (1, 2, {})
    assert sorted(len(json.loads(line)["messages"]) for line in out.read_text().splitlines()) == [2, 4]
    taken = mix(mixture({"s": member}, model="pocket", reading="tulu1"), out, tokenizer)["s"]
    assert (taken.conversations, sum(taken.dropped.values())) == (1, 1)
