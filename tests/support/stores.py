"""Stores for tests: an empty file, made as a copy of one, or a schema of a PostgreSQL server.

A story passes its own time in, so leases go by that time on PostgreSQL, too. And a folder in
memory, for whatever is about other things than disks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from receiver.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from tests.support.postgres import Server


def shared_memory() -> Path | None:
    """Return a folder that is no disk, where there is one."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


def prepared(path: Path) -> Path:
    """Put an empty store in a place where there is none, and return the place."""
    if not path.exists():
        path.write_bytes(_empty())
    return path


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "receiver.db"
        SqliteStore(path).close()
        return path.read_bytes()


class _Chosen:
    """The server of the present run; None: files."""

    server: Server | None = None
    folder: Path | None = None
    urls: dict[Path, str] = {}  # noqa: RUF012  (one run at a time)


def open_store(path: Path) -> Any:
    """Open the store of a path, as often as the test likes; another folder is another test."""
    if (server := _Chosen.server) is None:
        return SqliteStore(prepared(path), serve=True)
    from receiver.store.postgres.store import PostgresStore

    if path.parent != _Chosen.folder:
        _Chosen.folder, _Chosen.urls = path.parent, {path: server.emptied()}
    if path not in _Chosen.urls:
        _Chosen.urls[path] = server.schema()
    return PostgresStore(_Chosen.urls[path], now=":now")


def server() -> Server | None:
    """Return the server on which everything runs; None: files."""
    return _Chosen.server


def only_a_file(why: str) -> None:
    """Skip a story on PostgreSQL, if it is one of a file alone."""
    if _Chosen.server is not None:
        pytest.skip(f"a story of a file: {why}")


@contextmanager
def on(server: Server) -> Iterator[None]:
    """Let everything run on a server meanwhile."""
    before, _Chosen.server, _Chosen.folder = _Chosen.server, server, None
    try:
        yield
    finally:
        _Chosen.server, _Chosen.folder = before, None
