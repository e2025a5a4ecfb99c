"""The tables of both engines are the same: columns, keys, indexes, and the number of CHECKs."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from receiver.store.postgres.address import read_address
from receiver.store.postgres.schema import prepare
from receiver.store.sqlite.store import SqliteStore
from tests.support.postgres import Server

# What PostgreSQL has besides: see the top of its schema.
OWN = {("schema_version", "version"), ("promised", "part")}
OWN |= {("timer", name) for name in ("name", "holder", "until_at")}
_KEYS = "PRAGMA index_info({})"
Schema = dict[str, Any]


def of_sqlite(path: Path) -> Schema:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        tables = {
            name: text
            for name, text in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
            if "sqlite" not in name
        }
        columns = {
            (table, name): bool(required or key)
            for table in tables
            for _, name, _, required, _, key in db.execute(f"PRAGMA table_info({table})")
        }
        indexes = {
            name: (
                table,
                bool(unique),
                [key for _, _, key in db.execute(_KEYS.format(name))],
            )
            for table in tables
            for _, name, unique, origin, _ in db.execute(f"PRAGMA index_list({table})")
            if origin == "c"
        }
    # A CHECK of a column that was added later is one of the table, too.
    checks = {table: len(re.findall(r"\bCHECK\s*\(", text)) for table, text in tables.items()}
    return {"columns": columns, "indexes": indexes, "checks": checks}


def of_postgres(url: str) -> Schema:
    prepare(read_address(url))
    with psycopg.connect(url, autocommit=True) as db:
        columns = db.execute(
            "SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        ).fetchall()
        indexes = db.execute(
            "SELECT i.relname, t.relname, x.indisunique, array(SELECT a.attname"
            " FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place)"
            " JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY place)"
            " FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid"
            " JOIN pg_class AS t ON t.oid = x.indrelid"
            " WHERE t.relnamespace = CAST(current_schema() AS regnamespace)"
            " AND NOT EXISTS (SELECT 1 FROM pg_constraint AS c WHERE c.conindid = i.oid)"
        ).fetchall()
        checks = db.execute(
            "SELECT t.relname, count(c.oid) FROM pg_class AS t LEFT JOIN pg_constraint AS c"
            " ON c.conrelid = t.oid AND c.contype = 'c' WHERE t.relkind = 'r'"
            " AND t.relnamespace = CAST(current_schema() AS regnamespace) GROUP BY t.relname"
        ).fetchall()
    own = {table for table, _ in OWN} - {"promised"}
    return {
        "columns": {(t, name): required for t, name, required in columns if (t, name) not in OWN},
        "indexes": {name: (table, unique, keys) for name, table, unique, keys in indexes},
        "checks": {table: n for table, n in checks if table not in own},
    }


def test_both_engines_have_the_same_tables(postgres: Server, tmp_path: Path) -> None:
    file, server = of_sqlite(tmp_path / "r.db"), of_postgres(postgres.schema())
    assert server["columns"] == file["columns"]
    assert server["indexes"] == file["indexes"]
    assert server["checks"] == file["checks"]
