"""The built site: it says what its pages say, names every command and key, loads nothing from elsewhere."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from markdown_pages import DOCS, PAGES, ROOT, anchors, render
from typer.main import get_command

from boresight.cli import app
from boresight.recipe import Recipe

pytestmark = pytest.mark.slow

ELSEWHERE = {
    "CHANGELOG.md": "changelog.html",
    "CONTRIBUTING.md": "contributing.html",
    "benchmarks/RESULTS.md": "measurements.html",
}
"""Pages of the site whose files lie outside of docs/."""
COUNTED = {"table", "tr", "li", "pre", "img", "em", "strong", "blockquote"}
HEADINGS = {f"h{level}" for level in range(1, 7)}
ADDED = {"headerlink", "filename"}
"""Classes of what the site adds to a page's text: links at headings, names above files."""
LOADING = ("src", "srcset", "href", "data", "poster")
"""Attributes that name what a page loads by itself, but for the href of links."""
FOREIGN = ("@import", "url(http", 'url("http', "url(//")
VOID = {"img", "input", "br", "hr", "link", "meta", "source", "wbr"}


class Outline(NamedTuple):
    """What a page says: how many there are of each kind of element, its words, its headings' anchors."""

    elements: Counter[str]
    words: list[str]
    anchors: list[str]


class Reader(HTMLParser):
    """Reads the outline of an article, and the addresses that a page loads by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.outline = Outline(Counter(), [], [])
        self.loaded: list[str] = []
        self._text: list[str] = []
        self._open: list[bool] = []  # of each element that is open: is what it holds the page's own?
        self.feed(html)
        self.outline.words.extend("".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag != "a":
            self.loaded += [values[name] for name in LOADING if name in values]
        own = tag == "article" or (bool(self._open) and self._open[-1])
        own = own and not ADDED & set(values.get("class", "").split())
        if own and tag in COUNTED:
            self.outline.elements[tag] += 1
        if own and tag in HEADINGS:
            self.outline.anchors.append(values.get("id", ""))
        if tag not in VOID:
            self._open.append(own)
        if tag not in ("em", "strong", "code", "a", "span", "wbr"):
            self._text.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1]:
            self._text.append(data)


def built(page: Path) -> str:
    name = page.relative_to(ROOT).as_posix()
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    path = page.relative_to(DOCS).as_posix()
    return path.replace("README.md", "index.md").replace(".md", ".html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built strictly: a link that leads nowhere or a page outside of the navigation ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder


def words(site: Path, page: str) -> set[str]:
    return set(Reader((site / page).read_text()).outline.words)


def test_pages_say_what_their_files_say(site: Path) -> None:
    pages = [page for page in PAGES if page != ROOT / "README.md" and ":::" not in page.read_text()]
    assert len(pages) > 30
    for page in pages:
        read = Reader((site / built(page)).read_text()).outline
        meant = Reader(f"<article>{render(page.read_text())}</article>").outline
        assert read.elements == meant.elements, page
        assert read.words == meant.words, page
        assert read.anchors == anchors(page.read_text()), page


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    group: Any = get_command(app)
    for name, command in group.commands.items():
        found = words(site, f"reference/commands/{name}.html")
        for below in getattr(command, "commands", {"": command}).values():
            options = {option for parameter in below.params for option in parameter.opts}
            assert not options - {word.rstrip(",.") for word in found}, below.name


def test_every_key_is_in_the_reference(site: Path) -> None:
    schema = Recipe.model_json_schema()
    keys = {key for kind in (schema, *schema["$defs"].values()) for key in kind["properties"]}
    assert len(keys) > 30 and not keys - words(site, "reference/recipe.html")


def test_pages_name_nothing_on_other_hosts_to_load(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        loaded = Reader(page.read_text()).loaded
        assert loaded and not [url for url in loaded if url.startswith(("http:", "https:", "//"))], page
    sheets = [sheet.read_text() for sheet in site.rglob("*.css")]
    assert sheets and not [part for part in FOREIGN if any(part in sheet for sheet in sheets)]


@pytest.fixture(scope="module")
def home(site: Path) -> Iterator[str]:
    """The site as a server gives it; from the file system it has no search."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_pages_fit_a_phone_without_errors_or_requests_elsewhere(site: Path, home: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on(
        "request", lambda sent: sent.url.startswith((home, "data:", "blob:")) or complaints.append(sent.url)
    )
    for path in sorted(site.rglob("*.html")):
        page.goto(f"{home}{path.relative_to(site).as_posix()}")
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            complaints.append(f"{page.url} is {width} wide")
    page.close()
    assert not complaints


def test_search_finds_a_page(home: str, browser: Any) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{home}index.html")
    page.locator("input.md-search__input").fill("sequences_per_step")
    page.wait_for_selector(".md-search-result__link[href*='recipe.html']", state="attached")
    page.close()
