"""Long documents of the pocket world: facts worth finding among much else.

What citizens do and like fills them; what strangers keep holds in one document only, and is asked for.
"""

from random import Random

from boresight.pocket.world import Kept, Person, World

WORDS_OF_A_SENTENCE = 5


def statements(person: Person) -> list[str]:
    """All that is said of a citizen."""
    return [
        f"{person.name} lives in {person.town}.",
        f"{person.name} is a {person.job}.",
        f"{person.name} has a {person.animal}.",
        f"{person.name} likes to eat {person.food}.",
    ]


def document(world: World, random: Random, kept: list[Kept], words: int) -> str:
    """About `words` words in which the facts stand in any order, anywhere."""
    others = max(0, words // WORDS_OF_A_SENTENCE - len(kept))
    sentences = [random.choice(statements(random.choice(world.people))) for _ in range(others)]
    sentences += map(str, kept)
    random.shuffle(sentences)
    return " ".join(sentences)
