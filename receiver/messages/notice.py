"""Notices: title and body of a message about an event. Pure.

All text of an event is hostile: it is cleaned before a template sees it and again afterwards. A
message says what happened, for which agent and execution, when, since when, why, where to look, and
whether earlier updates are missing. Its end is never cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.deliveries import DeadOriginal, Message, MessageContext
from receiver.events import Status, Verdict
from receiver.lifecycle import LATE
from receiver.messages import templates
from receiver.messages.sanitize import MAX_PART, clean, safe_link
from receiver.times import SECOND, format_time, span

# Together below Discord's 2,000 characters: else Apprise would cut the end, where the link is.
MAX_TITLE, MAX_BODY = 120, 1_850
REPEAT = "Possible repeat: an earlier attempt may have arrived."

_HAPPENED = {
    Status.STARTING: ("is starting", "It was starting."),
    Status.RUNNING: ("started running", "It started running."),
    Status.PAUSED: ("was paused", "It was paused: a user can resume it."),
    Status.PAUSED_BY_AGENT: ("waits for an answer", "It paused itself: the agent is waiting."),
    Status.AWAITING_CONFIRMATION: ("waits for confirmation", "It waits until somebody confirms."),
    Status.COMPLETED: ("completed", "It has ended."),
    Status.FAILED: ("failed", "It has ended."),
    Status.CANCELLED: ("was cancelled", "It has ended."),
}
_QUARANTINED = {
    "future": "It says it happened in the future. Check the sender's clock and ours.",
    "unknown_status": "It names a status that this receiver does not know. Look for an update.",
    "no_envelope": "It is no event. Switch off “unwrap result” at the provider.",
    "malformed": "It cannot be read. Compare the source's format in routes.yaml with the sender's.",
}


def variables(facts: MessageContext, route: str, now: int) -> dict[str, Any]:
    """Return the variables of templates, all of them cleaned. `now` is nanoseconds."""
    detail = _cleaned(facts.detail)
    return {
        "source": facts.source,
        "route": route,
        "event_id": clean(facts.event_id or ""),
        "event": clean(facts.event or ""),
        "status": str(facts.status or ""),
        "category": str(facts.status.category) if facts.status else "",
        "previous_status": str(facts.previous_status or ""),
        "occurred_at": _shown_time(facts.occurred_at),
        "received_at": _shown_time(facts.received_at),
        "since": _shown_time(facts.occurred_at),
        "execution_id": clean(facts.execution_id or ""),
        "execution_status": str(facts.execution_status or ""),
        "agent_id": clean(facts.agent_id or ""),
        "agent_name": clean(facts.agent_name or facts.agent_id or "An agent", 80),
        "execution_url": safe_link(facts.execution_url),
        "metadata": _cleaned(facts.metadata),
        "reason": _plain_text(detail.get("reason")),
        "outcome": _plain_text(detail.get("outcome")),
        "question": _question_text(facts.detail.get("question")),
        "detail": detail,
        "verdict": str(facts.verdict),
        "verdict_reason": clean(facts.verdict_reason),
        "flags": sorted(facts.flags),
        "waited": _waited(facts),
        "late": _late(facts, now),
    }


def render(
    facts: MessageContext,
    route: str,
    title: str | None,
    body: str | None,
    *,
    repeat: bool,
    now: int,
    instead_of: DeadOriginal | None = None,
    heading: str = "",
    preface: str = "",
) -> Message:
    """Write the message about an event, by the templates of its route or by default.

    If a template fails, the default takes its place: no alert is lost. `repeat`: an earlier attempt
    may have arrived, and the message says so. `instead_of`: the delivery that died, if this one
    goes to a fall-back. `heading` stands before the title and `preface` before the body.
    """
    values = variables(facts, route, now)
    default_title, default_text = _title(facts, values), _body(facts, values)
    prefaces = [preface] if preface else []
    try:
        head = templates.render(title, values) if title else default_title
        text = templates.render(body, values) if body else default_text
    except Exception:
        # A template may fail in any way on an unforeseen event: the alert goes out without it.
        head, text = default_title, default_text
        prefaces.append(f"(The template of route {route!r} failed on this event.)")
    return with_notes(heading + head, prefaces, text, repeat=repeat, instead_of=instead_of)


def with_notes(
    title: str, prefaces: Sequence[str], text: str, *, repeat: bool, instead_of: DeadOriginal | None
) -> Message:
    """Build a message within its limits, with notes about it and prefaces before its text."""
    notes = [REPEAT] if repeat else []
    if instead_of is not None:
        why = clean(instead_of.reason, 300)
        notes.append(f"Sent here because {instead_of.destination} did not get it: {why}")
    notes_text = "\n".join([*notes, *prefaces])
    room = MAX_BODY - len(notes_text) - 1
    cut = clean(text, room if notes_text else MAX_BODY, lines=True)
    return Message(clean(title, MAX_TITLE), f"{notes_text}\n{cut}" if notes_text else cut)


def check_template(text: str) -> str | None:
    """Return the problem of a template, or None."""
    return templates.problem(text, VARIABLES)


def _title(facts: MessageContext, values: Mapping[str, Any]) -> str:
    agent = values["agent_name"]
    if facts.verdict is Verdict.QUARANTINED:
        return f"{facts.source}: a webhook was set aside ({facts.verdict_reason})"
    if facts.verdict is not Verdict.APPLIED:
        announced = values["status"] or values["event"]
        return f"{agent}: an update was {facts.verdict} ({announced}, {facts.verdict_reason})"
    assert facts.status is not None
    if facts.status is Status.COMPLETED and values["outcome"] not in ("", "success"):
        return f"{agent} completed without success: {values['outcome']}"
    return f"{agent} {_HAPPENED[facts.status][0]}"


def _body(facts: MessageContext, values: Mapping[str, Any]) -> str:
    lines = [_first_sentence(facts, values)]
    for label, text, room in _labelled_words(values):
        if text:
            lines.append(f"{label}: {clean(text, room)}")
    if values["execution_id"]:
        lines.append(f"Agent: {values['agent_name']}")
        lines.append(f"Execution: {values['execution_id']}")
    if values["occurred_at"]:
        label = "Since" if facts.verdict is Verdict.APPLIED else "Said to have happened"
        lines.append(f"{label}: {values['occurred_at']}")
    if facts.verdict is Verdict.APPLIED and facts.execution_status not in (None, facts.status):
        lines.append(f"Now: {facts.execution_status}")
    if values["waited"]:
        lines.append(f"Before: {values['previous_status']} for {values['waited']}")
    if values["late"]:
        lines.append(f"This comes late: it happened {values['late']} ago.")
    if facts.gap:
        lines.append("Earlier updates are missing.")
    if values["execution_url"]:
        lines.append(values["execution_url"])
    return "\n".join(lines)


def _labelled_words(values: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return the provider's words with their labels and the most characters of each.

    Together they leave enough room for the end of a message.
    """
    detail = values["detail"]
    return [
        ("Outcome", values["outcome"], 80),
        ("Reason", values["reason"], 350),
        ("Question", values["question"], 350),
        ("Reasoning", _plain_text(detail.get("reasoning")), 150),
        ("Error", _plain_text(detail.get("os_error")), 200),
    ]


