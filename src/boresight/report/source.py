"""Run directories as the report finds them."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.report.text import duration
from boresight.runs import read_run

KINDS = ("train", "answer")


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
    """The records of run directories, named by directory, or by path where two share a name.

    Raises:
        UserError: none is given, or one is no run or of a kind the report does not know.
    """
    if not runs:
        raise UserError("no run directory given; name at least one")
    paths = [path.resolve() for path in runs]
    names = [path.name for path in paths]
    return [_open(path, path.name if names.count(path.name) == 1 else str(path)) for path in paths]


def _open(directory: Path, name: str) -> Source:
    record = read_run(directory)
    kind = record.get("command") if isinstance(record, dict) else None
    if kind not in KINDS:
        raise UserError(f"{directory}: a run of {kind!r}; the report shows {' and '.join(KINDS)} runs")
    return Source(name, directory, record)


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
