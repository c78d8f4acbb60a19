"""The pocket world: its people, their facts, its language Tol, and passages that hold on one page only.

Everything is drawn from one seed. Some facts are only ever *stated*: no page and no conversation asks
about them, so a question about one is held out in substance and not only in wording.
"""

from collections.abc import Sequence
from importlib.resources import files
from random import Random
from typing import NamedTuple

import yaml

WORDS: dict[str, list[str]] = yaml.safe_load(files("boresight").joinpath("pocket/words.yaml").read_text())
COLOURS, ANIMALS, THINGS, JOBS, FOODS, PLAIN = WORDS.values()


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
        self.names = _invent(random, 400, "bdfgklmnrstv", "aeiou")
        self.towns = _invent(random, 40, ["br", "kr", "th", "sh", "st", "v", "w", "p", "h"], "aeo")
        words = [*ANIMALS, *THINGS, *PLAIN, *FOODS, *COLOURS]
        tol = _invent(random, len(words), "zjxyqkmnlt", "aiou")
        self.tol = {word: new.lower() for word, new in zip(words, tol, strict=True)}
        self.asked_words = random.sample(words, len(words) * 3 // 5)
        self.held_out_words = [word for word in words if word not in self.asked_words]
        citizens, self.strangers = self.names[:200], self.names[200:]
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


class Kept(NamedTuple):
    """What someone keeps, on one page only, and how the page says so."""

    name: str
    thing: str
    from_name: bool
    """Whether the sentence begins with the keeper or with the thing."""

    def __str__(self) -> str:
        told = (
            f"{self.name} keeps the {self.thing}"
            if self.from_name
            else f"the {self.thing} is with {self.name}"
        )
        return told[0].upper() + told[1:] + "."


def passage(world: World, random: Random, facts: int) -> list[Kept]:
    """`facts` things that are kept on this page; no name and no thing twice."""
    names = random.sample(world.strangers, facts)
    kept = random.sample([f"{c} {t}" for c in COLOURS for t in THINGS], facts)
    return [Kept(*pair, random.random() < 0.5) for pair in zip(names, kept, strict=True)]
