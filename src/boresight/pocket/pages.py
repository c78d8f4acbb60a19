"""What the pocket base model reads: pages of its world, as a vanilla model would meet them.

Statements in two languages, stories, glossaries, lists, sums, code, long documents, lists of questions that
nobody answers, and forum pages where they are answered by a convention of the page's own. Forum pages come
under several cues, each answered at the same stated rate, so that no single cue makes the model answer.
"""

from collections.abc import Callable
from random import Random

from boresight.pocket.documents import document, statements
from boresight.pocket.questions import FAMILIES, KINDS, ask, asked_of, draw_convention
from boresight.pocket.world import ANIMALS, COLOURS, PLAIN, THINGS, World, passage

CUES = {
    "q": ("Q: ", "\nA: "),
    "question": ("Question:\n", "\nAnswer:\n"),
    "ask": ("Ask: ", "\nReply:\n"),
    "arrow": ("> ", "\n= "),
}
"""How forum pages look: what stands before a question, and before its answer."""
ANSWERED = 0.75
"""Share of forum pages on which answers follow, under every cue alike."""
FORUM_LENGTH = 1300
"""Most characters of a forum page, about 400 tokens."""


def facts_page(world: World, random: Random) -> str:
    """What holds of some citizens."""
    lines = []
    for person in random.sample(world.people, random.randint(2, 6)):
        lines.append(" ".join(random.sample(statements(person), random.randint(2, 4))))
    return random.choice(["\n", " "]).join(lines)


def tol_page(world: World, random: Random) -> str:
    """The same in Tol, whose words for thing and colour stand the other way round."""
    names = random.sample(world.strangers, random.randint(3, 6))
    lines = []
    for name in names:
        colour, thing = random.choice(COLOURS), random.choice(THINGS)
        lines.append(f"{name} ka {world.tol[thing]} {world.tol[colour]}.")
        if random.random() < 0.5:
            lines.append(f"{name} keeps the {colour} {thing}.")
    return " ".join(lines)


def story_page(world: World, random: Random) -> str:
    """A passage of facts of this page only, some of them said again further down."""
    facts = passage(world, random, random.randint(3, 10))
    again = random.sample(facts, random.randint(2, len(facts)))
    return " ".join(map(str, [*facts, *again]))


def long_page(world: World, random: Random) -> str:
    """A long document, and then some of its facts again, or questions about them."""
    facts = passage(world, random, random.randint(3, 60))
    text = document(world, random, facts, random.randint(100, 900))
    again = random.sample(facts, random.randint(1, min(len(facts), 12)))
    if random.random() < 0.5:
        return " ".join([text, *map(str, again)])
    convention = draw_convention(random)
    asked = [(question, convention.answer("lookup", content)) for question, content in map(asked_of, again)]
    return f"{text}\n\n{_under_a_cue(random, asked)}"


def _under_a_cue(random: Random, asked: list[tuple[str, str]]) -> str:
    """Questions as a forum shows them: all answered, or none."""
    question_cue, answer_cue = CUES[random.choice(list(CUES))]
    if random.random() < ANSWERED:
        return "\n\n".join(question_cue + question + answer_cue + answer for question, answer in asked)
    return "\n".join(question_cue + question for question, _ in asked)


def glossary_page(world: World, random: Random) -> str:
    """Words and what they are in Tol."""
    words = random.sample(list(world.tol), random.randint(6, 20))
    if random.random() < 0.2:
        return "\n".join(f"{word}: it is {KINDS[word]}." for word in words)
    shape = random.choice(["{} is {} in Tol.", "{} = {}", "In Tol {} is {}."])
    return "\n".join(shape.format(word, world.tol[word]) for word in words)


def list_page(world: World, random: Random) -> str:
    """Lists of things, said again."""
    lines = []
    for _ in range(random.randint(2, 5)):
        things = " ".join(random.sample([*ANIMALS, *THINGS, *PLAIN], random.randint(3, 6)))
        lines += [f"We saw: {things}."] * random.randint(1, 3)
    return "\n".join(lines)


def code_page(world: World, random: Random) -> str:
    """Values given to variables, and printed."""
    names = random.sample([*THINGS, *PLAIN], random.randint(3, 9))
    values = {
        name: random.choice([random.choice(world.strangers), str(random.randint(1, 20))]) for name in names
    }
    lines = [f"set {name} = {value}" for name, value in values.items()]
    for name in random.choices(names, k=random.randint(3, 9)):
        lines.append(f"print {name}\n{values[name]}")
    return "\n".join(lines)


def sums_page(world: World, random: Random) -> str:
    """Sums and comparisons, worked."""
    pairs = [(random.randint(1, 20), random.randint(1, 20)) for _ in range(random.randint(5, 12))]
    shape = random.choice(
        [
            lambda a, b: f"{a} plus {b} is {a + b}.",
            lambda a, b: f"{a} and {b} lie {abs(a - b)} apart.",
            lambda a, b: f"Of {a} and {b} the larger is {max(a, b)}.",
        ]
    )
    return "\n".join(shape(a, b) for a, b in pairs if (a * 7 + b) % 5) or "No sums."


def forum_page(world: World, random: Random) -> str:
    """Questions under one cue; all answered by the convention of the page, or none."""
    convention = draw_convention(random)
    families = random.sample(FAMILIES, random.choice([1, 1, 2, 3, len(FAMILIES)]))
    length, asked = random.randint(100, FORUM_LENGTH), list[tuple[str, str]]()
    while sum(len(question) + len(answer) for question, answer in asked) < length:
        question = ask(world, random, random.choice(families), convention)
        asked.append((question.text, question.answer))
    return _under_a_cue(random, asked)


PAGES: dict[Callable[[World, Random], str], float] = {
    facts_page: 0.11,
    tol_page: 0.03,
    story_page: 0.07,
    long_page: 0.035,
    glossary_page: 0.07,
    list_page: 0.05,
    code_page: 0.06,
    sums_page: 0.06,
    forum_page: 0.515,
}
"""Kinds of page and their shares."""


def page(world: World, random: Random) -> str:
    """One page of pretraining text."""
    kind = random.choices(list(PAGES), list(PAGES.values()))[0]
    return kind(world, random)
