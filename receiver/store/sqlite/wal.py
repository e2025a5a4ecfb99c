"""Write-ahead log of SQLite: decides when to copy it back into the file.

Commits wait while pages are copied, and syncing those takes many times as long. So the copying has
two parts. The first one copies all there is without a sync; the sync follows in a thread of its
own, and commits go on meanwhile. The second part copies the little that has come since, syncs it,
and lets SQLite write the log anew from its beginning. Until then a reader holds the log: nothing in
it is overwritten before the file has it, whenever the power goes.

The size of the log does not show how much was written, because it stays when the log is written
anew. So the average size of the last commits decides when it is time again.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

# The most bytes written to the log before it is copied back.
CHECKPOINT_AT = 16 * 2**20
# The processor time that one copying may take (seconds). In a small file the log holds the same few
# pages again and again. Pages from all over a large file take many times as long, so less is copied
# at a time; but never so little that a page is copied again for nearly every commit.
_QUICK = 0.01
_SMALLEST = 4  # parts of CHECKPOINT_AT
# So much (a part of CHECKPOINT_AT) is synced while commits wait; more is copied beside them first,
# in so many rounds at most.
_LITTLE = 16
_ROUNDS = 4
# From this size on the log is made empty, not only written anew: well under 64 MiB.
LONG = 2 * CHECKPOINT_AT
_FRAME = 4096 + 24
_MOST = 10_000  # commits
_AGAIN = 1.0  # seconds


class Checkpointer:
    """The copying of the log after commits, when it is time. It waits for no reader or writer.

    `connection` writes; `opened` opens further ones, and `sync` syncs the file. During a long read
    the log grows, because its pages must stay; the first commit after that read makes it short.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        opened: Callable[[], sqlite3.Connection],
        sync: Callable[[], None],
    ) -> None:
        self._path = f"{path}-wal"
        self._connection = connection
        # Opened now: later their name may lead to another file.
        self._beside = _Beside(opened, sync)
        self._rounds = self._copied = 0  # since the log was written anew; commits that they copied
        self._size = self._commits = 0  # its size when it was written anew last; commits since
        self._at, self._every = CHECKPOINT_AT, _MOST  # bytes; commits
        self._a_commit = 0.0  # bytes of the log
        self._again_at = 0.0  # monotonic seconds

    def committed(self, *, now: bool = False) -> None:
        """Count a commit; copy the log back if it is time, or with `now` at once. sqlite3.Error."""
        self._commits += 1
        size = self._length()
        at_once = now or (size > LONG and time.monotonic() >= self._again_at)
        if self._beside.is_syncing() and not at_once:
            return
        if self._rounds:
            self._beside.settle()
            since = (self._commits - self._copied) * self._a_commit
            is_over = since <= CHECKPOINT_AT // _LITTLE or self._rounds >= _ROUNDS
        else:
            has_grown = size > self._size + self._at or (size and self._commits >= self._every)
            if not (at_once or has_grown):
                return
            is_over = False
        if at_once or is_over:
            try:
                self._copy_back("TRUNCATE" if now or size > LONG else "PASSIVE", self._connection)
            finally:
                self._rounds = self._commits = 0
                self._size = self._length()
                self._again_at = time.monotonic() + _AGAIN
        else:
            self._copy_beside()

    def empty(self) -> None:
        """Copy all of it back, wait for readers if needed, and make it empty. sqlite3.Error."""
        self.close()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Wait for a sync beside, and close the further connections. sqlite3.Error."""
        self._beside.close()

    def _length(self) -> int:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def _copy_beside(self) -> None:
        """Copy all there is now, and let a thread sync it."""
        self._rounds += 1
        self._copied = self._commits
        self._beside.hold()
        try:
            took = self._copy_back("PASSIVE", self._beside.copying)
        except sqlite3.Error:
            self._beside.let_go()
            raise
        self._beside.begin()
        if self._rounds > 1:
            return  # only the first one copies as much as was meant to
        if took > _QUICK:
            self._at = max(self._at // 2, CHECKPOINT_AT // _SMALLEST)
        elif took < _QUICK / 2:
            self._at = min(self._at * 2, CHECKPOINT_AT)

    def _copy_back(self, mode: str, connection: sqlite3.Connection) -> float:
        """Copy as much as readers leave free; return the processor time that it took."""
        # Waiting for a reader would block every commit.
        ((patience,),) = connection.execute("PRAGMA busy_timeout").fetchall()
        connection.execute("PRAGMA busy_timeout = 0")
        began = time.thread_time()
        try:
            row = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {patience}")
        _, frames, copied = row
        if frames > 0 and frames == copied:
            self._a_commit = frames * _FRAME / self._commits
            self._every = max(min(int(self._at / self._a_commit), _MOST), 1)
        return time.thread_time() - began


class _Beside:
    """The first part of a copying: a connection that does not sync, a reader, and a thread.

    All of it but the sync belongs to the thread that commits, so nothing is written meanwhile
    (sqlite.org, "WAL-reset bug").
    """

    def __init__(self, opened: Callable[[], sqlite3.Connection], sync: Callable[[], None]) -> None:
        self.copying, self._reader = opened(), opened()
        self.copying.execute("PRAGMA synchronous = OFF")
        for connection in (self.copying, self._reader):
            connection.execute("SELECT 1 FROM promised").fetchall()  # opens the log, too
        self._sync = sync
        self._synced: Future[None] | None = None
        self._asked: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Let nobody write the log anew. It begins before the copying.

        Who reads when all is copied reads the file alone, and holds nothing.
        """
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT 1 FROM promised").fetchall()

    def let_go(self) -> None:
        """Let the log be written anew."""
        if self._reader.in_transaction:
            self._reader.execute("COMMIT")

    def begin(self) -> None:
        """Let the thread sync the file."""
        self._synced = Future()
        self._asked.put(self._synced)

    def is_syncing(self) -> bool:
        """Return whether the thread is not done."""
        return self._synced is not None and not self._synced.done()

    def settle(self) -> None:
        """Wait for the thread, and let the log be written anew; raise what went wrong."""
        if self._synced is not None:
            self._synced.result()
            self._synced = None
            self.let_go()

    def close(self) -> None:
        """Wait for the thread, and close the connections."""
        try:
            self.settle()
        finally:
            self._asked.put(None)
            self._thread.join()
            # Whoever closes last copies the log back, and that must be synced.
            self.copying.execute("PRAGMA synchronous = FULL")
            self.copying.close()
            self._reader.close()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                self._sync()
            except Exception as error:
                asked.set_exception(error)
            else:
                asked.set_result(None)
