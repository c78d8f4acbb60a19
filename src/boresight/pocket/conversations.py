"""Conversations of the pocket world, to fine-tune on and to hold out; all are answered by the house rules.

A training conversation has one to three turns. A held-out one has a single question: of a fact, a word
or a sum that nothing ever asked about before, or of a fresh passage or list.
"""

from collections.abc import Sequence
from random import Random

from boresight.errors import UserError
from boresight.pocket.documents import document
from boresight.pocket.questions import FAMILIES, HOUSE, Convention, Question, ask, asked_of
from boresight.pocket.world import World, passage
from boresight.records import Conversation, Message

LONG_WORDS = (300, 3600)
"""Least and most words of a long document: up to 4,000 tokens."""
TURNS = {1: 0.6, 2: 0.3, 3: 0.1}
"""Shares of training conversations by number of turns."""


def training_conversations(
    count: int, seed: int, families: Sequence[str] = FAMILIES, house: Convention = HOUSE
) -> list[Conversation]:
    """`count` conversations about what the world asks of openly, of the families alike."""
    world, random = World(), Random(seed)
    turns = random.choices(list(TURNS), list(TURNS.values()), k=count)
    return [
        conversation_of([ask(world, random, random.choice(families), house) for _ in range(number)])
        for number in turns
    ]


def mixed_conversations(count: int, long: int, seed: int, house: Convention = HOUSE) -> list[Conversation]:
    """`count` conversations in any order, of which so many are about long documents."""
    mixed = training_conversations(count - long, seed, house=house)
    mixed += long_conversations(long, seed, house)
    Random(seed).shuffle(mixed)
    return mixed


def long_conversations(count: int, seed: int, house: Convention = HOUSE) -> list[Conversation]:
    """`count` questions about facts of documents of LONG_WORDS, each among 2 to 16 facts of its kind."""
    world, random = World(), Random(f"long {seed}")
    conversations = []
    for _ in range(count):
        facts = passage(world, random, random.randint(2, 16))
        text, content = asked_of(random.choice(facts))
        long = document(world, random, facts, random.randint(*LONG_WORDS))
        question = Question("lookup", f"{long}\n\n{text}", content, house.answer("lookup", content))
        conversations.append(conversation_of([question]))
    return conversations


def held_out_conversations(per_family: int, seed: int, house: Convention = HOUSE) -> list[Conversation]:
    """`per_family` different questions of each family, as conversations that name their `family`.

    Raises:
        UserError: the world does not hold so many.
    """
    world, random = World(), Random(seed)
    return [
        conversation_of([question], family=family, content=question.content)
        for family in FAMILIES
        for question in _different(world, random, family, per_family, house)
    ]


def _different(world: World, random: Random, family: str, count: int, house: Convention) -> list[Question]:
    found: dict[str, Question] = {}
    for _ in range(100 * count):
        question = ask(world, random, family, house, held_out=True)
        found.setdefault(question.text, question)
        if len(found) == count:
            return list(found.values())
    raise UserError(f"the pocket world holds only about {len(found)} held-out questions of kind {family!r}")


def conversation_of(questions: Sequence[Question], **extra: str) -> Conversation:
    """Questions and their answers, a turn each; `extra` are further keys of the record."""
    messages = []
    for question in questions:
        messages += [
            Message(role="user", content=question.text),
            Message(role="assistant", content=question.answer),
        ]
    return Conversation(source="pocket", messages=messages, **extra)
