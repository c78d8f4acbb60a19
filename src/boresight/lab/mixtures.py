"""TÜLU's Table 3: training on one dataset or on a mixture of all; and which judges like whom (Figure 2)."""

from collections.abc import Iterable

import numpy as np

from boresight.evaluate.unique_tokens import correlation
from boresight.lab.bench import CHAT, Lab, LabAnswer, by_family
from boresight.lab.result import Claim, Point, Result, Scatter, Table
from boresight.lab.samples import questions
from boresight.models.load import load_tokenizer
from boresight.pocket.conversations import training_conversations
from boresight.pocket.questions import FAMILIES, house_rules

SEED = 1
CONVERSATIONS = 500
MIXTURE = "all of them"
HOW = (
    f"Eleven fine-tunings on {CONVERSATIONS} conversations each: of one family of questions, or of all. "
    "Columns: content right on each family's held-out questions, in percent; * marks the best of a "
    "column."
)
HOW_JUDGED = (
    "The eleven systems of the mixture experiment, each compared with the right answers. One judge "
    "gives the win to whoever has more unique tokens, as TÜLU's fake judge does; the other wants "
    "content and style."
)
ENOUGH, LITTLE = 0.8, 0.5
"""Correlations that are called strong and weak."""


def mixtures(lab: Lab) -> Result:
    """Table 3: one family's conversations against as many of all families."""
    scores = {arm: by_family(found) for arm, found in _answers(lab).items()}
    best = {family: max(by[family] for by in scores.values()) for family in FAMILIES}
    means = {arm: float(np.mean(list(by.values()))) for arm, by in scores.items()}
    rows = [
        [
            arm,
            *(f"{100 * by[f]:.0f}{' *' if by[f] == best[f] else ''}" for f in FAMILIES),
            f"{100 * means[arm]:.1f}",
        ]
        for arm, by in scores.items()
    ]
    wins = {arm: sum(by[family] == best[family] for family in FAMILIES) for arm, by in scores.items()}
    return Result(
        name="mixtures",
        title="One dataset or a mixture",
        source="TÜLU, Table 3",
        how=HOW,
        seeds=[SEED],
        tables=[Table(title="Content by family, %", columns=["trained on", *FAMILIES, "mean"], rows=rows)],
        claims=_claims(wins, means),
    )


def _claims(wins: dict[str, int], means: dict[str, float]) -> list[Claim]:
    widest = max(wins[family] for family in FAMILIES)
    single = max(FAMILIES, key=lambda family: means[family])
    return [
        Claim(
            says="No single dataset is best everywhere.",
            shown=widest < len(FAMILIES),
            seen=f"The widest winner is best in {widest} of {len(FAMILIES)} families.",
        ),
        Claim(
            says="The mixture is best on average.",
            shown=means[MIXTURE] > means[single],
            seen=f"{100 * means[MIXTURE]:.1f} %; the best single one, {single}, {100 * means[single]:.1f} %.",
        ),
        Claim(
            says="The mixture is rarely best on one task (in the paper in 2 of 6).",
            shown=wins[MIXTURE] <= len(FAMILIES) // 2,
            seen=f"It is best, or as good, in {wins[MIXTURE]} of {len(FAMILIES)}.",
        ),
    ]


def verbosity(lab: Lab) -> Result:
    """Figure 2: win rates of a judge that loves words, and of one that does not, against unique tokens."""
    answers = _answers(lab)
    tokenizer = load_tokenizer(lab.base)

    def unique(texts: Iterable[str]) -> np.ndarray:
        return np.array([len(set(tokenizer(text, add_special_tokens=False)["input_ids"])) for text in texts])

    right = unique(answer.reference or "" for answer in answers[MIXTURE])
    tokens = {arm: unique(answer.output for answer in found) for arm, found in answers.items()}
    judges = {
        "a judge that loves words": {arm: float((told > right).mean()) for arm, told in tokens.items()},
        "a judge of content and style": {
            arm: float(np.mean([answer.score == 3 for answer in found])) for arm, found in answers.items()
        },
    }
    figures = [
        Scatter(
            title=judge,
            x="unique tokens an answer",
            y="wins, %",
            points=[
                Point(name=arm, x=float(tokens[arm].mean()), y=100 * rate) for arm, rate in rates.items()
            ],
        )
        for judge, rates in judges.items()
    ]
    loving, sober = (_r(figure) for figure in figures)
    rows = [
        [figure.title, published, f"{r:.2f}"]
        for figure, published, r in zip(figures, ["0.96", "–"], [loving, sober], strict=True)
    ]
    table = Table(
        title="Correlation with unique tokens over systems, r", columns=["judge", "paper", "ours"], rows=rows
    )
    return Result(
        name="verbosity",
        title="A judge that loves words",
        source="TÜLU, Figure 2",
        how=HOW_JUDGED,
        seeds=[SEED],
        tables=[table],
        figures=figures,
        claims=[
            Claim(
                says="Win rates of a judge that loves words follow unique tokens.",
                shown=loving > ENOUGH,
                seen=f"r = {loving:.2f} over {len(answers)} systems; the paper has 0.96 for GPT-4.",
            ),
            Claim(
                says="Those of a judge of content and style do not.",
                shown=abs(sober) < LITTLE,
                seen=f"r = {sober:.2f}.",
            ),
        ],
    )


def _r(figure: Scatter) -> float:
    """The correlation; 0 where all systems are alike."""
    line = correlation(*(np.array(each) for each in zip(*((p.x, p.y) for p in figure.points), strict=True)))
    return line.r if line else 0.0


def _answers(lab: Lab) -> dict[str, list[LabAnswer]]:
    """Of every arm, to the questions of the ladder's first seed."""
    found = {}
    for arm, families in {**{family: (family,) for family in FAMILIES}, MIXTURE: FAMILIES}.items():
        slug = f"mixture-{arm.replace(' ', '-')}"
        conversations = lab.written(
            slug, training_conversations(CONVERSATIONS, 300 + SEED, families, house_rules(SEED))
        )
        model = lab.fine_tuned(slug, conversations, seed=SEED)
        (found[arm],) = lab.asked(slug, model, CHAT, questions(lab, SEED)).values()
    return found
