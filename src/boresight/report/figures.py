"""The figures. Narrow enough to be read on a phone; two of them stand side by side on a desk."""

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from boresight.report.answers import AnswerRun
from boresight.report.svg import GRID, INK, MUTED, SERIES, SURFACE, draw
from boresight.report.text import label, percent, short
from boresight.report.training import RANKS, TrainRun, smooth

WIDTH = 460
MASK = {"facecolor": SURFACE, "edgecolor": "none", "pad": 1}
"""Behind a text, so that no grid line runs through it."""
ROUND = [1, 2, 5, 10]
SHORT = FuncFormatter(lambda value, _: short(value))
PERCENT = FuncFormatter(lambda value, _: f"{value:.3g} %")


def accuracy_figure(runs: list[AnswerRun]) -> Markup:
    """Accuracy of every run and setting with intervals; the best of each run is filled."""
    lines = [(i, run, setting) for i, run in enumerate(runs) for setting in (None, *run.settings)]

    def paint(axes: Axes) -> None:
        for y, (i, run, setting) in enumerate(lines):
            colour = SERIES[i % len(SERIES)]
            if setting is None:
                axes.text(0, y, label(run.source.name, 44), va="center", weight="bold", color=colour)
            else:
                # Above its interval, not beside it: names of settings are long and phones are narrow.
                axes.text(0, y - 0.1, label(setting, 44), va="center", color=INK, bbox=MASK)
                _interval(axes, y + 0.26, run, setting, colour)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(lines) - 0.4, -0.5)
        axes.set_yticks([])
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter(PERCENT)

    said = [
        f"{run.source.name}, {setting}: {percent(run.accuracies[setting].value)} %"
        for _, run, setting in lines
        if setting is not None
    ]
    alt = "Held-out accuracy with 95 % intervals. " + "; ".join(said)
    return draw(paint, alt, "accuracy", WIDTH, 40 + 42 * len(lines))


def _interval(axes: Axes, y: float, run: AnswerRun, setting: str, colour: str) -> None:
    value, low, high = (100 * end for end in run.accuracies[setting])
    best = setting == run.best
    axes.plot([low, high], [y, y], color=colour, linewidth=2.6 if best else 1.6, solid_capstyle="round")
    axes.plot(value, y, "o", color=colour if best else SURFACE, markeredgecolor=colour, markersize=8)
    axes.annotate(
        f"{value:.1f}",
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        weight="bold" if best else "normal",
        color=INK if best else MUTED,
        annotation_clip=False,
    )


def loss_figure(run: TrainRun) -> Markup:
    """The loss of every step, and smoothed; of the held-out conversations where it was measured."""
    steps, loss, smoothed = run.column("step"), run.column("loss"), run.loss
    held_out = [(m.step, m.held_out_loss) for m in run.steps if m.held_out_loss is not None]

    def paint(axes: Axes) -> None:
        axes.plot(steps, loss, color=SERIES[0], alpha=0.3, linewidth=1, label="each step")
        axes.plot(steps, smoothed, color=SERIES[0], linewidth=2.2, label="smoothed")
        if held_out:
            axes.plot(*zip(*held_out, strict=True), "o-", color=SERIES[1], markersize=5, label="held out")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, labelcolor=MUTED)
        _step_axes(axes, 5)

    alt = f"Training loss over {len(steps)} steps: smoothed, from {smoothed[0]:.3g} to {smoothed[-1]:.3g}"
    if held_out:
        alt += (
            f"; held out, {held_out[0][1]:.3g} at step {held_out[0][0]} and {held_out[-1][1]:.3g} at the end"
        )
    return draw(paint, alt, f"loss {run.source.name}", WIDTH, 340)


def speed_figure(run: TrainRun) -> Markup:
    """Target tokens a second."""
    speed = run.column("targets") / run.column("seconds")

    def paint(axes: Axes) -> None:
        axes.plot(run.column("step"), speed, color=SERIES[2], alpha=0.3, linewidth=1)
        axes.plot(run.column("step"), smooth(speed), color=SERIES[2], linewidth=2.2)
        axes.set_ylim(0, max(np.percentile(speed, 99) * 1.15, 1e-9))
        _step_axes(axes, 4)

    alt = f"Target tokens per second at each step: median {short(float(np.median(speed)))}"
    return draw(paint, alt, f"speed {run.source.name}", WIDTH, 165)


def rate_figure(run: TrainRun) -> Markup:
    """The learning rate."""
    rate = run.column("learning_rate")

    def paint(axes: Axes) -> None:
        axes.plot(run.column("step"), rate, color=SERIES[1])
        axes.set_ylim(0, rate.max() * 1.1)
        _step_axes(axes, 4)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))

    alt = f"Learning rate at each step: at most {rate.max():.3g}, at the end {rate[-1]:.3g}"
    return draw(paint, alt, f"rate {run.source.name}", WIDTH, 165)


def _step_axes(axes: Axes, ticks: int) -> None:
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=ROUND))
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=ROUND))
    axes.xaxis.set_major_formatter(SHORT)
    axes.yaxis.set_major_formatter(SHORT)


def length_figure(run: TrainRun) -> Markup:
    """How long the sequences are, by share of sequences and by share of tokens."""
    assert run.store is not None
    lengths = run.store.lengths
    edges = np.unique(np.geomspace(lengths.min(), lengths.max() + 1, 31).round())

    def paint(axes: Axes) -> None:
        sequences = 100 * np.histogram(lengths, edges)[0] / len(lengths)
        tokens = 100 * np.histogram(lengths, edges, weights=lengths)[0] / lengths.sum()
        axes.stairs(sequences, edges, fill=True, color=SERIES[0], alpha=0.35, label="of the sequences")
        axes.stairs(tokens, edges, color=SERIES[1], linewidth=2.2, label="of the tokens")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if edges[-1] < 50 * edges[0] else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(SHORT)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, labelcolor=MUTED)

    middle, upper = np.percentile(lengths, [50, 90])
    alt = (
        f"Lengths of {len(lengths):,} training sequences in tokens, on a logarithmic scale: "
        f"median {short(middle)}, 90th percentile {short(upper)}, longest {short(lengths.max())}"
    )
    return draw(paint, alt, f"lengths {run.source.name}", WIDTH, 300)


def waste_figure(run: TrainRun) -> Markup:
    """Share of padding and of idle time under each batching strategy."""
    parts = [
        ("padding", [100 * w.padding for w in run.waste], SERIES[0], -0.19),
        ("idle time", [100 * w.idle for w in run.waste], SERIES[1], 0.19),
    ]
    names = [f"{w.strategy} (used)" if w.strategy == run.strategy else w.strategy for w in run.waste]

    def paint(axes: Axes) -> None:
        for part, shares, colour, offset in parts:
            bars = axes.barh(np.arange(len(names)) + offset, shares, 0.34, color=colour, label=part)
            axes.bar_label(bars, fmt="%.1f %%", padding=5, color=INK)
        axes.axvline(0, color=GRID, linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params("y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, max(10.0, 1.18 * max(max(shares) for _, shares, _, _ in parts)))
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, labelcolor=MUTED)

    said = [f"{w.strategy} {percent(w.padding)} % and {percent(w.idle)} %" for w in run.waste]
    alt = f"Padding and idle time on {RANKS} ranks by batching strategy: " + ", ".join(said)
    return draw(paint, alt, f"waste {run.source.name}", WIDTH, 300)
