"""The pages by axe's rules, wide and narrow, light and dark; and with hostile answers in them."""

from typing import Any

import pytest
from study_room import NARROW, WIDE, Rooms, expect, is_narrow, next_item, room
from study_web import make_items

__all__ = ["room"]
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe looks at the pages")
pytestmark = pytest.mark.slow

HOSTILE = {
    "script": "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">"
    "<svg onload=\"document.title='hit'\"><a href=\"javascript:document.title='hit'\">x</a>",
    "markdown": "[x](javascript:document.title='hit') ![y](http://127.0.0.1:9/x.png)\n```\n<b>no end\n"
    + "> " * 50,
    "page": "</div></section></form></main><style>*{display:none}</style><base href='//evil.example'><h1>x",
    "word": "x" * 200_000,
    "lines": "- a line of some words\n" * 9_000,
    "spaces": "\u00a0" * 20_000 + "y" * 20_000,
    "reordered": "\u202e\u2066\u2067 drawkcab " * 50 + "\u202eno end",
    "unseen": "\u200b" * 5_000 + "\u2060\ufeff\U000e0041" * 500,
    "stacked": "Z" + "\u0351\u0334" * 2_000,
    "hebrew": "שלום עולם (כן) 1 2 3\n\n" * 40,
    "wide": "|" + "column|" * 60 + "\n|" + "-|" * 60 + "\n|" + "cell|" * 60,
    "code": "```\n" + "const x = 1; " * 5_000 + "\n```",
}


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_answers_are_text_and_change_nothing(room: Rooms, kind: str, size: dict[str, int]) -> None:
    made = room(make_items(2, [HOSTILE[kind], HOSTILE[kind] + " "]), title="Study")
    page = made.rate("Ada", viewport=size)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(300)
    assert page.title() == "Item 1 · Study"
    assert all(address.startswith(f"{made.url}/static/") for address in asked)
    expected = HOSTILE[kind].replace("\r\n", "\n")
    for shown in page.locator(".answer .raw").all():
        spelt = shown.evaluate("e => [...e.childNodes].map(n => n.className ? '' : n.data).join('')")
        assert spelt.strip() == "".join(c for c in expected if c.isprintable() or c in "\n\u00a0").strip()
    for raw in (False, True):
        page.locator("#raw").set_checked(raw)
        assert is_narrow(page)
        assert page.locator(".pane :is(script, img, a, style, svg, h1, h2, form, input, base)").count() == 0
        _check_layout(page, size)
    for key in "ab3":
        page.keyboard.press(key)
    next_item(page, "Enter")
    assert len(made.study.ratings()) == 1


def _check_layout(page: Any, size: dict[str, int]) -> None:
    """Panes are where they belong and scroll; what is asked is below them, from left to right."""
    panes = [pane.bounding_box() for pane in page.locator(".answer .pane").all()]
    steps = [step.bounding_box() for step in page.locator(".preference .choice").all()]
    assert [box["x"] for box in steps] == sorted(box["x"] for box in steps)
    assert {round(box["y"]) for box in steps} == {round(steps[0]["y"])}
    assert all(box["height"] <= max(280, 0.62 * size["height"]) for box in panes)
    assert all(box["y"] + box["height"] < steps[0]["y"] for box in panes)
    beside = panes[0]["y"] == panes[1]["y"] and panes[0]["x"] + panes[0]["width"] <= panes[1]["x"]
    below = panes[0]["x"] == panes[1]["x"] and panes[0]["y"] + panes[0]["height"] <= panes[1]["y"]
    assert beside if size is WIDE else below


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_to_complain_of(room: Rooms, size: dict[str, int], colours: str) -> None:
    text = "# Title\n\n`code` [x](http://a.example)\n\n```\n" + "code " * 80 + "\n```\n\n|a|b|\n|-|-|\n|1|2|"
    questions = [
        {"id": "acceptable", "ask": "Acceptable?", "kind": "yes_no"},
        {"id": "score", "ask": "How good?", "kind": "scale", "low_label": "bad", "high_label": "good"},
        {"id": "length", "ask": "How long?", "kind": "scale", "highest": 50, "required": False},
        {"id": "better", "ask": "Which is better?", "kind": "preference"},
    ]
    made = room(make_items(3, [text * 9, "a\u202eb\u200bc"]), questions=questions, instructions=text)
    page = made.visit("Ada", viewport=size, color_scheme=colours, quiet=False)
    _check(page, "welcome")
    page.goto(f"{made.url}/rate")
    _check(page, "item")
    for key in "ab36":
        page.keyboard.press(key)
    page.locator("details").evaluate("e => (e.open = true)")
    page.locator("#raw").check()
    _check(page, "item, half answered")
    page.keyboard.press("?")
    _check(page, "keys")
    page.keyboard.press("Escape")
    page.locator("#rating").evaluate("e => e.submit()")
    expect(page.locator("[role=alert]")).to_be_visible()
    _check(page, "problems")
    for _ in range(3):
        next_item(page, "h")
    _check(page, "done")
    page.get_by_role("button", name="Sign out").click()
    _check(page, "signed out")
    desk = made.visit(viewport=size, color_scheme=colours)
    made.study.undo(1)
    for path in ("", "/items", "/results"):
        desk.goto(f"{made.url}/organiser{path}")
        _check(desk, f"organiser{path}")
    desk.goto(f"{made.url}/organiser")
    desk.locator("[name=name][type=text]").fill("Grace")
    desk.get_by_role("button", name="Make a link").click()
    expect(desk.locator("h1")).to_have_text("A link for Grace")
    _check(desk, "invited")


def _check(page: Any, where: str) -> None:
    page.wait_for_load_state()  # a click waits for the next page, and not for its style
    found = axe.Axe().run(page)
    assert not found.violations_count, f"{where}: {found.generate_report()}"
    assert is_narrow(page), where
    small = page.locator(":is(button, .button, .choice, summary):visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
    )
    assert not small, where  # WCAG 2.2, 2.5.8
