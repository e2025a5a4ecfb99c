"""Processes that serve one database: which of them runs a timer, and which are alive.

Rows of `timer`, held for a while by the clock of the database: one for each timer, and one for each
process. The name of the latter says its version and which rules it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from receiver import __version__
from receiver.store.postgres.connection import DATABASE_CLOCK
from receiver.store.postgres.schema import SCHEMA_VERSION
from receiver.store.reading import Node

log = logging.getLogger("receiver.postgres")

# How long a process runs a timer without asking again, and how long until another one takes it over
# when it is gone (seconds).
_RENEW, _HOLD = 4.0, 10.0
_UNTIL = f"{DATABASE_CLOCK} + {int(_HOLD * 1e9)}"
_TAKE = (
    f"INSERT INTO timer AS t (name, holder, until_at) VALUES (%(name)s, %(holder)s, {_UNTIL})"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at"
    f" WHERE t.holder = excluded.holder OR t.until_at <= {DATABASE_CLOCK} RETURNING 1"
)
# Those that died leave their row behind.
_CLEAR = (
    "DELETE FROM timer WHERE name LIKE 'node %%' AND name <> %(name)s"
    f" AND (holder = %(holder)s OR until_at < {DATABASE_CLOCK} - {3600 * 10**9})"
)
_GIVE = "DELETE FROM timer WHERE holder = %s"
_ALIVE = (
    "SELECT name, holder FROM timer WHERE name LIKE 'node %%'"
    f" AND until_at > {DATABASE_CLOCK} ORDER BY holder"
)
_IS_SERVED = f"SELECT 1 FROM timer WHERE until_at > {DATABASE_CLOCK} AND holder <> %s LIMIT 1"
_SCHEMA = "SELECT version FROM schema_version"


class Peers:
    """Knowledge of one process, the `holder`, about all that serve the database."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self.rules = ""
        self._leads: dict[str, tuple[bool, float]] = {}  # and until when (monotonic seconds)
        self._again_at = 0.0
        self._is_newer_known = False

    def announce(self, rules: str) -> None:
        """Say at the next occasion that this process serves, and which rules it has."""
        self.rules, self._again_at = rules, 0.0

    def known_to_lead(self, timer: str) -> bool | None:
        """Return whether this process runs a timer; None: it has to ask."""
        leads, until = self._leads.get(timer, (False, 0.0))
        return leads if time.monotonic() < until else None

    def take(self, connection: psycopg.Connection[Any], timer: str) -> bool:
        """Take a timer, or keep it; return whether this process runs it."""
        values = {"name": timer, "holder": self.holder}
        leads = bool(connection.execute(_TAKE, values).fetchone())
        self._leads[timer] = leads, time.monotonic() + _RENEW / (1 if leads else 4)
        if self.rules and time.monotonic() >= self._again_at:
            self._attend(connection)
            self._again_at = time.monotonic() + _RENEW
        return leads

    def _attend(self, connection: psycopg.Connection[Any]) -> None:
        name = f"node {__version__} {self.rules} {self.holder}"
        values = {"name": name, "holder": self.holder}
        connection.execute(_TAKE, values)
        if not self._again_at:
            connection.execute(_CLEAR, values)
        row = connection.execute(_SCHEMA).fetchone()
        if row is not None and row[0] > SCHEMA_VERSION and not self._is_newer_known:
            self._is_newer_known = True
            log.warning(
                "schema.newer: the database has schema %d and this receiver %d: a newer one serves"
                " it, too; replace this one", row[0], SCHEMA_VERSION,
            )  # fmt: skip

    def leave(self, connection: psycopg.Connection[Any]) -> None:
        """Let others take the timers at once."""
        connection.execute(_GIVE, (self.holder,))

    @property
    def has_anything(self) -> bool:
        """Whether there may be rows of this process."""
        return bool(self.rules) or any(leads for leads, _ in self._leads.values())


def alive(connection: psycopg.Connection[Any]) -> Sequence[Node]:
    """Return the processes that serve the database now."""
    return [
        Node(holder.rpartition("/")[0].rpartition("/")[0], *name.split(" ")[1:3])
        for name, holder in connection.execute(_ALIVE).fetchall()
    ]


def is_served(connection: psycopg.Connection[Any], holder: str) -> bool:
    """Return whether a process but the holder serves the database."""
    return bool(connection.execute(_IS_SERVED, (holder,)).fetchone())
