"""A run directory: what was asked, of which inputs, and whether it is done.

`run.json` is written when a run starts and again, with `finished`, as its very last act. The same command
over the same inputs is then a no-op; an unfinished one resumes; changed inputs are refused by name.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from boresight.errors import UserError
from boresight.files import whole_file

RECORD, LOCK = "run.json", ".lock"
LIBRARIES = ("boresight", "torch", "transformers", "tokenizers", "numpy")
WHOLE = 64 * 2**20
"""Files up to this many bytes inside an input directory are hashed whole; of larger ones, size and ends."""


def atomic_write(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the files of a directory (weights over 64 MiB: their size and both ends).

    Raises:
        UserError: there is nothing at `path`.
    """
    total = hashlib.sha256()
    if not path.exists():
        raise UserError(f"{path}: no such file or directory")
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        size = file_path.stat().st_size
        total.update(f"{file_path.relative_to(path)} {size}".encode())
        with file_path.open("rb") as file:
            total.update(file.read(WHOLE if size <= WHOLE else 2**20))
            if size > WHOLE:
                file.seek(-(2**20), os.SEEK_END)
                total.update(file.read())
    return total.hexdigest()


def beside(directory: Path, ending: str) -> Path:
    """A file beside a run directory, named after it: what starting over must not throw away."""
    return Path(f"{directory.resolve()}{ending}")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold a run directory's lock, a file beside it that is there only as long.

    Raises:
        UserError: another command holds it, or no such file can be made.
    """
    lock = FileLock(beside(directory, LOCK), blocking=False)
    try:
        directory.resolve().parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{directory}: another command is at work there; wait for it, or stop it") from None
    except OSError as error:
        raise UserError(f"{directory}: {error.strerror}; choose another output") from error
    try:
        yield
    finally:
        # While it is held: whoever has opened it finds that it is gone, and is refused.
        beside(directory, LOCK).unlink(missing_ok=True)
        lock.release()


class Run:
    """One stage's output directory, as a context manager.

    Leaving it after an error removes a directory that this call created and that holds no result yet, and
    those above it, so that a refused input leaves nothing behind.

    Args:
        directory: where outputs go; made if missing.
        command: the stage, e.g. `train`.
        config: everything that decides the outputs, as JSON.
        inputs: files or directories read; their digests are kept.
        force: start over whatever is there.
        may_change: dotted names in `config` that a resumed run may have otherwise, as no output depends on
            them.

    Raises:
        UserError: the directory holds another run, or something that is no run.
    """

    def __init__(
        self,
        directory: Path,
        command: str,
        config: dict[str, Any],
        inputs: list[Path],
        *,
        seed: int = 0,
        force: bool = False,
        may_change: frozenset[str] = frozenset(),
    ):
        self.directory = directory
        self.record: dict[str, Any] = {
            "command": command,
            "config": json.loads(json.dumps(config, default=str)),
            "seed": seed,
            "inputs": {str(path): digest(path) for path in inputs},
            "versions": _versions(),
            "commit": _commit(),
            "started": _now(),
            "finished": None,
            "counts": {},
        }
        self.may_change = {f"config.{name}" for name in may_change}
        self.created = not directory.exists()
        self._made = [above for above in directory.parents if not above.exists()]
        if not self.created:
            self._meet_what_is_there(force)

    def _meet_what_is_there(self, force: bool) -> None:
        if not (self.directory / RECORD).is_file():
            if self.directory.is_file() or any(self.directory.iterdir()):
                raise UserError(f"{self.directory}: exists and is not a run directory; choose another")
            return
        if force:
            shutil.rmtree(self.directory)
            return
        before = read_run(self.directory)
        if changes := [name for name in differences(before, self.record) if name not in self.may_change]:
            raise UserError(
                f"{self.directory}: holds a run of something else; changed: {', '.join(changes)}. "
                "Choose another output or start over with --force"
            )
        self.record = before if before["finished"] else before | {"config": self.record["config"]}

    @property
    def finished(self) -> bool:
        """Whether this very run is complete."""
        return self.record["finished"] is not None

    def __enter__(self) -> "Run":
        if not self.finished:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self.created and os.listdir(self.directory) == [RECORD]:
            shutil.rmtree(self.directory)
            for above in self._made:
                if above.is_dir() and not os.listdir(above):
                    above.rmdir()

    def finish(self, counts: dict[str, Any]) -> None:
        """Mark the run complete. Everything else must have been written before."""
        self.record |= {"counts": counts, "finished": _now()}
        self._write()

    def _write(self) -> None:
        atomic_write(self.directory / RECORD, json.dumps(self.record, indent=2, ensure_ascii=False))


def read_run(directory: Path) -> dict[str, Any]:
    """The record of a run directory.

    Raises:
        UserError: there is none.
    """
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{directory}: not a run directory (no readable {RECORD})") from error
    return record


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Dotted names of what differs between two runs in command, configuration and inputs."""
    found: list[str] = []

    def compare(name: str, a: Any, b: Any) -> None:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in sorted(a.keys() | b.keys()):
                compare(f"{name}.{key}", a.get(key), b.get(key))
        elif a != b:
            found.append(name)

    for part in ("command", "seed", "config", "inputs"):
        compare(part, before.get(part), now.get(part))
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


@cache
def _commit() -> str | None:
    """The commit of the checkout this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
