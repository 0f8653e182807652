"""Jobs on disk: what was asked, how far it is, what became of it. SQLite, so that a restart loses nothing."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path

from vtoon.errors import VtoonError
from vtoon.web.jobs import RUNNING, WAITING

TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT, digest TEXT NOT NULL, name TEXT NOT NULL, wanted TEXT NOT NULL,
    state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, ended REAL, frames INTEGER NOT NULL
    DEFAULT 0, seconds REAL NOT NULL DEFAULT 0, problems TEXT NOT NULL DEFAULT '[]', result TEXT, UNIQUE (owner, key)
)"""


@dataclass(frozen=True)
class Entry:
    """A job, as it is kept."""

    id: str  # unguessable
    owner: str  # digest of a token
    key: str | None  # of idempotency
    digest: str  # of what was asked: the same key with another one is a mistake
    name: str  # of the uploaded file
    wanted: dict  # the settings
    state: str = WAITING
    tries: int = 0
    created: float = 0.0  # seconds since 1970
    ended: float | None = None
    frames: int = 0
    seconds: float = 0.0  # of work
    problems: tuple[str, ...] = ()
    result: str | None = None  # name of the drawing


COLUMNS = [field.name for field in fields(Entry)]


class Taken(Exception):
    """The key was used before, for `entry`."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.id)
        self.entry = entry


class Store:
    """All jobs of a service. Threads share it."""

    def __init__(self, path: Path) -> None:
        """Raises VtoonError where the file cannot be one."""
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise VtoonError(f"{path}: cannot keep jobs there ({error}); give another --folder") from None

    def add(self, entry: Entry) -> Entry:
        """Raises Taken where the owner has used the key before."""
        entry = _changed(entry, created=time.time())
        marks = ", ".join("?" * len(COLUMNS))
        with self._lock:
            try:
                self._base.execute(f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({marks})", _row(entry))
            except sqlite3.IntegrityError:
                if found := self.by_key(entry.owner, entry.key or ""):
                    raise Taken(found) from None
                raise
        return entry

    def get(self, id_: str, owner: str | None = None) -> Entry | None:
        """None where there is none, or it is another's."""
        found = self._some("id = ?", id_)
        return found[0] if found and owner in (None, found[0].owner) else None

    def by_key(self, owner: str, key: str) -> Entry | None:
        found = self._some("owner = ? AND key = ?", owner, key)
        return found[0] if found else None

    def of(self, owner: str) -> list[Entry]:
        """Newest first."""
        return self._some("owner = ? ORDER BY created DESC", owner)

    def unfinished(self) -> list[Entry]:
        """In the order they came; what was being worked on when the service ended is among them."""
        return self._some("state IN (?, ?) ORDER BY created", WAITING, RUNNING)

    def ended_before(self, moment: float) -> list[Entry]:
        return self._some("ended < ?", moment)

    def set(self, id_: str, **values: object) -> None:
        """Nothing happens where the job is gone."""
        if "problems" in values:
            values["problems"] = json.dumps(list(values["problems"]))
        names = ", ".join(f"{name} = ?" for name in values)
        with self._lock:
            self._base.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*values.values(), id_))

    def remove(self, id_: str) -> None:
        with self._lock:
            self._base.execute("DELETE FROM jobs WHERE id = ?", (id_,))

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        with self._lock:
            return dict(self._base.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())

    def close(self) -> None:
        with self._lock:
            self._base.close()

    def _some(self, where: str, *values: object) -> list[Entry]:
        with self._lock:
            rows = self._base.execute(f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE {where}", values).fetchall()
        return [_entry(row) for row in rows]


def _row(entry: Entry) -> tuple:
    values = vars(entry) | {"wanted": json.dumps(entry.wanted), "problems": json.dumps(list(entry.problems))}
    return tuple(values[name] for name in COLUMNS)


def _entry(row: tuple) -> Entry:
    values = dict(zip(COLUMNS, row, strict=True))
    return Entry(**values | {"wanted": json.loads(values["wanted"]), "problems": tuple(json.loads(values["problems"]))})


def _changed(entry: Entry, **values: object) -> Entry:
    return Entry(**vars(entry) | values)
