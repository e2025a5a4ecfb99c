"""Clock: restarts waits that began under a clock ahead of ours. See contract.Operating.set_back."""

from __future__ import annotations

from receiver.store.records import AHEAD
from receiver.store.sql.database import Database, statement
from receiver.store.sql.outbox import PUT_BACK, put_back
from receiver.store.sql.rows import events_of

# Each wait that began ahead of the clock begins now; see contract.Operating.set_back. A delivery
# planned for later keeps its distance, and quiet hours are checked again.
_BEGUN = "coalesce(begun_at, created_at)"
# Other waits may have begun since, under the right clock.
_PLANNED = (
    # What was tried is asked for.
    "CASE WHEN tries > 0 AND planned_at > :now THEN :now"
    " WHEN created_at > :ahead AND planned_at > :ahead"
    f" THEN planned_at - {_BEGUN} + :now ELSE planned_at END"
)
SET_BACK = (
    statement(
        "set_back_deliveries",
        "UPDATE delivery SET due_at = w.sooner, begun_at = :now, planned_at = w.planned,"
        " owed_at = CASE WHEN owed_at > :now THEN owed_at - due_at + w.sooner ELSE owed_at END,"
        # Quiet hours keep back what is asked for, and nothing that is planned for later by now.
        " kept_by = CASE WHEN kept_by = 'quiet' AND w.planned > :now THEN NULL ELSE kept_by END"
        f" FROM (SELECT id, {_PLANNED} AS planned, CASE WHEN kept_by <> 'quiet' OR kept_by IS NULL"
        f" THEN due_at - {_BEGUN} + :now WHEN {_PLANNED} > :now THEN {_PLANNED} ELSE :now END"
        f" AS sooner FROM delivery WHERE state = 'waiting' AND {_BEGUN} > :ahead"
        f" AND due_at >= {_BEGUN}) AS w WHERE delivery.id = w.id {PUT_BACK}",
    ),
    # A message that was claimed ahead of the clock is asked for, whatever becomes of its attempt.
    statement(
        "set_back_tried",
        "UPDATE delivery SET planned_at = :now WHERE state IN ('waiting', 'sending')"
        " AND planned_at > :now AND (state = 'sending' OR tries > 0 OR repeat = 1)",
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
# A reminder counts from the message before it, so that one was told now, too. Where none waits,
# other rules may ask for it later.
SET_BACK_TOLD = statement(
    "set_back_told",
    "UPDATE delivery SET due_at = :now WHERE id IN (SELECT p.id FROM delivery AS r"
    " JOIN delivery AS p ON p.event = r.event AND p.route = r.route"
    " AND p.destination = r.destination WHERE r.state = 'waiting' AND r.kind = 'reminder'"
    " AND coalesce(r.begun_at, r.created_at) > :ahead AND p.state <> 'waiting'"
    " AND p.due_at > :ahead UNION ALL SELECT p.id FROM execution AS x JOIN source AS s"
    " ON s.name = x.source AND s.served_at > :ahead JOIN delivery AS p ON p.source = x.source"
    " AND p.execution_id = x.execution_id WHERE x.category <> 'terminal' AND p.state <> 'waiting'"
    " AND p.due_at > :ahead)",
)
_NEWEST = (
    "coalesce((SELECT e.seq FROM event AS e WHERE e.received_at <= :ahead"
    " ORDER BY e.seq DESC LIMIT 1), 0)"
)
# An escalation that was told is known by how long after the beginning it came.
SET_BACK_ESCALATED = statement(
    "set_back_escalated",
    "UPDATE delivery SET planned_at = planned_at - n.began + :now FROM (SELECT e.seq,"
    " coalesce(e.begun_at, e.received_at) AS began FROM event AS e"
    f" WHERE e.seq > {_NEWEST} AND coalesce(e.begun_at, e.received_at) > :ahead) AS n"
    " WHERE delivery.event = n.seq AND delivery.kind = 'escalation'"
    " AND delivery.state <> 'waiting' AND delivery.planned_at > :ahead",
)
# Episodes that began ahead of the clock begin now.
SET_BACK_BEGUN = statement(
    "set_back_begun",
    "UPDATE history SET applied_at = :now WHERE applied_at > :ahead AND event IN"
    f" (SELECT e.seq FROM event AS e WHERE e.seq > {_NEWEST})",
)
# What was heard under the right clock lies ahead, too, if our absence under the other one counted.
SET_BACK_HEARD = statement(
    "set_back_heard",
    "UPDATE event SET begun_at = :now WHERE begun_at > :ahead AND EXISTS (SELECT 1"
    " FROM source AS s WHERE s.served_at > :ahead) AND seq IN (SELECT (SELECT e.seq"
    f" FROM event AS e WHERE e.seq IN {events_of('= x.source', '= x.execution_id', '= x.id')}"
    " ORDER BY coalesce(e.begun_at, e.received_at) DESC, e.seq DESC LIMIT 1) FROM execution AS x"
    " WHERE x.category <> 'terminal' AND EXISTS (SELECT 1 FROM source AS s"
    " WHERE s.name = x.source AND s.served_at > :ahead))",
)
# Times at which something was seen or said: none of them lies ahead, and none is a wait.
SET_BACK_TIMES = (
    statement("set_back_taken", "UPDATE acknowledgement SET at = :now WHERE at > :ahead"),
    statement(
        "set_back_failures",
        "UPDATE destination SET"
        " succeeded_at = CASE WHEN succeeded_at > :ahead THEN :now ELSE succeeded_at END,"
        " failing_since = CASE WHEN failing_since > :ahead THEN :now ELSE failing_since END,"
        " failed_at = CASE WHEN failed_at > :ahead THEN :now ELSE failed_at END,"
        " starving_since = CASE WHEN starving_since > :ahead THEN :now ELSE starving_since END"
        " WHERE succeeded_at > :ahead OR failing_since > :ahead OR failed_at > :ahead"
        " OR starving_since > :ahead",
    ),
    statement(
        "set_back_sources",
        "UPDATE source SET heard_at = CASE WHEN heard_at > :ahead THEN :now ELSE heard_at END,"
        " quiet_from = CASE WHEN quiet_from > :ahead THEN :now ELSE quiet_from END,"
        " served_at = CASE WHEN served_at > :ahead THEN :now ELSE served_at END"
        " WHERE heard_at > :ahead OR quiet_from > :ahead OR served_at > :ahead",
    ),
    statement(
        "set_back_alarms",
        "UPDATE alarm SET began_at = CASE WHEN began_at > :ahead THEN :now ELSE began_at END,"
        " raised_at = CASE WHEN raised_at > :ahead THEN :now ELSE raised_at END"
        " WHERE ended_at IS NULL AND (began_at > :ahead OR raised_at > :ahead)",
    ),
)
# The newest events, received under a clock ahead of ours, count as received now: what asks when
# something was heard last must not wait until our clock has caught up with theirs.
SET_BACK_RECEIPTS = statement(
    "set_back_receipts",
    f"UPDATE event SET begun_at = :now WHERE seq > {_NEWEST}"
    " AND coalesce(begun_at, received_at) > :ahead",
)


def set_back(db: Database, now: int) -> int:
    """See contract.Operating.set_back."""
    values = {"now": now, "ahead": now + AHEAD}
    for act in (SET_BACK_TOLD, SET_BACK_ESCALATED, SET_BACK_BEGUN, SET_BACK_HEARD):
        db.change(act, values)
    waits = put_back(db, SET_BACK[0], values)
    waits += sum(db.change(act, values) for act in SET_BACK[1:])
    for act in (*SET_BACK_TIMES, SET_BACK_RECEIPTS):
        db.change(act, values)
    return waits
