"""Opening of a store by its URL. Only this module knows the engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from receiver.errors import BackupFailed, StorageRefused, StorageServed
from receiver.store.contract import Store
from receiver.store.reading import Node
from receiver.store.spooling import Spool, SpoolState
from receiver.store.sqlite.backup import back_up as back_up_file
from receiver.store.sqlite.connection import VERSION
from receiver.store.sqlite.copying import open_original
from receiver.store.sqlite.file import is_served, real_path
from receiver.store.sqlite.store import SqliteStore
from receiver.store.sqlite.store import open_existing as open_existing_file

if TYPE_CHECKING:
    from receiver.store.postgres.store import PostgresStore

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_EXTRA = "PostgreSQL needs the extra `postgres`: pip install 'receiver[postgres]'."


def open_to_serve(
    url: str, *, backlog: int = 2_000, alone: bool = False, may_be_away: bool = False
) -> Store:
    """Open the store for a process that serves it; create the database if there is none.

    `backlog` is the number of writes that may wait. StorageServed if another process serves the
    database and only one may, or if this one has to be `alone`; StorageAway if its server cannot be
    reached, unless it `may_be_away` for now; StorageRefused if the database cannot be used.
    """
    if not is_shared(url):
        return SqliteStore(_file(url), backlog=backlog, serve=True)
    store = _postgres()(url, backlog=backlog, may_be_away=may_be_away)
    if alone and store.is_served():
        store.close()
        raise StorageServed("The database is being served. Stop all its servers first.")
    return store


def open_existing(url: str, *, thorough: bool = False) -> Store:
    """Open the store of a running or stopped server; StorageRefused if there is none.

    With `thorough` it reads the whole database to find damage, if the engine does not do so.
    """
    if not is_shared(url):
        return open_existing_file(_file(url), thorough=thorough)
    if not _postgres().exists(url):
        raise StorageRefused(
            "The database is empty. Start `receiver serve` first, or set RECEIVER_DATABASE_URL to"
            " the database that it serves."
        )
    schema = schema_of(url)
    if schema is not None and schema.found < schema.ours:
        # A command that looks must not take the tables from those that serve.
        raise StorageRefused(f"{schema.text()} Until then use the version that serves it.")
    return _postgres()(url)


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a shared database (0: none yet), this program's, and what to do about it.

    `goes_on`: receivers with the one that was found work with ours, too. `nodes` serve it now.
    """

    found: int
    ours: int
    goes_on: bool
    nodes: Sequence[Node]

    def text(self) -> str:
        """Say which they are, and what to do."""
        if self.found == self.ours:
            return f"The database has schema {self.found}, which is this receiver's."
        if not self.found:
            return "The database is empty: the first `receiver serve` makes its tables."
        if self.found > self.ours:
            return (
                f"The database has schema {self.found}, newer than this receiver's {self.ours}. Run"
                " the newer receiver."
            )
        others = (
            "those of the version before go on meanwhile, so replace one after the other."
            if self.goes_on
            else "those of the version before do not work with it, so stop all of them first."
        )
        return (
            f"The database has schema {self.found}, this receiver brings {self.ours}: the first"
            f" `receiver serve` of this version changes it, and others wait for that; {others}"
        )


def schema_of(url: str) -> Schema | None:
    """Return the schema of a shared database; None for a file. StorageRefused without a server."""
    if not is_shared(url):
        return None
    return Schema(*_postgres().state_of(url))


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """The place of a spool: its file, and the most bytes that it may hold."""

    path: str
    most: int

    def is_there(self) -> bool:
        """Return whether there is a file."""
        return Path(self.path).exists()

    def open(self) -> Spool:
        """Open the file for this process alone; create it if there is none.

        StorageServed if another process has it, StorageRefused if it cannot be used.
        """
        from receiver.store.sqlite.spool import SqliteSpool

        return SqliteSpool(Path(self.path), self.most)

    def look(self) -> tuple[SpoolState, bool] | None:
        """Return how much waits in it, and whether a process has it; None without a file.

        StorageRefused if it is no spool.
        """
        from receiver.store.sqlite.spool import look

        return look(Path(self.path), self.most)


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
    if is_shared(url):
        return _postgres().exists(url)
    path = _file(url)
    return path.exists() or path.is_symlink()


def migrate(source: str, target: str, say: Callable[[str], None]) -> dict[str, int]:
    """Copy the store of a file into a PostgreSQL without rows; return how many rows of each table.

    It says how far it is, and goes on where a run before was interrupted. The file stays as it is;
    StorageServed if a process serves it, StorageRefused if either cannot be used.
    """
    if is_shared(source) or not is_shared(target):
        raise StorageRefused("A store moves from sqlite:///FILE to postgresql://…, not elsewhere.")
    if not exists(source):
        raise StorageRefused("There is no file to move. Check --from.")
    _postgres()  # first: the extra may be missing
    from receiver.store.postgres.copying import fill

    with open_original(_file(source)) as original:
        return fill(target, original, say)


def back_up(url: str, target: Path) -> dict[str, Any] | None:
    """Copy the database into a file, while it is served or not; return the ledger of the copy.

    None: its schema is an older one. BackupFailed if it cannot be made: then nothing is left.
    """
    if is_shared(url):
        raise BackupFailed(
            "PostgreSQL makes backups by itself: pg_dump, or pg_basebackup with the log for every"
            " moment. Nothing was written."
        )
    if not exists(url):
        raise StorageRefused("There is no database to copy. Check RECEIVER_DATABASE_URL.")
    return back_up_file(_file(url), target)


@dataclass(frozen=True, slots=True)
class Condition:
    """The engine of a database with its version, the bytes of its log, and whether it is served.

    None: it is not known.
    """

    engine: str
    log_bytes: int | None
    is_served: bool | None


def condition(url: str) -> Condition:
    """Return the condition of a database that exists; call it before it is opened."""
    if is_shared(url):
        with closing(_postgres()(url)) as store:
            return Condition(store.engine(), None, store.is_served())
    path = real_path(_file(url))
    log = path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    return Condition(f"SQLite {VERSION}", size, is_served(path))


def wholeness(url: str) -> str:
    """Say that an opened database was found whole, or who has to look."""
    if is_shared(url):
        return "The database is reached; whether it is whole, its own tools say (pg_amcheck)."
    return f"{_file(url)}: the file is whole."


def is_shared(url: str) -> bool:
    """Return whether several processes may serve the database at the same time."""
    return url.startswith(_POSTGRES)


def _file(url: str) -> Path:
    if not url.startswith(_SQLITE):
        # Not the URL itself: it may hold a password.
        raise StorageRefused(
            "The database's address is none that this receiver knows: use sqlite:///FILE, or"
            " postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    return Path(url.removeprefix(_SQLITE))


def _postgres() -> type[PostgresStore]:
    """Import the engine for PostgreSQL, which takes long and may not be there."""
    try:
        from receiver.store.postgres.store import PostgresStore
    except ImportError as error:
        raise StorageRefused(_EXTRA) from error
    return PostgresStore
