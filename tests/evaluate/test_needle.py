"""Where a needle stands, how long the prompt is, and what an answer scores, for tokenizers of three kinds."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.evaluate.needle import Distractor, Needle, copied, holds, load_needles, recall
from boresight.evaluate.needle_grid import Grid, continuation, lay_out, messages, numbers
from boresight.evaluate.needle_haystack import Haystack, gather, split_sentences
from boresight.evaluate.needle_measure import Measure, in_characters, in_tokens
from boresight.models.load import load_tokenizer

ENGLISH = [
    "The old harbour has been mended many times since. ",
    "Who keeps the grey coat?\n",
    "“Never!” ",
    "J. R. Smith (b. 1901) lived, e.g. in winter, by the sea.\n\n",
    "Yes… ",
    "It cost 3.50 in 1432, and nobody paid it. ",
]
CHINESE = [
    "灯塔在海边。",
    "谁住在那里？",
    "老人说：“没有人！”",
    "他每天早上都去集市买鱼,然后回家。\n\n",
    "真的吗？！",
]
NEEDLES = {
    "en": Needle(name="en", text="The keeper feeds three cats.", question="What?", keywords=["three cats"]),
    "zh": Needle(name="zh", text="守塔人养了三只猫。", question="养了什么？", keywords=["三只猫"]),
    "published": load_needles("published")[0],
}


def of_characters() -> PreTrainedTokenizerFast:
    """A token for every character, white space included, and no merges at all."""
    letters = sorted(set("".join([*ENGLISH, *CHINESE])))
    vocabulary = {token: i for i, token in enumerate(["<unk>", "</s>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


@pytest.fixture(scope="module")
def measures(
    make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast],
    make_metaspace_tokenizer: Callable[..., PreTrainedTokenizerFast],
) -> dict[str, Measure]:
    return {
        "pocket": in_tokens(load_tokenizer("pocket")),
        "bytes": in_tokens(make_byte_tokenizer()),
        "characters": in_tokens(of_characters()),
        "metaspace": in_tokens(make_metaspace_tokenizer()),
        "none": in_characters(),
    }


NAMES = ["pocket", "bytes", "characters", "metaspace", "none"]


def test_sentences_are_those_a_reader_sees() -> None:
    assert split_sentences("".join(ENGLISH)) == ENGLISH
    assert split_sentences("".join(CHINESE)) == CHINESE
    assert split_sentences("A heading\n\nand text\nthat is wrapped. Then") == [
        "A heading\n\n",
        "and text\nthat is wrapped. ",
        "Then",
    ]


@given(st.text(alphabet="aB. 。！\n”!?"))
def test_nothing_of_a_text_is_lost_in_its_sentences(text: str) -> None:
    assert "".join(split_sentences(text)) == text
    table = "1 2 3\n" * 1000
    assert split_sentences(table) == ["1 2 3\n"] * 1000


@pytest.mark.parametrize("name", NAMES)
@given(
    sentences=st.lists(st.sampled_from(ENGLISH + CHINESE), min_size=2, max_size=60),
    depth=st.integers(0, 100),
    needle=st.sampled_from(list(NEEDLES.values())),
    length=st.integers(450, 900),
)
@example(sentences=CHINESE * 9, depth=37, needle=NEEDLES["zh"], length=500)
# A token runs across the place where the end meets the beginning.
@example(sentences=[ENGLISH[0], "Yes… "], depth=0, needle=NEEDLES["en"], length=823)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_needle_stands_within_a_sentence_of_its_depth(
    name: str, sentences: list[str], depth: int, needle: Needle, length: int, measures: dict[str, Measure]
) -> None:
    """Measured anew on the text that the model is given, by encoding what stands on either side."""
    measure = measures[name]
    way = continuation("<s>")
    (laid,) = lay_out(sentences, [needle], Grid((length,), (depth,), 1, 20, 0), measure, way)
    before, found, after = laid.text.partition(needle.text)
    assert found and laid.text.count(needle.text) == 1
    kept = laid.haystack.sentences[: laid.sentences]
    # A boundary in the text: on both sides whole sentences of the haystack, in their order.
    assert before.split() == "".join(kept[: laid.at]).split()
    assert after.split() == "".join(kept[laid.at :]).split()

    def units(text: str) -> int:
        return len(measure.starts(text.strip()))

    neighbours = kept[max(laid.at - 1, 0) : laid.at + 1]
    total = units("".join(kept))
    off = abs(units(before) - depth / 100 * total)
    assert off <= max(map(units, neighbours)) + 1  # a token may run across the boundary
    assert laid.reached == pytest.approx(100 * units(before) / total, abs=100 / total + 1e-9)
    # No other boundary is nearer.
    others = [abs(units("".join(kept[:i])) - depth / 100 * total) for i in range(len(kept) + 1)]
    assert off <= min(others) + 1
    # As much as fits, and never more.
    assert laid.length == measure.count(way(laid.text, needle)) + 20 <= length
    more = laid.sentences + 1
    longer = laid.haystack.text(more, [(laid.haystack.place(depth, more), needle.text)])
    assert measure.count(way(longer, needle)) + 20 > length


def test_by_hand() -> None:
    """Characters count, so every number can be checked by eye: sentences of 4, 6, 4 and 6 characters."""
    haystack = Haystack(["Aaa.", "Bbbbb.", "Ccc.", "Ddddd."], in_characters(), 20)
    assert haystack.before[:5].tolist() == [0, 4, 10, 14, 20]
    # 20 characters: depth 30 is 6, nearest to 4; 40 is 8, nearest to 10.
    assert [haystack.place(depth, 4) for depth in (0, 9, 11, 30, 40, 60, 61, 90, 100)] == [
        0, 0, 1, 1, 2, 2, 3, 4, 4,
    ]  # fmt: skip
    assert haystack.depth(1, 4) == 20
    assert haystack.text(4, [(1, "N!")]) == "Aaa.N!Bbbbb.Ccc.Ddddd."


def test_distractors_stand_in_every_text_and_count_towards_its_length(measures: dict[str, Measure]) -> None:
    others = [f"The keeper of {town} feeds {n} dogs." for n, town in enumerate(["Bree", "Dale", "Rohan"], 4)]
    distractors = [Distractor(text=text, keywords=[text.split()[-2] + " dogs"]) for text in others]
    needle = NEEDLES["en"].model_copy(update={"distractors": distractors})
    measure = measures["bytes"]
    grid = Grid((200, 400), (0, 50, 100), 2, 10, seed=1)
    kept = gather(["Four. A dog. Six dogs are 6 dogs. Rain fell on the sea."], [needle], 10)
    assert kept.left_out == 1
    for laid in lay_out(kept.sentences, [needle], grid, measure, messages):
        assert all(laid.text.count(text) == 1 for text in [needle.text, *others])
        assert measure.count(messages(laid.text, needle)) + 10 == laid.length <= laid.cell.length
        before, _, after = laid.text.partition(needle.text)
        assert before.strip() or laid.cell.depth == 0
        assert after.strip() or laid.cell.depth == 100


def test_who_tells_another_sentence_has_copied_and_who_tells_both_has_found() -> None:
    needle = Needle(
        name="n", text="Ann keeps the lamp.", question="Who?", keywords=["Ann"],
        distractors=[Distractor(text="Bob keeps the drum.", keywords=["Bob"])],
    )  # fmt: skip
    told = {"Bob.": True, "Ann.": False, "Ann, not Bob.": False, "Bobby": False, "": False}
    assert {answer: copied(answer, needle) for answer in told} == told


def test_the_needle_is_parted_as_the_sentences_are() -> None:
    spaced = Haystack(["One. ", "Two.\n\n", "Three. "], in_characters(), 5)
    assert spaced.text(3, [(0, "N.")]) == "N. One. Two.\n\nThree."
    assert spaced.text(3, [(1, "N.")]) == "One. N. Two.\n\nThree."
    assert spaced.text(3, [(2, "N.")]) == "One. Two.\n\nN.\n\nThree."
    assert spaced.text(3, [(3, "N.")]) == "One. Two.\n\nThree. N."
    assert spaced.text(3, [(1, "\nN.\n")]) == "One. \nN.\nTwo.\n\nThree."
    assert Haystack(["灯塔。", "海。"], in_characters(), 5).text(2, [(1, "猫。")]) == "灯塔。猫。海。"


@pytest.mark.parametrize("name", NAMES)
def test_messages_of_a_template_count_whole(name: str, measures: dict[str, Measure]) -> None:
    tokenizer = load_tokenizer("pocket")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    measure = in_tokens(tokenizer) if name == "pocket" else measures[name]
    needle = NEEDLES["published"]
    for laid in lay_out(ENGLISH, [needle], Grid((500, 900), (0, 50, 100), 2, 30, 1), measure, messages):
        asked = messages(laid.text, needle)
        assert isinstance(asked, tuple) and [m.role for m in asked] == ["system", "user"]
        assert asked[1].content.endswith("in the context:")
        if name == "pocket":
            rendered = tokenizer.apply_chat_template(
                [{"role": m.role, "content": m.content} for m in asked], add_generation_prompt=True
            )["input_ids"]
            assert len(rendered) + 30 == laid.length
        assert laid.length <= laid.cell.length


def test_neighbours_share_what_they_can(measures: dict[str, Measure]) -> None:
    """As much in all as the best order of any does: all but the longest prefix (each is at most its own)."""
    needles = [NEEDLES["en"], NEEDLES["zh"]]
    grid = Grid((300, 500, 900), (0, 20, 50, 90), 2, 10, 3)
    laid = lay_out(ENGLISH * 3, needles, grid, measures["pocket"], continuation("<s>"))
    assert len({each.cell for each in laid}) == len(laid) == 2 * 3 * 4 * 2
    for one, two in pairwise(laid):
        if one.cell.sample == two.cell.sample:
            assert one.text[: two.shared] == two.text[: two.shared]
    first, second = (next(e for e in laid if e.cell.sample == s).haystack.sentences for s in (0, 1))
    assert first[: len(ENGLISH)] == ENGLISH and second != first and set(second) == set(first)


def test_a_haystack_that_is_too_short_is_said_again(measures: dict[str, Measure]) -> None:
    haystack = Haystack(["One. ", "Two. "], measures["bytes"], 300)
    assert haystack.before[-1] >= 300 and "".join(haystack.sentences).startswith("One. Two. One. Two. ")


def test_sentences_that_tell_are_left_out() -> None:
    needle = Needle(
        name="n", text="The red drum is with Ada.", question="?", keywords=["Ada"], avoid=["red drum"]
    )
    found = gather(["Ada sings. The Red  Drum rolls. Adam eats. A red drummer.", "Late."], [needle], 10)
    assert found == (["Adam eats. ", "A red drummer.\n\n"], 2)
    with pytest.raises(UserError, match="empty; 1 sentences that tell"):
        gather(["Ada sings."], [needle], 10)


@pytest.mark.parametrize(
    ("answer", "keywords", "share"),
    [
        ("Eat a SANDWICH in Dolores\nPark.", ["sandwich", "Dolores Park", "sunny"], 2 / 3),
        ("It was sunnyish; sandwiches", ["sunny", "sandwich"], 0),
        ("13 or 3.", ["3"], 1),
        ("13 or 30", ["3"], 0),
        ("喂三只白猫小鱼干", ["三只白猫", "小鱼干", "狗"], 2 / 3),
        ("在Park里", ["Park"], 1),
        ("ＳＵＮＮＹ", ["sunny"], 1),
        ("Straße", ["STRASSE"], 1),
        ("C++ (or so)", ["c++", "(or"], 1),
        ("", ["x"], 0),
    ],
)
def test_recall(answer: str, keywords: list[str], share: float) -> None:
    assert recall(answer, keywords) == pytest.approx(share)


def test_a_phrase_is_more_than_letters() -> None:
    assert holds("Vivun keeps it; Vivu not", "vivu") and not holds("Vivun keeps it", "vivu")


def test_grids() -> None:
    assert numbers("--x", "published", (1, 2)) == (1, 2)
    assert numbers("--x", "300, 100", ()) == (100, 300)
    assert numbers("--x", "1000-60000:10", ()) == (
        1000, 7556, 14111, 20667, 27222, 33778, 40333, 46889, 53444, 60000,
    )  # fmt: skip
    assert numbers("--x", "10-90:10", ()) == (10, 19, 28, 37, 46, 54, 63, 72, 81, 90)
    for wrong in ("", "a", "5-1:3", "1-5:1", "-3"):
        with pytest.raises(UserError, match="--x"):
            numbers("--x", wrong, ())


def test_no_room_is_an_error_that_says_how_much_is_needed(measures: dict[str, Measure]) -> None:
    with pytest.raises(
        UserError, match=r"a length of 20 tokens: needle 'en'.* take \d+, which leaves no room"
    ):
        lay_out(ENGLISH, [NEEDLES["en"]], Grid((20,), (50,), 1, 8, 0), measures["pocket"], continuation(""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("needles:\n- name: a\n  text: b\n", r"n.yaml:2: 'needles.0.keywords' is missing"),
        ("needles:\n- {name: a, text: b, keywords: [c]}\n", "neither a question nor an opening"),
        ("needles:\n- {name: a, text: ' ', keywords: [c], question: d}\n", "n.yaml:2: .*is empty"),
        (
            "needles:\n" + "- {name: a, text: b, keywords: [c], question: d}\n" * 2,
            "two needles are named 'a'",
        ),
        ("needles: []\n", "n.yaml"),
    ],
)
def test_malformed_needles(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        load_needles(str(tmp_path / "n.yaml"))


def test_our_needles_can_be_asked() -> None:
    for name in ("published", "chinese", "pocket"):
        for needle in load_needles(name):
            # What is asked must not tell, and the needle must.
            assert recall(needle.text, needle.keywords) == 1 and recall(needle.asked, needle.keywords) == 0
    with pytest.raises(UserError, match="did you mean 'pocket'"):
        load_needles("pockt")


def test_starts_are_of_characters(measures: dict[str, Measure]) -> None:
    assert measures["characters"].starts("a 灯").tolist() == [0, 1, 2]
    assert np.unique(measures["bytes"].starts("灯")).tolist() == [0]


def test_what_a_server_puts_before_a_text_counts(measures: dict[str, Measure]) -> None:
    tokenizer = load_tokenizer("pocket")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert in_tokens(tokenizer, begun=True).count("a b") == measures["pocket"].count("a b") + 1
    assert in_tokens(tokenizer).count("a b") == measures["pocket"].count("a b")
