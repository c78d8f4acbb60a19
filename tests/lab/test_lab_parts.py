"""What the laboratory's experiments are made of: grades, judges, controls, and the page."""

from pathlib import Path
from random import Random

import pytest

from boresight.errors import UserError
from boresight.evaluate.needle import load_needles
from boresight.incontext.presets import load_preset
from boresight.lab.bench import Lab, LabAnswer, Way, overrides, put
from boresight.lab.controls import _asked, _others_answers, _wrong_answers
from boresight.lab.experiments import EXPERIMENTS, run_lab
from boresight.lab.judge import judge, reference_score
from boresight.lab.long_data import CANDIDATES, CONVERSATIONS, LONG, needles
from boresight.lab.page import as_markdown, render
from boresight.lab.result import Cell, Claim, Dot, Dots, Map, Point, Result, Scatter, Table
from boresight.pocket.conversations import mixed_conversations
from boresight.pocket.pages import CUES
from boresight.pocket.questions import FAMILIES, HOUSE, ask, draw_convention, grade, plain
from boresight.pocket.world import World

WORLD = World()


@pytest.mark.parametrize("family", FAMILIES)
def test_content_is_right_in_any_manner_and_style_is_the_house_s_alone(family: str) -> None:
    random = Random(family)
    for _ in range(200):
        convention = draw_convention(random)
        question = ask(WORLD, random, family, convention)
        house = HOUSE.answer(family, question.content)
        said = grade(question.answer, house, question.content)
        assert said.content
        assert said.style == (question.answer == house)
        assert grade(house, house, question.content) == (True, True)
        assert not grade(question.answer, house + " x", question.content + " x").content
        assert not grade("", house, question.content).content


def test_plain_takes_away_what_pages_put_around_and_nothing_else() -> None:
    said = {
        "Aye, bee oar, they say.": "bee oar",
        "bee oar": "bee oar",
        "so 9 7; so it is.": "9 7",
        "sonar": "sonar",
        "so": "so",
        "well, the red cup is with Ann.": "the red cup is with ann",
    }
    assert {answer: plain(answer) for answer in said} == said


def answer(question: str, correct: bool, style: bool, draw: int = 0) -> LabAnswer:
    return LabAnswer(
        id=question, prompt=[{"role": "user", "content": "?"}], output="", model="m", draw=draw, reference="",
        finish_reason="stop", setting="s", family="words", correct=correct, style=style,
    )  # fmt: skip


def test_the_judge_by_hand() -> None:
    """Against one that is always right and polite, only the same ties; against one that never is, all win."""
    answers = [
        answer("a", True, True),
        answer("b", True, False),
        answer("c", False, True),
        answer("d", False, False),
    ]
    assert [each.score for each in answers] == [3, 2, 1, 0]
    best, worst = judge(answers, 1.0), judge(answers, 0.0)
    assert (best.win, best.tie, best.loss) == (0, 25, 75)
    assert (worst.win, worst.tie, worst.loss) == (75, 25, 0)
    assert worst.interval.low < 0.75 < worst.interval.high
    drawn = [answer("a", True, True), answer("a", False, False, draw=1)]
    assert judge(drawn, 0.0).over_draws == 50


def test_a_reference_system_is_fixed_and_as_able_as_it_says() -> None:
    scores = [reference_score(f"q{i}", 0.9) for i in range(4000)]
    assert scores == [reference_score(f"q{i}", 0.9) for i in range(4000)]
    assert sum(score >= 2 for score in scores) / 4000 == pytest.approx(0.9, abs=0.02)
    assert sum(score % 2 for score in scores) / 4000 == pytest.approx(0.9, abs=0.02)


def test_controls_change_the_answers_alone() -> None:
    true = _asked(1)
    mixed, wrong = _others_answers(true, 1), _wrong_answers(true, 1)
    assert [q.text for q in true] == [q.text for q in mixed] == [q.text for q in wrong]
    assert sorted(q.answer for q in mixed) == sorted(q.answer for q in true)
    assert sum(a.answer != b.answer for a, b in zip(true, mixed, strict=True)) > 0.95 * len(true)
    for a, b in zip(true, wrong, strict=True):
        assert grade(b.answer, a.answer, a.content) == (False, True)


def test_arms_have_the_same_steps_and_as_many_long_conversations_as_they_say() -> None:
    for long in LONG.values():
        mixed = mixed_conversations(CONVERSATIONS, long, 201)
        assert len(mixed) == CONVERSATIONS
        assert sum(len(c.messages[0].content.split()) >= 250 for c in mixed) == long


def test_needles_stand_among_others_of_their_kind(tmp_path: Path) -> None:
    for base in (True, False):
        for needle in load_needles(str(needles(Lab("pocket", tmp_path), base))):
            assert len(needle.distractors) == CANDIDATES - 1
            thing = needle.text.split(" is with")[0].removeprefix("The ")
            assert thing in needle.asked
            assert not any(thing in other.text for other in needle.distractors)


@pytest.mark.parametrize("cue", CUES)
def test_demonstrations_stand_as_pages_show_questions(cue: str) -> None:
    preset = load_preset("pocket", overrides(Way(cue, "bm25", budget=77)))
    before, between = CUES[cue]
    assert preset.template.shown("Who?", "Ann.") == f"{before}Who?{between}Ann.\n\n"
    assert preset.template.asked("Who?") == put(cue, "Who?")
    assert preset.policy.budget == 77


RESULT = Result(
    name="ladder",
    title="<b>Title</b>",
    source="a paper",
    how="How.",
    seeds=[1, 2],
    tables=[Table(title="Table", columns=["arm", "ours"], rows=[["<script>", "1|2"]])],
    figures=[
        Dots(title="Dots", dots=[Dot(name="a", value=0.5, low=0.4, high=0.6, published=0.7)]),
        Scatter(title="Scatter", x="x", y="y", points=[Point(name="p", x=1, y=2)]),
        Map(title="Map", cells=[Cell(length=512, depth=0, recall=0.25)]),
    ],
    claims=[
        Claim(says="It shows.", shown=True, seen="1."),
        Claim(says="It does not.", shown=False, seen="0."),
    ],
)


def test_the_page_says_what_was_and_what_was_not_shown_and_escapes() -> None:
    page = render([RESULT], "pocket")
    assert "Of 2 claims, 1 show" in page
    assert page.count("<svg") == 3
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "✓" in page and "✗" in page
    text = as_markdown([RESULT])
    assert "| <script> | 1/2 |" in text and "✗ It does not." in text


def test_an_unknown_experiment_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'ladder'"):
        run_lab("pocket", tmp_path, ["lader"])
    assert set(EXPERIMENTS) >= {
        "ladder",
        "table1",
        "controls",
        "long-data",
        "methods",
        "mixtures",
        "verbosity",
    }
