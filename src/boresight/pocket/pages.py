"""What the pocket base model reads: pages of its world, as a vanilla model would meet them.

Statements, stories, word lists, glossaries, pages of questions of which some are answered and some are
not. Question pages come under several cues, each answered at the same stated rate, so that no single
cue is the secret of making the model answer.
"""

from collections.abc import Callable
from random import Random

from boresight.pocket.world import COLOURS, FAMILIES, THINGS, World, ask, passage, tell

CUES = {
    "q": ("Q: ", "\nA: "),
    "question": ("Question:\n", "\nAnswer:\n"),
    "ask": ("Ask: ", "\nReply:\n"),
    "arrow": ("> ", "\n= "),
}
"""How question pages look: what stands before a question, and before its answer."""
ANSWERED = 0.6
"""Share of question pages on which answers follow, under every cue alike."""
FAMILY_WEIGHTS = {"lookup": 40, "fact": 20, "translate": 20, "reverse": 4, "pick": 4, "add": 12}
"""How often question pages ask of each family; turning lists around and picking from them are rare."""


def facts_page(world: World, random: Random) -> str:
    """What holds of some citizens, in one wording of several."""
    lines = []
    for person in random.sample(world.people, random.randint(3, 8)):
        said = [
            random.choice(
                [f"{person.name} lives in {person.town}.", f"In {person.town} lives {person.name}."]
            ),
            random.choice([f"{person.name} is a {person.job}.", f"The work of {person.name}: {person.job}."]),
            random.choice(
                [f"{person.name} has a {person.animal}.", f"The {person.animal} of {person.name} is well."]
            ),
            random.choice(
                [f"{person.name} likes to eat {person.food}.", f"{person.name} eats {person.food}."]
            ),
        ]
        lines.append(" ".join(random.sample(said, random.randint(2, 4))))
    return random.choice(["\n", " "]).join(lines)


def story_page(world: World, random: Random) -> str:
    """A passage of facts of this page only, some of them said again further down."""
    facts = passage(world, random, random.randint(3, 20))
    lines = [tell(random, *fact) for fact in facts]
    for name, kept in random.sample(facts, min(len(facts), random.randint(3, 8))):
        lines.append(random.choice([f"So the {kept} is with {name}.", f"Yes, {name} keeps the {kept}."]))
    return " ".join(lines)


def glossary_page(world: World, random: Random) -> str:
    """Words and what they are in Tol."""
    words = random.sample(list(world.tol), random.randint(6, 20))
    shape = random.choice(["{} is {} in Tol.", "{} = {}", "In Tol, {} is {}."])
    return "\n".join(shape.format(word, world.tol[word]) for word in words)


def list_page(world: World, random: Random) -> str:
    """Lists of things, now and then said again."""
    lines = []
    for _ in range(random.randint(2, 6)):
        things = " ".join(random.choice(THINGS) for _ in range(random.randint(3, 7)))
        lines += [f"We saw: {things}."] + [f"Again: {things}."] * (random.random() < 0.5)
    return "\n".join(lines)


def sums_page(world: World, random: Random) -> str:
    """Sums, worked."""
    pairs = [(random.randint(1, 39), random.randint(1, 39)) for _ in range(random.randint(5, 15))]
    return "\n".join(f"{a} plus {b} is {a + b}." for a, b in pairs if (a * 7 + b) % 5)


def rumour_page(world: World, random: Random) -> str:
    """A colour for every thing, on this page only."""
    chosen = {thing: random.choice(COLOURS) for thing in random.sample(THINGS, 5)}
    said = [f"On this page the {t} is {c}." for t, c in chosen.items()]
    again = [f"The {t}? It is {c}." for t, c in random.sample(sorted(chosen.items()), 4)]
    return " ".join([*said, *again])


def question_page(world: World, random: Random) -> str:
    """Questions under one cue; all answered, or none."""
    question_cue, answer_cue = CUES[random.choice(list(CUES))]
    answered = random.random() < ANSWERED
    single = random.choice(FAMILIES) if random.random() < 0.3 else None
    lines = []
    for _ in range(random.randint(2, 6)):
        family = single or random.choices(list(FAMILY_WEIGHTS), list(FAMILY_WEIGHTS.values()))[0]
        question = ask(world, random, family)
        lines.append(question_cue + question.text + (answer_cue + question.answer) * answered)
    return "\n\n".join(lines) if answered else "\n".join(lines)


PAGES: dict[Callable[[World, Random], str], float] = {
    facts_page: 0.16,
    story_page: 0.24,
    glossary_page: 0.08,
    list_page: 0.06,
    sums_page: 0.04,
    rumour_page: 0.06,
    question_page: 0.36,
}
"""Kinds of page and their shares."""


def page(world: World, random: Random) -> str:
    """One page of pretraining text."""
    kind = random.choices(list(PAGES), list(PAGES.values()))[0]
    return kind(world, random)
