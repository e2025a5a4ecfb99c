"""Copying into a database: all rows of another engine, in parts, each with a note of how far it is.

Whoever is interrupted begins again and goes on behind the last part. Until all rows are there and
were compared, no process serves the database: the notes, a table called `moving`, keep them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, NamedTuple, Protocol, cast

import psycopg

from receiver.errors import StorageRefused
from receiver.store.postgres.address import Address, read_address
from receiver.store.postgres.connection import DATABASE_CLOCK, dialect
from receiver.store.postgres.link import Watched, connect
from receiver.store.postgres.many_rows import PostgresBulk
from receiver.store.postgres.schema import LOCK, is_moving, prepare
from receiver.store.sql import database as sql
from receiver.store.sql.database import Database, Row
from receiver.store.sql.ledger import ledger

# A table comes after those that it refers to.
TABLES = (
    "event", "execution", "history", "silence", "alarm", "delivery", "attempt", "judgement",
    "destination", "source", "acknowledgement", "digest_group", "pruned", "audit", "link_key",
    "pace", "acting",
)  # fmt: skip
_NUMBERED = {
    "event": "seq", "execution": "id", "silence": "id", "alarm": "id", "delivery": "id",
    "audit": "id",
}  # fmt: skip
# Rows of a part. They are not held in memory: each goes over the wire when it was read.
PART = 10_000
# Rows of a table between two words about it.
_WORD_EVERY = 100_000

_REFERENCES = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE contype = 'f' AND connamespace = CAST(current_schema() AS regnamespace)"
)
_MOVED = "SELECT obj_description('schema_version'::regclass)"
_IS_SERVED = f"SELECT 1 FROM timer WHERE until_at > {DATABASE_CLOCK} LIMIT 1"

Say = Callable[[str], None]


class Original(Protocol):
    """The rows to copy, in one state.

    `content` tells it from all others, and from itself with other rows; `place` is where it lies.
    """

    content: str
    place: str

    def ledger(self) -> dict[str, Any]:
        """Return what the ledger says of it."""

    def columns(self, table: str) -> tuple[list[str], list[str]]:
        """Return the names of a table's columns, and of those that are its key."""

    def count(self, table: str) -> int:
        """Return how many rows a table has."""

    def rows(self, table: str, after: Sequence[Any] | None = None) -> Iterator[Row]:
        """Return the rows of a table in the order of its key, from behind a key on."""

    def is_unchanged(self) -> bool:
        """Return whether nobody has written since it was opened."""


class Progress(NamedTuple):
    """The rows of a table that are there, and the key of the last one."""

    n: int
    last: list[Any] | None


_NONE = Progress(0, None)


def fill(url: str, original: Original, say: Say) -> dict[str, int]:
    """Copy all tables into a database without rows, or go on; return how many rows of each.

    It says how far it is. StorageRefused if the database has other rows, if a row or the ledger
    differs in the end, or if the server is lost.
    """
    address = read_address(url)
    try:
        prepare(address, moving=True)
        with connect(address) as connection:
            copying = Copying(address, connection, original, say)
            if copying.is_done():
                say("All of it was moved here before, by an earlier run of this command.")
            else:
                copying.begin()
                for table in TABLES:
                    copying.copy(table)
                for table in TABLES:
                    copying.compare(table)
                copying.finish()
        return {table: original.count(table) for table in TABLES}
    except psycopg.Error as error:
        raise StorageRefused(
            f"{address.name}: {address.reason(error)}. What was copied stays there: look at the"
            " server, and run the same command again, which goes on."
        ) from None


