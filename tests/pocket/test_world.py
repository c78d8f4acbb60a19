"""The pocket world: what is held out is never asked, and what is asked has one right answer."""

import re
from random import Random

import pytest

from boresight.errors import UserError
from boresight.pocket.conversations import held_out_conversations, training_conversations
from boresight.pocket.pages import ANSWERED, CUES, page, question_page
from boresight.pocket.world import FAMILIES, World, ask

WORLD = World()


def test_the_same_seed_makes_the_same_world_and_conversations() -> None:
    assert World().people == WORLD.people
    assert World().tol == WORLD.tol
    assert training_conversations(20, seed=3) == training_conversations(20, seed=3)


def test_no_held_out_fact_word_or_sum_is_ever_asked_in_training_or_pretraining() -> None:
    random = Random(0)
    seen = " ".join(question_page(WORLD, random) for _ in range(3000))
    seen += " ".join(m.content for c in training_conversations(3000, seed=1) for m in c.messages)
    for conversation in held_out_conversations(80, seed=2):
        if conversation.family in ("fact", "translate", "add"):
            assert conversation.messages[0].content not in seen


def test_held_out_facts_and_words_are_stated_on_pages() -> None:
    random = Random(0)
    text = " ".join(page(WORLD, random) for _ in range(4000))
    assert all(person.name in text for person in WORLD.people)
    assert all(WORLD.tol[word] in text for word in WORLD.held_out_words)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_follow_from_the_world(family: str) -> None:
    random = Random(family)
    for _ in range(100):
        question = ask(WORLD, random, family, held_out=True)
        assert independent_answer(family, question.text) == question.answer


def independent_answer(family: str, text: str) -> str:
    """The answer read off the question itself, or looked up, by other means than the generator's."""
    if family == "lookup":
        facts = dict(re.findall(r"(\w+) (?:keeps|has) the (\w+ \w+)\.", text))
        facts |= {name: thing for thing, name in re.findall(r"The (\w+ \w+) is with (\w+)\.", text)}
        if asked := re.search(r"What does (\w+) keep\?$", text):
            return f"the {facts[asked.group(1)]}"
        kept = re.search(r"Who (?:keeps|has) the (\w+ \w+)\?$", text)
        return {thing: name for name, thing in facts.items()}[kept.group(1)]
    if family == "fact":
        person = next(p for p in WORLD.people if re.search(rf"\b{p.name}\b", text))
        return person.town if "live" in text else person.job if "work" in text else person.food
    if family == "translate":
        return WORLD.tol[re.search(r"(?:What is|say) (\w+) in Tol\?", text).group(1)]
    if family == "add":
        return str(sum(map(int, re.findall(r"\d+", text))))
    words = text.rstrip("?").split(": ")[1].split()
    if family == "reverse":
        return " ".join(words[::-1])
    return words[{"first": 0, "second": 1, "third": 2, "last": -1}[text.split()[3].rstrip(":")]]


def test_held_out_questions_differ_and_cover_every_family() -> None:
    conversations = held_out_conversations(50, seed=2)
    assert len({c.id for c in conversations}) == len(conversations) == 50 * len(FAMILIES)
    assert {c.family for c in conversations} == set(FAMILIES)


def test_more_questions_than_the_world_holds_are_refused() -> None:
    with pytest.raises(UserError, match="holds only about 1"):
        held_out_conversations(1000, seed=2)


def test_every_cue_is_answered_at_the_stated_rate() -> None:
    random = Random(1)
    pages = [question_page(WORLD, random) for _ in range(8000)]
    for question, answer in CUES.values():
        under = [text for text in pages if text.startswith(question)]
        assert len(under) == pytest.approx(2000, rel=0.1)
        share = sum(answer in text for text in under) / len(under)
        assert share == pytest.approx(ANSWERED, abs=0.04)
