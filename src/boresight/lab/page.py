"""What the experiments found, as one page of tables and figures, and as Markdown."""

from collections.abc import Sequence

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes

from boresight.lab.result import Dots, Map, Result, Scatter, Table
from boresight.report import text
from boresight.report.heat_map import heat_map_inline
from boresight.report.svg import INK, MUTED, SERIES, SURFACE, draw

WIDTH = 460


def render(results: Sequence[Result], base: str) -> str:
    """The page as HTML; it makes no request and runs no script."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("boresight.lab"), PackageLoader("boresight.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    claims = [claim for result in results for claim in result.claims]
    return environment.get_template("lab.html.jinja").render(
        results=results,
        base=base,
        shown=sum(claim.shown for claim in claims),
        claims=len(claims),
        figure=figure,
        text=text,
    )


def figure(result: Result, number: int) -> Markup:
    """A result's figure as SVG."""
    drawn = result.figures[number]
    match drawn:
        case Dots():
            return _dots(drawn, f"{result.name} {number}")
        case Scatter():
            return _scatter(drawn, f"{result.name} {number}")
        case Map():
            cells = {(cell.length, cell.depth): cell.recall for cell in drawn.cells}
            return heat_map_inline(cells, drawn.title, "tokens")


def _dots(drawn: Dots, name: str) -> Markup:
    published = any(dot.published is not None for dot in drawn.dots)

    def paint(axes: Axes) -> None:
        for y, dot in enumerate(drawn.dots):
            axes.text(0, y - 0.12, text.label(dot.name, 48), va="center", color=INK)
            axes.plot([100 * dot.low, 100 * dot.high], [y + 0.26] * 2, color=SERIES[0], linewidth=2.6)
            axes.plot(100 * dot.value, y + 0.26, "o", color=SERIES[0], markersize=8)
            if dot.published is not None:
                axes.plot(
                    100 * dot.published, y + 0.26, "D", color=SURFACE, markeredgecolor=SERIES[1], markersize=7
                )
        axes.set_xlim(0, 100)
        axes.set_ylim(len(drawn.dots) - 0.4, -0.6)
        axes.set_yticks([])
        axes.grid(axis="x")
        axes.set_xlabel("● ours, 95 % interval   ◇ the paper’s" if published else "95 % intervals")
        axes.set_title(drawn.title, loc="left", color=INK)

    said = "; ".join(f"{dot.name}: {100 * dot.value:.1f} %" for dot in drawn.dots)
    return draw(paint, f"{drawn.title}. {said}", name, WIDTH, 80 + 44 * len(drawn.dots))


def _scatter(drawn: Scatter, name: str) -> Markup:
    def paint(axes: Axes) -> None:
        for point in drawn.points:
            axes.plot(point.x, point.y, "o", color=SERIES[0], markersize=8)
            axes.annotate(
                point.name, (point.x, point.y), xytext=(7, 4), textcoords="offset points", color=MUTED
            )
        axes.margins(0.18)
        axes.grid(axis="both")
        axes.set_xlabel(drawn.x)
        axes.set_ylabel(drawn.y)
        axes.set_title(drawn.title, loc="left", color=INK)

    said = "; ".join(f"{p.name}: {p.x:.1f}, {p.y:.1f}" for p in drawn.points)
    return draw(paint, f"{drawn.title}. {said}", name, WIDTH, 360)


def as_markdown(results: Sequence[Result]) -> str:
    """The same tables and claims, for a page of documentation."""
    parts = ["# What the laboratory found"]
    for result in results:
        seeds = ", ".join(map(str, result.seeds))
        parts += [
            f"## {result.title}",
            f"*{result.source}. Seeds: {seeds}. {result.seconds:.0f} s.*",
            result.how,
            *(f"**{table.title}**\n\n{_table(table)}" for table in result.tables),
            "\n".join(f"- {claim}" for claim in result.claims),
        ]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
