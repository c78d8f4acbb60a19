"""What results look like in a notebook. Texts of models and of data are escaped, wherever they stand."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from markupsafe import Markup

from boresight.records import Response
from boresight.report.text import visible

File = str | PathLike[str]
Files = File | Sequence[File]
TEXT = "text-align: left; white-space: pre-wrap"


class Found(dict[str, Any]):
    """What a call found, as its command's `--json` prints it.

    Attributes:
        table: the heart of it as rows, for `pandas.DataFrame(found.table)`; a notebook shows them.
        figure: an SVG document, or empty.
    """

    def __init__(self, found: Mapping[str, Any], table: Sequence[Mapping[str, Any]] = (), figure: str = ""):
        super().__init__(json.loads(json.dumps(found)))
        self.table = table
        self.figure = figure

    def __repr__(self) -> str:
        lines = [[_cell(value) for value in row.values()] for row in self.table]
        lines = [list(self.table[0]), *lines] if self.table else []
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join(padded) or super().__repr__()

    def _repr_html_(self) -> str:
        rows = ([_cell(value) for value in row.values()] for row in self.table)
        return html_table(self.table[0] if self.table else (), rows) + picture(self.figure)


class Answers(list[Response]):
    """Answers, draw after draw of each prompt; `write_records` keeps them for a judge."""

    def _repr_html_(self) -> str:
        rows = ([each.prompt[-1].content, each.output, each.reference or ""] for each in self)
        return html_table(("asked", "answered", "reference"), rows)


def names(files: Files) -> list[str]:
    """One file or several, as the command line says them."""
    return [str(file) for file in ([files] if isinstance(files, str | PathLike) else files)]


def picture(svg: str) -> Markup:
    """An SVG document as an image, so that its styles change nothing around it; nothing of no document."""
    said = re.search('aria-label="([^"]*)"', svg)
    look = Markup("<img style='width: min(100%, 40em)' alt='{}' src='data:image/svg+xml;base64,{}'>")
    alt = Markup(said[1]) if said else ""
    return look.format(alt, b64encode(svg.encode()).decode()) if svg else Markup("")


def html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    """A table of texts, whatever is in them."""
    titles = Markup("").join(Markup("<th>{}</th>").format(visible(name)) for name in head)
    cells = Markup("<td style='{}'>{}</td>")
    body = (Markup("").join(cells.format(TEXT, visible(cell)) for cell in row) for row in rows)
    lines = Markup("").join(Markup("<tr>{}</tr>").format(line) for line in body)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(titles, lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else visible(" ".join(str(value).split()))
