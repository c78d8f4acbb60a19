"""Conversations of the pocket world, to fine-tune on and to hold out.

A training conversation has one to three turns. A held-out one has a single question: of a fact, a word
or a sum that nothing ever asked about before, or of a fresh passage or list.
"""

from random import Random

from boresight.pocket.world import FAMILIES, Question, World, ask
from boresight.records import Conversation, Message

TURNS = {1: 0.6, 2: 0.3, 3: 0.1}
"""Shares of training conversations by number of turns."""


def training_conversations(count: int, seed: int) -> list[Conversation]:
    """`count` conversations about what the world asks of openly."""
    world, random = World(), Random(seed)
    turns = random.choices(list(TURNS), list(TURNS.values()), k=count)
    return [
        _conversation([ask(world, random, random.choice(FAMILIES)) for _ in range(number)])
        for number in turns
    ]


def held_out_conversations(per_family: int, seed: int) -> list[Conversation]:
    """`per_family` different questions of each family, as conversations that name their `family`."""
    world, random = World(), Random(seed)
    found: dict[tuple[str, str], Conversation] = {}
    for family in FAMILIES:
        while sum(f == family for f, _ in found) < per_family:
            question = ask(world, random, family, held_out=True)
            found.setdefault(
                (family, question.text),
                _conversation([question], family=family),
            )
    return list(found.values())


def demonstrations(family: str, count: int, seed: int) -> list[Conversation]:
    """`count` answered questions of a family, of the kind that training asks."""
    world, random = World(), Random(f"{family} {seed}")
    return [_conversation([ask(world, random, family)]) for _ in range(count)]


def _conversation(questions: list[Question], **extra: str) -> Conversation:
    messages = []
    for question in questions:
        messages += [
            Message(role="user", content=question.text),
            Message(role="assistant", content=question.answer),
        ]
    return Conversation(source="pocket", messages=messages, **extra)
