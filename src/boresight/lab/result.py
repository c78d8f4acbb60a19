"""What an experiment found: tables with the published numbers beside ours, figures, and claims."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel

from boresight.stats import Interval, clustered_share

LITTLE = 0.1
"""A loss of fewer points than ten, with certainty, is called little."""


class Table(BaseModel):
    """Cells as they are read; `published` columns are a paper's, on other models and other tasks."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Dot(BaseModel):
    """A share with its interval, and the paper's for the like of it, if it has one."""

    name: str
    value: float
    low: float
    high: float
    published: float | None = None


class Dots(BaseModel):
    """Systems, one below the other."""

    kind: Literal["dots"] = "dots"
    title: str
    dots: list[Dot]


class Point(BaseModel):
    """A system among others."""

    name: str
    x: float
    y: float


class Scatter(BaseModel):
    """Two measures of the same systems."""

    kind: Literal["scatter"] = "scatter"
    title: str
    x: str
    y: str
    points: list[Point]


class Cell(BaseModel):
    """The share found of what was hidden at a length and a depth."""

    length: int
    depth: int
    recall: float


class Map(BaseModel):
    """A needle map."""

    kind: Literal["map"] = "map"
    title: str
    cells: list[Cell]


class Claim(BaseModel):
    """What a paper says, whether it shows here, and what we saw."""

    says: str
    shown: bool
    seen: str

    def __str__(self) -> str:
        return f"{'✓' if self.shown else '✗'} {self.says} {self.seen}"


class Result(BaseModel):
    """One experiment. `seconds` are those of the attempt that finished it; what was there already is free."""

    name: str
    title: str
    source: str
    """The paper's table or figure."""
    how: str
    """What was done, in a few sentences."""
    seeds: list[int]
    tables: list[Table]
    figures: Sequence[Dots | Scatter | Map] = ()
    claims: list[Claim]
    seconds: float = 0.0


def share_of(outcomes: np.ndarray) -> Interval:
    """The mean of outcomes [questions] with its 95 % interval over questions."""
    return clustered_share(outcomes, np.arange(len(outcomes)))


def share(interval: Interval) -> str:
    """A share in percent with its 95 % interval."""
    value, low, high = (100 * end for end in interval)
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def points(interval: Interval) -> str:
    """A difference of shares in percentage points with its 95 % interval."""
    value, low, high = (100 * end for end in interval)
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
