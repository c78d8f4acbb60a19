"""Pages as the checkout has them: some lie outside of docs/, and links lead from file to file."""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "measurements.md",
}
FILES = {page: path for path, page in PAGES.items()}
TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
CELL = re.compile(r"<td.*?</td>", re.DOTALL)
CELL_CODE = re.compile(r"<code>[^<]*</code>")
JOINT = re.compile(r"(?<=\w)[_/](?=\w)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's text as the site's Markdown needs it: of code in tables, pipes are not escaped."""
    rows = TABLE_ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace(r"\|", "|"), row[0]), markdown)
    return LINK.sub(lambda link: lead(link, page.file.src_uri), rows)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The same with names in tables that break between their words: columns are narrower than they are."""
    return CELL.sub(lambda cell: CELL_CODE.sub(lambda code: JOINT.sub(r"\g<0><wbr>", code[0]), cell[0]), html)


def lead(link: re.Match[str], here: str) -> str:
    """A link of the page `here` to where its target is on the site; of one that is not on it, the text."""
    text, target, anchor = link.group(1, 2, 3)
    file = normpath(join(dirname(FILES.get(here, f"docs/{here}")), target))
    there = PAGES.get(file, file.removeprefix("docs/"))
    if there != file:
        return f"[{text}]({relpath(there, dirname(here) or '.')}{anchor or ''})"
    return text if (ROOT / file).exists() else link[0]
