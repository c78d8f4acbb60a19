"""In-Context Alignment's Table 2: zero-shot < random < retrieved < fine-tuned, over cues and seeds."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from boresight.lab.bench import Lab, LabAnswer, Way, by_family
from boresight.lab.result import Claim, Dot, Dots, Result, Table, points, share, share_of
from boresight.lab.samples import BUDGET, QUESTIONS, SEEDS, fine_tuned, pool, questions
from boresight.pocket.pages import CUES
from boresight.pocket.questions import FAMILIES
from boresight.stats import Interval, paired_difference

SHOWN_CUES = ("q", "question", "ask")
ZERO, RANDOM, HALF, RETRIEVED, TUNED = (
    "zero-shot, best cue", "random demonstrations", "retrieved, half the budget", "retrieved demonstrations",
    "fine-tuned",
)  # fmt: skip
PUBLISHED: dict[str, float | None] = {ZERO: 11.4, RANDOM: 62.9, HALF: None, RETRIEVED: 78.4, TUNED: 84.1}
"""Win rates of Llama-2-13B, and of its chat model."""
STEPS = list(pairwise([ZERO, RANDOM, RETRIEVED, TUNED]))
HOW = (
    f"{QUESTIONS} questions for each of {len(SEEDS)} seeds, which also draw house, pool, training; greedy. "
    f"With demonstrations, the mean over the cues {', '.join(SHOWN_CUES)}; zero-shot has the best of all "
    f'four, chosen afterwards. {BUDGET} tokens of demonstrations, about ten; half of it under cue "q" '
    "alone. Content: the answer that was wanted, in any page's manner; style: in the house's manner."
)
Measure = Callable[[LabAnswer], bool]
MEASURES: dict[str, Measure] = {
    "content": lambda answer: answer.correct,
    "content and style": lambda answer: answer.correct and answer.style,
}
Answers = dict[str, list[LabAnswer]]
"""By way of asking, of all seeds."""
Outcomes = dict[str, np.ndarray]
"""By arm: of each question, the share of the arm's ways that were right [questions]."""


def ladder(lab: Lab) -> Result:
    """Every way of asking under every seed, and the steps between the arms."""
    answers: Answers = {}
    for seed in SEEDS:
        for way, found in _asked(lab, seed).items():
            answers.setdefault(way, []).extend(found)
    outcomes = {name: _outcomes(answers, of) for name, of in MEASURES.items()}
    shares = {name: {arm: share_of(found) for arm, found in arms.items()} for name, arms in outcomes.items()}
    steps = {
        (name, before, after): paired_difference(arms[after], arms[before])
        for name, arms in outcomes.items()
        for before, after in STEPS
    }
    return Result(
        name="ladder",
        title="From no demonstration to fine-tuning",
        source="In-Context Alignment, Table 2",
        how=HOW,
        seeds=list(SEEDS),
        tables=[_arms(shares), _steps(steps), _by_way(answers), _by_family(answers)],
        figures=[_figure(name, arms) for name, arms in shares.items()],
        claims=[*_ordered(steps), *_twice(shares)],
    )


def _asked(lab: Lab, seed: int) -> Answers:
    """The answers of one seed."""
    asked, shown = questions(lab, seed), pool(lab, seed)
    ways: dict[str, Way | None] = {f"zero-shot, {cue}": Way(cue) for cue in CUES}
    for cue in SHOWN_CUES:
        ways[f"random, {cue}"] = Way(cue, "random", shown, BUDGET, seed)
        ways[f"retrieved, {cue}"] = Way(cue, "bm25", shown, BUDGET)
    ways[HALF] = Way("q", "bm25", shown, BUDGET // 2)
    found = lab.asked(f"ladder-{seed}", lab.base, ways, asked)
    return found | lab.asked(f"ladder-{seed}-tuned", fine_tuned(lab, seed), {TUNED: None}, asked)


def _outcomes(answers: Answers, of: Measure) -> Outcomes:
    right = {way: np.array([of(answer) for answer in found], dtype=float) for way, found in answers.items()}
    best = max((f"zero-shot, {cue}" for cue in CUES), key=lambda way: right[way].mean())
    return {
        ZERO: right[best],
        RANDOM: np.mean([right[f"random, {cue}"] for cue in SHOWN_CUES], axis=0),
        HALF: right[HALF],
        RETRIEVED: np.mean([right[f"retrieved, {cue}"] for cue in SHOWN_CUES], axis=0),
        TUNED: right[TUNED],
    }


def _arms(shares: dict[str, dict[str, Interval]]) -> Table:
    rows = [
        [arm, str(published or "–"), *(share(arms[arm]) for arms in shares.values())]
        for arm, published in PUBLISHED.items()
    ]
    title = "Right answers in percent, with 95 % intervals over questions"
    return Table(title=title, columns=["arm", "paper, wins", *shares], rows=rows)


def _steps(steps: dict[tuple[str, str, str], Interval]) -> Table:
    rows = [
        [f"{before} → {after}", *(points(steps[name, before, after]) for name in MEASURES)]
        for before, after in STEPS
    ]
    return Table(title="Paired differences, in points", columns=["step", *MEASURES], rows=rows)


def _by_way(answers: Answers) -> Table:
    rows = [
        [way, *(f"{100 * np.mean([of(answer) for answer in found]):.1f}" for of in MEASURES.values())]
        for way, found in answers.items()
    ]
    return Table(title="Every way of asking, % right", columns=["way", *MEASURES], rows=rows)


def _by_family(answers: Answers) -> Table:
    ways = ["zero-shot, q", "random, q", "retrieved, q", TUNED]
    shares = [by_family(answers[way]) for way in ways]
    rows = [[family, *(f"{100 * by[family]:.0f}" for by in shares)] for family in FAMILIES]
    return Table(title="Content by family, %", columns=["family", *ways], rows=rows)


def _figure(measure: str, shares: dict[str, Interval]) -> Dots:
    dots = [
        Dot(name=arm, **shares[arm]._asdict(), published=published and published / 100)
        for arm, published in PUBLISHED.items()
    ]
    return Dots(title=f"Right in {measure}, %", dots=dots)


def _ordered(steps: dict[tuple[str, str, str], Interval]) -> list[Claim]:
    return [
        Claim(
            says=f"{after.capitalize()} beat {before} ({measure}).",
            shown=difference.low > 0,
            seen=f"{points(difference)} points.",
        )
        for (measure, before, after), difference in steps.items()
    ]


def _twice(shares: dict[str, dict[str, Interval]]) -> list[Claim]:
    claims = []
    for measure, arms in shares.items():
        alone, shown = arms[ZERO].value, arms[RETRIEVED].value
        says = f"Retrieved demonstrations are worth at least twice the best cue alone ({measure})."
        seen = f"{shown / alone:.1f} times." if alone else "Without any, nothing is right."
        claims.append(Claim(says=says, shown=shown >= 2 * alone, seen=seen))
    return claims
