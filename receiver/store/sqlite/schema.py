"""Schema of a database file: makes the file, brings it up to date, or refuses it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.errors import StorageRefused
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.file import check_names

if TYPE_CHECKING:
    import sqlite_utils

APPLICATION_ID = 0x72637672  # "rcvr"
# The migrations in their order; the number of a schema is that of its last one.
SCRIPTS = (
    "sqlite.sql",
    "sqlite_2_held.sql",
    "sqlite_3_destination.sql",
    "sqlite_4_people.sql",
    "sqlite_5_retention.sql",
    "sqlite_6_waits.sql",
    "sqlite_7_alarms.sql",
    "sqlite_8_names.sql",
    "sqlite_9_plans.sql",
    "sqlite_10_people.sql",
    "sqlite_11_asking.sql",
    "sqlite_12_turns.sql",
    "sqlite_13_history.sql",
)
SCHEMA_VERSION = len(SCRIPTS)


def create_missing(path: Path) -> None:
    """Create the database if there is none; StorageRefused if that is impossible."""
    with _refusing(path):
        if not path.exists():
            _create(path)


def prepare(path: Path, *, thorough: bool, checkpoint: bool = False) -> None:
    """Bring the schema of a database up to date, or refuse it. It never replaces a file.

    With `thorough` it reads the whole file to find damage: for a start, not for a command that only
    reads. With `checkpoint` it copies the log back, for the serving process: after a failed sync
    the log may hold pages that can be read and are not on disk.
    """
    with _refusing(path):
        if path.stat().st_size == 0:
            raise StorageRefused(
                f"{path} is empty. If it never held anything, delete it; else restore a backup."
            )
        check_names(path)
        connection = connect(path)
    try:
        version = inspect(connection, path, thorough)
        _write_ahead(connection)
        if version < SCHEMA_VERSION:
            migrate(connection)
        if checkpoint:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:  # the place, not the file, is at fault
        raise StorageRefused(
            f"{path} cannot be used ({error}). Check the folder, its permissions and free space,"
            " and whether another program holds the file."
        ) from error
    except sqlite3.Error as error:
        raise StorageRefused(
            f"{path} cannot be used ({error}). Keep it, and restore a backup beside it."
        ) from error
    finally:
        connection.close()


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the file is made or opened into StorageRefused."""
    try:
        yield
    except OSError as error:
        raise StorageRefused(
            f"{path} cannot be made ({error.strerror}). Check the folder, its permissions and free"
            " space."
        ) from error
    except sqlite3.OperationalError as error:
        raise StorageRefused(
            f"{path} cannot be opened ({error}). Check the folder, its permissions and free space."
        ) from error
    except sqlite3.DatabaseError as error:
        raise StorageRefused(
            f"{path} is no database ({error}). Keep it, and restore a backup beside it."
        ) from error


def _create(path: Path) -> None:
    """Make the file under another name, then give it its own.

    A start that dies halfway must not leave an empty file: that would look like lost data.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists():  # a server that ends well takes it away
        raise StorageRefused(
            f"{path} is gone, but its log {log} is there. Put the file back, or move the log away"
            " as well to begin anew."
        )
    made = path.with_name(f"{path.name}.new")
    for end in ("", "-journal", "-wal", "-shm"):
        made.with_name(made.name + end).unlink(missing_ok=True)
    connection = connect(made)
    try:
        migrate(connection)
        _write_ahead(connection)
    finally:
        connection.close()
    made.rename(path)
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a loss of power could take the name, and the events with it
    finally:
        os.close(folder)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. If that fails, SQLite reports no error: check the mode."""
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if mode != "wal":
        raise sqlite3.OperationalError("its file system takes no write-ahead log")
    # After a switch nothing can be copied back before a first read.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()


def inspect(connection: sqlite3.Connection, path: Path, thorough: bool) -> int:
    """Refuse a foreign, newer or damaged database; return the schema's version."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise StorageRefused(
            f"{path} is another program's database. Set RECEIVER_DATABASE_URL to a file of our own."
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StorageRefused(
            f"{path} has schema {version}, newer than this receiver's {SCHEMA_VERSION}."
            " Run the newer receiver, or restore the backup from before its upgrade."
        )
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if thorough else "ok"
    if damage != "ok":
        raise StorageRefused(f"{path} is damaged ({damage}). Keep it, and restore a backup.")
    return int(version)


def migrate(connection: sqlite3.Connection, version: int = SCHEMA_VERSION) -> None:
    """Apply the missing migrations in one transaction, so that only one process does it.

    An earlier `version` makes a database as an older program left it.
    """
    import sqlite_utils

    migrations = sqlite_utils.Migrations("receiver")
    for number, script in enumerate(SCRIPTS[:version], 1):
        migrations(name=f"schema_{number}")(_runner(script))
    # Else a table that is made anew could not replace the one that others refer to.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def _runner(script: str) -> Callable[[sqlite_utils.Database], None]:
    """Return the migration that runs a script."""

    def run(db: sqlite_utils.Database) -> None:
        folder = resources.files("receiver.store.sqlite").joinpath("migrations")
        for statement in statements(folder.joinpath(script).read_text("utf-8")):
            db.conn.execute(statement)

    return run


def statements(script: str) -> list[str]:
    """Split a script into statements: executescript would commit the present transaction."""
    complete: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            complete.append(pending)
            pending = ""
    return complete
