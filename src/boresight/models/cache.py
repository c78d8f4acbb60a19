"""Answers that were paid for, in one SQLite file, so that nobody pays for them again; and all that was paid.

    cache = Cache(Path("answers.sqlite"))
    number = cache.charge(key, most_tokens(request))
    cache.put(key, answer)
    cache.settle(number, used)

An answer is in the file before anyone sees it: a run that is killed finds it there the next time. So is what
an attempt may cost, before it is sent. Processes and threads may share a file, on one machine; a process
opens it after it is forked.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from boresight.errors import UserError
from boresight.models.prices import Tokens
from boresight.models.requests import Asked, Request

APPLICATION = 0x626F7265
"""«bore», in the header of the file: whose it is."""
VERSION = 2
ANSWERS = """
CREATE TABLE answers (
    key BLOB PRIMARY KEY,
    text TEXT NOT NULL,
    finish_reason TEXT,
    prompt_tokens INTEGER,
    new_tokens INTEGER,
    model TEXT,
    fingerprint TEXT,
    time TEXT NOT NULL
)"""
CHARGES = """
CREATE TABLE charges (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    new_tokens INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    time TEXT NOT NULL
)"""
"""An attempt a row: the tokens it took, or at most takes where nobody said."""
IN_FLIGHT, ANSWERED = "in flight", "answered"


class Answer(NamedTuple):
    """What a server said, as it said it: `model` and `fingerprint` are its own names for what answered."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    model: str | None = None
    fingerprint: str | None = None

    @property
    def used(self) -> Tokens | None:
        """The tokens it took, if the server said."""
        if self.prompt_tokens is None or self.new_tokens is None:
            return None
        return Tokens(self.prompt_tokens, self.new_tokens)


def answer_key(url: str, model: str, asked: Asked) -> bytes:
    """A hash [32 bytes] of all that decides an answer; no two requests share one.

    Options are asked for by their prompt alone. `begins` means nothing to a text, and is left out where it is
    empty, so that answers from before there was such a thing are found.
    """
    prompt = asked.prompt
    said = prompt if isinstance(prompt, str) else [(message.role, message.content) for message in prompt]
    if isinstance(asked, Request):
        sampling = asked.sampling
        drawn = sampling._replace(temperature=float(sampling.temperature), top_p=float(sampling.top_p))
        parts = [url, model, said, drawn, asked.draw]
    else:
        parts = [url, model, said, "first tokens"]
    if asked.begins and not isinstance(prompt, str):
        parts.append(asked.begins)
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class Cache:
    """A file of answers; made if missing.

    Raises:
        UserError: it cannot be opened, or is something else, or of another version of boresight.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            try:
                while not self._make_ours():
                    time.sleep(0.01)
            except BaseException:
                self._connection.close()
                raise

    def _make_ours(self) -> bool:
        """Lay out a new file; False if another one is at it. Nothing is changed in one that is not ours."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")  # of several processes one lays it out, and the others find it done
        if not run("SELECT 1 FROM sqlite_master").fetchone():
            run(ANSWERS)
            run(CHARGES)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
        elif run("PRAGMA application_id").fetchone() != (APPLICATION,):
            raise UserError(f"{self.path}: a database, but not one of answers; name another file")
        elif (found := run("PRAGMA user_version").fetchone()[0]) != VERSION:
            raise UserError(f"{self.path}: answers in version {found}, not {VERSION}; name another file")
        run("COMMIT")
        try:
            run("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False  # this one statement does not wait for others
        # A killed process loses nothing; a machine that loses power may lose the last answers, but no file.
        run("PRAGMA synchronous = NORMAL")
        return True

    def get(self, key: bytes) -> Answer | None:
        """The answer kept under a key.

        Raises:
            UserError: the file is damaged.
        """
        query = f"SELECT {', '.join(Answer._fields)} FROM answers WHERE key = ?"
        with self._lock, self._explained():
            row = self._connection.execute(query, (key,)).fetchone()
        return None if row is None else Answer(*row)

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer. It is in the file on return; the first one under a key stays.

        Raises:
            UserError: it cannot be written.
        """
        names, marks = ", ".join(("key", *Answer._fields, "time")), ", ".join("?" * (len(Answer._fields) + 2))
        row = (key, *answer, _now())
        with self._lock, self._explained():
            self._connection.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", row)

    def count(self) -> int:
        """How many answers there are."""
        with self._lock, self._explained():
            count: int = self._connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        return count

    def charge(self, key: bytes, worst: Tokens) -> int:
        """Count an attempt at its worst, before it is sent: who is killed cannot say what it cost.

        Returns:
            The attempt's number, to settle it by.
        """
        query = "INSERT INTO charges (key, prompt_tokens, new_tokens, outcome, time) VALUES (?, ?, ?, ?, ?)"
        with self._lock, self._explained():
            number = self._connection.execute(query, (key, *worst, IN_FLIGHT, _now())).lastrowid
        assert number is not None
        return number

    def settle(self, number: int, used: Tokens | None, outcome: str = ANSWERED) -> None:
        """Count an attempt at what it took, now that it is known; None: nothing is charged for it.

        Args:
            outcome: what came of it: an answer, or the fault's name.
        """
        with self._lock, self._explained():
            if used is None:
                self._connection.execute("DELETE FROM charges WHERE number = ?", (number,))
            else:
                query = "UPDATE charges SET prompt_tokens = ?, new_tokens = ?, outcome = ? WHERE number = ?"
                self._connection.execute(query, (*used, outcome, number))

    def tokens(self, keys: Collection[bytes] | None = None) -> Tokens:
        """What all attempts took that are charged for, those that gave no answer among them.

        Args:
            keys: count attempts at these answers alone.
        """
        query = "SELECT key, sum(prompt_tokens), sum(new_tokens) FROM charges GROUP BY key"
        with self._lock, self._explained():
            rows = self._connection.execute(query).fetchall()
        counted = [row for row in rows if keys is None or row[0] in keys]
        return Tokens(sum(row[1] for row in counted), sum(row[2] for row in counted))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; name another file for the answers") from error
        except sqlite3.OperationalError as error:
            raise UserError(f"{self.path}: {error}; is it a file that can be written?") from error
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.path}: not a file of answers, or damaged ({error}); name another"
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
