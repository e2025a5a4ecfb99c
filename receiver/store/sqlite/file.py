"""File of a database: what its name leads to, the right to serve it, and whether it stays there.

SQLite finds the log by the name of the file, and notices neither a second name nor a file that is
moved away while it is open: it goes on writing to what no name leads to.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import sys
import time
from pathlib import Path

from receiver.errors import StorageRefused, StorageServed

# The longest time (seconds) for which commits go on after the file was moved.
LOOK_EVERY = 0.5
# A byte that SQLite never locks, far behind the end of any database.
_BYTE = 2**62
# Where there is no fdatasync, SQLite uses the other one, too.
_sync = getattr(os, "fdatasync", os.fsync)
_SUFFIXES = ("", "-wal", "-shm")
# So much is read ahead at a time (bytes): the system cuts off a longer request.
_PART = 128 * 1024


class Misplaced(sqlite3.OperationalError):
    """A file that was moved, removed or replaced while it was open."""


def real_path(path: Path) -> Path:
    """Return what the name leads to; StorageRefused for a link that leads nowhere."""
    if path.is_symlink() and not path.exists():
        raise StorageRefused(
            f"{path} is a link to {path.readlink()}, and nothing is there. Is its volume mounted?"
            " Mount it, or remove the link to begin anew."
        )
    return path.resolve()


def check_names(path: Path) -> None:
    """Raise StorageRefused if the log may stand beside another name of the same file."""
    names = path.stat().st_nlink
    if names > 1 and not path.with_name(f"{path.name}-wal").exists():
        raise StorageRefused(
            f"{path} has {names} names (hard links), and the log with its last events may stand"
            f" beside another one. Find them with `find / -samefile {path}` and remove all but the"
            " one that was served; `cp` makes a copy that is a file of its own."
        )


def is_served(path: Path) -> bool:
    """Return whether a process serves a file; it takes no lock, so nobody is in its way."""
    if sys.platform != "linux":
        return False
    asked = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
    file = os.open(path, os.O_RDWR)
    try:
        found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
    finally:
        os.close(file)
    return bool(struct.unpack("hhqqi0q", found)[0] != fcntl.F_UNLCK)


class Lock:
    """The right to serve a file. One process at a time has it, until it closes the lock.

    `setting` names the file. It begins as a lock on the name, because the file may have to be made
    first; `take` adds the file itself (device and inode), whatever other names it has.
    """

    def __init__(self, path: Path, setting: str = "RECEIVER_DATABASE_URL") -> None:
        self._path = path
        self._setting = setting
        self._file: int | None = None
        try:
            self._name = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise StorageRefused(
                f"{path}.lock cannot be written ({error.strerror}). Check that the folder is there,"
                " its permissions and free space."
            ) from error
        try:
            fcntl.flock(self._name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise self._served() from None

    def take(self) -> None:
        """Lock the file itself; StorageServed if another process has it.

        The descriptor stays open until the end: to close it would also drop SQLite's own locks.
        """
        try:
            self._file = os.open(self._path, os.O_RDWR)
        except OSError as error:
            raise StorageRefused(
                f"{self._path} cannot be opened ({error.strerror}). Check the folder, its"
                " permissions and free space."
            ) from error
        if sys.platform == "linux":
            whole = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
            try:
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, whole)
            except (BlockingIOError, PermissionError):
                raise self._served() from None
            except OSError:
                return  # a file system without such locks: the name has to do

    def has_a_file(self) -> bool:
        """Return whether any name leads to the locked file, or its name to another one."""
        return self._file is None or os.fstat(self._file).st_nlink > 0 or self._path.exists()

    def sync(self) -> None:
        """Sync the locked file; raise what SQLite raises if that fails."""
        assert self._file is not None
        try:
            _sync(self._file)
        except OSError as cause:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error from cause

    def read_ahead(self) -> None:
        """Let the system read the whole file, in its order, if it takes at most half the memory.

        A check that comes to its pages in no order would wait for the disk at each of them.
        """
        assert self._file is not None
        size = os.fstat(self._file).st_size
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if sys.platform == "linux" and size <= memory // 2:
            for place in range(0, size, _PART):
                os.posix_fadvise(self._file, place, _PART, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Give the right back."""
        for descriptor in (self._file, self._name):
            if descriptor is not None:
                os.close(descriptor)

    def _served(self) -> StorageServed:
        return StorageServed(
            f"{self._path} is being served by another process. Stop that one, or give this one a"
            f" file of its own with {self._setting}."
        )


class Place:
    """The names of an open database, its log and its index, and the files that they led to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: tuple[tuple[int, int] | None, ...] = ()
        self._looked_at = 0.0  # monotonic seconds
        self._is_lost = False

    def note(self) -> None:
        """Note the files; all three are open."""
        self._found = self._identities()

    def is_kept(self) -> bool:
        """Return whether each name still leads to its file. What was lost once stays lost."""
        self._looked_at = time.monotonic()
        self._is_lost = self._is_lost or self._identities() != self._found
        return not self._is_lost

    def look(self, *, at_once: bool = False) -> None:
        """Raise Misplaced if a file is gone; without `at_once` it looks now and then."""
        is_fresh = time.monotonic() < self._looked_at + LOOK_EVERY and not at_once
        if self._is_lost or not (is_fresh or self.is_kept()):
            raise Misplaced(
                f"{self._path} or its log was moved, removed or replaced under the running server:"
                " put back what should count, and start again"
            )

    def _identities(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_identity(f"{self._path}{end}") for end in _SUFFIXES)


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_dev, status.st_ino
