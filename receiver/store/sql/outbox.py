"""Outbox: adds deliveries, records attempts, takes back leases, redelivers. See contract.Sending.

The deliveries of a digest share its token and its outcome. `digest` is the number of the first one,
the head. They are settled as a set, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.deliveries import Attempt, Claim, DeadOriginal, Outcome, PlannedDelivery, State
from receiver.routing.policy import RouteOptions
from receiver.store.records import AHEAD, AttemptResult, Failures
from receiver.store.sql import facts
from receiver.store.sql.database import Database, Statement, Values, statement
from receiver.store.sql.rows import DELIVERY_COLUMNS
from receiver.times import LATEST

# The most deliveries that die in one transaction.
MANY = 200
INSERT_DELIVERY = f"INSERT INTO delivery ({', '.join(DELIVERY_COLUMNS)})"


def owing(selection: str, /, *, conflict: str = "(dedup_key) ", **columns: str) -> str:
    """Return an INSERT of deliveries from a `selection`; a column left out is NULL (`step`: 0).

    `conflict` is the key of deliveries that exist already. The INSERT returns the event of each new
    delivery.
    """
    values = [columns.pop(name, "0" if name == "step" else "NULL") for name in DELIVERY_COLUMNS]
    if columns:
        raise ValueError(f"a delivery has no {', '.join(columns)}")
    return (
        f"{INSERT_DELIVERY} SELECT {', '.join(values)} {selection}"
        f" ON CONFLICT {conflict}DO NOTHING RETURNING event"
    )


OWE = statement(
    "owe",
    owing(
        "FROM delivery WHERE id = :delivery",
        dedup_key=":dedup_key", event="event", source="source", execution_id="execution_id",
        event_id="event_id", verdict="verdict", route=":route", destination=":destination",
        kind=":kind", order_key=":order_key", guard_version=":guard_version", origin=":origin",
        step=":step", group_key=":group_key", created_at=":now", owed_at=":due", due_at=":due",
    ),
)  # fmt: skip
OWE_FALLBACK = statement(
    "owe_fallback",
    owing(
        "FROM delivery WHERE digest = :head AND state = 'dead'",
        dedup_key="'fallback/' || id || '/' || owed_at || '/' || CAST(:destination AS text)",
        event="event", source="source", execution_id="execution_id", event_id="event_id",
        verdict="verdict", route="route", destination=":destination", kind="'fallback'",
        order_key="order_key", guard_version="guard_version", origin="id", step="step",
        group_key="group_key", created_at=":now", owed_at=":now", due_at=":now",
    ),
)  # fmt: skip
COUNT_OWED = statement("count_owed", "UPDATE event SET owed = owed + :n WHERE seq = :event")
PROMISE = statement("promise", "UPDATE promised SET n = n + :n WHERE name = :name")
# Only the head of a digest keeps the text. Deliveries younger than `:spared` do not die with it.
RECORD = statement(
    "record",
    "UPDATE delivery SET state = CASE WHEN CAST(:state AS text) = 'dead' AND owed_at > :spared"
    " THEN 'waiting' ELSE CAST(:state AS text) END, reason = :reason, due_at = :due,"
    " title = CASE WHEN id = :delivery THEN CAST(:title AS text) END,"
    " body = CASE WHEN id = :delivery THEN CAST(:body AS text) END,"
    " attempts = attempts + 1, tries = tries + 1,"
    " repeat = CASE WHEN CAST(:uncertain AS integer) = 1 THEN 1 ELSE repeat END,"
    " token = NULL, lease_until = NULL, begun_at = :begun WHERE token = :token",
)
ATTEMPTED = statement(
    "attempted",
    "INSERT INTO attempt (delivery, number, at, outcome, detail, duration_ms)"
    " SELECT id, attempts, :now, :outcome, :detail, :duration FROM delivery WHERE id = :delivery",
)
# A digest has room for some confirmations only, and the rest must not wait for the group's next
# turn. Those that came in meanwhile are not part of this rest, and wait for their turn.
GROUP_TOLD = statement(
    "group_told",
    "INSERT INTO digest_group (destination, key, told_at) SELECT CAST(:destination AS text),"
    " CAST(:key AS text), CAST(:now AS bigint) WHERE NOT EXISTS"
    " (SELECT 1 FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " WHERE d.destination = :destination AND d.group_key = :key AND d.state = 'waiting'"
    f" AND d.state IN ('waiting', 'sending') AND d.due_at <= :gathered AND {facts.WAITS})"
    " ON CONFLICT (destination, key) DO UPDATE SET told_at = excluded.told_at",
)
FORGET_GROUPS = statement("forget_groups", "DELETE FROM digest_group WHERE told_at < :before")
FAILED = statement(
    "destination_failed",
    "INSERT INTO destination (name, tokens, counted_at, failures, failing)"
    " VALUES (:destination, 0, :now, 1, :order_key)"
    " ON CONFLICT (name) DO UPDATE SET failures = destination.failures + 1,"
    " failing = coalesce(destination.failing, excluded.failing),"
    " several = CASE WHEN destination.several = 1 OR destination.failing <> excluded.failing"
    " THEN 1 ELSE 0 END",
)
FAILURES = statement(
    "failures", "SELECT failures, several FROM destination WHERE name = :destination"
)
_RESUME = (
    "UPDATE destination SET failures = 0, failing = NULL, several = 0, paused_until = NULL"
    " WHERE name = :destination"
)
RESUME = statement("resume_destination", _RESUME)
# Ends the count and the pause of a destination that failed before or was tried while paused.
WORKS = statement("destination_works", f"{_RESUME} AND (failures > 0 OR paused_at <= :now)")
PAUSE = statement(
    "pause_destination",
    "UPDATE destination SET paused_until = :until, paused_at = :now WHERE name = :destination",
)
# A lease ends by the database's clock. The token of its holder begins with the holder's name.
_LOST = (
    "state = 'sending' AND (lease_until <= {now}"
    " OR substr(token, 1, length(CAST(:holder AS text))) = CAST(:holder AS text))"
)
LOST = statement("lost_leases", f"SELECT 1 FROM delivery WHERE {_LOST} LIMIT 1")
LOST_ATTEMPTS = statement(
    "lost_attempts",
    "INSERT INTO attempt (delivery, number, at, outcome, detail, duration_ms)"
    " SELECT id, attempts + 1, :now, 'uncertain', 'the process stopped while sending', 0"
    f" FROM delivery WHERE {_LOST} AND (digest IS NULL OR digest = id)",
)
RELEASE = statement(
    "release",
    "UPDATE delivery SET state = 'waiting', due_at = :now, begun_at = :now, repeat = 1,"
    " token = NULL, lease_until = NULL, attempts = attempts + 1, tries = tries + 1"
    f" WHERE {_LOST}",
)
# Deliveries put off by quiet hours and by nothing since: they are due at the end of those hours.
PUT_OFF_BY_HOURS = (
    "(group_key = 'quiet/' || due_at OR (group_key IS NULL AND tries = 0"
    " AND (kind = 'digest' OR (kind = 'notice' AND origin IS NOT NULL))))"
)
# Each wait that began ahead of the clock begins now; see contract.Operating.set_back. A delivery
# planned for later keeps its distance, and quiet hours are checked again.
SET_BACK = (
    statement(
        "set_back_deliveries",
        "UPDATE delivery SET due_at = w.sooner, begun_at = :now, owed_at = CASE"
        " WHEN owed_at > :now THEN owed_at - due_at + w.sooner ELSE owed_at END"
        f" FROM (SELECT id, CASE WHEN {PUT_OFF_BY_HOURS} THEN :now"
        " ELSE due_at - coalesce(begun_at, created_at) + :now END AS sooner FROM delivery"
        " WHERE state = 'waiting' AND coalesce(begun_at, created_at) > :ahead"
        " AND due_at >= coalesce(begun_at, created_at)) AS w WHERE delivery.id = w.id",
    ),
    statement(
        "set_back_held",
        "UPDATE event SET held_until = held_until - coalesce(begun_at, received_at) + :now,"
        " begun_at = :now WHERE verdict = 'held' AND coalesce(begun_at, received_at) > :ahead",
    ),
    statement(
        "set_back_destinations",
        "UPDATE destination SET paused_until = paused_until + CASE"
        " WHEN coalesce(paused_at, counted_at) > :ahead"
        " THEN :now - coalesce(paused_at, counted_at) ELSE 0 END,"
        " paused_at = CASE WHEN paused_at > :ahead THEN :now ELSE paused_at END,"
        " counted_at = CASE WHEN counted_at > :ahead THEN :now ELSE counted_at END"
        " WHERE counted_at > :ahead OR paused_at > :ahead",
    ),
    statement("set_back_groups", "UPDATE digest_group SET told_at = :now WHERE told_at > :ahead"),
    # A silence that was to begin at once begins now; one that was planned for later stays.
    statement(
        "set_back_silences",
        "UPDATE silence SET until_at = until_at - from_at + :now, from_at = :now"
        " WHERE listed_at IS NULL AND from_at > :ahead AND from_at <= created_at",
    ),
)
# The newest events, received under a clock ahead of ours, count as received now: what asks when
# something was heard last must not wait until our clock has caught up with theirs.
SET_BACK_RECEIPTS = statement(
    "set_back_receipts",
    "UPDATE event SET begun_at = :now WHERE seq > coalesce((SELECT e.seq FROM event AS e"
    " WHERE e.received_at <= :ahead ORDER BY e.seq DESC LIMIT 1), 0)"
    " AND coalesce(begun_at, received_at) > :ahead",
)
STATE = statement("delivery_state", "SELECT state FROM delivery WHERE id = :delivery")
_REDELIVER = (
    "UPDATE delivery SET state = 'waiting', reason = '', due_at = :now, owed_at = :now,"
    " begun_at = :now, tries = 0 WHERE state = 'dead' AND {where}"
    # An old reminder gets no new chance while another one of its episode waits.
    " AND NOT (kind = 'reminder' AND EXISTS (SELECT 1 FROM delivery AS r"
    " WHERE r.event = delivery.event AND r.route = delivery.route"
    " AND r.destination = delivery.destination AND r.kind = 'reminder'"
    " AND (r.state IN ('waiting', 'sending'){earlier})))"
)
REDELIVER = statement(
    "redeliver", _REDELIVER.replace("{where}", "id = :delivery").replace("{earlier}", "")
)
REDELIVER_ALL = statement(
    "redeliver_all",
    _REDELIVER.replace("{where}", "destination = :destination").replace(
        "{earlier}", " OR (r.state = 'dead' AND r.id < delivery.id)"
    ),
)
OVERDUE = statement(
    "overdue",
    f"{facts.DELIVERY} WHERE destination = :destination AND state = 'waiting'"
    " AND owed_at < :before ORDER BY id LIMIT :limit",
)
ORPHANS = statement(
    "orphans",
    f"{facts.DELIVERY} WHERE state = 'waiting' AND destination NOT IN {{texts:destinations}}"
    " ORDER BY id LIMIT :limit",
)
END_WAITING = statement(
    "end_waiting", "UPDATE delivery SET state = 'dead', reason = :reason WHERE id = :delivery"
)


def inserted(db: Database, insert: Statement, values: Values) -> int:
    """Run an INSERT of `owing` and count its deliveries at their events; return how many."""
    events = Counter(event for (event,) in db.rows(insert, values))
    for event, n in events.items():
        db.change(COUNT_OWED, {"n": n, "event": event})
    return events.total()


def promise(db: Database, name: str, n: int) -> None:
    """Count promises, for the ledger."""
    if n:
        db.change(PROMISE, {"n": n, "name": name})


def owe(db: Database, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> int:
    """See contract.Sending.owe; return the number of new deliveries."""
    return sum(
        inserted(
            db,
            OWE,
            {
                "delivery": delivery, "dedup_key": message.dedup_key, "route": message.route,
                "destination": message.destination, "kind": str(message.kind),
                "order_key": message.order_key, "guard_version": message.guard_version,
                "origin": message.origin, "step": message.step, "group_key": message.group_key,
                "now": now, "due": now + message.due_in,
            },
        )
        for message in messages
    )  # fmt: skip


def record(db: Database, claim: Claim, attempt: Attempt, after: AttemptResult) -> bool:
    """See contract.Sending.record; deliveries to others are added elsewhere."""
    values = {
        "state": str(after.state), "reason": after.reason, "due": after.due_at,
        "spared": LATEST if after.spared is None else after.spared, "title": after.title,
        "body": after.body, "uncertain": int(attempt.outcome is Outcome.UNCERTAIN),
        "delivery": claim.delivery, "token": claim.token, "now": claim.claimed_at,
        "begun": claim.claimed_at if after.at is None else after.at,
        "outcome": str(attempt.outcome), "detail": attempt.detail,
        "duration": attempt.duration_ms, "destination": claim.destination,
        "order_key": claim.order_key,
    }  # fmt: skip
    if not db.change(RECORD, values):
        return False
    db.change(ATTEMPTED, values)
    if attempt.outcome is Outcome.DELIVERED:
        db.change(WORKS, values)
    elif not attempt.retry_after and not attempt.permanent:
        db.change(FAILED, values)
    if after.state is State.SENT and claim.group_key is not None:
        _group_told(db, claim, after.options)
    return True


def _group_told(db: Database, claim: Claim, options: Mapping[str, RouteOptions]) -> None:
    """Remember when a group got its digest; forget times that make no group wait any more."""
    at, route_options = claim.claimed_at, options.get(claim.route)
    gathered = at + (route_options.wait if route_options else 0)
    values = {"destination": claim.destination, "key": claim.group_key}
    db.change(GROUP_TOLD, {**values, "now": at, "gathered": gathered})
    longest = max((each.every for each in options.values()), default=0)
    db.change(FORGET_GROUPS, {"before": at - longest})


def failures(db: Database, destination: str) -> Failures:
    """See contract.Sending.failures."""
    row = db.row(FAILURES, {"destination": destination})
    return Failures() if row is None else Failures(row[0], bool(row[1]))


def fall_back(db: Database, claim: Claim, destination: str) -> int:
    """Add the dead deliveries of a digest for another destination, as a group; return how many."""
    values = {"destination": destination, "now": claim.claimed_at, "head": claim.delivery}
    return inserted(db, OWE_FALLBACK, values)


def release(db: Database, now: int, *, holder: str | None) -> int:
    """See contract.Sending.release; all leases of `holder` are taken back, even running ones."""
    values = {"now": now, "holder": holder}
    if db.row(LOST, values) is None:
        return 0
    db.change(LOST_ATTEMPTS, values)
    return db.change(RELEASE, values)


def set_back(db: Database, now: int) -> int:
    """See contract.Operating.set_back."""
    values = {"now": now, "ahead": now + AHEAD}
    waits = sum(db.change(act, values) for act in SET_BACK)
    db.change(SET_BACK_RECEIPTS, values)
    return waits


def redeliver(db: Database, delivery: int, now: int) -> bool | None:
    """See contract.Operating.redeliver."""
    if db.row(STATE, {"delivery": delivery}) is None:
        return None
    # If a guarded message is no longer true, its claim supersedes it.
    return bool(db.change(REDELIVER, {"delivery": delivery, "now": now}))


def redeliver_all(db: Database, destination: str, now: int) -> int:
    """See contract.Operating.redeliver_all."""
    again = db.change(REDELIVER_ALL, {"destination": destination, "now": now})
    db.change(RESUME, {"destination": destination})  # an operator believes that it works again
    return again


def expire_overdue(db: Database, destination: str, before: int, reason: str) -> list[Claim]:
    """See contract.Sending.expire_overdue."""
    return _end_waiting(db, OVERDUE, {"destination": destination, "before": before}, reason)


def end_orphans(db: Database, destinations: Sequence[str]) -> list[Claim]:
    """See contract.Sending.end_orphans."""
    values = {"destinations": db.as_list(destinations)}
    reason = "its destination is not in routes.yaml: add it again and redeliver"
    return _end_waiting(db, ORPHANS, values, reason)


def _end_waiting(
    db: Database, which: Statement, values: Mapping[str, Any], reason: str
) -> list[Claim]:
    ended = [facts.claimed(db, row) for row in db.rows(which, {**values, "limit": MANY})]
    for dead in ended:
        db.change(END_WAITING, {"reason": reason, "delivery": dead.delivery})
    return [replace(dead, origin=DeadOriginal(dead.destination, reason, 0)) for dead in ended]
