"""The pocket world: its people, its facts, its language Tol, and questions one can ask about them.

Everything is drawn from one seed. Some facts are only ever *stated*: no page and no conversation asks
about them, so a question about one is held out in substance and not only in wording.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from random import Random
from typing import NamedTuple

import yaml

WORDS: dict[str, list[str]] = yaml.safe_load(files("boresight").joinpath("pocket/words.yaml").read_text())
COLOURS, ANIMALS, THINGS, JOBS, FOODS, PLAIN = WORDS.values()
FAMILIES = ("lookup", "fact", "translate", "reverse", "pick", "add")


class Question(NamedTuple):
    """A question of one of the FAMILIES, with the one right answer."""

    family: str
    text: str
    answer: str


class Person(NamedTuple):
    """Someone whose facts hold on every page of the world."""

    name: str
    town: str
    job: str
    animal: str
    food: str
    asked: bool
    """Whether training ever asks about this person; of the others, facts are only stated."""


class World:
    """The fixed part of the world, made from a seed."""

    def __init__(self, seed: int = 7):
        random = Random(seed)
        self.names = _invent(random, 320, "bdfgklmnrstv", "aeiou")
        self.towns = _invent(random, 40, ["br", "kr", "th", "sh", "st", "v", "w", "p", "h"], "aeo")
        words = [*ANIMALS, *THINGS, *PLAIN, *FOODS, *COLOURS]
        tol = _invent(random, len(words), "zjxyqkmnlt", "aiou")
        self.tol = {word.lower(): new.lower() for word, new in zip(words, tol, strict=True)}
        self.asked_words = random.sample(words, len(words) * 3 // 5)
        self.held_out_words = [word for word in words if word not in self.asked_words]
        citizens, self.strangers = self.names[:120], self.names[120:]
        self.people = [
            Person(
                name,
                random.choice(self.towns),
                random.choice(JOBS),
                f"{random.choice(COLOURS)} {random.choice(ANIMALS)}",
                random.choice(FOODS),
                asked=index % 2 == 0,
            )
            for index, name in enumerate(citizens)
        ]


def _invent(random: Random, count: int, starts: Sequence[str], vowels: str) -> list[str]:
    """`count` different words of two syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = [random.choice(starts) + random.choice(vowels) for _ in range(2)]
        found.setdefault("".join([*syllables, random.choice(["", "n", "r", "l", "s"])]).capitalize())
    return list(found)


def passage(world: World, random: Random, facts: int) -> list[tuple[str, str]]:
    """`facts` pairs of a name and what that name keeps on this page only; no name and no thing twice."""
    names = random.sample(world.strangers, facts)
    kept = random.sample([f"{c} {t}" for c in COLOURS for t in THINGS], facts)
    return list(zip(names, kept, strict=True))


def tell(random: Random, name: str, kept: str) -> str:
    """One sentence of a passage, from the keeper to the thing or from the thing to its keeper."""
    if random.random() < 0.4:
        return f"The {kept} is with {name}."
    return f"{name} {random.choice(['keeps', 'has'])} the {kept}."


def _lookup(world: World, random: Random, held_out: bool) -> Question:
    many = random.random() < 0.12
    facts = passage(world, random, random.randint(12, 40) if many else random.randint(2, 7))
    name, kept = random.choice(facts)
    text = " ".join(tell(random, *fact) for fact in facts)
    if random.random() < 0.5:
        return Question("lookup", f"{text} {random.choice(['Who keeps', 'Who has'])} the {kept}?", name)
    return Question("lookup", f"{text} What does {name} keep?", f"the {kept}")


def _fact(world: World, random: Random, held_out: bool) -> Question:
    person = random.choice([p for p in world.people if p.asked != held_out])
    return random.choice(
        [
            Question("fact", f"Where does {person.name} live?", person.town),
            Question("fact", f"What is the work of {person.name}?", person.job),
            Question("fact", f"What does {person.name} like to eat?", person.food),
        ]
    )


def _translate(world: World, random: Random, held_out: bool) -> Question:
    word = random.choice(world.held_out_words if held_out else world.asked_words)
    asked = random.choice([f"What is {word} in Tol?", f"How do you say {word} in Tol?"])
    return Question("translate", asked, world.tol[word])


def _some_words(random: Random, low: int, high: int) -> list[str]:
    return random.sample([*ANIMALS, *THINGS, *PLAIN], random.randint(low, high))


def _reverse(world: World, random: Random, held_out: bool) -> Question:
    words = _some_words(random, 3, 5)
    asked = random.choice(["Say this backwards:", "Turn this list around:"])
    return Question("reverse", f"{asked} {' '.join(words)}", " ".join(reversed(words)))


def _pick(world: World, random: Random, held_out: bool) -> Question:
    words = _some_words(random, 4, 6)
    place, index = random.choice([("first", 0), ("second", 1), ("third", 2), ("last", -1)])
    return Question("pick", f"Which word is {place}: {' '.join(words)}?", words[index])


def _add(world: World, random: Random, held_out: bool) -> Question:
    a, b = random.choice(
        [(a, b) for a in range(1, 40) for b in range(1, 40) if ((a * 7 + b) % 5 == 0) == held_out]
    )
    return Question("add", f"What is {a} plus {b}?", str(a + b))


ASKERS: dict[str, Callable[[World, Random, bool], Question]] = {
    "lookup": _lookup,
    "fact": _fact,
    "translate": _translate,
    "reverse": _reverse,
    "pick": _pick,
    "add": _add,
}


def ask(world: World, random: Random, family: str, held_out: bool = False) -> Question:
    """A question of a family.

    Args:
        held_out: ask about facts, words or sums that training never asks about. The other families draw
            from so many passages and lists that a fresh one is new.
    """
    return ASKERS[family](world, random, held_out)
