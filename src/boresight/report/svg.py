"""Figures as inline SVG that takes its colours and its font from the page, in light and in dark.

Matplotlib draws with colours that stand for names; in the SVG text they become CSS variables.
"""

import re
import warnings
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO, StringIO
from typing import Literal, NamedTuple

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boresight.report.text import visible

INK, MUTED, GRID, SURFACE = "#010101", "#010102", "#010103", "#010104"
SERIES = ("#010105", "#010106", "#010107", "#010108", "#010109", "#01010a")
VARIABLES = dict(
    zip(
        (INK, MUTED, GRID, SURFACE, *SERIES),
        ("ink", "muted", "grid", "surface", *(f"series-{i}" for i in range(1, len(SERIES) + 1))),
        strict=True,
    )
)


class Palette(NamedTuple):
    """The colours of a figure."""

    surface: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]


PAGE = Palette(SURFACE, INK, MUTED, GRID, SERIES)
PAPER = Palette(
    "#ffffff", "#1b1c1e", "#61646b", "#dddcd6",
    ("#0b62a8", "#b4540a", "#0a7a5c", "#8a3f8f", "#6f6200", "#56606e"),
)  # fmt: skip
"""Of figures that leave the page: the page's own of the day, on white."""
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a name may hold dollar signs
    "font.size": 13,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.minor.visible": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
COLOUR = re.compile(r"\b(fill|stroke): (#0101[0-9a-f]{2})\b")


def draw(paint: Callable[[Axes], None], alt: str, name: str, width: int, height: int) -> Markup:
    """What `paint` draws on axes, as an SVG element.

    Args:
        alt: what the figure says, for those who do not see it.
        name: unique in the page; keeps the ids of two figures apart.
        width: in units of the view box, as is the font's size of 13; the page scales the figure.
    """
    text = StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's own fonts draw the text, so what matplotlib's lacks does not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        paint(figure.add_subplot())
        figure.savefig(text, format="svg", metadata={"Date": None})
    return inline(text.getvalue(), alt, width, height)


def picture(
    paint: Callable[[Axes], None], kind: Literal["svg", "png"], width: int, height: int, dots: int = 144
) -> bytes:
    """What `paint` draws with the colours of `PAPER`, as a file for a paper or a page elsewhere.

    Args:
        dots: of a PNG, an inch, of which 72 are one unit of the width and height.
    """
    named = dict(zip((SURFACE, INK, MUTED, GRID), PAPER, strict=False))
    style = {key: named.get(str(value), value) for key, value in STYLE.items()}
    file = BytesIO()
    with rc_context({**style, "svg.hashsalt": "picture"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a model's name, at worst
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained", facecolor=PAPER.surface)
        paint(figure.add_subplot())
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=dots if kind == "png" else 72, metadata=metadata)
    return file.getvalue()


def inline(svg: str, alt: str, width: int, height: int) -> Markup:
    """The inside of an SVG document under a head of our own. Names in it are escaped: `<` begins a tag."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # the same in every figure, and nothing refers to them
    body = COLOUR.sub(lambda found: f"{found[1]}: var(--{VARIABLES[found[2]]})", body)
    head = Markup('<svg viewBox="0 0 {} {}" style="--units:{}" role="img" aria-label="{}">')
    return head.format(width, height, width, visible(alt)) + Markup(body.strip())


def document(svg: str) -> str:
    """An inline figure as a file of its own, in the report's colours, for light and dark."""
    css = files("boresight.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    colours = css[: css.index("* {")]
    style = f"<style>{colours}svg {{ background: var(--surface); font-family: system-ui, sans-serif; }}"
    style += " text { font-family: inherit !important; }</style>"
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return re.sub(r"<svg([^>]*)>", rf"<svg {names}\1>{style}", svg, count=1) + "\n"
