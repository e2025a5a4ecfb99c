"""Asteroid's API: the addresses to ask and to act at, and the answers as values. Pure.

Only this file and `asteroid` know the provider's names. It was written from the provider's
published SDK (asteroid-odyssey 1.9.167). Identifying fields are read strictly, all others
liberally: an answer that says nothing of an execution changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from receiver.errors import MalformedEnvelope
from receiver.events import Category, Event, Status
from receiver.lifecycle import POLLED
from receiver.sources.access import Act
from receiver.sources.answers import ActiveExecutions, Answer, StatusChange
from receiver.sources.formats import asteroid
from receiver.sources.formats.fields import (
    STATUSES,
    read_detail,
    read_id,
    read_metadata,
    read_optional_text,
    read_text,
    read_time,
    read_time_or_none,
)

BASE_URL = "https://odyssey.asteroid.ai"
HEADER = "X-Api-Key"
_EXECUTIONS = "/agents/v2/executions"
# The newest activities of an execution among which its changes of status are looked for.
_ACTIVITIES = 200
_PAGE_SIZE = 100
# No webhook announces this status; the name only stands for it in the history.
_STARTING = "EXECUTION_STARTING"
_NAMES = {
    Status.STARTING: _STARTING,
    Status.RUNNING: asteroid.STARTED,
    Status.PAUSED: asteroid.PAUSED,
    Status.PAUSED_BY_AGENT: asteroid.PAUSED,
    Status.AWAITING_CONFIRMATION: asteroid.AWAITING_CONFIRMATION,
    Status.COMPLETED: asteroid.COMPLETED,
    Status.FAILED: asteroid.FAILED,
    Status.CANCELLED: asteroid.CANCELLED,
}
_PAYLOADS = {
    Status.PAUSED: "pausedPayload",
    Status.PAUSED_BY_AGENT: "pausedPayload",
    Status.AWAITING_CONFIRMATION: "awaitingConfirmationPayload",
    Status.COMPLETED: "completedPayload",
    Status.FAILED: "failedPayload",
    Status.CANCELLED: "cancelledPayload",
}


def execution_path(execution_id: str) -> str:
    """Return the address of an execution, below the base."""
    return f"{_EXECUTIONS}/{quote(execution_id, safe='')}"


def changes_path(execution_id: str) -> str:
    """Return the address of an execution's newest activities."""
    return f"{execution_path(execution_id)}/activities?order=desc&limit={_ACTIVITIES}"


def active_path(page: int | None = None) -> str:
    """Return the address of a page of the executions that have not ended, the oldest first.

    None: the first one, whose answer says its number.
    """
    which = "" if page is None else f"&page={page}"
    return f"{_EXECUTIONS}?phase=active&pageSize={_PAGE_SIZE}{which}&sort=created_at:asc"


def act_path(execution_id: str, act: Act) -> str:
    """Return the address to which an act on an execution is posted."""
    return f"{execution_path(execution_id)}/{act}"


def read_execution(content: Any) -> Answer:
    """Read what the API says of one execution; MalformedEnvelope if it says nothing."""
    if not isinstance(content, dict):
        raise MalformedEnvelope("the answer must be an object.")
    word = read_text(content, "status")
    result = content.get("executionResult")
    return Answer(
        execution_id=read_id(content, "id"),
        status=STATUSES.get(word),
        word=word[:40],
        agent_id=read_optional_text(content, "agentId")
        or read_optional_text(content, "workflowId"),
        agent_name=read_optional_text(content, "agentName")
        or read_optional_text(content, "workflowName"),
        execution_url=read_optional_text(content, "platformUrl"),
        metadata=read_metadata(content),
        detail=read_detail(result) if isinstance(result, dict) else {},
        ended_at=read_time_or_none(content, "terminalAt"),
    )


def read_active(content: Any) -> ActiveExecutions:
    """Read the first page of executions, or another; one that cannot be read is left out."""
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise MalformedEnvelope("items must be a list.")
    executions = tuple(_readable(content["items"]))
    # It may give fewer than were asked for: only its own numbers tell.
    total, page, size = (content.get(name) for name in ("total", "page", "pageSize"))
    if not (isinstance(total, int) and isinstance(page, int) and isinstance(size, int)) or size < 1:
        return ActiveExecutions(executions)
    return ActiveExecutions(executions, page, page + max(-(-total // size), 1) - 1)


def read_changes(content: Any) -> tuple[StatusChange, ...]:
    """Read the changes of status among activities, earliest first."""
    if isinstance(content, dict):
        content = content.get("items")
    if not isinstance(content, list):
        raise MalformedEnvelope("the activities must be a list.")
    return tuple(sorted(_changes_among(content), key=lambda change: change.at))


def event(
    source: str, answer: Answer, change: StatusChange, previous: Status | None = None
) -> Event:
    """Build the event of a change that was learnt by asking; `previous` is the status before it.

    Its id is made of the execution, the status and the time: asked again, it is the same event.
    """
    status = change.status
    same = f"{answer.execution_id}\n{status}\n{change.at}".encode("utf-8", "replace")
    waited = previous is not None and previous.category in (Category.PAUSED, Category.AWAITING)
    resumed = status is Status.RUNNING and waited
    detail = dict(change.detail)
    if status is answer.status and status.category is Category.TERMINAL:
        detail = {**answer.detail, **detail}
    return Event(
        source=source,
        event_id=f"asked-{hashlib.sha256(same).hexdigest()[:32]}",
        event=asteroid.RESUMED if resumed else _NAMES[status],
        status=status,
        execution_id=answer.execution_id,
        occurred_at=change.at,
        agent_id=answer.agent_id,
        agent_name=answer.agent_name,
        execution_url=answer.execution_url,
        metadata=answer.metadata,
        detail=detail,
        flags=frozenset({POLLED}),
    )


def _readable(items: list[Any]) -> Iterator[Answer]:
    for item in items:
        try:
            yield read_execution(item)
        except MalformedEnvelope:
            continue


def _changes_among(activities: list[Any]) -> Iterator[StatusChange]:
    for activity in activities:
        payload = activity.get("payload") if isinstance(activity, dict) else None
        if not isinstance(payload, dict) or payload.get("activityType") != "status_changed":
            continue
        status = STATUSES.get(str(payload.get("status")))
        if status is None:
            continue
        try:
            at = read_time(activity, "timestamp")
        except MalformedEnvelope:
            continue
        details = payload.get(_PAYLOADS.get(status, ""))
        yield StatusChange(at, status, _detail_of(details))


def _detail_of(payload: Any) -> Mapping[str, Any]:
    return read_detail(payload) if isinstance(payload, dict) else {}
