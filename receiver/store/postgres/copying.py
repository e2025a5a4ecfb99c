"""Copying into a database: all rows of another engine, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import psycopg

from receiver.errors import StorageRefused
from receiver.store.postgres.address import Address, read_address
from receiver.store.postgres.connection import connect, dialect
from receiver.store.postgres.many_rows import PostgresBulk
from receiver.store.postgres.schema import prepare
from receiver.store.sql import database as sql
from receiver.store.sql.database import Database, Row
from receiver.store.sql.ledger import ledger

# A table comes after those that it refers to.
TABLES = (
    "event", "execution", "history", "silence", "alarm", "delivery", "attempt", "judgement",
    "destination", "source", "acknowledgement", "digest_group", "pruned", "audit", "link_key",
)  # fmt: skip
_NUMBERED = {
    "event": "seq", "execution": "id", "silence": "id", "alarm": "id", "delivery": "id",
    "audit": "id",
}  # fmt: skip
Table = Callable[[str], tuple[Sequence[str], Iterable[Row]]]


def fill(url: str, table: Table, expected: dict[str, Any]) -> dict[str, int]:
    """Copy all tables into a database without rows; return how many rows of each.

    It commits once the ledger is the `expected` one. StorageRefused, with nothing changed, if the
    database has rows, if the ledger differs, or if the server is lost.
    """
    address = read_address(url)
    try:
        prepare(address)
        with connect(address) as connection, connection.transaction():
            connection.execute("LOCK TABLE promised IN EXCLUSIVE MODE")  # no process serves it
            _refuse_rows(address, connection)
            copied = {name: _copy(connection, name, *table(name)) for name in TABLES}
            _, counters = table("promised")
            for name, n in counters:
                connection.execute(
                    "UPDATE promised SET n = %s WHERE name = %s AND part = 0", (n, name)
                )
            for name, key in _NUMBERED.items():
                connection.execute(_go_on(name, key))
            bulk = PostgresBulk(connection)
            found = ledger(Database(cast(sql.Connection, connection), dialect(), bulk))
            if found != expected:
                raise StorageRefused(
                    "The copy does not say the same as the original, so nothing was kept of it."
                    " Look at the original with `receiver doctor`, and report it."
                )
            connection.execute("ANALYZE")
            return copied
    except psycopg.Error as error:
        raise StorageRefused(
            f"{address.name}: {address.reason(error)}. Nothing was copied: look at the server, and"
            " begin again."
        ) from None


def _refuse_rows(address: Address, connection: psycopg.Connection[Any]) -> None:
    # A server that was started once has made a key; the links of the file need that of the file.
    connection.execute("DELETE FROM link_key")
    for name in TABLES:
        if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() is not None:
            raise StorageRefused(
                f"{address.name}, has rows already. Give it a database without any: rows are never"
                " mixed or replaced."
            )


def _copy(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], rows: Iterable[Row]
) -> int:
    n = 0
    with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            n += 1
    return n


def _go_on(table: str, key: str) -> str:
    """Return the statement after which new rows get the next numbers."""
    return (
        f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'),"
        f" (SELECT coalesce(max({key}), 0) + 1 FROM {table}), false)"
    )
