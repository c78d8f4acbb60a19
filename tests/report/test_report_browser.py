"""The report in a real browser: no request leaves it, models' texts stay texts, links lead back."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import write_eval, write_judged
from test_report import EVIL

from boresight.report import write_report

HOSTILE = f"{EVIL}</script><script>document.title='hit'</script><style>*{{display:none}}</style>"
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems on 40 items with hostile answers, and a run of a judge."""
    root = tmp_path_factory.mktemp("browser")
    for model, every in (("one", 2), ("two", 3)):
        scores = {f"s-{i}": float(i % every == 0) for i in range(40)}
        write_eval(root / "eval", model, "mmlu", "0-shot", scores, output=HOSTILE)
    verdicts = [(f"p{i}", order, float(i % 2)) for i in range(15) for order in ("ab", "ba")]
    write_report([root / "eval", write_judged(root, verdicts, HOSTILE)], root / "r.html")
    return root / "r.html"


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Opens a page at an address. A request, a message in the console or an error fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_page(path: Path, address: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**({"viewport": {"width": 1100, "height": 800}} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: sent.url == page.url or seen(sent.url))
        page.goto(f"{path.as_uri()}{address}")
        page.wait_for_selector("#items[data-ready]")
        return page

    def seen(url: str) -> None:
        if not url.startswith(("file:", "data:,")):
            complaints.append(url)

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def ids(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#items-rows th").all_inner_texts()]


def test_an_item_is_read_side_by_side_and_hostile_text_stays_text(html: Path, visit: Visit) -> None:
    page = visit(html, "#set=mmlu+0-shot&id=s-6")
    page.wait_for_selector("#item .answer")
    answers = page.locator("#item .answer .text").all_inner_texts()
    assert len(answers) == 2 and all("<script>alert(1)</script>" in text for text in answers)
    assert "⟨U+202E⟩evil⟨U+200B⟩" in answers[0] and "⟨U+202E⟩" not in html.read_text(encoding="utf-8")[:2000]
    assert page.locator("#item .mark").all_inner_texts() == ["✓ 1", "✓ 1"]
    assert page.locator("img, #item script, #item style").count() == 0 and "hit" not in page.title()
    assert page.locator("#item h3").first.is_visible()


def test_items_are_filtered_sorted_and_paged_and_the_address_brings_them_back(
    html: Path, visit: Visit
) -> None:
    page = visit(html)
    page.select_option("#items-show", "differ")
    page.wait_for_function("document.getElementById('items-count').textContent.includes('in all')")
    differ = [i for i in range(40) if (i % 2 == 0) != (i % 3 == 0)]
    assert f"of {len(differ)}, of 40 in all" in page.inner_text("#items-count")
    page.click("#items-head button >> nth=1")
    page.wait_for_selector("th[aria-sort=ascending]")
    page.click("#items-head button >> nth=1")
    page.wait_for_selector("th[aria-sort=descending]")
    ordered = sorted(differ, key=lambda i: (i % 3 != 0, i))
    assert ids(page) == [f"s-{i}" for i in ordered[:12]]
    page.click("#items-after")
    page.wait_for_function("document.getElementById('items-count').textContent.startsWith('13')")
    assert ids(page) == [f"s-{i}" for i in ordered[12:24]]
    page.click("#items-rows a >> nth=0")
    page.wait_for_selector("#item .answer")
    again = visit(html, page.evaluate("location.hash"))
    again.wait_for_selector("#item .answer")
    assert ids(again) == ids(page) and again.inner_text("#item header a") == f"s-{ordered[12]}"
    page.go_back()
    page.wait_for_function("!document.querySelector('#item .answer')")


def test_verdicts_are_read_and_searched(html: Path, visit: Visit) -> None:
    page = visit(html, "#set=judged+judged")
    page.fill("#items-q", "p14")
    page.wait_for_function("document.querySelectorAll('#items-rows tr').length === 1")
    page.click("#items-rows a")
    page.wait_for_selector("#item .answer")
    assert page.locator("#item .mark").all_inner_texts() == ["theirs is better"] * 2
    assert "document.title='hit'" in page.locator("#item .answer .text").last.inner_text()
    assert page.title() != "hit"


def test_tables_are_sorted_by_a_heading(html: Path, visit: Visit) -> None:
    page = visit(html)
    table = page.locator("#benchmarks table").first
    names = [text.split(" ")[0] for text in table.locator("tbody th").all_inner_texts()]
    table.locator("button[data-sort='1']").click()
    down = [text.split(" ")[0] for text in table.locator("tbody th").all_inner_texts()]
    table.locator("button[data-sort='1']").click()
    up = [text.split(" ")[0] for text in table.locator("tbody th").all_inner_texts()]
    assert names == ["one", "two"] == down and up == ["two", "one"]


def test_names_are_sorted_up_first_and_numbers_in_names_as_numbers(tmp_path: Path, visit: Visit) -> None:
    for step in (1000, 0, 500):
        write_eval(tmp_path / "eval", f"step-{step}", "mmlu", "0-shot", {"s-0": 1.0})
    write_report([tmp_path / "eval" / f"step-{step}" for step in (1000, 0, 500)], tmp_path / "r.html")
    table = visit(tmp_path / "r.html").locator("#benchmarks table").first
    table.locator("button[data-sort='0']").click()
    names = [text.split(" ")[0] for text in table.locator("tbody th").all_inner_texts()]
    assert names == ["step-0", "step-500", "step-1000"]


def test_the_keyboard_stays_where_it_is_when_items_are_drawn_anew(html: Path, visit: Visit) -> None:
    page = visit(html)

    def on() -> str:
        return str(page.evaluate("document.activeElement.textContent"))

    page.locator("#items-head button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#items-head th[aria-sort=ascending]")
    page.wait_for_function("document.activeElement.tagName === 'BUTTON'")
    assert on() == "one (base)"
    page.locator("#items-rows a").first.focus()
    chosen = on()
    page.keyboard.press("Enter")
    page.wait_for_selector("#item .answer")
    page.wait_for_function("document.activeElement.tagName === 'A'")
    assert on() == chosen
    page.locator("#item header a", has_text="after").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"document.querySelector('#item header a').textContent !== '{chosen}'")
    page.wait_for_function("document.activeElement.tagName === 'A'")
    assert on() == "after →"


def test_of_many_draws_the_first_of_each_system_come_first_and_most_are_folded(
    tmp_path: Path, visit: Visit
) -> None:
    for model in ("one", "two"):
        run = write_eval(tmp_path / "eval", model, "humaneval", "pass@1", {"x": 0.0})
        row = json.loads((run / "answers.jsonl").read_text())
        rows = [json.dumps(row | {"draw": draw, "output": f"{model} {draw}"}) for draw in range(20)]
        (run / "answers.jsonl").write_text("\n".join(rows) + "\n")
    write_report([tmp_path / "eval"], tmp_path / "r.html")
    page = visit(tmp_path / "r.html", "#set=humaneval+pass%401&id=x")
    page.wait_for_selector("#item .answer")
    texts = page.locator("#item .answer > .text").all_text_contents()
    assert texts == [f"{model} {draw}" for draw in range(20) for model in ("one", "two")]
    assert page.locator("#item .answer:visible").count() == 12
    page.click("text=28 more")
    assert page.locator("#item .answer:visible").count() == 40


def test_on_paper_no_table_is_cut(tmp_path: Path, visit: Visit) -> None:
    for number in range(14):
        name = f"some-organisation-with-a-long-name-and-model-number-{number}"
        for task, setting in (("mmlu", "0-shot"), ("tydiqa", "gold passage")):
            write_eval(tmp_path / "eval", name, task, setting, {"a-0": 1.0, "b-0": 0.0})
    write_report([tmp_path / "eval"], tmp_path / "r.html")
    page = visit(tmp_path / "r.html", viewport={"width": 717, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") == 717


def test_narrow_and_wide_nothing_stands_over_the_edge(html: Path, visit: Visit) -> None:
    for width, scheme in ((390, "dark"), (1440, "light")):
        viewport = {"width": width, "height": 800}
        page = visit(html, "#set=mmlu+0-shot&id=s-6", color_scheme=scheme, viewport=viewport)
        page.wait_for_selector("#item .answer")
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_paper_everything_is_open(html: Path, visit: Visit) -> None:
    page = visit(html)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


@pytest.mark.slow
def test_fifty_thousand_items_open_in_two_seconds(tmp_path: Path, visit: Visit) -> None:
    shots = "".join(f"Question {n}: {'word ' * 40}\nAnswer: A\n\n" for n in range(5))
    for setting in ("0-shot", "5-shot"):
        for model in ("one", "two"):
            scores = {f"subject {i % 57}-{i}": float(i % 3 == 0) for i in range(25_000)}
            prompt = [{"role": "user", "content": f"{shots}Question: {'other ' * 40}\nAnswer:"}]
            write_eval(tmp_path / "eval", model, "mmlu", setting, scores, prompt=prompt)
    write_report([tmp_path / "eval"], tmp_path / "r.html")
    began = time.perf_counter()
    page = visit(tmp_path / "r.html")
    assert time.perf_counter() - began < 2
    assert "of 25,000" in page.inner_text("#items-count")