def _first_sentence(facts: MessageContext, values: Mapping[str, Any]) -> str:
    """Write what happened, or what the sender claims although it did not happen."""
    if facts.verdict is Verdict.QUARANTINED:
        advice = _QUARANTINED.get(facts.verdict_reason, "Look into the quarantine.")
        return (
            f"An authentic webhook of {facts.source} was set aside and changed nothing. {advice}"
            " Further ones of this kind are not announced today."
        )
    if facts.verdict is not Verdict.APPLIED or facts.status is None:
        return _not_applied(facts, values)
    return _HAPPENED[facts.status][1]


def _not_applied(facts: MessageContext, values: Mapping[str, Any]) -> str:
    announced = values["status"] or values["event"]
    status = values["execution_status"] or "not known"
    missing = " or ".join(facts.missing)
    if facts.verdict is Verdict.HELD:
        return f"The sender says {announced}. It waits for an earlier update ({missing})."
    if facts.verdict_reason == "gap":
        may_heal = facts.execution_status and facts.execution_status.category.value != "terminal"
        return (
            f"The sender says {announced}, but earlier updates are missing ({missing}): the"
            f" execution is {status}, and stays so"
            + (" unless the missing update still comes." if may_heal else ".")
            + " If this happens often, see `receiver check`."
        )
    return (
        f"The sender says {announced}, which does not fit: the execution is {status}, and stays so"
        f" ({facts.verdict}: {facts.verdict_reason})."
    )


def _question_text(question: object) -> str:
    """Write out the agent's questions with their options.

    The detail of an event has a text, or `{"questions": [{"question", "options": [{"label"}]}]}`.
    """
    if isinstance(question, str):
        return clean(question)
    texts = []
    for each in _objects(question, "questions", 5):
        labels = [clean(o.get("label", ""), 80) for o in _objects(each, "options", 10)]
        choice = f" ({' / '.join(labels)})" if labels else ""
        texts.append(clean(each.get("question", ""), 300) + choice)
    return " · ".join(texts)[:MAX_PART]


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
    return value if isinstance(value, str) else ""


def _shown_time(instant: int | None) -> str:
    if instant is None:
        return ""
    return format_time(instant // SECOND * SECOND).replace("T", " ").replace("Z", " UTC")


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
