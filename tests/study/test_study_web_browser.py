"""The pages in a real browser: what raters do, at once, without a mouse, and with a poor connection."""

from itertools import combinations

import pytest
from study_room import NARROW, Page, Room, Rooms, expect, next_item, room
from study_web import SYSTEMS, make_items

from boresight.study import Study
from boresight.study.agreement import measure_agreement

__all__ = ["room"]
FOCUSED = """(e => [e.tagName, getComputedStyle(e.closest('.choice') ?? e).outlineStyle])
    (document.activeElement)"""
NAMED = "(e => `${e.innerText} ${e.labels?.[0]?.innerText}`)(document.activeElement)"
SHARES = """[...document.querySelectorAll('.answer .pane')]
    .map(e => e.scrollTop / (e.scrollHeight - e.clientHeight))"""
LONG = "\n\n".join(f"Paragraph {number} of a long text." for number in range(200))


def test_an_item_is_rated_with_the_keyboard_and_the_draft_is_kept(room: Rooms) -> None:
    made = room()
    page = made.rate("Ada")
    expect(page.locator(".field.next legend")).to_contain_text("Answer A")
    for key in "abb4":
        page.keyboard.press(key)
    chosen = page.locator("[type=radio]:checked").evaluate_all("all => all.map(e => e.name + e.value)")
    assert chosen == ["acceptable.0yes", "acceptable.1no", "preference.pair4"]
    expect(page.locator("#status")).to_have_text("Draft saved.")
    assert not made.study.ratings()
    page.reload()
    expect(page.locator("[name='preference.pair'][value='4']")).to_be_checked()
    next_item(page, "Enter")
    (rated,) = made.study.ratings()
    assert rated.answers["preference"] == (2 if rated.flipped else 4) and 0 < rated.seconds < 60
    assert page.locator("[type=radio]:checked").count() == 0
    page.keyboard.press("u")
    expect(page.locator("[name='preference.pair'][value='4']")).to_be_checked()


@pytest.mark.slow
def test_three_rate_at_once_and_one_goes_on_elsewhere(room: Rooms) -> None:
    made = room(make_items(20), raters_per_item=3)
    links = {name: made.study.invite(name) for name in ("Ada", "Grace", "Mary")}
    pages = {name: made.open(f"/enter/{link}", quiet=name == "Ada") for name, link in links.items()}
    for page in pages.values():
        page.click("text=Begin")
        page.wait_for_url("**/rate")
    said: dict[tuple[str, str], tuple[list[bool], int]] = {}
    for turn in range(20):
        for name, page in pages.items():
            if (name, turn) == ("Mary", 10):
                page = pages[name] = _go_elsewhere(made, page, links[name])
            prompt = page.locator("#prompt").inner_text().strip()
            said[name, prompt] = _say(page, name, int(prompt.split()[1].rstrip("?")))
            if (name, turn) == ("Grace", 7):
                _lose_the_line_for_a_while(made, page)
            else:
                next_item(page, "Enter")
    assert all("Thank you" in page.content() for page in pages.values())
    _check_ratings(made.study, said)
    everything = bytes(made.recorder.bytes).decode("utf-8", "replace").lower()
    assert "answer-of-the-first" in everything
    assert not [secret for secret in (*SYSTEMS, "secret-prompt-id") if secret.lower() in everything]


def _say(page: Page, name: str, number: int) -> tuple[list[bool], int]:
    """Answer as this rater does to this prompt: acceptable or not by system, and 1 … 5 from the first."""
    seed = number * {"Ada": 3, "Grace": 5, "Mary": 7}[name] + len(name)
    acceptable, preference = [seed % 3 > 0, seed % 4 > 1], 1 + seed % 5
    left_is_first = "ANSWER-OF-THE-FIRST" in page.locator(".pane").nth(1).inner_text()
    shown = acceptable if left_is_first else acceptable[::-1]
    for key, yes in zip("ab", shown, strict=True):
        page.keyboard.press(key)
        if not yes:
            page.keyboard.press(key)
    page.keyboard.press(str(preference if left_is_first else 6 - preference))
    return acceptable, preference


def _lose_the_line_for_a_while(made: Room, page: Page) -> None:
    before = len(made.study.ratings())
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("No connection")
    assert len(made.study.ratings()) == before
    page.context.set_offline(False)
    expect(page.locator("[type=radio]:checked")).to_have_count(0)
    assert len(made.study.ratings()) == before + 1


def _go_elsewhere(made: Room, page: Page, link: str) -> Page:
    """Half of an answer is given, the line is lost, and another device goes on."""
    page.keyboard.press("a")
    expect(page.locator("#status")).to_have_text("Draft saved.")
    page.context.set_offline(True)
    page.keyboard.press("b")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("No connection")
    page.close()
    other = made.open(f"/enter/{link}", viewport=NARROW)
    assert "10 of 20 rated" in other.content()
    other.click("text=Go on")
    other.wait_for_url("**/rate")
    expect(other.locator("[name='acceptable.0'][value='yes']")).to_be_checked()
    assert other.locator("[type=radio]:checked").count() == 1
    other.locator("[type=radio]").evaluate_all(
        "all => all.forEach(e => (e.checked = false))"
    )  # as _say expects
    return other


