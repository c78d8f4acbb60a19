"""The chat page in a real browser: what a person does, and what a hostile model tries."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from live_server import TOPICS, Behind, Live, before, wait_for
from upstream_stub import DONE, Reply, Upstream, event, stream

from boresight.incontext.alignment import Alignment, load_alignment
from boresight.models.local import LocalModel
from boresight.records import Conversation, parse_record
from boresight.serve.app import Access

playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven by playwright")

ANSWER = "The sky is blue."
HOSTILE = (
    "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
    "[link](javascript:document.title='hit') <a href=\"javascript:document.title='hit'\">x</a>"
    "<style>*{display:none}</style> \u202egnp.exe\u202c \x1b[2J &lt;b&gt;"
)
SPELT = HOSTILE.replace("\u202e", "⟨U+202E⟩").replace("\u202c", "⟨U+202C⟩").replace("\x1b", "⟨U+001B⟩")
LOUD = ("error", "warning")
FOCUSED = "(e => [e.id || e.localName, getComputedStyle(e).outlineStyle])(document.activeElement)"
Page = Any
Open = Callable[..., Page]


def elsewhere(work: Callable[[], Any]) -> Any:
    """In another thread: in this one playwright has an event loop, beside which asyncio starts no other."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@contextmanager
def stub(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[Upstream]:
    upstream = Upstream(reply)
    elsewhere(upstream.__enter__)
    yield upstream
    upstream.__exit__()


@pytest.fixture
def behind(behind: Behind) -> Behind:
    return lambda *arguments, **options: elsewhere(lambda: behind(*arguments, **options))


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens the page of a server. What the console complains of, a broken policy for one, fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_page(live: Live, width: int = 1100, complains: bool = False) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        if not complains:
            page.on("console", lambda said: said.type in LOUD and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(live.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def say(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def finish(page: Page) -> None:
    """Wait until nothing is being written."""
    page.wait_for_selector("#send", state="visible")


def texts(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".answer .text").all_text_contents()]


def is_narrow(page: Page) -> bool:
    """Whether nothing scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def by_pool(body: dict[str, Any]) -> Reply:
    """An answer that tells which pool its prompt was made of."""
    return stream(["From ", "helpful" if "HELPFUL" in body["prompt"] else "terse", "."])


def test_a_message_is_sent_with_enter_and_its_answer_streams(visit: Open, behind: Behind) -> None:
    live = behind(lambda body: stream(["The sky ", "is blue."], wait=1.0))
    page = visit(live)
    assert page.locator("#empty h1").is_visible()
    message = page.locator("#message")
    message.press_sequentially("Why")
    message.press("Shift+Enter")
    message.press_sequentially("is the sky blue?")
    message.press("Enter")
    playwright.expect(page.locator(".answer .text")).to_have_text("The sky ")
    assert page.locator(".answer").get_attribute("aria-busy") == "true"
    assert page.locator("#stop").is_visible()
    assert not page.locator("#empty").is_visible()
    finish(page)
    assert texts(page) == [ANSWER]
    assert page.locator(".answer").get_attribute("aria-busy") == "false"
    assert page.locator(".question").inner_text().endswith("Why\nis the sky blue?")
    assert "Why\nis the sky blue?" in live.upstream.bodies[0]["prompt"]
    assert message.input_value() == ""


def test_a_screen_reader_hears_an_answer_once(visit: Open, behind: Behind) -> None:
    page = visit(behind(lambda body: stream(["The sky ", "is blue."])))
    assert page.locator("#log").get_attribute("aria-live") == "off"
    say(page, "Why?")
    finish(page)
    assert page.locator("#status").text_content() == f"stub+helpful: {ANSWER}"
    names = page.locator("header :is(input, select):visible").evaluate_all(
        "all => all.map(e => e.ariaLabel || e.labels[0].textContent)"
    )
    assert all(names)


def test_two_models_answer_the_same_message_each_with_its_own_history(visit: Open, behind: Behind) -> None:
    live = behind(by_pool)
    page = visit(live)
    page.click("#compare")
    say(page, "First?")
    finish(page)
    assert texts(page) == ["From helpful.", "From terse."]
    say(page, "Second?")
    finish(page)
    second = {("HELPFUL" in body["prompt"]): body["prompt"] for body in live.upstream.bodies[2:]}
    assert "From helpful." in second[True] and "From terse." not in second[True]
    assert "From terse." in second[False] and "From helpful." not in second[False]
    page.click("#compare")
    say(page, "Third?")
    finish(page)
    assert len(texts(page)) == 5


def test_the_pool_and_the_settings_of_an_answer_are_chosen(visit: Open, behind: Behind) -> None:
    live = behind(by_pool)
    page = visit(live)
    page.locator("select").first.select_option("stub+terse")
    page.click("#settings-button")
    page.fill("#temperature", "0.25")
    page.fill("#max-tokens", "33")
    say(page, "Tell me of boats!")
    finish(page)
    assert texts(page) == ["From terse."]
    asked = live.upstream.bodies[0]
    assert (asked["temperature"], asked["max_tokens"]) == (0.25, 33)
    assert page.locator(".shown li").count() == len(TOPICS)
    page.locator(".budget input").first.fill("0")
    say(page, "What about bridges?")
    finish(page)
    assert page.locator(".shown summary b").last.inner_text() == "0 demonstrations"


def test_a_setting_that_is_out_of_range_is_not_sent(visit: Open, behind: Behind) -> None:
    live = behind(by_pool)
    page = visit(live)
    page.click("#settings-button")
    page.fill("#temperature", "3")
    page.click("#settings-button")
    say(page, "Hello?")
    assert page.locator("#temperature").is_visible()
    assert not live.upstream.bodies
    assert page.locator("#message").input_value() == "Hello?"


def test_demonstrations_are_shown_as_the_server_tells_them(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool, show=True))
    say(page, "Tell me of boats!")
    finish(page)
    page.locator(".shown summary").click()
    rows = page.locator(".shown li")
    ids = rows.locator("bdi").all_text_contents()
    assert sorted(ids) == sorted(f"helpful-{topic}" for topic in TOPICS)
    best = rows.nth(ids.index("helpful-boats"))
    assert best.locator(".said").all_text_contents() == ["What about boats?", "HELPFUL on boats."]
    widths = rows.locator("i").evaluate_all("all => all.map(e => parseFloat(e.style.width))")
    assert widths[ids.index("helpful-boats")] == max(widths) == 100


def test_demonstrations_that_the_server_keeps_have_ids_and_scores(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool))
    say(page, "Tell me of boats!")
    finish(page)
    page.locator(".shown summary").click()
    assert "helpful-boats" in page.locator(".shown").inner_text()
    assert page.locator(".said").count() == 0
    assert "--show-demonstrations" in page.locator(".shown").inner_text()


@pytest.fixture(scope="module")
def hostile_pool(pocket: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alignment]:
    path = tmp_path_factory.mktemp("hostile") / "pool.jsonl"
    turns = [{"role": "user", "content": f"Sky {HOSTILE}"}, {"role": "assistant", "content": HOSTILE}]
    path.write_text(json.dumps({"id": HOSTILE, "messages": turns}) + "\n")
    return {"helpful": load_alignment("helpful", path, pocket.tokenizer, cache=path.parent / "cache")}


def test_hostile_text_is_text_wherever_it_stands(
    visit: Open, pocket: LocalModel, hostile_pool: dict[str, Alignment]
) -> None:
    pieces = [HOSTILE[at : at + 7] for at in range(0, len(HOSTILE), 7)]
    with (
        stub(lambda body: stream(pieces)) as upstream,
        before(upstream.url, pocket.tokenizer, hostile_pool, show=True) as live,
    ):
        page = visit(live)
        title = page.title()
        say(page, f"Why sky {HOSTILE}")
        finish(page)
        assert texts(page) == [SPELT]
        assert page.locator(".question").text_content() == f"You: Why sky {SPELT}"
        page.locator(".shown summary").click()
        assert page.locator(".said").all_text_contents() == [f"Sky {SPELT}", SPELT]
        assert page.locator(".shown bdi").text_content() == SPELT
        assert page.locator("#log :is(img, script, a, style, b:not(summary b))").count() == 0
        assert page.title() == title
        assert is_narrow(page)


@pytest.mark.parametrize("width", [360, 1100])
def test_a_hundred_thousand_characters_without_a_space_stay_in_their_place(
    visit: Open, behind: Behind, width: int
) -> None:
    page = visit(behind(lambda body: stream(["x" * 10_000] * 10)), width)
    say(page, "Why?")
    finish(page)
    assert texts(page) == ["x" * 100_000]
    assert is_narrow(page)
    assert page.locator(".text > div").evaluate("e => e.scrollWidth <= e.clientWidth")  # nor is it cut off


def test_code_between_fences_is_a_block_of_text(visit: Open, behind: Behind) -> None:
    answer = "Like this:\n```html\n<b>1</b>\n```\nDone. ``` here is no fence"
    page = visit(behind(lambda body: stream(list(answer))))
    say(page, "How?")
    finish(page)
    blocks = page.locator(".text > *").evaluate_all("all => all.map(e => [e.tagName, e.textContent])")
    assert blocks == [["DIV", "Like this:"], ["PRE", "<b>1</b>"], ["DIV", "Done. ``` here is no fence"]]


@pytest.mark.parametrize("how", ["Escape", "button"])
def test_an_answer_is_stopped_and_what_was_written_of_it_counts(
    visit: Open, behind: Behind, how: str
) -> None:
    live = behind(lambda body: Reply([event("Half an "), 30.0, event("answer"), DONE]))
    page = visit(live)
    say(page, "First?")
    playwright.expect(page.locator(".answer .text")).to_have_text("Half an")
    if how == "Escape":
        page.keyboard.press("Escape")
    else:
        page.click("#stop")
    finish(page)
    wait_for(lambda: live.upstream.hung_up == 1)
    assert "You stopped it" in page.locator(".answer").inner_text()
    assert page.locator("#message").evaluate("e => e === document.activeElement")
    live.upstream.reply = by_pool
    say(page, "Second?")
    finish(page)
    assert "Half an" in live.upstream.bodies[-1]["prompt"]


def test_everything_is_reached_with_the_keyboard_and_shows_its_focus(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool, show=True))
    playwright.expect(page.locator("#message")).to_be_focused()
    playwright.expect(page.locator("select").first).to_be_enabled()
    page.keyboard.type("Tell me of boats!")
    page.keyboard.press("Enter")
    finish(page)
    reached = []
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        at = page.evaluate(FOCUSED)
        if at[0] == "body":
            break
        assert at[1] != "none", at
        reached.append(at[0])
        if at[0] == "summary":
            page.keyboard.press("Enter")
    assert {"summary", "select", "input", "new", "export", "settings-button", "compare"} <= set(reached)
    assert page.locator(".shown").get_attribute("open") is not None


def test_an_error_is_told_and_the_message_can_be_asked_again(visit: Open, behind: Behind) -> None:
    live = behind(lambda body: Reply(status=503))
    page = visit(live, complains=True)
    say(page, "Hello?")
    finish(page)
    assert "the upstream is not ready" in page.locator(".problem").text_content()
    live.upstream.reply = by_pool
    page.click(".again")
    finish(page)
    assert texts(page) == ["From helpful."]
    assert page.locator(".problem, .round + .round").count() == 0
    assert live.upstream.bodies[-1]["prompt"].count("Hello?") == 1


def test_a_message_without_an_answer_is_no_part_of_what_follows(visit: Open, behind: Behind) -> None:
    live = behind(lambda body: Reply(status=503))
    page = visit(live, complains=True)
    say(page, "Hello?")
    finish(page)
    live.upstream.reply = by_pool
    say(page, "Second?")
    finish(page)
    assert "Hello?" not in live.upstream.bodies[-1]["prompt"]
    assert [m.content for m in exported(page)[0].messages] == ["Second?", "From helpful."]
    assert page.locator(".again:visible").count() == 0


def test_an_answer_that_breaks_off_keeps_its_text(visit: Open, behind: Behind) -> None:
    page = visit(behind(lambda body: Reply([event("Half an ")], cut=True)))
    say(page, "Hello?")
    finish(page)
    assert texts(page) == ["Half an"]
    assert "upstream" in page.locator(".problem").inner_text()


def test_a_server_that_goes_away_is_told_of(
    visit: Open, pocket: LocalModel, alignments: dict[str, Alignment]
) -> None:
    with stub(by_pool) as upstream:
        with before(upstream.url, pocket.tokenizer, alignments) as live:
            page = visit(live, complains=True)
            say(page, "First?")
            finish(page)
        say(page, "Second?")
        finish(page)
        assert "cannot be reached" in page.locator(".problem").inner_text()
        assert page.locator(".again:visible").count() == 1
        assert texts(page)[0] == "From helpful."


def test_what_is_exported_is_our_format_with_what_was_shown(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool))
    playwright.expect(page.locator("#export")).to_be_disabled()
    say(page, f"First \u202e {HOSTILE}")
    finish(page)
    page.click("#compare")
    say(page, "Second?")
    finish(page)
    first, second = exported(page)
    assert [(m.role, m.content) for m in first.messages] == [
        ("user", f"First \u202e {HOSTILE}"),
        ("assistant", "From helpful."),
        ("user", "Second?"),
        ("assistant", "From helpful."),
    ]
    assert [m.content for m in second.messages][1::2] == ["From helpful.", "From terse."]
    assert first.id != second.id and first.source == "boresight chat"
    told = second.messages[3].model_extra or {}
    assert told["model"] == "stub+terse" and told["finish_reason"] == "stop"
    assert {row["id"] for row in told["x_ica"]["demonstrations"]} == {f"terse-{topic}" for topic in TOPICS}


def exported(page: Page) -> list[Conversation]:
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename.endswith(".jsonl")
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    return [parse_record(line, Conversation, "export") for line in lines]


def test_a_new_conversation_forgets_the_old_one(visit: Open, behind: Behind) -> None:
    live = behind(by_pool)
    page = visit(live)
    say(page, "First?")
    finish(page)
    page.click("#new")
    assert page.locator("#empty").is_visible() and not texts(page)
    page.locator(".samples button").first.click()
    finish(page)
    assert len(texts(page)) == 1
    assert "First?" not in live.upstream.bodies[-1]["prompt"]


def test_on_a_phone_nothing_scrolls_sideways(visit: Open, behind: Behind) -> None:
    live = behind(by_pool, show=True, name="a-model-with-a-very-long-name-" * 3)
    page = visit(live, width=360)
    playwright.expect(page.locator("select").first).to_be_enabled()
    assert is_narrow(page)
    page.click("#compare")
    page.click("#settings-button")
    say(page, "What about boats? " + "y" * 500)
    finish(page)
    for summary in page.locator(".shown summary").all():
        summary.click()
    assert is_narrow(page)
    small = page.locator(":is(button, select, summary):visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
    )
    assert not small  # WCAG 2.2, 2.5.8


def test_a_key_is_asked_for_and_never_put_in_an_address(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool, access=Access(keys=["sesame-42"])), complains=True)
    playwright.expect(page.locator("#key")).to_be_focused()
    assert "API key" in page.locator("#problem").inner_text()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.keyboard.type("sesame-42")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("select").first).to_be_enabled()
    say(page, "Hello?")
    finish(page)
    assert texts(page) == ["From helpful."]
    assert not any("sesame" in address for address in [page.url, *addresses])
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"


def test_without_a_model_that_chats_the_page_says_what_is_missing(visit: Open, pocket: LocalModel) -> None:
    with stub(by_pool) as upstream, before(upstream.url, pocket.tokenizer, {}) as live:
        page = visit(live)
        playwright.expect(page.locator("#problem")).to_contain_text("--demonstrations")
        assert page.locator("#send").is_disabled()


def test_the_policy_lets_nothing_in_that_is_not_of_the_page(visit: Open, behind: Behind) -> None:
    page = visit(behind(by_pool), complains=True)
    response = page.request.get(page.url)
    assert "script-src 'self'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
    )
    assert page.title() == "boresight"
    assert "Content Security Policy" in said[0]  # so that the other tests would have noticed
