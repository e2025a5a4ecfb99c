"""Reads: the queries of timers, workers and hints before they begin."""

from __future__ import annotations

from collections.abc import Mapping

from receiver.deliveries import Kind, State
from receiver.routing.policy import SendPolicy, tokens_left
from receiver.store.records import Delays, OwedDelivery, Tally
from receiver.store.sql.database import Database, statement
from receiver.times import SECOND

MAX_ID = 2**63 - 1
# The number of newest events that the tallies count.
TALLIED = 10_000
# The deliveries of one execution keep their order within a destination: none passes an older one.
# Only one of a group, which waits for others, holds up nobody.
BEFORE = (
    "e.destination = d.destination AND e.order_key = d.order_key AND e.id < d.id"
    " AND e.state IN ('waiting', 'sending') AND e.group_key IS NULL"
)
UNBLOCKED = f"NOT EXISTS (SELECT 1 FROM delivery AS e WHERE {BEFORE})"
NEXT_GIVEN_UP = statement(
    "next_given_up", "SELECT min(held_until) FROM event WHERE verdict = 'held'"
)
TALLIES = statement(
    "tallies",
    "SELECT source, verdict, reason, status, missing, count(*) FROM event"
    " WHERE seq > (SELECT coalesce(max(seq), 0) FROM event) - :tallied GROUP BY 1, 2, 3, 4, 5",
)
# Of each source the events of its last minutes, or a number of them where it sends few. A repeat
# comes late on purpose.
DELAYED = 50
_DELAYED_WITHIN = 10 * 60 * SECOND
DELAYS = statement(
    "delays",
    "WITH told AS (SELECT source, received_at, received_at - occurred_at AS delay,"
    " row_number() OVER (PARTITION BY source ORDER BY seq DESC) AS nth,"
    " max(received_at) OVER (PARTITION BY source) AS newest FROM event"
    " WHERE seq > (SELECT coalesce(max(seq), 0) FROM event) - :tallied"
    " AND occurred_at IS NOT NULL AND verdict <> 'duplicate'), newest AS (SELECT t.*,"
    " row_number() OVER (PARTITION BY t.source ORDER BY t.delay) AS place,"
    " count(*) OVER (PARTITION BY t.source) AS n FROM told AS t"
    " WHERE t.nth <= :delayed OR t.received_at > t.newest - :within)"
    " SELECT source, max(n), min(delay), max(CASE WHEN place = (n + 1) / 2 THEN delay END),"
    " max(received_at) - min(received_at) FROM newest GROUP BY source",
)
NEWEST_DELIVERY = statement("newest_delivery", "SELECT coalesce(max(id), 0) FROM delivery")
OWED_SINCE = statement(
    "owed_since",
    "SELECT id, event_id, verdict, destination, route, kind, state, reason, silence FROM delivery"
    " WHERE id > :delivery ORDER BY id",
)
NEXT_DUE = statement(
    "next_due",
    "SELECT d.due_at FROM delivery AS d WHERE d.destination = :destination"
    f" AND d.state = 'waiting' AND {UNBLOCKED} ORDER BY d.due_at, d.id LIMIT 1",
)
ALLOWANCE = statement(
    "allowance",
    "SELECT tokens, counted_at, coalesce(paused_until, 0) FROM destination"
    " WHERE name = :destination",
)
# The destinations with waiting deliveries, found by leaps over the index.
_LEAST = "(SELECT min(destination) FROM delivery WHERE state = 'waiting'"
WAITED_FOR = statement(
    "waited_for",
    f"WITH RECURSIVE leap (name) AS (SELECT {_LEAST})"
    f" UNION ALL SELECT {_LEAST} AND destination > leap.name) FROM leap"
    " WHERE leap.name IS NOT NULL) SELECT name FROM leap WHERE name IS NOT NULL",
)

# The names of which something is stored, found by leaps over an index.
_LEAST_SOURCE = "(SELECT min(source) FROM event WHERE verdict <> 'quarantined'"
SOURCES = statement(
    "sources",
    f"WITH RECURSIVE leap (name) AS (SELECT {_LEAST_SOURCE}) UNION ALL"
    f" SELECT {_LEAST_SOURCE} AND source > leap.name) FROM leap"
    " WHERE leap.name IS NOT NULL) SELECT name FROM leap WHERE name IS NOT NULL"
    " UNION SELECT source FROM event WHERE verdict = 'quarantined'",
)
DESTINATIONS = statement("destinations", "SELECT DISTINCT destination FROM delivery")


def next_given_up(db: Database) -> int | None:
    """See contract.Waiting.next_given_up."""
    until = db.value(NEXT_GIVEN_UP)
    return None if until is None else int(until)


def tallies(db: Database) -> list[Tally]:
    """See contract.Reading.tallies."""
    return [
        Tally(source, verdict, reason, status, tuple((missing or "").split()), n)
        for source, verdict, reason, status, missing, n in db.rows(TALLIES, {"tallied": TALLIED})
    ]


def delays(db: Database) -> list[Delays]:
    """See contract.Reading.delays."""
    values = {"tallied": TALLIED, "delayed": DELAYED, "within": _DELAYED_WITHIN}
    return [Delays(*row) for row in db.rows(DELAYS, values)]


def owed_since(db: Database, delivery: int) -> list[OwedDelivery]:
    """See contract.Foreseeing.owed_since."""
    return [
        OwedDelivery(
            number, event_id, verdict, destination, route, Kind(kind), State(state), reason, silence
        )
        for number, event_id, verdict, destination, route, kind, state, reason, silence in db.rows(
            OWED_SINCE, {"delivery": delivery}
        )
    ]


def next_due(db: Database, destination: str, policy: SendPolicy, now: int) -> int | None:
    """See contract.Waiting.next_due."""
    due = db.value(NEXT_DUE, {"destination": destination})
    if due is None:
        return None
    tokens, paused_until = allowance(db, destination, policy, now)
    lacking = max(1 - tokens, 0.0)
    return int(max(due, paused_until, now + int(lacking / policy.rate * SECOND)))


def allowance(db: Database, destination: str, policy: SendPolicy, now: int) -> tuple[float, int]:
    """Return the messages that the destination may get now, and the end of its pause (0: none)."""
    row = db.row(ALLOWANCE, {"destination": destination})
    if row is None:
        return policy.burst, 0
    tokens, counted_at, paused_until = row
    passed = (now - counted_at) / SECOND
    return tokens_left(tokens, passed, policy.rate), paused_until


def waited_for(db: Database) -> set[str]:
    """Return the destinations with waiting deliveries."""
    return {name for (name,) in db.rows(WAITED_FOR)}


def sources_of(db: Database, conditions: Mapping[str, str]) -> list[str]:
    """Return the sources among which to look: the given one, or all of which events are stored."""
    if (given := conditions.get("source")) is not None:
        return [given]
    return [name for (name,) in db.rows(SOURCES) if name is not None]


def names(db: Database) -> dict[str, list[str]]:
    """See contract.Listing.names."""
    which = {"source": SOURCES, "destination": DESTINATIONS}
    return {
        kind: sorted(name for (name,) in db.rows(statement) if name is not None)
        for kind, statement in which.items()
    }
