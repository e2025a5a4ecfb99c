"""Follow-ups: messages in the course of an episode, from its reminders to its end. Pure.

An episode is one stay of an execution in one status. A reminder or an escalation repeats the
notice, with a preface about the length of the wait. Messages about its taker or its end are short:
they say what it was about, where to look, and whether there is anything left to do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo

from receiver.deliveries import Claim, Kind, Message, MessageContext, Severity
from receiver.events import NOBODY, Category, Status
from receiver.messages.notice import Extras, Notes, render, with_notes
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.unapplied import MAX_AGENT_IN_TITLE, MAX_TITLE
from receiver.messages.variables import agent_name, metadata_line, why
from receiver.messages.wording import (
    DECIDE,
    GOES_ON,
    NOT_NEEDED,
    TO_DO,
    UNDONE,
    doing,
    severity_of,
    taken_by,
    takes_care,
)
from receiver.routing.routes import Route
from receiver.times import span

_ASKS = (Status.PAUSED_BY_AGENT, Status.AWAITING_CONFIRMATION)
_MAX_PERSON = 80
_GONE = "it has ended, its provider no longer knows it"


def episode_message(
    claim: Claim, route: Route | None, now: int, zone: tzinfo, take_url: str = ""
) -> Message:
    """Write the message of a claimed delivery, by its present route (None: the route is gone).

    `take_url` is where somebody takes what it is about.
    """
    original = claim.origin if claim.kind is Kind.FALLBACK else None
    kind, step = (original.kind, original.step) if original else (claim.kind, claim.step)
    if kind is Kind.RESOLVED:
        return _resolved(claim, is_fallback=original is not None)
    if kind is Kind.ACKNOWLEDGED:
        return _taken(claim, now, is_fallback=original is not None)
    facts = claim.facts
    heading = preface = title = ""
    if kind is Kind.REMINDER:
        heading, preface = f"Reminder {step}: ", _reminder(facts, route, step, now)
    elif kind is Kind.ESCALATION:
        heading, preface = "Escalated: ", _escalation(claim, route, now)
    if route is not None and route.stuck is not None:
        heading = f"{heading}Stuck? "
        after = span(route.stuck.after if claim.heard_at is None else now - claim.heard_at)
        agent = agent_name(facts, MAX_AGENT_IN_TITLE)
        title = f"{agent}: no news for {after}, last known as {doing(facts.status)}"
        preface = preface or _look(facts)
    is_reminder = bool(preface)
    taker = ""
    if claim.acknowledged is not None:
        taker = clean(claim.acknowledged.by, _MAX_PERSON)
        cares = takes_care(claim.acknowledged.by, _MAX_PERSON)
        preface = " ".join(filter(None, [f"{cares[:1].upper()}{cares[1:]}.", preface]))
    message = render(
        facts,
        claim.route,
        route.title if route else None,
        route.body if route else None,
        repeat=claim.repeat,
        now=now,
        zone=zone,
        extras=Extras(
            instead_of=original,
            heading=heading,
            prefaces=(preface,) if preface else (),
            title=title,
            is_reminder=is_reminder,
            take_url=take_url,
            taker=taker,
        ),
    )
    # What is asked for again, or may be stuck, deserves a look.
    return replace(message, severity=Severity.WARNING) if heading else message


def thread_id(claim: Claim) -> str | None:
    """Return the common id of all messages of an episode, in the form of RFC 5322."""
    facts = claim.facts
    if claim.version is None or facts.execution_id is None:
        return None
    return thread_of("episode", f"{facts.source}/{facts.execution_id}/{claim.version}")


def thread_of(what: str, name: str) -> str:
    """Return the common id of all messages about one thing, in the form of RFC 5322."""
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return f"<{what}-{digest}@receiver>"


def kind_of(claim: Claim) -> Kind:
    """Return the kind of a message: of the delivery that died, if this is its fall-back."""
    fell = claim.origin if claim.kind is Kind.FALLBACK else None
    return fell.kind if fell else claim.kind


def _reminder(facts: MessageContext, route: Route | None, step: int, now: int) -> str:
    """Say how long it has waited for what, and whether this is the last reminder."""
    waited = waits_since(facts, now)
    undone = UNDONE.get(facts.status) if facts.status else None
    if route is not None and route.stuck is not None:
        line = f"Still no news after {waited}. {_look(facts)}"
    elif undone is None:
        line = f"Still {doing(facts.status)} after {waited}."
    else:
        line = f"Still waiting after {waited}: nobody has {undone}."
    at_most = route.remind.at_most if route and route.remind else None
    if at_most is None or step < at_most:
        return line
    goes_on = ", and the agent goes on waiting" if undone else ""
    return f"{line} This is the last reminder{goes_on}."


def _escalation(claim: Claim, route: Route | None, now: int) -> str:
    """Say who was told before and when, what nobody has done, and what the reader should do."""
    facts, told = claim.facts, _told(claim, route, now)
    begin = f"We told {told}, and" if told else "No message about it has reached anybody yet, and"
    remind = "Remind them, or" if told else "Please"
    if facts.status is None or facts.status not in UNDONE:
        return f"{begin} it is still {doing(facts.status)}. {remind} look yourself."
    return (
        f"{begin} nobody has {UNDONE[facts.status]}; it still waits. {remind}"
        f" {DECIDE[facts.status]} yourself if you are allowed to."
    )


def _told(claim: Claim, route: Route | None, now: int) -> str:
    """Name whom the route told, else who was told at all, each with how long ago."""
    notify = route.notify if route else ()
    own = [h for h in claim.heard if h.route == claim.route or h.destination in notify]
    first = dict[str, int]()
    for each in own or claim.heard:
        first.setdefault(each.destination, each.at)
    together = dict[str, list[str]]()
    for destination, at in first.items():
        together.setdefault(span(max(now - at, 0)), []).append(destination)
    return " and ".join(f"{', '.join(names)} {ago} ago" for ago, names in together.items())


def _look(facts: MessageContext) -> str:
    """Say where to look whether an execution of which no news came still works."""
    begin = "Open the link and see" if safe_link(facts.execution_url) else "See"
    return f"{begin} whether the agent still works: it may have ended, and no news of that came."


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
        waited = f" {span(facts.occurred_at - facts.previous_since)}"
    if after is Status.RUNNING and before in GOES_ON:
        return f"{GOES_ON[before]} after{waited}" if waited else GOES_ON[before]
    if after is before:
        return f"{doing(after)} again, after{waited}" if waited else f"{doing(after)} again"
    return f"{doing(after)} after {doing(before)}" + (f" for{waited}" if waited else "")


def new_wait(facts: MessageContext) -> str:
    """Describe the new wait of an execution that waits again after the end of the episode."""
    status = facts.execution_status or facts.status
    if status is None or status.category not in (Category.PAUSED, Category.AWAITING):
        return ""
    return f"a new wait has begun: it is {doing(status)} again"


def _taker(facts: MessageContext, person: str) -> str:
    """Say who had taken it, and that this person need not be who ended the wait."""
    if not (taken := taken_by(person, _MAX_PERSON)):
        return ""
    done = GOES_ON.get(facts.previous_status) if facts.previous_status else None
    unknown = f"; who {done} is not known here" if done and facts.status is Status.RUNNING else ""
    return f"{taken}{unknown}."


def _resolved(claim: Claim, *, is_fallback: bool) -> Message:
    facts = claim.facts
    person = claim.acknowledged.by if claim.acknowledged else ""
    continues = facts.status is Status.RUNNING and facts.execution_status in (None, facts.status)
    how = ended_how(facts) + (", it continues" if continues else "")
    is_over = facts.status is not None and facts.status.category is Category.TERMINAL
    cause = why(facts) if is_over else ""
    lines = [
        f"Reason: {clean(cause, 350)}" if cause else "",
        _about(claim.begun, "It had asked"),
        " ".join(filter(None, [_what_now(facts), _taker(facts, person)])),
        *_execution_lines(facts),
    ]
    return _short(claim, how, lines, end_severity(facts), is_fallback=is_fallback)


def _about(facts: MessageContext | None, asks: str) -> str:
    """Say what an episode is about, in the words of the event that began it."""
    if facts is None or not (words := why(facts)):
        return ""
    label = asks if facts.status in _ASKS else "It was about"
    return f"{label}: {clean(words, 350)}"


def _what_now(facts: MessageContext) -> str:
    """Say what there is left to do, and what the execution does by now."""
    if waits := new_wait(facts):
        return f"That wait is over, but {waits}."
    later = facts.execution_status
    if later and later is not facts.status:
        return f"Nothing more to do: by now it is {doing(later)}."
    if facts.status is Status.RUNNING:
        return "Nothing more to do."
    return NOT_NEEDED.get(facts.previous_status, "") if facts.previous_status else ""


def end_severity(facts: MessageContext) -> Severity:
    """Return what the end of an episode is to people; the facts are those of the last event.

    The wait is over, which is good, unless the execution has failed or waits again.
    """
    if new_wait(facts):
        return Severity.WARNING
    if facts.status in (Status.FAILED, Status.CANCELLED):
        return severity_of(facts.status)
    return Severity.SUCCESS


def _taken(claim: Claim, now: int, *, is_fallback: bool) -> Message:
    facts, taken = claim.facts, claim.acknowledged
    if taken and taken.by == NOBODY:
        return _short(claim, _GONE, _gone(facts, now), Severity.INFO, is_fallback=is_fallback)
    by = clean(taken.by if taken else "somebody", _MAX_PERSON)
    before = clean(taken.taken_from, _MAX_PERSON) if taken and taken.taken_from else ""
    how = f"{by} takes it over from {before}" if before else f"{by} takes care of it"
    to_do = TO_DO.get(facts.status) if facts.status else None
    has_to = f"{by} has to {to_do} now" if to_do else f"{by} looks after it now"
    waits = f"It has been {doing(facts.status)} for {waits_since(facts, now)}"
    # What it asks is still open, which the title says too.
    agent, words = agent_name(facts, MAX_AGENT_IN_TITLE), why(facts)
    how = f"{how}: {words}" if words else how
    lines = [
        f"{has_to}; {before} no longer has it." if before else f"{has_to}.",
        _about(facts, "It asks") if len(f"{agent}: {how}") > MAX_TITLE else "",
        f"{waits}; there will be no more reminders.",
        *_execution_lines(facts),
    ]
    return _short(claim, how, lines, Severity.INFO, is_fallback=is_fallback)


def _gone(facts: MessageContext, now: int) -> list[str]:
    """Say that an execution was deleted at its provider, so that its end is not known."""
    return [
        "How it ended is not known: no update said so, and it was deleted there since.",
        _about(facts, "It had asked"),
        f"It was {doing(facts.status)} for {waits_since(facts, now)}; there will be no more"
        " reminders.",
        *_execution_lines(facts),
    ]


def _short(
    claim: Claim, how: str, lines: Sequence[str], severity: Severity, *, is_fallback: bool
) -> Message:
    """Build a short message; `how` begins its body where the subject cannot say it."""
    title = f"{agent_name(claim.facts, MAX_AGENT_IN_TITLE)}: {how}"
    text = "\n".join(line for line in lines if line)
    notes = Notes((), claim.repeat, claim.origin if is_fallback else None)
    end = "" if how.endswith((".", "!", "?", "…", ")")) else "."
    opening = f"{clean(how[:1].upper() + how[1:], MAX_TITLE)}{end}"
    return replace(with_notes(title, text, notes, severity), opening=opening)


def _execution_lines(facts: MessageContext) -> list[str]:
    """Say where to look, then name the execution that a message is about."""
    return [
        safe_link(facts.execution_url),
        clean(metadata_line(facts.metadata), 200),
        f"Execution: {clean(facts.execution_id or '')} · from {facts.source}",
    ]
