"""A study in a room of browsers: fixtures for tests that drive Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from study_web import Recorder, make_items, make_study, serving

from boresight.study import Study
from boresight.study.web.app import create_app
from boresight.study.web.limits import Rate
from boresight.study.web.site import Limits

playwright = pytest.importorskip("playwright.sync_api", reason="the pages are driven by playwright")

expect = playwright.expect
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
ARRIVED = """before => document.readyState === 'complete' && (
    document.documentElement.classList.contains('scripted')
    && document.querySelector('#rating')?.getAttribute('action') !== before
    || document.title.startsWith('Thank you'))"""
Page = Any
Rooms = Callable[..., "Room"]


class Room:
    """A study that is served, and browsers that visit it."""

    def __init__(self, browser: Any, study: Study, url: str, recorder: Recorder):
        self.study, self.url, self.recorder = study, url, recorder
        self._browser = browser
        self.contexts: list[Any] = []
        self.complaints: list[str] = []

    def visit(self, name: str = "", quiet: bool = True, **options: Any) -> Page:
        """A new browser, signed in as a rater by a link; as the organiser without a name."""
        link = self.study.invite(name) if name else self.study.renew_organiser()
        return self.open(f"/enter/{link}" if name else f"/organiser/enter/{link}", quiet, **options)

    def open(self, path: str, quiet: bool = True, **options: Any) -> Page:
        self.contexts.append(self._browser.new_context(**{"viewport": WIDE, **options}))
        page = self.contexts[-1].new_page()
        page.set_default_timeout(60_000)
        if quiet:  # what the console complains of, a broken policy for one, fails the test
            page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.goto(self.url + path)
        if "/enter/" in path:
            page.wait_for_url(self.url + ("/organiser" if path.startswith("/organiser") else "/"))
        return page

    def rate(self, name: str, **options: Any) -> Page:
        page = self.visit(name, **options)
        page.goto(f"{self.url}/rate")
        return page


@pytest.fixture
def room(browser: Any, tmp_path: Path) -> Iterator[Rooms]:
    """Opens a study: `room(items, **design)`."""
    cleanup: list[Any] = []

    def make(items: Any = None, **design: Any) -> Room:
        study, _ = make_study(tmp_path / "study.db", items or make_items(3), **design)
        recorder = Recorder(create_app(study, hosts=["127.0.0.1"], limits=Limits(saves=Rate(10_000, 1))))
        served = serving(recorder)
        made = Room(browser, study, served.__enter__(), recorder)
        cleanup.append((made, served))
        return made

    yield make
    for made, served in cleanup:
        for context in made.contexts:
            context.close()
        served.__exit__(None, None, None)
        assert not made.complaints


def is_narrow(page: Page) -> bool:
    """Whether nothing scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def next_item(page: Page, key: str) -> None:
    """Press a key that leads on, and wait until it has."""
    before = page.locator("#rating").get_attribute("action")
    page.keyboard.press(key)
    page.wait_for_function(ARRIVED, arg=before)
