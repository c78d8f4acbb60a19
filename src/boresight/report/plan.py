"""The figure of `boresight plan`: how long each way of cutting steps takes, by number of ranks."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from boresight.report.svg import GRID, INK, MUTED, SERIES, SURFACE, document, draw
from boresight.train.settings import STRATEGIES
from boresight.train.simulate import Waste

WIDTH = 560
BAR = 22
"""Height of a bar with its gap, in units of the view box."""


def plan_figure(simulated: dict[int, list[Waste]]) -> str:
    """An SVG document with a bar for each strategy, grouped by number of ranks.

    Args:
        simulated: by number of ranks, the same strategies in the same order.
    """
    groups = list(simulated.items())
    bars = len(groups[0][1])
    longest = max(waste.to_ideal for _, wastes in groups for waste in wastes)

    def paint(axes: Axes) -> None:
        for group, (ranks, wastes) in enumerate(groups):
            at = group * (bars + 1.4) + np.arange(bars)
            times = [waste.to_ideal for waste in wastes]
            drawn = axes.barh(at, times, 0.74, color=SERIES[:bars])
            axes.bar_label(drawn, [f"{w.strategy}  {w.to_ideal:.2f}×" for w in wastes], padding=5, color=INK)
            axes.text(1, at[0] - 0.95, f"{ranks:,} rank{'s' * (ranks > 1)}", weight="bold", va="center")
            # Every strategy cuts the same steps, so the limit of the first is that of all.
            limit = wastes[0].to_ideal / wastes[0].to_limit
            if limit > 1.005:
                for style in (
                    {"color": SURFACE, "linewidth": 3.4},
                    {"color": MUTED, "linestyle": (0, (2, 1.4))},
                ):
                    axes.plot([limit] * 2, [at[0] - 0.5, at[len(STRATEGIES) - 1] + 0.5], **style)
        axes.set_xscale("log")
        axes.set_xlim(1, 1.15 * max(longest, 1.1) ** 1.5)  # room for the words beside the longest bar
        axes.set_ylim(len(groups) * (bars + 1.4) - 0.9, -1.5)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.axvline(1, color=GRID, linewidth=1)
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        axes.set_xlabel("time; 1× is an even share on every rank; dashed: the least possible")

    said = [f"on {n} ranks " + ", ".join(f"{w.strategy} {w.to_ideal:.2f}" for w in ws) for n, ws in groups]
    alt = "Time relative to an even share of the work: " + "; ".join(said)
    height = 70 + round(BAR * len(groups) * (bars + 1.4))
    return document(str(draw(paint, alt, "plan", WIDTH, height)))