class Copying:
    """Run of the copying; each of its steps is a transaction, or several."""

    def __init__(self, address: Address, connection: Watched, original: Original, say: Say) -> None:
        self._address, self._db, self._original, self._say = address, connection, original, say

    def is_done(self) -> bool:
        """Return whether an earlier run has copied all of this original."""
        return self._value(_MOVED) == _mark(self._original) and not is_moving(self._db)

    def begin(self) -> None:
        """Take the database for this original, or see how far an earlier run came."""
        with self._db.transaction():
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            if self._value(_IS_SERVED):
                raise StorageRefused(
                    f"{self._address.name}, is being served. Stop all its servers, and begin again."
                )
            if not is_moving(self._db):
                self._refuse_rows()
                self._take()
            elif (began := self._note("content")) != self._original.content:
                self._begin_anew(began)
            else:
                self._look_at_copied()

    def _refuse_rows(self) -> None:
        # A server that was started once has made a key; links of the original need that one's.
        self._db.execute("DELETE FROM link_key")
        for table in TABLES:
            if self._value(f"SELECT 1 FROM {table} LIMIT 1"):
                raise StorageRefused(
                    f"{self._address.name}, has rows already. Give it a database without any: rows"
                    " are never mixed or replaced."
                )

    def _take(self) -> None:
        """Note whose rows come, and take away what a part of them cannot keep to."""
        self._db.execute("CREATE TABLE moving (name text PRIMARY KEY, value text NOT NULL)")
        for table, name, rule in self._db.execute(_REFERENCES).fetchall():
            self._db.execute(_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
            again = f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule}"
            self._write_note(f"rule/{table}/{name}", again)
        self._note_original()

    def _note_original(self) -> None:
        for name in ("content", "place"):
            self._write_note(name, getattr(self._original, name))
        for table in TABLES:
            self._write_note(f"table/{table}", json.dumps(_NONE))

    def _begin_anew(self, began: str | None) -> None:
        """Remove the rows of the same file in an earlier state; refuse those of another one."""
        if (place := self._note("place")) != self._original.place:
            raise StorageRefused(
                f"{self._address.name}, has the first rows of another file, {place}, whose moving"
                " was interrupted. Go on with that one, or give this one a database without rows."
            )
        self._say(
            "The file has changed since the run that was interrupted: its rows are removed from"
            " the database, and copied anew."
        )
        self._db.execute(_sql(f"TRUNCATE {', '.join(TABLES)}"))
        self._note_original()

    def _look_at_copied(self) -> None:
        """Refuse to go on if the rows that are there are not as many as were copied."""
        found = {table: self._progress(table).n for table in TABLES}
        for table, n in found.items():
            if self._value(f"SELECT count(*) FROM {table}") != n:
                raise self._differs(table)
        self._say(f"Goes on behind {sum(found.values()):,} rows that are there already.")

    def copy(self, table: str) -> None:
        """Copy what is missing of a table, part by part."""
        total, progress = self._original.count(table), self._progress(table)
        while progress.n < total:
            before, progress = progress, self._copy_part(table, progress)
            if progress == before:
                raise self._differs(table)
            is_word = progress.n // _WORD_EVERY > before.n // _WORD_EVERY
            if progress.n == total or is_word:
                self._say(f"{table}: {progress.n:,} of {total:,} rows")

    def _copy_part(self, table: str, progress: Progress) -> Progress:
        """Copy one part, with a note of it, in one transaction."""
        columns, keys = self._original.columns(table)
        at = [columns.index(key) for key in keys]
        n, last = progress
        with self._db.transaction():
            self._db.execute("SET LOCAL synchronous_commit = on")
            if self._progress(table, lock=" FOR UPDATE") != progress:
                raise StorageRefused(
                    f"{self._address.name}, gets rows from another run of this command, too. Let"
                    " that one end, or stop it and begin again."
                )
            text = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
            with self._db.cursor().copy(_sql(text)) as copy:
                for row in islice(self._original.rows(table, last), PART):
                    copy.write_row(row)
                    n, last = n + 1, [row[place] for place in at]
            self._write_note(f"table/{table}", json.dumps((n, last)))
        return Progress(n, last)

    def compare(self, table: str) -> None:
        """Hold each row that is there against the original's."""
        columns, keys = self._original.columns(table)
        for row, copied in zip_longest(self._original.rows(table), self._copied(table)):
            if row is None or copied is None or tuple(map(_storable, row)) != copied:
                raise self._differs(table)
        if columns and keys and self._original.count(table) >= _WORD_EVERY:
            self._say(f"{table}: every row is the same")

    def _copied(self, table: str) -> Iterator[Row]:
        """Return the rows that are there, in the order of the original's key."""
        columns, keys = self._original.columns(table)
        named = ", ".join(columns)
        cursor = self._db.execute(_sql(f"SELECT {named} FROM {table} LIMIT 0"))
        assert cursor.description is not None
        types = [column.type_code for column in cursor.description]
        is_text = {column.name: column.type_code == 25 for column in cursor.description}
        order = ", ".join(f'{key} COLLATE "C"' if is_text[key] else key for key in keys)
        text = f"COPY (SELECT {named} FROM {table} ORDER BY {order}) TO STDOUT"
        with self._db.cursor().copy(_sql(text)) as copy:
            copy.set_types(types)
            yield from copy.rows()

    def finish(self) -> None:
        """Open the database for processes that serve it, if all of it is as in the original."""
        self._say("All rows are there and the same. The last step takes a while in a large store.")
        with self._db.transaction():
            self._db.execute("SET LOCAL synchronous_commit = on")
            self._count_promises()
            for table, key in _NUMBERED.items():
                self._db.execute(_sql(_go_on(table, key)))
            rules = "SELECT value FROM moving WHERE name LIKE 'rule/%' ORDER BY name"
            for (rule,) in self._db.execute(rules).fetchall():
                self._db.execute(_sql(rule))
            self._check_ledger()
            self._db.execute("DROP TABLE moving")
            self._db.execute(_sql(f"COMMENT ON TABLE schema_version IS '{_mark(self._original)}'"))
            if not self._original.is_unchanged():
                raise StorageRefused(
                    "Somebody wrote into the file meanwhile, so the copy is old already. Stop what"
                    " uses it, and run the same command again: it copies anew."
                )
        self._db.execute("ANALYZE")

    def _count_promises(self) -> None:
        """Take over the counters; an original counts each in one part."""
        self._db.execute("UPDATE promised SET n = 0 WHERE n <> 0")
        for name, n in self._original.rows("promised"):
            self._db.execute("UPDATE promised SET n = %s WHERE name = %s AND part = 0", (n, name))

    def _check_ledger(self) -> None:
        bulk = PostgresBulk(self._db)
        found = ledger(Database(cast(sql.Connection, self._db), dialect(), bulk))
        if found != self._original.ledger():
            raise StorageRefused(
                "The copy's ledger does not say the same as the original's. Look at the original"
                " with `receiver doctor`, and report it."
            )

    def _progress(self, table: str, *, lock: str = "") -> Progress:
        return Progress(*json.loads(self._note(f"table/{table}", lock=lock) or "[0, null]"))

    def _note(self, name: str, *, lock: str = "") -> str | None:
        found: str | None = self._value(f"SELECT value FROM moving WHERE name = %s{lock}", (name,))
        return found

    def _write_note(self, name: str, value: str) -> None:
        self._db.execute(
            "INSERT INTO moving VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def _value(self, text: str, values: Iterable[Any] = ()) -> Any:
        row = self._db.execute(_sql(text), tuple(values)).fetchone()
        return row[0] if row else None

    def _differs(self, table: str) -> StorageRefused:
        return StorageRefused(
            f"{self._address.name}, has other rows in {table} than were copied: somebody wrote to"
            " it, or to the file, meanwhile. Give it a database without rows, and begin again."
        )


def _mark(original: Original) -> str:
    """Return the words by which a database knows what was moved to it."""
    return f"moved: {original.content}"


def _storable(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _sql(text: str) -> Any:
    """Return a text of our own names for the driver, which takes literals alone for safe."""
    return text


def _go_on(table: str, key: str) -> str:
    """Return the statement after which new rows get the next numbers."""
    return (
        f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'),"
        f" (SELECT coalesce(max({key}), 0) + 1 FROM {table}), false)"
    )
