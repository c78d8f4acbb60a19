"""Documentation pages as they are tested: the commands and files they show, as one bash script each.

Commands stand in blocks that open with ```bash, output in ```text. A block with a title, such as
```yaml title="recipe.yaml", is a file that the commands after it find.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doc_stand_ins import StandIn, stand_in
from markdown_pages import COMMON, ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
TITLE = re.compile(r'title="([^"]+)"')
COMMAND = re.compile(
    r"^\s*(?:\$ )?(?:\.venv/bin/)?(?:boresight|make|pip|torchrun|python|docker)(?: |$)", re.MULTILINE
)
END = "END OF THE FILE SHOWN"
"""Closes a file within the script. No page has such a line."""


class Block(NamedTuple):
    """A block of code on a page; `line` is that of its first row, from 1, and `title` the file it is."""

    language: str
    title: str | None
    line: int
    text: str

    @property
    def runs(self) -> bool:
        """Whether it is part of the page's script: as commands, or as a file."""
        return self.language == "bash" or self.title is not None


def name_of(page: Path) -> str:
    """A page's path below the checkout."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(markdown: str) -> Iterator[Block]:
    """All blocks of a page, also those that are only indented."""
    for token in COMMON.parse(markdown):
        if token.type in ("fence", "code_block"):
            assert token.map
            language, _, attributes = token.info.strip().partition(" ")
            title = TITLE.search(attributes)
            line = token.map[0] + 1 + (token.type == "fence")
            yield Block(language, title[1] if title else None, line, token.content)


def codes_of(markdown: str) -> Iterator[tuple[str, int]]:
    """The pieces of code within a page's sentences, with the first line of their paragraphs."""
    line = 1
    for token in COMMON.parse(markdown):
        line = token.map[0] + 1 if token.map else line
        yield from ((part.content, line) for part in token.children or [] if part.type == "code_inline")


def commands_outside_bash(markdown: str) -> list[str]:
    """Lines that look like commands, in blocks whose commands are not run."""
    unread = (block for block in blocks_of(markdown) if not block.runs)
    return [line.strip() for block in unread for line in block.text.splitlines() if COMMAND.match(line)]


def whole_commands(text: str) -> str:
    """The rows of a block of commands; one that goes on over several rows is whole in its first."""
    return re.sub(r"(?:.*\\\n)+.*", lambda found: _on_one_row(found[0]), text)


def _on_one_row(command: str) -> str:
    return command.replace("\\\n", " ") + "\n" * command.count("\\\n")


def script_of(markdown: str, stand_ins: list[StandIn]) -> str:
    """What a page shows as a bash script, each command on the line where the page has it.

    So what bash says of a line holds for the page. Files are written by the script itself, in their turn.
    """
    lines = [""] * (len(markdown.splitlines()) + 1)
    for block in blocks_of(markdown):
        if not block.runs:
            continue
        text = block.text if block.title else whole_commands(block.text)
        rows = stand_in(text, stand_ins).splitlines()
        lines[block.line - 1 : block.line - 1 + len(rows)] = rows
        if block.title:
            lines[block.line - 2] = f"mkdir -p $(dirname {block.title}); cat > {block.title} << '{END}'"
            lines[block.line - 1 + len(rows)] = END
    return "\n".join(lines) + "\n"
