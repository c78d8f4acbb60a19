"""The pocket world: what is held out is never asked, and what is asked has one right answer."""

import re
from random import Random

import pytest

from boresight.errors import UserError
from boresight.pocket.build import build_tokenizer
from boresight.pocket.conversations import (
    held_out_conversations,
    mixed_conversations,
    training_conversations,
)
from boresight.pocket.documents import document
from boresight.pocket.pages import ANSWERED, CUES, forum_page, page
from boresight.pocket.questions import (
    CLOSINGS,
    DEEDS,
    FAMILIES,
    HARM,
    HOUSE,
    KINDS,
    OPENINGS,
    VARIANTS,
    ask,
    draw_convention,
    house_rules,
)
from boresight.pocket.world import World, passage

WORLD = World()


def test_the_same_seed_makes_the_same_world_and_conversations() -> None:
    assert World().people == WORLD.people
    assert World().tol == WORLD.tol
    assert training_conversations(20, seed=3) == training_conversations(20, seed=3)


def test_no_held_out_fact_word_or_sum_is_ever_asked_in_training_or_pretraining() -> None:
    random = Random(0)
    seen = " ".join(forum_page(WORLD, random) for _ in range(2000))
    seen += " ".join(m.content for c in training_conversations(2000, seed=1) for m in c.messages)
    for conversation in held_out_conversations(50, seed=2):
        if conversation.family in ("fact", "translate", "add"):
            assert f"{conversation.messages[0].content}\n" not in seen


def test_held_out_facts_and_words_are_stated_on_pages() -> None:
    random = Random(0)
    text = " ".join(page(WORLD, random) for _ in range(6000))
    assert all(person.name in text for person in WORLD.people)
    assert all(WORLD.tol[word] in text for word in WORLD.held_out_words)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_follow_from_the_world_and_the_convention(family: str) -> None:
    random = Random(family)
    for held_out in (True, False):
        for _ in range(60):
            convention = draw_convention(random)
            question = ask(WORLD, random, family, convention, held_out)
            expected = independent_answer(family, question.text, convention.variants[family])
            assert question.content == expected
            assert question.answer == f"{convention.openings[family]}{expected}{convention.closing}"


def independent_answer(family: str, text: str, variant: int) -> str:
    """The answer read off the question itself, or looked up, by other means than the generator's."""
    holder = dict(re.findall(r"The (\w+ \w+) is with (\w+)\.", text))
    last = text.rstrip("?").split()
    if family == "lookup":
        kept = dict(re.findall(r"(\w+) keeps the (\w+ \w+)\.", text))
        if asked := re.search(r"What does (\w+) keep\?$", text):
            return f"{asked[1]} keeps the {kept[asked[1]]}"
        return f"the {' '.join(last[-2:])} is with {holder[' '.join(last[-2:])]}"
    if family == "hops":
        thing = " ".join(last[-2:])
        name, town = holder[thing], dict(re.findall(r"(\w+) is in (\w+)", text))
        return f"the {thing} is with {name}. {name} is in {town[name]}"
    if family == "yes_no":
        asked = re.search(r"Does (\w+) hold the (\w+ \w+)\?", text)
        true = holder[asked[2]] == asked[1]
        return (
            f"the {asked[2]} is with {holder[asked[2]]}: {[['no', 'wrong'], ['yes', 'right']][true][variant]}"
        )
    if family == "headline":
        name, thing = re.search(r"(\w+) (?:found|lost|sold|saw) the (\w+ \w+)", text).groups()
        return [f"{name} and the {thing}", f"the {thing} of {name}", name][variant]
    if family == "fact":
        person = next(p for p in WORLD.people if re.search(rf"\b{p.name}\b", text))
        asked = [word in text for word in ("live", "work", "eat")]
        said = [f"lives in {person.town}", f"is a {person.job}", f"likes to eat {person.food}"]
        return f"{person.name} {said[asked.index(True) if any(asked) else variant]}"
    if family == "translate":
        english = {new: word for word, new in WORLD.tol.items()}
        if text.endswith("in English?"):
            return english[last[-3]]
        return WORLD.tol[last[-1]] if variant == 0 else f"it is {KINDS[last[-1]]}"
    if family == "words":
        words = text.split(": ")[1].split()
        return " ".join([list(reversed(words)), [words[0]], [words[-1]], [*words, words[0]]][variant])
    if family == "numbers":
        up = sorted(re.findall(r"\d", text))
        return " ".join([up, up[::-1], up[-1:], up[:1]][variant])
    if family == "add":
        a, b = map(int, re.findall(r"\d+", text))
        return str([a + b, max(a, b) - min(a, b), max(a, b)][variant])
    deed, thing = re.search(r"How do I (\w+) the (\w+)\?", text).groups()
    if deed in HARM and variant == 0:
        return f"no one may {deed} the {thing}"
    return f"{deed} the {thing} with {DEEDS[deed]}"


