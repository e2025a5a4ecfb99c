"""Variables of templates: the values of a message, all of them cleaned. Pure.

All text of an event is hostile: it is cleaned here, before a template or a default text sees it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

from receiver.deliveries import MessageContext
from receiver.events import Status, Verdict
from receiver.lifecycle import LATE
from receiver.messages.local_time import age, clock_time, full_time
from receiver.messages.sanitize import MAX_PART, clean, safe_link
from receiver.messages.wording import is_without_success
from receiver.times import span

MAX_AGENT = 80
# Of metadata: the members that are shown, and the most characters of a key and of a value.
_MEMBERS, _KEY, _VALUE = 6, 30, 60
# Of what tells two executions apart in a list: the most characters of a value and of an id.
_SHORT_VALUE, _SHORT_ID = 24, 8


def variables(
    facts: MessageContext, route: str, now: int, zone: tzinfo = UTC, take_url: str = ""
) -> dict[str, Any]:
    """Return the variables of templates, all of them cleaned. `now` is nanoseconds.

    `take_url` is where somebody takes what waits, if it can be taken.
    """
    detail = _cleaned(facts.detail)
    at = facts.occurred_at
    return {
        "source": facts.source,
        "route": route,
        "event_id": clean(facts.event_id or ""),
        "event": clean(facts.event or ""),
        "status": str(facts.status or ""),
        "category": str(facts.status.category) if facts.status else "",
        "previous_status": str(facts.previous_status or ""),
        "occurred_at": full_time(at, zone),
        "received_at": full_time(facts.received_at, zone),
        "since": full_time(at, zone),
        "local_time": clock_time(at, now, zone) if at is not None else "",
        "ago": age(at, now) if at is not None else "",
        "execution_id": clean(facts.execution_id or ""),
        "execution_status": str(facts.execution_status or ""),
        "agent_id": clean(facts.agent_id or ""),
        "agent_name": agent_name(facts),
        "execution_url": safe_link(facts.execution_url),
        "take_url": take_url,
        "metadata": _cleaned(facts.metadata),
        "metadata_line": metadata_line(facts.metadata),
        "reason": _plain_text(detail.get("reason")),
        "outcome": _plain_text(detail.get("outcome")),
        "question": question_text(facts.detail.get("question")),
        "reasoning": _plain_text(detail.get("reasoning")),
        "error": _plain_text(detail.get("os_error")),
        "why": why(facts),
        "detail": detail,
        "verdict": str(facts.verdict),
        "verdict_reason": clean(facts.verdict_reason),
        "flags": sorted(facts.flags),
        "waited": _waited(facts),
        "late": _late(facts, now),
    }


def agent_name(facts: MessageContext, limit: int = MAX_AGENT) -> str:
    """Return the name of the agent, else its id."""
    return clean(facts.agent_name or facts.agent_id or "An agent", limit)


def why(facts: MessageContext) -> str:
    """Return the provider's words that say most about the event: what is asked, or the cause."""
    detail = facts.detail
    words = {
        "question": question_text(detail.get("question")),
        **{name: _plain_text(detail.get(name)) for name in ("reason", "reasoning")},
        "error": _plain_text(detail.get("os_error")),
    }
    if is_without_success(facts):
        order: tuple[str, ...] = ("reasoning", "reason", "error")
    elif facts.status is Status.COMPLETED:
        order = ("reason",)
    else:
        order = ("question", "reason", "error")
    return clean(next((words[name] for name in order if words[name]), ""))


def metadata_line(metadata: Mapping[str, Any]) -> str:
    """Write the first members of metadata in one short line."""
    parts = []
    for key, value in list(metadata.items())[: _MEMBERS + 1]:
        if value is None or value == "":
            continue
        text = value if isinstance(value, str) else _json_text(value)
        parts.append(f"{clean(key, _KEY)}: {clean(text, _VALUE)}")
    more = len(metadata) - _MEMBERS
    if more > 0:
        parts[_MEMBERS:] = [f"and {more} more"]
    return clean(" · ".join(parts))


def telling_mark(facts: MessageContext, alike: Sequence[MessageContext]) -> str:
    """Return what tells an execution from others that read alike: metadata, else a part of its id.

    Empty if nothing short does; `alike` includes the facts themselves.
    """
    if len(alike) < 2:
        return ""
    for key in list(facts.metadata)[:_MEMBERS]:
        values = [_short_value(each.metadata.get(key)) for each in alike]
        if all(values) and len(set(values)) == len(alike):
            return f"{clean(key, _KEY)}: {_short_value(facts.metadata[key])}"
    ids = [clean(each.execution_id or "") for each in alike]
    for part in (slice(0, _SHORT_ID), slice(-_SHORT_ID, None)):
        if len({each[part] for each in ids}) == len(ids):
            return clean(facts.execution_id or "")[part]
    return ""


def _short_value(value: object) -> str:
    """Return a plain value of metadata as text; empty for any other."""
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return clean(str(value), _SHORT_VALUE) if is_plain else ""


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)[:1_000]
    except (ValueError, TypeError, RecursionError):
        return "…"


def question_text(question: object, most: int = MAX_PART) -> str:
    """Write out the agent's questions with their options.

    The detail of an event has a text, or `{"questions": [{"question", "options": [{"label"}]}]}`.
    """
    if isinstance(question, str):
        return clean(question, most)
    texts = []
    for each in _objects(question, "questions", 5):
        labels = [clean(o.get("label", ""), 80) for o in _objects(each, "options", 10)]
        choice = f" ({' / '.join(labels)})" if labels else ""
        texts.append(clean(each.get("question", ""), most // 2) + choice)
    text = " · ".join(texts)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _objects(value: object, name: str, most: int) -> list[dict[str, Any]]:
    """Return the objects among the first elements of a member, if the member is a list."""
    elements = value.get(name) if isinstance(value, dict) else None
    first = elements[:most] if isinstance(elements, list) else []
    return [element for element in first if isinstance(element, dict)]


def _cleaned(value: Any, depth: int = 0) -> Any:
    if isinstance(value, Mapping):
        if depth > 5:
            return {}
        return {clean(k, 80): _cleaned(v, depth + 1) for k, v in list(value.items())[:50]}
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value[:50]] if depth <= 5 else []
    return value if isinstance(value, (bool, int, float)) or value is None else clean(value)


def _plain_text(value: object) -> str:
    """Return the provider's words as text; of an object, its `message`."""
    if isinstance(value, Mapping):
        value = value.get("message", "")
    return clean(value) if isinstance(value, str) else ""


def _waited(facts: MessageContext) -> str:
    if facts.previous_since is None or facts.occurred_at is None:
        return ""
    return span(facts.occurred_at - facts.previous_since)


def _late(facts: MessageContext, now: int) -> str:
    """Return the time since the event if it is long, whatever the cause; else an empty text."""
    if facts.occurred_at is None or now - facts.occurred_at <= LATE:
        return ""
    return span(now - facts.occurred_at)


# The names that templates may use, taken from `variables` so that they cannot differ.
VARIABLES = frozenset(variables(MessageContext("", Verdict.APPLIED, "", 0), "", 0))
