"""Follow-ups: messages in the course of an episode, from its reminders to its end. Pure.

An episode is one stay of an execution in one status. A reminder or an escalation repeats the
notice, with a preface about the length of the wait. Messages about its taker or its end are short.
"""

from __future__ import annotations

import hashlib

from receiver.deliveries import Act, Claim, Kind, Message, MessageContext
from receiver.events import Category, Status
from receiver.messages.notice import render, with_notes
from receiver.messages.sanitize import clean, safe_link
from receiver.routing.routes import Route
from receiver.times import span

_DOING = {
    Status.STARTING: "starting",
    Status.RUNNING: "running",
    Status.PAUSED: "paused",
    Status.PAUSED_BY_AGENT: "waiting for an answer",
    Status.AWAITING_CONFIRMATION: "waiting for confirmation",
}
_GOES_ON = {
    Status.PAUSED: "resumed",
    Status.PAUSED_BY_AGENT: "answered",
    Status.AWAITING_CONFIRMATION: "confirmed",
}


def episode_message(claim: Claim, route: Route | None, now: int) -> Message:
    """Write the message of a claimed delivery, by its present route (None: the route is gone)."""
    facts = claim.facts
    original = claim.origin if claim.kind is Kind.FALLBACK else None
    kind, step = (original.kind, original.step) if original else (claim.kind, claim.step)
    if kind in (Kind.RESOLVED, Kind.ACKNOWLEDGED):
        title, line = _over(facts) if kind is Kind.RESOLVED else _taken(claim)
        text = "\n".join([line, *_execution_lines(facts)])
        return with_notes(title, (), text, repeat=claim.repeat, instead_of=original)
    heading = preface = ""
    if kind in (Kind.REMINDER, Kind.ESCALATION):
        heading, preface = _still(facts, route, kind, step, now)
    if route is not None and route.stuck is not None:
        heading = f"{heading}Stuck? "
        preface = _nothing_heard(facts, route.stuck.after, now)
    return render(
        facts,
        claim.route,
        route.title if route else None,
        route.body if route else None,
        repeat=claim.repeat,
        # A reminder comes later on purpose, so it is not called late.
        now=facts.occurred_at if preface and facts.occurred_at is not None else now,
        instead_of=original,
        heading=heading,
        preface=preface,
    )


def thread_id(claim: Claim) -> str | None:
    """Return the common id of all messages of an episode, in the form of RFC 5322."""
    facts = claim.facts
    if claim.version is None or facts.execution_id is None:
        return None
    episode = f"{facts.source}/{facts.execution_id}/{claim.version}"
    digest = hashlib.sha256(episode.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return f"<episode-{digest}@receiver>"


def act_of(claim: Claim) -> Act:
    """Return what the message of a delivery does to the incident that its episode is."""
    fell = claim.origin if claim.kind is Kind.FALLBACK else None
    kind = fell.kind if fell else claim.kind
    return {Kind.RESOLVED: Act.CLOSE, Kind.ACKNOWLEDGED: Act.TAKE}.get(kind, Act.OPEN)


def _still(
    facts: MessageContext, route: Route | None, kind: Kind, step: int, now: int
) -> tuple[str, str]:
    """Return the heading and the preface of a reminder or an escalation."""
    doing, waited = doing_what(facts), waits_since(facts, now)
    if kind is Kind.ESCALATION:
        return "Escalated: ", f"It is still {doing}, for {waited} by now."
    remind = route.remind if route else None
    number = f"{step} of at most {remind.at_most}" if remind and remind.at_most else f"{step}"
    return f"Reminder {step}: ", f"It is still {doing}, for {waited} by now (reminder {number})."


def _nothing_heard(facts: MessageContext, after: int, now: int) -> str:
    return (
        f"Nothing was heard of it for more than {span(after)}; it has been {doing_what(facts)} for"
        f" {waits_since(facts, now)} by now."
    )


def doing_what(facts: MessageContext) -> str:
    """Describe the state of an execution in the status of the event."""
    return _DOING.get(facts.status, str(facts.status)) if facts.status else "not known"


def waits_since(facts: MessageContext, now: int) -> str:
    """Write the time since the episode began."""
    return span(now - facts.occurred_at) if facts.occurred_at is not None else "some time"


def ended_how(facts: MessageContext) -> str:
    """Describe the end of an episode in a few words; the facts are those of the last event."""
    before, after = facts.previous_status, facts.status
    if before is None or after is None:
        return "over"
    waited = ""
    if facts.occurred_at is not None and facts.previous_since is not None:
        waited = f" after {span(facts.occurred_at - facts.previous_since)}"
    if after is Status.RUNNING and before in _GOES_ON:
        return f"{_GOES_ON[before]}{waited}: now running"
    if after.category is Category.TERMINAL:
        while_it = "waiting" if before.category is Category.AWAITING else _DOING[before]
        return f"{after} while {while_it},{waited}" if waited else f"{after} while {while_it}"
    again = " again" if after is before else ""
    return f"no longer {_DOING[before]}{waited}: now {after}{again}"


def new_wait(facts: MessageContext) -> str:
    """Describe the new wait of an execution that waits again after the end of the episode."""
    status = facts.execution_status or facts.status
    if status is None or status.category not in (Category.PAUSED, Category.AWAITING):
        return ""
    return f"it is {status} by now, which is a new wait"


def _over(facts: MessageContext) -> tuple[str, str]:
    how = ended_how(facts)
    agent = _agent(facts)
    if waits := new_wait(facts):
        return f"{agent}: {how}", f"That wait is over: {how}. But {waits}."
    later = facts.execution_status
    more = f" It is {later} by now." if later and later is not facts.status else ""
    return f"{agent}: {how}", f"Nothing more to do: {how}.{more}"


def _taken(claim: Claim) -> tuple[str, str]:
    by = clean(claim.acknowledged.by if claim.acknowledged else "somebody", 80)
    doing = doing_what(claim.facts)
    return (
        f"{_agent(claim.facts)}: {by} takes care of it",
        f"Acknowledged by {by}. It is still {doing}; there are no more reminders of it.",
    )


def _execution_lines(facts: MessageContext) -> list[str]:
    """Name the execution that a message is about."""
    lines = [f"Agent: {_agent(facts)}", f"Execution: {clean(facts.execution_id or '')}"]
    reason = facts.detail.get("reason")
    if isinstance(reason, str) and reason:
        lines.insert(0, f"Reason: {clean(reason, 350)}")
    link = safe_link(facts.execution_url)
    return [*lines, link] if link else lines


def _agent(facts: MessageContext) -> str:
    return clean(facts.agent_name or facts.agent_id or "An agent", 80)
