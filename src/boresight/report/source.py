"""Run directories as the report finds them."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.report.text import duration
from boresight.runs import RECORD, read_run

KINDS = ("train", "answer", "eval", "score", "judge pairs", "judge rate", "needle")
UNTELLING = ("model",)
"""Ends of paths that say nothing without the part before: where training leaves its model."""


@dataclass(frozen=True)
class Source:
    """A run directory under the name the page gives it."""

    name: str
    directory: Path
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.record.get("finished") is not None

    @property
    def command(self) -> str:
        """What made the run."""
        return str(self.record["command"])

    @property
    def counts(self) -> dict[str, Any]:
        """What came out; nothing before the run is finished."""
        found: dict[str, Any] = self.record.get("counts") or {}
        return found if self.finished else {}

    @property
    def config(self) -> dict[str, Any]:
        """What the run was told; the recipe of a training run."""
        config: dict[str, Any] = self.record.get("config", {})
        return config["recipe"] if isinstance(config.get("recipe"), dict) else config

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The configuration as dotted names and values."""
        return list(flatten(self.config))

    @property
    def origin(self) -> list[tuple[str, str]]:
        """When, from which code and with what the run was made."""
        record = self.record
        versions = [f"{name} {version}" for name, version in record.get("versions", {}).items()]
        return [
            ("directory", str(self.directory)),
            ("started", record.get("started") or "unknown"),
            ("finished", record.get("finished") or "not finished"),
            ("took", self._took()),
            ("seed", str(record.get("seed", "unknown"))),
            ("commit", (record.get("commit") or "unknown")[:12]),
            ("versions", ", ".join(versions)),
            *(
                (f"input {path}", f"sha256 {digest[:12]}")
                for path, digest in record.get("inputs", {}).items()
            ),
        ]

    def _took(self) -> str:
        if not self.finished:
            return "not finished"
        ends = [datetime.fromisoformat(self.record[key]) for key in ("started", "finished")]
        return duration((ends[1] - ends[0]).total_seconds())


def open_runs(runs: list[Path]) -> list[Source]:
    """The records of run directories and of those below a directory that is none, named by the shortest end
    of their paths that no other has.

    Raises:
        UserError: none is given, one is no run and above none, or is of a kind the report does not know.
    """
    if not runs:
        raise UserError("no run directory given; name at least one")
    found = {path: record for given in runs for path, record in _records(given.resolve())}
    return [
        Source(name, path, record)
        for (path, record), name in zip(found.items(), short_names(map(str, found)), strict=True)
    ]


def _records(given: Path) -> list[tuple[Path, dict[str, Any]]]:
    below = [] if (given / RECORD).exists() else [path.parent for path in given.rglob(RECORD)]
    if below:
        # What lies there besides may be of any kind; a run that the page has no part for is still listed.
        return [(path, _record(path)) for path in sorted(below, key=_by_number)]
    record = _record(given)
    if record["command"] not in KINDS:
        raise UserError(
            f"{given}: a run of {record['command']!r}; the report shows those of {', '.join(KINDS)}"
        )
    return [(given, record)]


def _by_number(path: Path) -> list[str | int]:
    """Checkpoint 500 comes before 1000."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(path))]


def _record(directory: Path) -> dict[str, Any]:
    record = read_run(directory)
    if not isinstance(record, dict) or not isinstance(record.get("command"), str):
        raise UserError(f"{directory / RECORD}: does not say which command made it")
    return record


def short_names(names: Iterable[str]) -> list[str]:
    """The shortest ends of paths that are not alike; of a model at an address, its name."""
    full = list(names)
    parts = [name.rpartition("#")[2].strip("/").split("/") for name in full]
    ends = [1 + (own[-1] in UNTELLING and len(own) > 1) for own in parts]
    while True:
        short = ["/".join(own[-end:]) for own, end in zip(parts, ends, strict=True)]
        longer = [
            end + (short.count(name) > 1 and end < len(own))
            for name, own, end in zip(short, parts, ends, strict=True)
        ]
        if longer == ends:
            return [one if short.count(one) == 1 else name for one, name in zip(short, full, strict=True)]
        ends = longer


def flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Leaves of nested configuration, in order, with dotted names."""
    if isinstance(value, dict) and value:
        return [
            leaf
            for key, below in value.items()
            for leaf in flatten(below, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [leaf for i, item in enumerate(value) for leaf in flatten(item, f"{name}.{i}")]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
