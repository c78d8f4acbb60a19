"""Conversations of the pocket world, to fine-tune on and to hold out.

A training conversation has one to three turns. A held-out one has a single question: of a fact, a word
or a sum that nothing ever asked about before, or of a fresh passage or list.
"""

from random import Random

from boresight.errors import UserError
from boresight.pocket.world import FAMILIES, Question, World, ask
from boresight.records import Conversation, Message

TURNS = {1: 0.6, 2: 0.3, 3: 0.1}
"""Shares of training conversations by number of turns."""
FAMILY_WEIGHTS = {"lookup": 25, "fact": 8, "translate": 8, "reverse": 25, "pick": 25, "add": 9}
"""How often training asks of each family. Of facts and words there are a few hundred questions only; asked as
often as the others, they are learned by heart and what was only stated is forgotten."""


def training_conversations(count: int, seed: int) -> list[Conversation]:
    """`count` conversations about what the world asks of openly."""
    world, random = World(), Random(seed)
    turns = random.choices(list(TURNS), list(TURNS.values()), k=count)
    families = list(FAMILY_WEIGHTS), list(FAMILY_WEIGHTS.values())
    return [
        _conversation([ask(world, random, family) for family in random.choices(*families, k=number)])
        for number in turns
    ]


def held_out_conversations(per_family: int, seed: int) -> list[Conversation]:
    """`per_family` different questions of each family, as conversations that name their `family`.

    Raises:
        UserError: the world does not hold so many.
    """
    world, random = World(), Random(seed)
    return [
        _conversation([question], family=family)
        for family in FAMILIES
        for question in _different(world, random, family, per_family)
    ]


def _different(world: World, random: Random, family: str, count: int) -> list[Question]:
    found: dict[str, Question] = {}
    for _ in range(100 * count):
        question = ask(world, random, family, held_out=True)
        found.setdefault(question.text, question)
        if len(found) == count:
            return list(found.values())
    raise UserError(f"the pocket world holds only about {len(found)} held-out questions of kind {family!r}")


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
