"""Opening of a store by its URL. Only this module knows the engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from receiver.errors import StorageRefused
from receiver.store.contract import Store
from receiver.store.sqlite.store import SqliteStore
from receiver.store.sqlite.store import open_existing as open_existing_file

_SQLITE = "sqlite:///"


def open_to_serve(url: str, *, backlog: int = 2_000) -> Store:
    """Open the store for the process that serves it; create the database if there is none.

    `backlog` is the number of writes that may wait. StorageServed if another process serves the
    database and only one may; StorageRefused if the database cannot be used.
    """
    return SqliteStore(_file(url), backlog=backlog, serve=True)


def open_existing(url: str, *, thorough: bool = False) -> Store:
    """Open the store of a running or stopped server; StorageRefused if there is none.

    With `thorough` it reads the whole database to find damage.
    """
    return open_existing_file(_file(url), thorough=thorough)


@contextmanager
def open_empty() -> Iterator[Store]:
    """Open a store of its own without anything in it, which is gone in the end."""
    with (
        TemporaryDirectory(prefix="receiver-") as folder,
        closing(SqliteStore(Path(folder) / "receiver.db")) as store,
    ):
        yield store


def exists(url: str) -> bool:
    """Return whether there is a database already, or a link that should lead to one."""
    path = _file(url)
    return path.exists() or path.is_symlink()


def _file(url: str) -> Path:
    if not url.startswith(_SQLITE):
        raise StorageRefused(f"{url} is no database that this receiver knows: use sqlite:///FILE.")
    return Path(url.removeprefix(_SQLITE))
