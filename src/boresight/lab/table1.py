"""In-Context Alignment's Table 1: win rates of a base with and without demonstrations, and tuned."""

from typing import NamedTuple

from boresight.lab.bench import Lab, Way
from boresight.lab.judge import STRONG, WEAK, Judged, judge
from boresight.lab.result import Claim, Dot, Dots, Result, Table, share
from boresight.lab.samples import BUDGET, POOL, QUESTIONS, SEEDS, fine_tuned, pool, questions

SEED = SEEDS[0]
DRAWS = 5
FEW = 300
"""Conversations of the smaller fine-tuning."""
DIRECT, SHOWN = "base, asked directly", "base + retrieved demonstrations"
FEW_TUNED, TUNED = f"fine-tuned on {FEW}", "fine-tuned on the pool"
HOW = (
    f'{QUESTIONS} held-out questions, {DRAWS} draws at temperature 0.7, cue "Q". A scripted judge '
    "compares each answer with a scripted reference system's: one that is right half of the time (for "
    "text-davinci-003), and one that is right in 90 % (for ChatGPT; first draw). The paper's systems "
    "are Llama-2-13B, Guanaco-13B for few examples, and Llama-2-chat-13B for many."
)


class System(NamedTuple):
    """A system of the table, the paper's numbers for the like of it, and the examples it has seen."""

    model: str
    way: Way | None
    published: float
    deviation: float
    against_strong: str
    examples: str


def table1(lab: Lab) -> Result:
    """Win rates against fixed systems, five draws."""
    weak, strong = {}, {}
    systems = _systems(lab)
    for number, (name, system) in enumerate(systems.items()):
        asked = lab.asked(f"table1-{number}", system.model, {name: system.way}, questions(lab, SEED), DRAWS)
        weak[name] = judge(asked[name], WEAK)
        strong[name] = judge([answer for answer in asked[name] if answer.draw == 0], STRONG)
    return Result(
        name="table1",
        title="Win rates against fixed systems",
        source="In-Context Alignment, Table 1",
        how=HOW,
        seeds=[SEED],
        tables=[_table(systems, weak, strong)],
        figures=[_figure(systems, weak)],
        claims=_claims(weak),
    )


def _systems(lab: Lab) -> dict[str, System]:
    few = pool(lab, SEED, FEW)
    return {
        DIRECT: System(lab.base, Way("q"), 11.4, 2.6, "–", "0"),
        FEW_TUNED: System(lab.fine_tuned("few", few, epochs=4, seed=SEED), None, 76.9, 0.8, "32.3", str(FEW)),
        SHOWN: System(lab.base, Way("q", "bm25", pool(lab, SEED), BUDGET), 78.4, 2.2, "38.0", "about 10"),
        TUNED: System(fine_tuned(lab, SEED), None, 84.1, 2.1, "58.0", f"{POOL:,}"),
    }


def _table(systems: dict[str, System], weak: dict[str, Judged], strong: dict[str, Judged]) -> Table:
    rows = []
    for name, system in systems.items():
        found, hard = weak[name], strong[name]
        rows.append(
            [
                name,
                f"{system.published} ±{system.deviation}",
                f"{found.win:.1f} ±{found.over_draws:.1f}",
                share(found.interval),
                f"{found.win:.1f} / {found.tie:.1f} / {found.loss:.1f}",
                system.against_strong,
                f"{hard.win + hard.tie:.1f}",
                system.examples,
            ]
        )
    columns = ["system", "paper, wins", "ours, wins", "interval", "win / tie / loss"]
    columns += ["paper, win or tie against the strong one", "ours", "examples"]
    title = "In percent; ± is the deviation over draws, in brackets the 95 % interval over questions"
    return Table(title=title, columns=columns, rows=rows)


def _figure(systems: dict[str, System], weak: dict[str, Judged]) -> Dots:
    dots = [
        Dot(name=name, **found.interval._asdict(), published=systems[name].published / 100)
        for name, found in weak.items()
    ]
    return Dots(title="Wins against the weaker reference, %", dots=dots)


def _claims(weak: dict[str, Judged]) -> list[Claim]:
    direct, shown, few = weak[DIRECT], weak[SHOWN], weak[FEW_TUNED]
    return [
        Claim(
            says="Retrieved demonstrations turn a base model into one that wins at least twice as often.",
            shown=shown.interval.low > direct.interval.high and shown.win >= 2 * direct.win,
            seen=f"{direct.win:.1f} % without, {shown.win:.1f} % with them.",
        ),
        Claim(
            says="About ten demonstrations do as well as fine-tuning on some hundred examples.",
            shown=shown.interval.high >= few.interval.low,
            seen=f"{shown.win:.1f} % against {few.win:.1f} % after fine-tuning on {FEW}.",
        ),
    ]
