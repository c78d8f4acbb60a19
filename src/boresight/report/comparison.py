"""Two or more systems as one table and one figure, made for a paper."""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Literal, NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from boresight.errors import UserError
from boresight.report.benchmarks import Benchmarks, Column, System
from boresight.report.svg import PAGE, PAPER, Palette, draw, picture
from boresight.report.text import label, percent, visible
from boresight.study.spreadsheet import inert

WIDTH = 460
ROW, BETWEEN, AROUND = 13, 16, 74
"""Units of the view box: of a system's interval, between columns' groups of them, and around all."""
BESIDE = 18
"""Letters of names of which two have room beside each other."""
LOOKS = "os^vP"
"""Of systems' points, the next where all colours are taken."""
PERCENT = FuncFormatter(lambda value, _: f"{value:.3g} %")
SPECIAL = re.compile(r"[\\{}$&#^_%~\[*]")
"""What LaTeX does not take for itself; the last two would be an option of the line break before."""
COMMANDS = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
COMMANDS |= {"[": "{[}", "*": "{*}"}
TITLES = {"mmlu": "MMLU", "gsm": "GSM", "bbh": "BBH", "tydiqa": "TyDiQA", "humaneval": "HumanEval"}
TITLES |= {"toxigen": "ToxiGen", "truthfulqa": "TruthfulQA", "truthfulqa_mc": "TruthfulQA MC"}
Make = Callable[[Benchmarks], bytes]


def comparison_files(found: Benchmarks | None, table: Path | None, figure: Path | None) -> dict[Path, bytes]:
    """What a table (.tex or .csv), a figure (.svg or .png), or both hold, by the files that are named.

    Raises:
        UserError: an ending is another one, or there are fewer than two systems.
    """
    makers: dict[Path, Make] = {}
    if table:
        makers[table] = _by_ending(table, "--table", TABLES)
    if figure:
        makers[figure] = _by_ending(figure, "--figure", FIGURES)
    if not makers:
        return {}
    if found is None or len(found.names) < 2:
        raise UserError(
            "a table or figure compares two systems or more: give runs of `boresight eval`, or several that "
            "answered held-out questions"
        )
    return {path: make(found) for path, make in makers.items()}


def _by_ending(path: Path, option: str, known: dict[str, Make]) -> Make:
    if path.suffix.lower() not in known:
        raise UserError(f"{option} {path}: name a file that ends in {' or '.join(known)}")
    return known[path.suffix.lower()]


def title(task: str) -> str:
    """What papers call a task."""
    return TITLES.get(task, task)


def latex(found: Benchmarks) -> str:
    """A table for LaTeX's booktabs: a row a system, intervals small, the best of a column bold, and a dagger
    where the paired interval of the difference from the baseline leaves out zero."""
    averaged = bool(found.averages)
    heads, rules, at = [], [], 2
    for task, columns in found.tasks:
        heads.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{_tex(title(task))}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + len(columns) - 1}}}")
        at += len(columns)
    settings = [_tex(column.setting) for column in found.columns]
    lines = [
        "% Percent, with 95 % intervals. Dagger: the paired 95 % interval of the difference from "
        f"{_comment(found.names[found.base])} leaves out zero.",
        rf"\begin{{tabular}}{{l{'r' * (at - 2 + averaged)}}}",
        r"\toprule",
        " & ".join(["", *heads, *(["Average"] * averaged)]) + r" \\",
        "".join(rules),
        " & ".join(["", *settings, *([""] * averaged)]) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(_latex_row(found, system)) + r" \\" for system in found.names]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(found: Benchmarks, system: System) -> Iterator[str]:
    yield _tex(found.names[system])
    for column in found.columns:
        yield _latex_cell(found, system, column)
    if found.averages:
        average = found.averages.get(system)
        every = {each["value"] for each in found.averages.values()}
        best = max(every) if len(every) > 1 and len(found.entered) == 1 else None
        yield _bold(percent(average["value"]), average["value"] == best) if average else "--"


def _latex_cell(found: Benchmarks, system: System, column: Column) -> str:
    result = found.results.get((system, column))
    if result is None:
        return "--"
    value, low, high = result.interval
    every = [result.interval.value for (_, other), result in found.results.items() if other == column]
    best = (min if column.lower_is_better else max)(every) if len(set(every)) > 1 else None
    gap = found.difference(system, [column]) if system != found.base else None
    dagger = r"$^\dagger$" if gap and gap.clear else ""
    ends = rf"\,{{\scriptsize [{percent(low)}, {percent(high)}]}}"
    return _bold(percent(value), value == best) + dagger + ends


def _bold(text: str, bold: bool) -> str:
    return rf"\textbf{{{text}}}" if bold else text


def _tex(text: str) -> str:
    return SPECIAL.sub(lambda found: COMMANDS.get(found[0], rf"\{found[0]}"), _comment(text))


