"""The heat map of a needle test: length across, depth down, and how much was found in each cell.

The colours are cividis, which readers with any kind of colour vision order alike (Nuñez et al. 2018), and
every cell says its number, for those who see no colours at all.
"""

from collections.abc import Mapping
from functools import partial

from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from boresight.report.svg import PAGE, PAPER, Palette, document, draw, picture
from boresight.report.text import label, short

Cells = Mapping[tuple[int, int], float]
"""By length and depth in percent, a share from 0 to 1."""
COLUMN, ROW, LEAST_WIDTH, AROUND = 52, 30, 420, (110, 90)
"""Units of the view box: of a cell, of all, and beside and above the cells."""
MOST_NAMED = 20
"""Columns or rows, of which more are named here and there only."""
DARK, LIGHT = "#101114", "#fdfdfb"


def heat_map(cells: Cells, title: str, unit: str) -> str:
    """An SVG document, for light and dark."""
    return document(str(heat_map_inline(cells, title, unit)))


def heat_map_inline(cells: Cells, title: str, unit: str, titled: bool = True) -> Markup:
    """The same as a part of a page; `title` is unique in it, and not drawn if it stands above already."""
    mean = sum(cells.values()) / len(cells)
    columns = {
        length: " ".join(f"{100 * cells[key]:.0f}" for key in sorted(cells) if key[0] == length)
        for length, _ in sorted(cells)
    }
    said = "; ".join(f"{length:,} {unit}: {column}" for length, column in columns.items())
    alt = f"{title}: recall in percent by depth, {100 * mean:.0f} in the mean. {said}"
    paint = partial(_paint, cells, title if titled else "", unit, PAGE)
    return draw(paint, alt, f"heat map {title}", *_size(cells))


def heat_map_png(cells: Cells, title: str, unit: str, dots: int = 144) -> bytes:
    """The same as a picture on a light ground; `dots` an inch, of which 72 are one unit of the SVG."""
    return picture(partial(_paint, cells, title, unit, PAPER), "png", *_size(cells), dots)


def _size(cells: Cells) -> tuple[int, int]:
    lengths, depths = ({key[i] for key in cells} for i in range(2))
    beside, above = AROUND
    return max(LEAST_WIDTH, beside + COLUMN * len(lengths)), above + ROW * len(depths)


def _paint(cells: Cells, title: str, unit: str, colours: Palette, axes: Axes) -> None:
    lengths, depths = (sorted({key[i] for key in cells}) for i in range(2))
    for (length, depth), value in cells.items():
        x, y = lengths.index(length), depths.index(depth)
        red, green, blue, _ = colour = colormaps["cividis"](float(value))  # an int is an index
        axes.add_patch(
            Rectangle((x, y), 1, 1, facecolor=to_hex(colour), edgecolor=colours.surface, linewidth=1.5)
        )
        bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45
        said = f"{100 * value:.0f}"
        axes.text(x + 0.5, y + 0.52, said, ha="center", va="center", color=DARK if bright else LIGHT)
    axes.set_xlim(0, len(lengths))
    axes.set_ylim(len(depths), 0)
    _label(axes, [short(length) if length >= 10_000 else f"{length:,}" for length in lengths], "x")
    _label(axes, [f"{depth} %" for depth in depths], "y")
    axes.set_xlabel(f"length, {unit}")
    axes.set_ylabel("depth of the needle")
    heading = f"{label(title, 40)}: recall in %" if title else "Recall in %"
    axes.set_title(heading, loc="left", color=colours.ink, pad=12)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _label(axes: Axes, names: list[str], axis: str) -> None:
    every = -(-len(names) // MOST_NAMED)
    places, shown = [i + 0.5 for i in range(0, len(names), every)], names[::every]
    (axes.set_xticks if axis == "x" else axes.set_yticks)(places, shown)
