"""What a sceptic would ask of the ladder: is it the demonstrations' content, their form, or the cue?"""

from collections.abc import Sequence
from random import Random

from boresight.lab.bench import Lab, LabAnswer, Way, outcomes
from boresight.lab.result import LITTLE, Claim, Result, Table, points, share, share_of
from boresight.lab.samples import BUDGET, POOL, SEEDS, questions
from boresight.pocket.conversations import conversation_of
from boresight.pocket.questions import FAMILIES, Question, ask, house_rules
from boresight.pocket.world import World
from boresight.stats import paired_difference

SEED = SEEDS[0]
RETRIEVED = "retrieved"
OTHER_CUE, MIXED_CUES = "retrieved, all under another cue", "retrieved, the question under another cue"
REVERSED, OTHERS = "retrieved, the best first", "retrieved, each with another's answer"
WRONG = "retrieved, each with a wrong answer of its kind"
CLAIMS = {
    OTHER_CUE: ("Another cue changes little, with the demonstrations under it too.", False),
    MIXED_CUES: ("A question under another cue than its demonstrations is still answered.", False),
    REVERSED: ("The order of demonstrations matters little.", False),
    OTHERS: ("With answers that are not theirs, demonstrations help less.", True),
    WRONG: ("With wrong answers of the same kind, they help less.", True),
}
"""By way: what one would expect, and whether that is a fall."""
HOW = (
    'The ladder\'s questions of the first seed under cue "Q", with demonstrations from a pool of '
    f"{POOL:,} single questions, and from pools in which the answers were exchanged: among all questions, or "
    "among those of one family (said in the house's manner, but not what was asked)."
)


def controls(lab: Lab) -> Result:
    """The same evaluation with cues swapped, and demonstrations whose order or answers are not theirs."""
    found = lab.asked("controls", lab.base, _ways(lab), questions(lab, SEED))
    rows = [
        [way, *(share(share_of(outcomes(answers, measure))) for measure in ("correct", "style"))]
        for way, answers in found.items()
    ]
    table = Table(
        title="Right in percent, with 95 % intervals", columns=["way", "content", "style"], rows=rows
    )
    return Result(
        name="controls",
        title="Controls",
        source="asked by no paper; a sceptic would",
        how=HOW,
        seeds=[SEED],
        tables=[table],
        claims=[_claim(found, way, *said) for way, said in CLAIMS.items()],
    )


def _ways(lab: Lab) -> dict[str, Way | None]:
    right = _asked(SEED)
    files = [
        lab.written(f"control-{name}", [conversation_of([question]) for question in questions])
        for name, questions in {
            "right": right, "others": _others_answers(right, SEED), "wrong": _wrong_answers(right, SEED),
        }.items()
    ]  # fmt: skip
    shown = Way("q", "bm25", files[0], BUDGET)
    return {
        "zero-shot": Way("q"),
        RETRIEVED: shown,
        OTHER_CUE: shown._replace(cue="ask"),
        MIXED_CUES: shown._replace(asked_in="ask"),
        REVERSED: shown._replace(order="best_first"),
        OTHERS: shown._replace(pool=files[1]),
        WRONG: shown._replace(pool=files[2]),
    }


def _asked(seed: int) -> list[Question]:
    world, random = World(), Random(f"control {seed}")
    return [ask(world, random, random.choice(FAMILIES), house_rules(seed)) for _ in range(POOL)]


def _others_answers(questions: Sequence[Question], seed: int) -> list[Question]:
    answers = [question.answer for question in questions]
    Random(seed).shuffle(answers)
    return [question._replace(answer=answer) for question, answer in zip(questions, answers, strict=True)]


def _wrong_answers(questions: Sequence[Question], seed: int) -> list[Question]:
    """Each with the content of another question of its family that has another answer."""
    random = Random(seed)
    contents = {family: sorted({q.content for q in questions if q.family == family}) for family in FAMILIES}
    changed = []
    for question in questions:
        wrong = random.choice([each for each in contents[question.family] if each != question.content])
        changed.append(question._replace(answer=house_rules(seed).answer(question.family, wrong)))
    return changed


def _claim(found: dict[str, list[LabAnswer]], way: str, says: str, falls: bool) -> Claim:
    changed = paired_difference(outcomes(found[way]), outcomes(found[RETRIEVED]))
    shown = changed.high < 0 if falls else changed.low > -LITTLE
    return Claim(says=says, shown=shown, seen=f"{points(changed)} points of content.")