def _comment(text: str) -> str:
    return " ".join(visible(text).split())


def as_csv(found: Benchmarks) -> str:
    """A row a system and setting, with shares of 1; then every system's average."""
    rows = StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    names = ("system", "model", "asked", "task", "setting", "items", "value", "low", "high")
    writer.writerow([*names, "baseline", "difference", "difference_low", "difference_high", "shared_items"])
    for (system, column), result in found.results.items():
        gap = found.difference(system, [column]) if system != found.base else None
        paired = [found.names[found.base], *gap.interval, gap.items] if gap else [""] * 5
        about = [found.names[system], *system, *column, len(result.outcomes), *result.interval]
        writer.writerow([_inert(cell) for cell in [*about, *paired]])
    for system, average in found.averages.items():
        gap = found.average_difference(system) if system != found.base else None
        paired = [found.names[found.base], *gap.interval, gap.items] if gap else [""] * 5
        entered = "; ".join(f"{task} ({', '.join(each)})" for task, each in average["entered"].items())
        about = [found.names[system], *system, "average", entered, "", average["value"], "", ""]
        writer.writerow([_inert(cell) for cell in [*about, *paired]])
    return rows.getvalue()


def _inert(cell: str | float | int) -> str | float | int:
    """No cell is one that a spreadsheet would run."""
    return inert(visible(cell)) if isinstance(cell, str) else cell


def dots_figure(found: Benchmarks) -> Markup:
    """Every system's score and interval in every setting, for the page."""
    said = [
        f"{found.names[system]}, {column}: {percent(result.interval.value)} %"
        for (system, column), result in found.results.items()
    ]
    alt = "Scores with 95 % intervals. " + "; ".join(said)
    return draw(partial(_paint, found, PAGE), alt, "benchmarks", WIDTH, _height(found))


def dots_picture(found: Benchmarks, kind: Literal["svg", "png"]) -> bytes:
    """The same as a file for a paper."""
    return picture(partial(_paint, found, PAPER), kind, WIDTH, _height(found), dots=300)


def _height(found: Benchmarks) -> int:
    legend = 18 * -(-len(found.names) // _legend_columns(found))
    return AROUND + legend + ROW * len(found.results) + BETWEEN * len(found.columns)


class Places(NamedTuple):
    """How far down each result is, and each column's middle and end: it has room for whom it holds."""

    heights: dict[tuple[System, Column], float]
    middles: list[float]
    ends: list[float]


def _places(found: Benchmarks) -> Places:
    places, top = Places({}, [], []), 0.0
    for column in found.columns:
        asked = found.asked(column)
        places.heights.update({(system, column): top + ROW * (n + 0.5) for n, system in enumerate(asked)})
        places.middles.append(top + ROW * len(asked) / 2)
        places.ends.append(top + ROW * len(asked) + BETWEEN / 2)
        top += ROW * len(asked) + BETWEEN
    return places


def _legend_columns(found: Benchmarks) -> int:
    return 2 if max(map(len, found.names.values())) <= BESIDE else 1


def _paint(found: Benchmarks, colours: Palette, axes: Axes) -> None:
    heights, middles, ends = _places(found)
    for number, system in enumerate(found.names):
        colour = colours.series[number % len(colours.series)]
        rows = [
            (heights[system, column], [100 * end for end in found.results[system, column].interval])
            for column in found.columns
            if (system, column) in heights
        ]
        for y, (_, low, high) in rows:
            axes.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="round")
        values, ys = [value for _, (value, _, _) in rows], [y for y, _ in rows]
        name = label(found.names[system], 40)
        look = LOOKS[number // len(colours.series) % len(LOOKS)] if system != found.base else "D"
        axes.plot(values, ys, look, color=colour, markersize=6, label=name, clip_on=False)
    for end in ends[:-1]:
        axes.axhline(end, color=colours.grid, linewidth=0.8)
    names = [label(f"{title(column.task)} {column.setting}", 34) for column in found.columns]
    axes.set_yticks(middles, names)
    axes.tick_params(axis="y", length=0, pad=10, labelcolor=colours.ink, labelsize=12)
    axes.set_xlim(0, 100)
    axes.set_ylim(ends[-1], -BETWEEN / 2)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.xaxis.set_major_formatter(PERCENT)
    look_of_legend = {"labelcolor": colours.muted, "fontsize": 12, "ncols": _legend_columns(found)}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), **look_of_legend)


TABLES: dict[str, Make] = {
    ".tex": lambda found: latex(found).encode(),
    ".csv": lambda found: as_csv(found).encode(),
}
FIGURES: dict[str, Make] = {
    ".svg": lambda found: dots_picture(found, "svg"),
    ".png": lambda found: dots_picture(found, "png"),
}
"""What makes a file, by its ending."""
