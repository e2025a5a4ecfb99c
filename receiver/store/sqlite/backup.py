"""Backup: the whole of a file in another one, as it is at one moment."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from receiver.errors import BackupFailed
from receiver.store.sql.ledger import ledger
from receiver.store.sqlite.connection import connect, database, remove_log
from receiver.store.sqlite.file import real_path
from receiver.store.sqlite.schema import SCHEMA_VERSION, inspect


def back_up(path: Path, target: Path) -> dict[str, Any] | None:
    """Copy the file as it is at one moment, whoever writes meanwhile; return the copy's ledger.

    The copy has its name only once it is whole, on disk, and was read again. The ledger is None for
    a file of an older schema. BackupFailed, and nothing is left, if anything goes wrong or the
    target exists.
    """
    path = real_path(path)
    if target.is_symlink() or target.exists():
        raise BackupFailed(f"{target} exists already. Name a file that is not there.")
    made = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with _explained(target):
            # VACUUM INTO takes an empty file, so nobody else can read it from the start.
            os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            version = _copy(path, made)
            found = _checked(made, version)
            _sync(made)
            _give_name(made, target)
            _sync(target.absolute().parent)
        return found
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            made.with_name(made.name + end).unlink(missing_ok=True)
        remove_log(path)


def _copy(path: Path, made: Path) -> int:
    """Copy the file, and return the version of its schema."""
    with closing(connect(path, read_only=True)) as db:
        version = inspect(db, path, thorough=False)
        db.execute("VACUUM INTO ?", [str(made)])
        return version


def _checked(made: Path, version: int) -> dict[str, Any] | None:
    """Read the whole copy, and compare what it promised with what it holds."""
    with closing(connect(made, read_only=True)) as db:
        inspect(db, made, thorough=True)
        found = ledger(database(db)) if version == SCHEMA_VERSION else None
    if found is not None and found["imbalance"]:
        raise BackupFailed(
            f"What was promised and what is there differ by {found['imbalance']} in the copy, so"
            " they do in the store. Run `receiver doctor`; of a stopped server copy the files."
        )
    return found


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn what goes wrong while the copy is made into BackupFailed."""
    try:
        yield
    except OSError as error:
        raise BackupFailed(
            f"{target} cannot be written ({error.strerror}). Check the folder, its permissions and"
            " free space. Nothing was left there."
        ) from error
    except sqlite3.Error as error:
        raise BackupFailed(
            f"{target} cannot be written ({error}). Check free space, there must be as much as the"
            " store takes, and the store itself with `receiver doctor`. Nothing was left there."
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(made: Path, target: Path) -> None:
    """Give the copy its name, and never take it from another file."""
    try:
        os.link(made, target)
    except FileExistsError:
        raise BackupFailed(f"{target} exists by now. Name a file that is not there.") from None
    except OSError:  # a file system without hard links
        made.rename(target)
