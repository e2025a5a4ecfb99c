"""Schemas of the answers (JSON Schema), for the description of the HTTP interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from receiver.alarms import AlarmKind
from receiver.audit import Act, Door
from receiver.deliveries import Kind, Outcome, State
from receiver.events import Category, Status, Verdict
from receiver.store.records import TakeOutcome

Document = dict[str, Any]

TEXT: Document = {"type": "string"}
TIME: Document = {"type": "string", "format": "date-time"}
COUNT: Document = {"type": "integer", "minimum": 0}
COUNTS: Document = {"type": "object", "additionalProperties": COUNT}


def nullable(schema: Document) -> Document:
    """Allow null besides the values of a schema."""
    return {"anyOf": [schema, {"type": "null"}]}


def words_of(words: Iterable[str]) -> Document:
    """Describe a text that is one of these words."""
    return {"type": "string", "enum": [str(word) for word in words]}


def ref(name: str) -> Document:
    """Refer to the schema of that name in SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(**properties: Document) -> Document:
    """Describe an object that has all of these members."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(item: str) -> Document:
    """Describe a list whose items have the schema of that name."""
    return {"type": "array", "items": ref(item)}


MAYBE_TEXT, MAYBE_TIME = nullable(TEXT), nullable(TIME)
_OF_THE_AUDIT: Document = {
    "id": COUNT,
    "at": TIME,
    "act": words_of(Act),
    "who": TEXT,
    "door": words_of(Door),
    "place": TEXT,
    "source": MAYBE_TEXT,
    "execution_id": MAYBE_TEXT,
    "about": TEXT,
    "result": TEXT,
}
EVENT = object_of(
    seq=COUNT,
    source=TEXT,
    execution_id=MAYBE_TEXT,
    event_id=MAYBE_TEXT,
    event=MAYBE_TEXT,
    status=MAYBE_TEXT,
    occurred_at=MAYBE_TIME,
    received_at=TIME,
    verdict=words_of(Verdict),
    reason=TEXT,
    flags={"type": "array", "items": TEXT},
    detail={"type": "object"},
    times=COUNT,
    missing={"type": "array", "items": words_of(Status)},
    held_until=MAYBE_TIME,
    steps=list_of("Step"),
    agent_id=MAYBE_TEXT,
    agent_name=MAYBE_TEXT,
)
# Without rules nobody knows the routes. The API always has some.
STORY_EVENT = object_of(
    **EVENT["properties"], routes=nullable({"type": "array", "items": ref("Route")})
)
SCHEMAS: Document = {
    "Problem": object_of(type=TEXT, title=TEXT, status={"type": "integer"}, detail=TEXT),
    "Receipt": object_of(
        verdict=words_of([*Verdict, "spooled"]),
        reason=TEXT,
        event_id=MAYBE_TEXT,
        execution_id=MAYBE_TEXT,
        status=MAYBE_TEXT,
        execution_status=nullable(words_of(Status)),
    ),
    "Execution": object_of(
        source=TEXT,
        execution_id=TEXT,
        status=words_of(Status),
        category=words_of(Category),
        since=TIME,
        first_seen=TIME,
        agent_id=MAYBE_TEXT,
        agent_name=MAYBE_TEXT,
        execution_url=MAYBE_TEXT,
        metadata=nullable({"type": "object"}),
        gap={"type": "boolean"},
        acknowledged=nullable(ref("Acknowledgement")),
    ),
    "Acknowledgement": object_of(by=TEXT, at=TIME, taken_from=MAYBE_TEXT),
    "Event": EVENT,
    "StoryEvent": STORY_EVENT,
    "Route": object_of(
        name=TEXT, line=COUNT, why_not=TEXT, destinations=list_of("RoutedDestination")
    ),
    "RoutedDestination": object_of(
        destination=TEXT, delivery=nullable(COUNT), state=nullable(words_of(State)), why=TEXT
    ),
    "KnownEvent": object_of(
        event=ref("StoryEvent"), body=MAYBE_TEXT, deliveries=list_of("Delivery")
    ),
    "Events": object_of(items=list_of("Event"), next=MAYBE_TEXT),
    "Step": object_of(at=TIME, verdict=words_of(Verdict), reason=TEXT),
    "Attempt": object_of(at=TIME, outcome=TEXT, detail=TEXT, duration_ms=COUNT),
    "Delivery": object_of(
        id=COUNT,
        source=TEXT,
        execution_id=MAYBE_TEXT,
        event_id=MAYBE_TEXT,
        verdict=words_of(Verdict),
        route=TEXT,
        destination=TEXT,
        kind=words_of(Kind),
        state=words_of(State),
        reason=MAYBE_TEXT,
        title=MAYBE_TEXT,
        body=MAYBE_TEXT,
        origin=nullable(COUNT),
        step=COUNT,
        group_key=MAYBE_TEXT,
        digest=nullable(COUNT),
        silence=nullable(COUNT),
        instead=MAYBE_TEXT,
        created_at=TIME,
        event_seq=nullable(COUNT),
        planned_at=MAYBE_TIME,
        due_at=MAYBE_TIME,
        waits_for=MAYBE_TEXT,
        until=MAYBE_TIME,
        attempts=list_of("Attempt"),
    ),
    "Tested": object_of(
        outcome=words_of(Outcome), detail=TEXT, duration_ms=COUNT, permanent={"type": "boolean"}
    ),
    "Ledger": object_of(
        accepted=COUNT,
        verdicts=COUNTS,
        owed=COUNT,
        deliveries=COUNTS,
        imbalance=COUNT,
        spooled=nullable(COUNT),
    ),
    "Known": object_of(
        execution=ref("Execution"),
        events=list_of("StoryEvent"),
        deliveries=list_of("Delivery"),
        acts=list_of("ActAtProvider"),
    ),
    "Taken": object_of(execution=ref("Execution"), result=words_of(TakeOutcome), text=TEXT),
    "Acted": object_of(
        execution=nullable(ref("Execution")), outcome=words_of(["done", "uncertain"]), text=TEXT
    ),
    "Silence": object_of(
        id=COUNT,
        match={"type": "object"},
        reason=TEXT,
        by=TEXT,
        **{"from": TIME},
        until=TIME,
        created_at=TIME,
        listed_at=MAYBE_TIME,
        silenced=COUNT,
    ),
    "AuditEntry": object_of(**_OF_THE_AUDIT),
    "ActAtProvider": object_of(**_OF_THE_AUDIT, text=TEXT),
    "Audit": object_of(items=list_of("AuditEntry"), next=MAYBE_TEXT),
    "Destination": object_of(
        name=TEXT,
        kind=TEXT,
        last_success=MAYBE_TIME,
        failing_since=MAYBE_TIME,
        last_failure=TEXT,
        waiting=COUNT,
        dead=COUNT,
    ),
    "Destinations": object_of(items=list_of("Destination")),
    "Source": object_of(
        name=TEXT,
        format=TEXT,
        keys=COUNT,
        last_event=MAYBE_TIME,
        quiet_since=MAYBE_TIME,
        refused=COUNTS,
    ),
    "Sources": object_of(items=list_of("Source")),
    "Silences": object_of(items=list_of("Silence"), next=MAYBE_TEXT),
    "Executions": object_of(items=list_of("Execution"), next=MAYBE_TEXT),
    "Deliveries": object_of(items=list_of("Delivery"), next=MAYBE_TEXT),
    "Waiting": object_of(id=COUNT, state=TEXT),
    "AllWaiting": object_of(destination=TEXT, redelivered=COUNT),
    "Reloaded": object_of(reloaded={"const": True}, warnings={"type": "array", "items": TEXT}),
    "NotReloaded": object_of(reloaded={"const": False}, problems={"type": "array", "items": TEXT}),
    "Hint": object_of(source=TEXT, status=nullable(words_of(Status)), events=COUNT, text=TEXT),
    "Hints": object_of(items=list_of("Hint")),
    "Health": object_of(status=TEXT),
    "Ready": object_of(
        status=words_of(["ready", "spooling"]),
        rules=TEXT,
        alarms=list_of("Alarm"),
        spool=nullable(ref("Spool")),
    ),
    "Spool": object_of(waiting=COUNT, bytes=COUNT, most=COUNT, since=MAYBE_TIME, error=MAYBE_TEXT),
    "Alarm": object_of(alarm=words_of(AlarmKind), about=TEXT, since=TIME),
}
