"""Every link in the documentation leads somewhere, and every page can be found."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from markdown_pages import DOCS, PAGES, ROOT, Link, anchors, links

MADE_BY_THE_SITE = ("docs/reference/recipe.md", "docs/reference/commands/")
"""Links to these are checked by the site's strict build."""
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def problem(link: Link, page: Path) -> str | None:
    """What is wrong with a link of a page."""
    url = urlsplit(link.target)
    if url.scheme or url.netloc:
        good = url.scheme == "https" and "." in (url.hostname or "") and url.username is None
        return None if good and not set(" <>") & set(link.target) else "no well-formed https address"
    target = (page.parent / url.path).resolve() if url.path else page
    name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else None
    if name is None:
        return "leads out of the checkout"
    if name.startswith(MADE_BY_THE_SITE):
        return None
    if not target.is_file():
        return "no such file"
    if url.fragment and url.fragment not in anchors(target.read_text()):
        return "no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    found = [(link, problem(link, page)) for link in links(page.read_text())]
    assert not [f"line {link.line}: {link.target}: {why}" for link, why in found if why]


def test_every_page_is_in_the_navigation_once() -> None:
    def leaves(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        assert isinstance(entry, dict | list)
        entries = entry.values() if isinstance(entry, dict) else entry
        return [leaf for below in entries for leaf in leaves(below)]

    settings = yaml.unsafe_load((ROOT / "mkdocs.yml").read_text())  # it names a function; the file is ours
    navigation = leaves(settings["nav"])
    assert len(navigation) == len(set(navigation))
    assert not {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - set(navigation)


def test_the_checker_sees_what_is_wrong() -> None:
    text = """# One `two_three`, *four*!

## Same

## Same

[a](README.md) [b](README.md#what-works) [c](#same-1) ![d](docs/images/report.png) [e](https://arxiv.org/abs/2401.18058)

[f](docs/none.md) [g](README.md#none) ![h](none.png)

| |
|---|
| [i](http://arxiv.org/) [j](https://arxiv) [k](../../../etc/passwd) |

`[code](none.md)`

[l]: none.md
[by reference][l]
"""
    assert anchors(text) == ["one-two_three-four", "same", "same-1"]
    page = ROOT / "README.md"
    found = [(link.line, problem(link, page)) for link in links(text.replace("#same-1", "#what-works"))]
    assert found == [
        *[(7, None)] * 5,
        *[(9, "no such file"), (9, "no such heading"), (9, "no such file")],
        *[(13, "no well-formed https address")] * 2,
        (13, "leads out of the checkout"),
        (18, "no such file"),
    ]
