"""Rows: conversion to values and back. Only this module knows the columns' order and encodings.

Words and flags are stored as text with spaces, objects as JSON, truth values as 0 and 1.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from receiver.alarms import Alarm, AlarmKind
from receiver.deliveries import PlannedDelivery
from receiver.events import Event, Execution, Held, Judgement, Status, Verdict
from receiver.store.records import ExecutionKey, JudgedWebhook, KeptBy
from receiver.store.sql.database import Row

EVENT_COLUMNS = (
    "seq", "source", "event_id", "repeated", "execution_id", "event", "status", "occurred_at",
    "received_at", "verdict", "reason", "flags", "missing", "held_until", "agent_id", "agent_name",
    "execution_url", "metadata", "detail", "version", "owed", "body",
)  # fmt: skip
EXECUTION_COLUMNS = (
    "id", "source", "execution_id", "status", "category", "since", "mark", "version", "first_seen",
    "agent_id", "agent_name", "execution_url", "metadata", "gap", "assumed", "polled",
)  # fmt: skip
# An execution that moves: its number and its previous version, then its new values.
MOVED_COLUMNS = (
    "id", "before", "status", "category", "since", "mark", "version", "agent_id", "agent_name",
    "execution_url", "metadata", "gap", "assumed", "polled",
)  # fmt: skip
HISTORY_COLUMNS = (
    "execution", "version", "event", "status", "previous_status", "previous_since", "applied_at",
)  # fmt: skip
DELIVERY_COLUMNS = (
    "dedup_key", "event", "alarm", "source", "execution_id", "event_id", "verdict", "route",
    "destination", "kind", "order_key", "guard_version", "origin", "step", "group_key", "silence",
    "created_at", "planned_at", "owed_at", "due_at", "kept_by",
)  # fmt: skip
ALARM_COLUMNS = (
    "kind", "about", "began_at", "raised_at", "cause", "n", "ended_at", "end_cause", "waiting",
    "dead", "id",
)  # fmt: skip
# A loaded execution: its key and number, whether events wait for it, then its values.
STORED_COLUMNS = ("source", "execution_id", "id", "has_gaps", "status", "since", "mark", "version",
                  "first_seen", "agent_id", "agent_name", "execution_url", "metadata", "gap",
                  "assumed", "polled")  # fmt: skip
HELD_COLUMNS = (
    "source", "execution_id", "event_id", "event", "status", "occurred_at", "agent_id",
    "agent_name", "execution_url", "metadata", "detail", "flags", "received_at", "verdict",
    "missing", "held_until", "seq",
)  # fmt: skip
_STATUSES = frozenset(status.value for status in Status)


def events_of(source: str, execution: str, number: str = "") -> str:
    """Return a subquery for the numbers of the events of an execution.

    Each argument is a condition for a column: its source, its id there, and its number, which is
    looked up if it is missing. The history has the applied events, which are nearly all. The index
    that has the rest is small, so in a large file intake writes one page less for each event.
    """
    number = number or (
        f"IN (SELECT o.id FROM execution AS o WHERE o.source {source}"
        f" AND o.execution_id {execution})"
    )
    return (
        f"(SELECT h.event FROM history AS h WHERE h.execution {number} UNION ALL"
        f" SELECT u.seq FROM event AS u WHERE u.source {source} AND u.execution_id {execution}"
        " AND u.verdict <> 'applied')"
    )


def event_row(seq: int, entry: JudgedWebhook, owed: int) -> Row:
    """Return a row of EVENT_COLUMNS."""
    event, judgement = entry.event, entry.judgement
    # As plain text: the driver takes longer for a subclass of str.
    verdict = (str(judgement.verdict), judgement.reason, words(judgement.flags))
    received_at = entry.judged_at if entry.received_at is None else entry.received_at
    if event is None:
        detail = as_json({"problem": entry.problem}) if entry.problem else None
        nothing = (None,) * 6
        return (seq, entry.source, None, 0, None, None, None, None, received_at,
                *verdict, *nothing, detail, None, owed, entry.body)  # fmt: skip
    repeated = judgement.reason == "event_id"
    return (
        seq, event.source, event.event_id, int(repeated), event.execution_id, event.event,
        str(event.status) if event.status else event.unknown_status, event.occurred_at,
        received_at, *verdict, words(judgement.missing) or None, entry.until, event.agent_id,
        event.agent_name, event.execution_url, as_json(event.metadata), as_json(event.detail),
        entry.after.version if entry.after else None, owed,
        # Only the first body is stored. If those of repeats were, one captured webhook could fill
        # the disk when it is sent again and again.
        None if repeated else entry.body,
    )  # fmt: skip


def execution_row(number: int, execution: Execution) -> Row:
    """Return a row of EXECUTION_COLUMNS."""
    return (
        number, execution.source, execution.execution_id, str(execution.status),
        str(execution.status.category), execution.since, execution.mark, execution.version,
        execution.first_seen, execution.agent_id, execution.agent_name, execution.execution_url,
        as_json(execution.metadata), int(execution.gap), int(execution.assumed),
        int(execution.polled),
    )  # fmt: skip


def moved_row(number: int, before: Execution, after: Execution) -> Row:
    """Return a row of MOVED_COLUMNS."""
    return (
        number, before.version, str(after.status), str(after.status.category), after.since,
        after.mark, after.version, after.agent_id, after.agent_name, after.execution_url,
        as_json(after.metadata), int(after.gap), int(after.assumed), int(after.polled),
    )  # fmt: skip


def history_row(number: int, seq: int, entry: JudgedWebhook) -> Row:
    """Return a row of HISTORY_COLUMNS."""
    assert entry.after is not None
    before = entry.before
    previous = (str(before.status), before.since) if before else (None, None)
    return (number, entry.after.version, seq, str(entry.after.status), *previous, entry.judged_at)


def delivery_rows(seq: int, entry: JudgedWebhook, messages: Sequence[PlannedDelivery]) -> list[Row]:
    """Return rows of DELIVERY_COLUMNS for the deliveries that an event causes."""
    event, now = entry.event, entry.judged_at
    ids = (event.execution_id, event.event_id) if event else (None, None)
    about = (seq, None, entry.source, *ids, str(entry.judgement.verdict))
    return [
        (
            message.dedup_key, *about, message.route, message.destination, str(message.kind),
            message.order_key, message.guard_version, message.origin, message.step,
            message.group_key, None, now, *_times(message, now),
        )
        for message in messages
    ]  # fmt: skip


def _times(message: PlannedDelivery, now: int) -> Row:
    """Return when it is planned, owed and due, and what keeps it back."""
    planned_at = now + message.due_in
    due_at = planned_at + message.gathers
    return planned_at, due_at, due_at, str(KeptBy.GATHERS) if message.gathers else None


def stored_execution(key: ExecutionKey, row: Sequence[Any]) -> Execution:
    """Return an execution from the columns behind `has_gaps` of STORED_COLUMNS."""
    (status, since, mark, version, first_seen, agent_id, agent_name, url, metadata, gap, assumed,
     polled) = row  # fmt: skip
    return Execution(
        *key, Status(status), since, mark, version, first_seen, agent_id, agent_name, url,
        mapping(metadata) or None, bool(gap), bool(assumed), bool(polled),
    )  # fmt: skip


def held(row: Row) -> Held:
    """Return a held event from a row of HELD_COLUMNS."""
    (source, execution_id, event_id, name, status, occurred_at, agent_id, agent_name, url,
     metadata, detail, flags, received_at, verdict, missing, until, _) = row  # fmt: skip
    event = Event(
        source, event_id, name, Status(status), execution_id, occurred_at, agent_id, agent_name,
        url, mapping(metadata) or None, mapping(detail), flags=frozenset(flags.split()),
    )  # fmt: skip
    return Held(event, received_at, Verdict(verdict), statuses(missing), until)


def event(record: Mapping[str, Any]) -> Event | None:
    """Return a stored event by the names of its columns; None if it could not be read."""
    if record["event_id"] is None:
        return None
    return Event(
        record["source"], record["event_id"], record["event"],
        # An unknown status (quarantined as unknown_status) stands in `event`, too.
        status(record["status"]), record["execution_id"], record["occurred_at"],
        record["agent_id"], record["agent_name"], record["execution_url"],
        mapping(record["metadata"]) or None, mapping(record["detail"]),
    )  # fmt: skip


def judgement(record: Mapping[str, Any]) -> Judgement:
    """Return the verdict of a stored event by the names of its columns."""
    flags = frozenset(record["flags"].split())
    return Judgement(
        Verdict(record["verdict"]), record["reason"], flags, statuses(record["missing"])
    )


def alarm(row: Row) -> Alarm:
    """Return an alarm from a row of ALARM_COLUMNS."""
    return Alarm(AlarmKind(row[0]), *row[1:])


def status(text: str | None) -> Status | None:
    """Return the status of that name; None where no lifecycle knows it."""
    return Status(text) if text in _STATUSES else None


def statuses(text: str | None) -> tuple[Status, ...]:
    """Read statuses from stored words."""
    return tuple(map(Status, (text or "").split()))


def words(values: Collection[str]) -> str:
    """Write words for storage: sorted, with spaces."""
    return " ".join(sorted(values)) if values else ""


def mapping(text: str | None) -> dict[str, Any]:
    """Read an object from stored JSON; empty for none."""
    return json.loads(text) if text else {}


def as_json(value: Mapping[str, Any] | None) -> str | None:
    """Write an object for storage; None for an empty one."""
    # ASCII keeps characters escaped that no database can store (lone surrogates, NUL).
    return _COMPACT(value) if value else None


_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
