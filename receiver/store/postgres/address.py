"""Address of a PostgreSQL database, read by libpq's rules; no error ever shows its password."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from receiver import __version__
from receiver.errors import StorageRefused

# What a dead network or server may cost: libpq would wait for minutes. Milliseconds or seconds, as
# libpq reads each of them.
_DEFAULTS = {
    "application_name": f"receiver {__version__}",
    "connect_timeout": "2",
    "keepalives_count": "2",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "5000",
}
_ADVICE = (
    "RECEIVER_DATABASE_URL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in a user's name"
    " or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F and % as %25."
)


@dataclass(frozen=True, slots=True)
class Address:
    """A database: what libpq gets, and the name by which errors and logs know it."""

    conninfo: str = field(repr=False)
    name: str
    password: str = field(repr=False)

    def reason(self, error: Exception) -> str:
        """Return the first line of an error of the driver, without the password."""
        text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        for secret in filter(None, {self.password, self.conninfo}):
            text = text.replace(secret, "***")
        return text


def read_address(url: str, environ: Mapping[str, str] = os.environ) -> Address:
    """Read the address from a URL and libpq's own variables; StorageRefused if it is none.

    What libpq says of a URL that it cannot read may hold parts of the password, so that goes.
    """
    try:
        values = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        raise StorageRefused(f"The database's address cannot be read. {_ADVICE}") from None
    options = {each.keyword.decode(): each for each in pq.Conninfo.get_defaults()}
    known = {name: each.val.decode() for name, each in options.items() if each.val} | values
    host, port, database = (known.get(name, "") for name in ("host", "port", "dbname"))
    if re.search(r"[@?#%\s]", host + port + database) or not re.fullmatch(r"[\d,]*", port):
        raise StorageRefused(f"The database's address cannot be read. {_ADVICE}")
    ours = {
        name: value
        for name, value in _DEFAULTS.items()
        if name not in values and (options[name].envvar or b"").decode() not in environ
    }
    where = f"{host or 'a local socket'}{':' if host and port else ''}{port if host else ''}"
    name = f"PostgreSQL at {where}, database {database or known.get('user', '')}"
    return Address(make_conninfo(**(ours | values)), name, known.get("password", ""))
