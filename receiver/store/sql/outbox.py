"""Outbox: adds deliveries, records attempts, takes back leases, redelivers. See contract.Sending.

The deliveries of a digest share token and outcome. `digest` is the number of the first, the head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.deliveries import Attempt, Claim, DeadOriginal, Outcome, State
from receiver.routing.policy import RouteOptions
from receiver.store.records import AttemptResult, Failures
from receiver.store.sql import facts, quarantine
from receiver.store.sql.database import Database, Row, Statement, Values, statement
from receiver.store.sql.reads import UNBLOCKED
from receiver.store.sql.rows import DELIVERY_COLUMNS
from receiver.times import LATEST

MANY = 200  # the most deliveries that die in one transaction
# Groups, quiet hours and a late end give a message about an execution an order key of its own.
_OWN_KEYS = ("notice/", "resolved/")
_DESTINATION, _DUE_AT = map(DELIVERY_COLUMNS.index, ("destination", "due_at"))
# The end of an UPDATE that lets deliveries wait again; see `put_back`.
PUT_BACK = "RETURNING destination, due_at"
INSERT_DELIVERY = f"INSERT INTO delivery ({', '.join(DELIVERY_COLUMNS)})"


def owing(selection: str, /, *, conflict: str = "(dedup_key) ", **columns: str) -> str:
    """Return an INSERT of deliveries from a `selection`; a column left out is NULL (`step`: 0).

    They are planned for when they are due, unless `planned_at` is given. `conflict` is the key of
    deliveries that exist already. The INSERT returns of each new one what `inserted` looks at.
    """
    columns.setdefault("planned_at", columns["due_at"])
    values = [columns.pop(name, "0" if name == "step" else "NULL") for name in DELIVERY_COLUMNS]
    if columns:
        raise ValueError(f"a delivery has no {', '.join(columns)}")
    return (
        f"{INSERT_DELIVERY} SELECT {', '.join(values)} {selection}"
        f" ON CONFLICT {conflict}DO NOTHING RETURNING event, alarm, destination, due_at"
    )


# Alarms, and messages about dead deliveries.
ABOUT_TELLING = "(kind = 'alarm' OR (kind = 'notice' AND origin IS NOT NULL))"
COUNT_OWED = statement("count_owed", "UPDATE event SET owed = owed + :n WHERE seq = :event")
COUNT_OWED_OF_ALARM = statement(
    "count_owed_of_alarm", "UPDATE alarm SET owed = owed + :n WHERE id = :alarm"
)
PROMISE = statement("promise", "UPDATE promised SET n = n + :n WHERE name = :name{part}")
# Only the head of a digest keeps the text. Deliveries younger than `:spared` do not die with it. Of
# what is dead, `due_at` is the time of its death.
RECORD = statement(
    "record",
    "UPDATE delivery SET state = CASE WHEN CAST(:state AS text) = 'dead' AND owed_at > :spared"
    " THEN 'waiting' ELSE CAST(:state AS text) END, reason = :reason, kept_by = 'retry',"
    " due_at = CASE WHEN CAST(:state AS text) <> 'dead' THEN CAST(:due AS bigint)"
    " WHEN owed_at <= :spared THEN :begun"
    # Their own time to be given up: `spared` is the one of those that are given up now.
    " WHEN owed_at + :begun - :spared < CAST(:due AS bigint) THEN owed_at + :begun - :spared"
    " ELSE CAST(:due AS bigint) END,"
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
# turn. Those that came in meanwhile, or keep behind older messages, are not part of this rest.
GROUP_TOLD = statement(
    "group_told",
    "INSERT INTO digest_group (destination, key, told_at) SELECT CAST(:destination AS text),"
    " CAST(:key AS text), CAST(:now AS bigint) WHERE NOT EXISTS"
    " (SELECT 1 FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " WHERE d.destination = :destination AND d.group_key = :key AND d.state = 'waiting'"
    " AND d.state IN ('waiting', 'sending') AND d.planned_at <= :now AND d.due_at <= :gathered"
    f" AND {facts.WAITS} AND {UNBLOCKED})"
    " ON CONFLICT (destination, key) DO UPDATE SET told_at = excluded.told_at",
)
FORGET_GROUPS = statement(
    "forget_groups",
    "DELETE FROM digest_group WHERE told_at < :before"
    " AND (substr(key, 1, 11) <> 'quarantine/' OR told_at < :day)",
)
# A failure counts against the destination unless it is about the message alone. But whatever the
# cause, nothing arrived: the destination fails since the attempt began, or since the last success
# if that was later.
FAILED = statement(
    "destination_failed",
    "INSERT INTO destination AS p (name, tokens, counted_at, failures, failing, failing_since,"
    " failed_at, last_failure) VALUES (:destination, 0, :now, CAST(:counts AS integer),"
    " CASE WHEN CAST(:counts AS integer) = 1 THEN CAST(:about AS text) END, :now, :begun,"
    " :detail) ON CONFLICT (name) DO UPDATE SET failures = p.failures + excluded.failures,"
    " failing = coalesce(p.failing, excluded.failing),"
    " several = CASE WHEN p.several = 1 OR p.failing <> excluded.failing THEN 1 ELSE 0 END,"
    " failing_since = coalesce(p.failing_since, CASE WHEN p.succeeded_at > excluded.failing_since"
    " THEN p.succeeded_at ELSE excluded.failing_since END),"
    " failed_at = excluded.failed_at, last_failure = excluded.last_failure",
)
FAILURES = statement(
    "failures",
    "SELECT failures, several, coalesce(paused_until, 0) FROM destination"
    " WHERE name = :destination",
)
_RESUME = (
    "UPDATE destination SET failures = 0, failing = NULL, several = 0, paused_until = NULL"
    " WHERE name = :destination"
)
RESUME = statement("resume_destination", _RESUME)
# Ends the count and the pause of a destination that failed before or was tried while paused.
WORKS = statement(
    "destination_works",
    "UPDATE destination SET succeeded_at = :begun, failing_since = NULL, starving_since = NULL,"
    " paused_until = CASE WHEN failures > 0 OR paused_at <= :now THEN NULL ELSE paused_until END,"
    " failures = 0, failing = NULL, several = 0 WHERE name = :destination",
)
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
    "UPDATE delivery SET state = 'waiting', kept_by = NULL,"
    " due_at = :now, begun_at = :now, repeat = 1, token = NULL, lease_until = NULL,"
    f" attempts = attempts + 1, tries = tries + 1 WHERE {_LOST} {PUT_BACK}",
)
PUT_DOWN = statement(
    "put_down",
    "UPDATE delivery SET state = 'waiting', token = NULL, lease_until = NULL WHERE token = :token",
)
STATE = statement("delivery_state", "SELECT state FROM delivery WHERE id = :delivery")
_REDELIVER = (
    "UPDATE delivery SET state = 'waiting', reason = '', due_at = :now, owed_at = :now,"
    " begun_at = :now, planned_at = CASE WHEN coalesce(planned_at, created_at) > :now THEN :now"
    " ELSE coalesce(planned_at, created_at) END, kept_by = NULL, tries = 0"
    " WHERE state = 'dead' AND {where}"
    # An old reminder gets no new chance while another one of its episode waits.
    " AND NOT (kind = 'reminder' AND EXISTS (SELECT 1 FROM delivery AS r"
    " WHERE r.event = delivery.event AND r.route = delivery.route"
    " AND r.destination = delivery.destination AND r.kind = 'reminder'"
    " AND (r.state IN ('waiting', 'sending'){earlier})))"
    f" {PUT_BACK}"
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
    " AND owed_at < :before ORDER BY id LIMIT :limit{lock}",
)
# What no rule asks for yet is no message: it cannot die.
ORPHANS = statement(
    "orphans",
    f"{facts.DELIVERY} WHERE state = 'waiting' AND destination NOT IN {{texts:destinations}}"
    " AND planned_at <= :now ORDER BY id LIMIT :limit{lock}",
)
END_WAITING = statement(
    "end_waiting",
    "UPDATE delivery SET state = 'dead', reason = :reason, due_at = :now WHERE id = :delivery",
)


def inserted(db: Database, insert: Statement, values: Values) -> int:
    """Run an INSERT of `owing` and count its deliveries at their events; return how many."""
    rows = db.rows(insert, values)
    _note_due(db, [row[2:] for row in rows], values["now"])
    owing = Counter(row[:2] for row in rows)
    for (event, alarm), n in owing.items():
        if event is not None:
            db.change_later(COUNT_OWED, {"n": n, "event": event})
        else:
            db.change_later(COUNT_OWED_OF_ALARM, {"n": n, "alarm": alarm})
    return owing.total()


def add(db: Database, deliveries: Sequence[Row], now: int) -> None:
    """Insert rows of DELIVERY_COLUMNS, owed at `now`."""
    if deliveries:
        db.bulk.add_deliveries(deliveries)
        promise(db, "owed", len(deliveries))
        _note_due(db, [(row[_DESTINATION], row[_DUE_AT]) for row in deliveries], now)


def put_back(db: Database, update: Statement, values: Values) -> int:
    """Run an UPDATE that lets deliveries wait again, and returns PUT_BACK; return how many."""
    rows = db.rows(update, values)
    _note_due(db, rows, values["now"])
    return len(rows)


def _note_due(db: Database, rows: Iterable[Row], now: int) -> None:
    """Note the destinations of deliveries (destination, due_at) that nothing keeps waiting."""
    db.due.update(destination for destination, due_at in rows if due_at <= now)


def promise(db: Database, name: str, n: int) -> None:
    """Count promises, for the ledger."""
    if n:
        db.change_later(PROMISE, {"n": n, "name": name})


def record(
    db: Database, claim: Claim, attempt: Attempt, after: AttemptResult, beside: Sequence[Claim] = ()
) -> bool:
    """See contract.Sending.record; deliveries to others are added elsewhere."""
    values = {
        "state": str(after.state), "reason": after.reason, "due": after.due_at,
        "spared": LATEST if after.spared is None else after.spared, "title": after.title,
        "body": after.body, "uncertain": int(attempt.outcome is Outcome.UNCERTAIN),
        "delivery": claim.delivery, "token": claim.token, "now": claim.claimed_at,
        "begun": claim.claimed_at if after.at is None else after.at,
        "outcome": str(attempt.outcome), "detail": attempt.detail,
        "duration": attempt.duration_ms, "destination": claim.destination,
        "about": _failure_about(claim),
        "counts": int(not attempt.retry_after and not attempt.permanent),
    }  # fmt: skip
    # At once and in one order, so that no two transactions wait for each other.
    tokens = db.as_list([each.token for each in (claim, *beside)])
    db.hold(facts.HOLD_EXECUTIONS, {"tokens": tokens})
    if not db.change(RECORD, values):
        return False
    db.change_later(ATTEMPTED, values)
    db.change_later(WORKS if attempt.outcome is Outcome.DELIVERED else FAILED, values)
    if after.state is State.SENT and claim.group_key is not None:
        _group_told(db, claim, after.options)
    return True


def _failure_about(claim: Claim) -> str:
    """Return what a failure is about: all messages about an execution are about one."""
    facts = claim.facts
    is_own = claim.order_key.startswith(_OWN_KEYS)
    is_one = (claim.guard_version is not None or is_own) and facts.execution_id is not None
    return f"{facts.source}/{facts.execution_id}" if is_one else claim.order_key


def _group_told(db: Database, claim: Claim, options: Mapping[str, RouteOptions]) -> None:
    """Remember when a group got its digest; forget times that make no group wait any more."""
    at, route_options = claim.claimed_at, options.get(claim.route)
    gathered = at + (route_options.wait if route_options else 0)
    values = {"destination": claim.destination, "key": claim.group_key}
    db.change_later(GROUP_TOLD, {**values, "now": at, "gathered": gathered})
    longest = max((each.every for each in options.values()), default=0)
    db.change_later(FORGET_GROUPS, {"before": at - longest, "day": at - quarantine.DAY})


def failures(db: Database, destination: str) -> Failures:
    """See contract.Sending.failures."""
    row = db.row(FAILURES, {"destination": destination})
    return Failures() if row is None else Failures(row[0], bool(row[1]), row[2])


def release(db: Database, now: int, holder: str | None = None, unsent: Claim | None = None) -> int:
    """See contract.Sending.release; all leases of `holder` are taken back, even running ones."""
    if unsent is not None:
        return db.change(PUT_DOWN, {"token": unsent.token})
    values = {"now": now, "holder": holder}
    if db.row(LOST, values) is None:
        return 0
    db.change(LOST_ATTEMPTS, values)
    return put_back(db, RELEASE, values)


def redeliver(db: Database, delivery: int, now: int) -> bool | None:
    """See contract.Operating.redeliver."""
    if db.row(STATE, {"delivery": delivery}) is None:
        return None
    # If a guarded message is no longer true, its claim supersedes it.
    return bool(put_back(db, REDELIVER, {"delivery": delivery, "now": now}))


def redeliver_all(db: Database, destination: str, now: int) -> int:
    """See contract.Operating.redeliver_all."""
    again = put_back(db, REDELIVER_ALL, {"destination": destination, "now": now})
    db.change(RESUME, {"destination": destination})  # an operator believes that it works again
    db.due.add(destination)  # what waited for the end of its pause is due, too
    return again


def expire_overdue(
    db: Database, destination: str, before: int, reason: str, now: int
) -> list[Claim]:
    """See contract.Sending.expire_overdue."""
    values = {"destination": destination, "before": before}
    return _end_waiting(db, OVERDUE, values, reason, now)


def end_orphans(db: Database, destinations: Sequence[str], now: int) -> list[Claim]:
    """See contract.Sending.end_orphans."""
    reason = "its destination is not in routes.yaml: add it again and redeliver"
    return _end_waiting(db, ORPHANS, {"destinations": db.as_list(destinations)}, reason, now)


def _end_waiting(
    db: Database, which: Statement, values: Mapping[str, Any], reason: str, now: int
) -> list[Claim]:
    rows = db.rows(which, {**values, "now": now, "limit": MANY})
    ended = [facts.claimed(db, row) for row in rows]
    for dead in ended:
        db.change(END_WAITING, {"reason": reason, "delivery": dead.delivery, "now": now})
        quarantine.settle(db, dead, State.DEAD)
    return [
        replace(
            dead,
            origin=replace(dead.origin, reason=reason)
            if dead.origin is not None
            else DeadOriginal(dead.destination, reason, 0),
        )
        for dead in ended
    ]
