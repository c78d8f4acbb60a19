"""What is seen of work under way: bars on a terminal, one line in a notebook, a line now and then in a pipe.

with counting("asking", 100) as done:
    done(1)
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from boresight.train.metrics import StepMetrics


def is_screen(stream: TextIO) -> bool:
    """Whether somebody watches a terminal that can be drawn on: no pipe, no file, no log of a CI."""
    unwanted = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not unwanted


console = Console(
    stderr=True,
    highlight=False,
    quiet=os.environ.get("RANK", "0") != "0",
    force_terminal=is_screen(sys.stderr),
)
"""Of the ranks of a run, the first alone speaks. What is no screen gets no escape codes."""

BREAKS = str.maketrans("\n\t", "  ")
EVERY = 0.5
"""Seconds between two changes of a notebook's line."""
PAUSE = 30.0
"""Seconds between two lines where they cannot be written over."""


def say(text: str) -> None:
    """A line for the person watching."""
    console.print(printable(text), soft_wrap=True, markup=False, emoji=False)


def printable(text: str) -> str:
    """Text from data, models or servers for a terminal: what would drive it is spelt out, ESC as ⟨U+001B⟩."""
    if text.translate(BREAKS).isprintable():
        return text
    from boresight.report.text import visible

    return visible(text)


def working(title: str) -> AbstractContextManager[object]:
    """Something that turns on a terminal, where it is not known how much there is to do."""
    return console.status(title) if console.is_terminal else nullcontext()


@contextmanager
def counting(
    title: str, total: int | None, note: Callable[[], str] = lambda: ""
) -> Iterator[Callable[[int], None]]:
    """A progress bar with a note; the block calls what it is given with how many more are done."""
    with _progress("{task.fields[note]}") as progress, _line() as line:
        task = progress.add_task(title, total=total, note=note())

        def show(done: int) -> None:
            progress.update(task, advance=done, note=note())
            at = f"{progress.tasks[0].completed:,.0f}" + (f"/{total:,}" if total is not None else "")
            line(f"{title} {at}  {note()}".rstrip())

        yield show


@contextmanager
def training() -> Iterator[Callable[["StepMetrics"], None]]:
    """Progress of a training run: step, loss, target tokens a second, time left."""
    last = "loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} target tokens/s"
    with _progress(last) as bar, _line() as line:
        task = bar.add_task("train", total=None, loss=float("nan"), speed=0.0)
        rates: list[float] = []

        def show(metrics: "StepMetrics") -> None:
            rates.append(metrics.targets / metrics.seconds)
            speed = sum(rates[-20:]) / len(rates[-20:])
            bar.update(
                task, total=metrics.total_steps, completed=metrics.step, loss=metrics.loss, speed=speed
            )
            at = f"step {metrics.step}/{metrics.total_steps}"
            line(f"{at}  loss {metrics.loss:.4f}  {speed:,.0f} target tokens/s")

        yield show


def _progress(last: str) -> "Progress":
    """A bar, with `last` behind it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn(last),
        console=console,
        disable=not console.is_terminal,
    )


def _line() -> AbstractContextManager[Callable[[str], None]]:
    """Tells, where no bar is drawn, how far it is."""
    if console.is_terminal or console.quiet:
        return nullcontext(lambda text: None)
    if console.is_jupyter:
        return _now_and_then(_notebook_line(), EVERY, at_once=True)
    return _now_and_then(say, PAUSE, at_once=False)


@contextmanager
def _now_and_then(
    show: Callable[[str], None], every: float, at_once: bool
) -> Iterator[Callable[[str], None]]:
    """Shows what is said every so many seconds; what was said last in any case, if anything was shown."""
    said, shown, at = "", "", 0.0 if at_once else monotonic()

    def write(text: str) -> None:
        nonlocal said, shown, at
        said = text
        if monotonic() - at >= every:
            shown, at = said, monotonic()
            show(shown)

    try:
        yield write
    finally:
        if shown and said != shown:
            show(said)


def _notebook_line() -> Callable[[str], None]:
    """Writes over one line of a notebook's output."""
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


def quiet_transformers() -> None:
    """Keep transformers' own progress bars, and of its downloads, out of logs; on a terminal they stay."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    if not console.is_terminal:
        disable_progress_bar()
        disable_progress_bars()
