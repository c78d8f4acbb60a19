"""What judges and people said: runs of `boresight judge` beside a study's ratings, and how far both agree."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from boresight.evaluate.judges.run import JUDGMENTS
from boresight.evaluate.ratings import Compared, Ratings, compare, read_ratings
from boresight.records import read_records
from boresight.report.given import People
from boresight.report.source import Source
from boresight.study.published import RatingRow

PAIRS, RATE = "judge pairs", "judge rate"


class Beside(NamedTuple):
    """A run of judges beside people's ratings; `found` is None where they have too little in common."""

    source: Source
    ratings: Path
    items: int
    found: Compared | None


def judges_and_people(sources: Sequence[Source], people: People) -> list[Beside]:
    """Every run of judges beside every file of ratings of the same kind.

    Raises:
        UserError: a file cannot be read.
    """
    judged = [source for source in sources if source.command in (PAIRS, RATE) and source.finished]
    rated = [read_ratings(path) for path in people.ratings] if judged else []
    verdicts = [read_ratings(source.directory / JUDGMENTS) for source in judged] if rated else []
    return [
        _beside(source, own, theirs)
        for (source, own), theirs in product(zip(judged, verdicts, strict=bool(rated)), rated)
        if own.of_pairs == theirs.of_pairs
    ]


def _beside(source: Source, judged: Ratings, people: Ratings) -> Beside:
    common = judged.values.keys() & people.values.keys()
    return Beside(source, people.path, len(common), compare(judged, people) if len(common) > 1 else None)


def read_rating_rows(people: People) -> list[RatingRow]:
    """Every rating, for reading.

    Raises:
        UserError: a line is none.
    """
    return [row for path in people.ratings for row in read_records(path, RatingRow)]
