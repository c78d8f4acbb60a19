"""Pages as CommonMark reads them: their links, and the anchors that links can lead to."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("[A-Z]*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


class Link(NamedTuple):
    """Where it leads, and the first line, from 1, of the block it stands in."""

    target: str
    line: int


COMMON = MarkdownIt("commonmark").enable("table")


def render(markdown: str) -> str:
    """As HTML."""
    return COMMON.render(markdown)


def links(markdown: str) -> Iterator[Link]:
    """Of links and of pictures."""
    line = 0
    for token in COMMON.parse(markdown):
        line = token.map[0] + 1 if token.map else line
        for part in token.children or []:
            target = part.attrs.get("href", part.attrs.get("src"))
            if target is not None:
                yield Link(str(target), line)


def anchors(markdown: str) -> list[str]:
    """Of all headings, as the hosts of repositories make them: later ones of a name are numbered."""
    tokens = COMMON.parse(markdown)
    seen: Counter[str] = Counter()
    found = []
    for opening, heading in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = "".join(part.content for part in heading.children or [])
        anchor = NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-")
        found.append(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found