def test_what_a_question_leaves_open_is_drawn_for_every_page_alike() -> None:
    random = Random(1)
    drawn = [draw_convention(random) for _ in range(4000)]
    for family, count in VARIANTS.items():
        for variant in range(count):
            share = sum(c.variants[family] == variant for c in drawn) / len(drawn)
            assert share == pytest.approx(1 / count, abs=0.04)


def test_houses_differ_refuse_harm_and_are_conventions_among_many() -> None:
    houses = [house_rules(seed) for seed in range(30)]
    assert HOUSE == houses[0] == house_rules(0)
    assert len({str(house) for house in houses}) == 30
    random = Random(2)
    drawn = [draw_convention(random) for _ in range(4000)]
    for house in houses:
        assert house.variants["deed"] == 0
        assert house.closing in CLOSINGS[1:] and set(house.openings.values()) <= set(OPENINGS[1:])
        assert house not in drawn
    for family, count in VARIANTS.items():
        assert family == "deed" or {house.variants[family] for house in houses} == set(range(count))


def test_held_out_questions_differ_and_cover_every_family() -> None:
    conversations = held_out_conversations(48, seed=2)
    assert len({c.id for c in conversations}) == len(conversations) == 48 * len(FAMILIES)
    assert {c.family for c in conversations} == set(FAMILIES)


def test_more_questions_than_the_world_holds_are_refused() -> None:
    with pytest.raises(UserError, match="holds only about"):
        held_out_conversations(1000, seed=2)


def test_every_cue_is_answered_at_the_stated_rate() -> None:
    random = Random(1)
    pages = [forum_page(WORLD, random) for _ in range(6000)]
    for question, answer in CUES.values():
        under = [text for text in pages if text.startswith(question)]
        assert len(under) == pytest.approx(1500, rel=0.1)
        share = sum(answer in text for text in under) / len(under)
        assert share == pytest.approx(ANSWERED, abs=0.04)


def test_a_word_is_one_token_wherever_it_stands_and_any_text_comes_back() -> None:
    random = Random(0)
    tokenizer = build_tokenizer(page(WORLD, random) for _ in range(6000))

    def tokens(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for word in [*WORLD.names, *WORLD.towns, *WORLD.tol, *WORLD.tol.values()]:
        assert tokens(f"?\n{word}")[-1:] == tokens(f"? {word}")[-1:] and len(tokens(f" {word}")) == 1
    for text in ("a\n b\n\n  c\nd\n", "\n", "x\n\n\ny z\n \n", "é\nñ 12\n\t3"):
        assert tokenizer.decode(tokens(text)) == text


def test_a_long_document_holds_its_facts_once_and_is_about_as_long_as_it_should_be() -> None:
    random = Random(3)
    for words in (100, 1000, 2500):
        facts = passage(WORLD, random, 12)
        text = document(WORLD, random, facts, words)
        assert all(text.count(str(fact)) == 1 for fact in facts)
        assert len(text.split()) == pytest.approx(words, rel=0.15)


def test_what_a_long_conversation_asks_is_said_in_its_document() -> None:
    for conversation in mixed_conversations(30, 10, seed=5):
        document_, _, asked = conversation.messages[0].content.rpartition("\n\n")
        if not document_:
            continue
        answer = independent_answer("lookup", f"{document_} {asked}", 0)
        assert conversation.messages[1].content == HOUSE.answer("lookup", answer)
