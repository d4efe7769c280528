"""A content-addressed store of small blobs in one SQLite file: what was computed once is never computed again.

SQLite's write-ahead log gives what a cache needs and is hard to write well: it survives ``kill -9`` at any
moment and serves several processes at once.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.progress import say

DEFAULT_LIMIT = 4 * 1024**3  # bytes


def default_folder() -> Path:
    """``$HEADSTART_CACHE``, else ``$XDG_CACHE_HOME/headstart``, else ``~/.cache/headstart``."""
    if folder := os.environ.get("HEADSTART_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"


class Store:
    """Blobs by (space, key). The least recently used ones go when the sum of sizes passes ``limit`` bytes.

    A store that cannot be used (a read-only or full disk, a damaged file) says so once and then
    remembers nothing: the work goes on, uncached.
    """

    def __init__(self, path: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.path = path or default_folder() / "store.sqlite"
        self.limit = limit
        self._broken = False

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA auto_vacuum=FULL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS blobs (space TEXT, key BLOB, value BLOB, size INTEGER, used REAL,"
                " PRIMARY KEY (space, key)) WITHOUT ROWID"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS by_use ON blobs (used, size)")
            yield connection
        finally:
            connection.close()

    def get_many(self, space: str, keys: list[bytes]) -> dict[bytes, bytes]:
        """Those of ``keys`` that the space holds, with their blobs."""
        found: dict[bytes, bytes] = {}
        if self._broken or not self.path.exists():
            return found
        try:
            with self._connection() as connection:
                for start in range(0, len(keys), 500):
                    some = keys[start : start + 500]
                    marks = ",".join("?" * len(some))
                    where = f"space = ? AND key IN ({marks})"
                    found.update(connection.execute(f"SELECT key, value FROM blobs WHERE {where}", (space, *some)))
                    now = time.time()
                    stale = f"UPDATE blobs SET used = ? WHERE {where} AND used < ?"
                    connection.execute(stale, (now, space, *some, now - 3600))
        except (sqlite3.Error, OSError) as problem:
            self._give_up(problem)
        return found

    def put_many(self, space: str, blobs: dict[bytes, bytes]) -> None:
        """Keep the blobs, all or none of them, then make room if the limit is passed."""
        if self._broken or not blobs:
            return
        try:
            with self._connection() as connection:
                rows = [(space, key, value, len(value), time.time()) for key, value in blobs.items()]
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)", rows)
                self._make_room(connection)
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as problem:
            self._give_up(problem)

    def size(self) -> int:
        """The sum of the sizes of all blobs, in bytes."""
        if self._broken or not self.path.exists():
            return 0
        try:
            with self._connection() as connection:
                return connection.execute("SELECT COALESCE(SUM(size), 0) FROM blobs").fetchone()[0]
        except (sqlite3.Error, OSError) as problem:
            self._give_up(problem)
            return 0

    def _make_room(self, connection: sqlite3.Connection) -> None:
        excess = connection.execute("SELECT COALESCE(SUM(size), 0) FROM blobs").fetchone()[0] - self.limit
        if excess <= 0:
            return
        doomed = []
        for space, key, size in connection.execute("SELECT space, key, size FROM blobs ORDER BY used"):
            doomed.append((space, key))
            excess -= size
            if excess <= -self.limit // 10:  # a tenth more, so that not every write has to tidy up
                break
        connection.executemany("DELETE FROM blobs WHERE space = ? AND key = ?", doomed)

    def _give_up(self, problem: Exception) -> None:
        self._broken = True
        say(f"The feature cache {self.path} cannot be used ({problem}); going on without it. "
            "Set HEADSTART_CACHE to a folder that can be written, or delete the file.")  # fmt: skip
