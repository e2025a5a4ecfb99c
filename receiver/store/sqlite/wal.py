"""Write-ahead log of SQLite: decides when to copy it back into the file.

Each copying syncs the file, so it happens after some megabytes and not after each commit. The size
of the log does not show how much was written: after a complete copying SQLite writes the log anew
from its beginning, and the size stays. So the average size of the last commits decides when it is
time again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

# The most bytes written to the log before it is copied back. Writes wait during the copying.
CHECKPOINT_AT = 16 * 2**20
# The time that one copying may take (seconds). In a small file the log holds the same few pages
# again and again. Pages from all over a large file take many times as long, so less is copied at a
# time.
_QUICK = 0.005
# From this size on the log is made empty, not only written anew: well under 64 MiB.
LONG = 2 * CHECKPOINT_AT
_FRAME = 4096 + 24
_MOST = 10_000  # commits
_AGAIN = 1.0  # seconds


class Checkpointer:
    """The copying of the log after commits, when it is time. It waits for no reader or writer.

    During a long read the log grows, because its pages must stay; the first commit after that read
    makes it short.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = f"{path}-wal"
        self._connection = connection
        self._size = self._commits = 0  # its size when it was copied back last; commits since
        self._at, self._every = CHECKPOINT_AT, _MOST  # bytes; commits
        self._again_at = 0.0  # monotonic seconds

    def committed(self, *, now: bool = False) -> None:
        """Count a commit; copy the log back if it is time, or with `now` at once. sqlite3.Error."""
        self._commits += 1
        size = self._length()
        is_long = size > LONG and time.monotonic() >= self._again_at
        has_grown = size > self._size + self._at or (size and self._commits >= self._every)
        if now or is_long or has_grown:
            try:
                self._copy_back("TRUNCATE" if now or size > LONG else "PASSIVE")
            finally:
                self._commits, self._size = 0, self._length()
                self._again_at = time.monotonic() + _AGAIN

    def empty(self) -> None:
        """Copy all of it back, wait for readers if needed, and make it empty. sqlite3.Error."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _length(self) -> int:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def _copy_back(self, mode: str) -> None:
        # Waiting for a reader would block every commit.
        ((patience,),) = self._connection.execute("PRAGMA busy_timeout").fetchall()
        self._connection.execute("PRAGMA busy_timeout = 0")
        began = time.perf_counter()
        try:
            row = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {patience}")
        took = time.perf_counter() - began
        if took > _QUICK:
            self._at = max(self._at // 2, CHECKPOINT_AT // 16)
        elif took < _QUICK / 2:
            self._at = min(self._at * 2, CHECKPOINT_AT)
        _, frames, copied = row
        if frames > 0 and frames == copied:
            a_commit = frames * _FRAME / self._commits
            self._every = max(min(int(self._at / a_commit), _MOST), 1)
