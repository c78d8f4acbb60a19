"""Files given beside run directories: what a study left, and what `boresight data describe` found."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.report.source import short_names

Row = dict[str, Any]


@dataclass
class People:
    """What a study left: its results, the agreement of its raters, and each rating, where they are given."""

    results: list[Row] = field(default_factory=list)
    agreement: list[Row] = field(default_factory=list)
    ratings: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.results or self.agreement or self.ratings)


@dataclass
class Given:
    """What files hold; `described` has what is in data, by the file that says so."""

    people: People = field(default_factory=People)
    described: dict[Path, Row] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Row]:
        """What is in data, by short names."""
        names = short_names(str(path.resolve().with_suffix("")) for path in self.described)
        return dict(zip(names, self.described.values(), strict=True))


def read_given(files: Sequence[Path]) -> Given:
    """Files of `study results --json`, `study agreement --json`, `study export` and `data describe --json`,
    told by their content.

    Raises:
        UserError: a file cannot be read, or is none of them.
    """
    given = Given()
    for path in files:
        if path.suffix.lower() == ".jsonl":
            given.people.ratings.append(path)
        else:
            _add(given, path)
    return given


def _add(given: Given, path: Path) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable JSON ({error})") from error
    keys = found.keys() if isinstance(found, dict) else ()
    if "comparisons" in keys:
        given.people.results.append(found)
    elif "with_two_raters" in keys:
        given.people.agreement.append(found)
    elif "target_share" in keys:
        given.described[path] = found
    else:
        raise UserError(
            f"{path}: not what `boresight study results`, `study agreement` or `data describe` prints with "
            "--json; ratings by `study export` end in .jsonl"
        )