def _check_ratings(study: Study, said: dict[tuple[str, str], tuple[list[bool], int]]) -> None:
    """Every rating is there once, and agreement is what counting gives."""
    rated = study.ratings()
    assert len(rated) == 60 == len({(r.rater, r.item) for r in rated}) == len(said)
    for r in rated:
        prompt = f"Prompt {r.prompt.rpartition('-')[2]}?"
        assert (r.answers["acceptable"], r.answers["preference"]) == said[r.rater, prompt]
    equal, points = [], []
    for number in range(20):
        three = [said[name, f"Prompt {number}?"] for name in ("Ada", "Grace", "Mary")]
        sides = [(step > 3) - (step < 3) for _, step in three]
        points += [1 if a == b else 0.5 if 0 in (a, b) else 0 for a, b in combinations(sides, 2)]
        equal += [a[place] == b[place] for (a, _), (b, _) in combinations(three, 2) for place in (0, 1)]
    acceptable, preference, _ = measure_agreement(study)["questions"]
    assert acceptable["raw"]["value"] == pytest.approx(sum(equal) / len(equal))
    assert preference["tie_discounted"]["value"] == pytest.approx(sum(points) / len(points))


@pytest.mark.slow
def test_a_study_is_rated_without_a_mouse(room: Rooms) -> None:
    made = room(make_items(5), raters_per_item=1)
    page = made.visit("Ada")
    _tab_to(page, "Begin")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rate")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    for key in "ab1":
        page.keyboard.press(key)
    page.keyboard.press("c")
    page.keyboard.type("a1b2 is no shortcut here? ")
    page.keyboard.press("Enter")
    page.keyboard.type("two lines")
    next_item(page, "Control+Enter")
    next_item(page, "h")
    for key in "nn3":  # answers the questions in turn
        page.keyboard.press(key)
    next_item(page, "Enter")
    page.keyboard.press("u")
    expect(page.locator("[name='preference.pair'][value='3']")).to_be_checked()
    next_item(page, "Enter")
    next_item(page, "i")
    _rate_with_tab_alone(page)
    expect(page.locator("h1")).to_have_text("Thank you, Ada")
    ratings = made.study.ratings()
    assert [r.flag for r in ratings] == ["", "too hard", "", "invalid", ""]
    assert ratings[0].comment == "a1b2 is no shortcut here? \ntwo lines"
    assert (
        ratings[0].answers["acceptable"] == [True, True] and ratings[2].answers["acceptable"] == [False] * 2
    )
    assert ratings[4].answers["acceptable"] == [True, True]


def _tab_to(page: Page, text: str) -> None:
    """Go on until something has the focus; all on the way must show that they have it."""
    for _ in range(30):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(FOCUSED)
        assert outline != "none" or tag == "BODY", (tag, outline)
        if text in page.evaluate(NAMED):
            return
    raise AssertionError(f"{text} is never reached")


def _rate_with_tab_alone(page: Page) -> None:
    """With single keys off, as who dictates would have them."""
    page.keyboard.press("?")
    page.locator("#single").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.keyboard.press("5")
    assert page.locator("[type=radio]:checked").count() == 0
    for _ in range(2):
        _tab_to(page, "Yes")
        page.keyboard.press("Space")
    _tab_to(page, "A clearly")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name='preference.pair'][value='3']")).to_be_checked()
    next_item(page, "Enter")


@pytest.mark.slow
def test_without_scripts_the_forms_do(room: Rooms) -> None:
    made = room(make_items(2), raters_per_item=1)
    page = made.rate("Ada", java_script_enabled=False)
    assert page.locator("#help, #linked, kbd").first.is_hidden()
    for value in ("acceptable.0'][value='yes", "acceptable.1'][value='no", "preference.pair'][value='3"):
        page.locator(f"[name='{value}']").click()
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator("h1")).to_have_text("Item 2")
    page.get_by_role("button", name="Too hard for me").click()
    expect(page.locator("h1")).to_have_text("Thank you, Ada")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_have_text("Item 2")
    assert len(made.study.ratings()) == 1


@pytest.mark.slow
def test_long_answers_scroll_together_and_settings_last(room: Rooms) -> None:
    made = room(make_items(2, [LONG, LONG + LONG]))
    page = made.rate("Ada")
    left = page.locator(".answer .pane").first
    left.evaluate("e => e.scrollTop = (e.scrollHeight - e.clientHeight) / 2")
    page.wait_for_timeout(200)
    assert page.evaluate(SHARES) == pytest.approx([0.5, 0.5], abs=0.02)
    page.keyboard.press("l")
    left.evaluate("e => e.scrollTop = 0")
    page.wait_for_timeout(200)
    first, second = page.evaluate(SHARES)
    assert first == 0 and second == pytest.approx(0.5, abs=0.02)
    page.keyboard.press("r")
    assert page.locator(".formatted:visible").count() == 0 and page.locator(".raw:visible").count() == 3
    assert page.evaluate("document.documentElement.scrollHeight <= 1000")
    next_item(page, "h")
    assert not page.locator("#linked").is_checked() and page.locator("#raw").is_checked()


@pytest.mark.slow
def test_an_old_page_says_kindly_that_it_is_old(room: Rooms) -> None:
    made = room()
    page = made.rate("Ada", quiet=False)
    other = page.context.new_page()
    other.goto(f"{made.url}/rate")
    for key in "ab5":
        page.keyboard.press(key)
    next_item(page, "Enter")
    for key in "ab1":
        other.keyboard.press(key)
    other.keyboard.press("Enter")
    expect(other.locator("h1")).to_have_text("This page is out of date")
    other.click("text=Go on")
    expect(other.locator("h1")).to_have_text("Item 2")
    assert len(made.study.ratings()) == 1


@pytest.mark.slow
def test_a_server_that_cannot_save_is_asked_again(room: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    made = room()
    page = made.rate("Ada", quiet=False)
    for key in "ab2":
        page.keyboard.press(key)
    expect(page.locator("#status")).to_have_text("Draft saved.")
    with monkeypatch.context() as broken:
        broken.setattr(made.study, "save", lambda *_: 1 / 0)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text("cannot save just now")
    expect(page.locator("h1")).to_have_text("Item 2")
    assert len(made.study.ratings()) == 1
