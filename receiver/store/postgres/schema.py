"""Schema of a PostgreSQL database: made or brought up to date by whichever process is first."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, cast

import psycopg
from psycopg import errors

from receiver.errors import StorageRefused
from receiver.store.postgres.address import Address
from receiver.store.postgres.link import connect

log = logging.getLogger("receiver.postgres")

# The scripts in their order; the number of a schema is that of its last one.
SCRIPTS = (
    "schema.sql",
    "schema_2_plans.sql",
    "schema_3_people.sql",
    "schema_4_asking.sql",
    "schema_5_turns.sql",
)
SCHEMA_VERSION = len(SCRIPTS)
# Says in a script that receivers of the version before it work with its tables, too.
GOES_ON = "-- Receivers of the version before go on with it."
# The key of the lock that the process has which brings the schema up to date.
LOCK = 0x72637672  # "rcvr"


def prepare(address: Address, *, moving: bool = False) -> None:
    """Bring the schema up to date, or refuse the database; another process at it is waited for.

    A database that has only a part of the rows of a file is refused, but by who is `moving` them.
    """
    with connect(address) as connection, _refusing(address):
        if not moving and is_moving(connection):
            raise StorageRefused(
                f"{address.name}, has only a part of the rows of a file. Run the same `receiver"
                " migrate` again, which goes on, or take a database without rows."
            )
        if version_of(connection) == SCHEMA_VERSION:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            found = version_of(connection)
            check(address, connection, found)
            _log_change(found)
            for script in SCRIPTS[found:]:
                connection.execute(cast(Any, _script_text(script)))
            connection.execute("UPDATE schema_version SET version = %s", (SCHEMA_VERSION,))


def goes_on(found: int) -> bool:
    """Return whether receivers that have a schema go on once it is brought up to date."""
    return all(GOES_ON in _script_text(script) for script in SCRIPTS[found:])


def _script_text(script: str) -> str:
    return resources.files("receiver.store.postgres").joinpath(script).read_text("utf-8")


def _log_change(found: int) -> None:
    if 0 < found < SCHEMA_VERSION:
        others = "go on" if goes_on(found) else "do not work with it: replace them now"
        log.warning(
            "schema.changes from=%d to=%d: receivers of the version before %s",
            found, SCHEMA_VERSION, others,
        )  # fmt: skip


def check(address: Address, connection: psycopg.Connection[Any], version: int) -> None:
    """Raise StorageRefused for a database that is another program's, or of a newer receiver."""
    if version > SCHEMA_VERSION:
        raise StorageRefused(
            f"{address.name}, has schema {version}, newer than this receiver's {SCHEMA_VERSION}."
            " Run the newer receiver, or restore the backup from before its upgrade."
        )
    tables = connection.execute("SELECT to_regclass('event'), to_regclass('delivery')").fetchone()
    if not version and tables != (None, None):
        raise StorageRefused(
            f"{address.name}, is another program's. Create a database of our own, and set"
            " RECEIVER_DATABASE_URL to it."
        )


def version_of(connection: psycopg.Connection[Any]) -> int:
    """Return the number of the schema; 0: there is none yet."""
    row = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if row is None or row[0] is None:
        return 0
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    return 0 if row is None else int(row[0])


def is_moving(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the rows of a file are being moved here, or a run of that was interrupted."""
    row = connection.execute("SELECT to_regclass('moving')").fetchone()
    return row is not None and row[0] is not None


@contextmanager
def _refusing(address: Address) -> Iterator[None]:
    """Turn what the database denies into StorageRefused."""
    try:
        yield
    except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
        raise StorageRefused(
            f"{address.name}, does not let us make our tables ({address.reason(error)}). Let its"
            " user create tables in its schema."
        ) from None
