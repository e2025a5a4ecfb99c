"""Empty stores for tests: a copy of one that the program made takes an eighth of the time.

And a folder in memory, for whatever is about other things than disks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from receiver.store.sqlite.store import SqliteStore


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
