"""The figure of `boresight data describe`: how long prompts, completions and whole conversations are."""

from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from boresight.data.describe import Description
from boresight.report.svg import MUTED, SERIES, document, draw
from boresight.report.text import short

WIDTH, HEIGHT = 560, 320
SHORT = FuncFormatter(lambda value, _: short(value))
PERCENT = FuncFormatter(lambda value, _: f"{value:.3g} %")


def describe_figure(found: Description) -> str:
    """An SVG document: the share of each kind that has so many tokens, on a logarithmic scale."""
    prompts, completions = (
        np.fromiter(chain.from_iterable(by_source.values()), np.int64)
        for by_source in (found.prompts, found.completions)
    )
    kinds = {"prompts": prompts, "completions": completions, "conversations": np.array(found.lengths)}
    kinds = {name: np.maximum(lengths, 1) for name, lengths in kinds.items() if len(lengths)}
    longest = max((lengths.max() for lengths in kinds.values()), default=1)
    edges = np.unique(np.geomspace(1, longest + 1, 41).round())

    def paint(axes: Axes) -> None:
        for (name, lengths), colour in zip(kinds.items(), SERIES, strict=False):
            shares = 100 * np.histogram(lengths, edges)[0] / len(lengths)
            look = {"fill": True, "alpha": 0.3, "zorder": 1} if name == "conversations" else {"zorder": 2}
            axes.stairs(shares, edges, color=colour, linewidth=2, label=name, **look)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1,) if longest > 5000 else (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(SHORT)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_xlabel("tokens")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, labelcolor=MUTED)

    said = "; ".join(f"{len(n):,} {name}, median {short(float(np.median(n)))}" for name, n in kinds.items())
    return document(str(draw(paint, f"Lengths in tokens: {said}", "describe", WIDTH, HEIGHT)))
