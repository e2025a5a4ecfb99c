"""Notices: title and body of a message about an event. Pure.

All text of an event is hostile: it is cleaned before a template sees it and again afterwards. The
title says who and what, and why if that fits. The body says first what the title does not say, then
where to look, then the fine print. A part that stands in the title is not said again, and the end
of a body is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from receiver.deliveries import DeadOriginal, Message, MessageContext, Severity
from receiver.events import Category, Status, Verdict
from receiver.lifecycle import POLLED
from receiver.messages import templates
from receiver.messages.local_time import clock_time, time_and_distance
from receiver.messages.sanitize import clean
from receiver.messages.unapplied import (
    MAX_AGENT_IN_TITLE,
    MAX_TITLE,
    unapplied_sentence,
    unapplied_title,
)
from receiver.messages.variables import VARIABLES, agent_name, variables
from receiver.messages.wording import doing, is_without_success, outcome_of, severity, take_line

# Together below Discord's 2,000 characters: else Apprise would cut the end, with the execution.
MAX_BODY = 1_850
REPEAT = "Possible repeat: an earlier attempt may have arrived."

# What happened, with words about why and without.
_HAPPENED = {
    Status.STARTING: ("is starting", "is starting: {why}"),
    Status.RUNNING: ("started", "started: {why}"),
    Status.PAUSED: ("was paused", "was paused: {why}"),
    Status.PAUSED_BY_AGENT: ("waits for an answer", "asks: {why}"),
    Status.AWAITING_CONFIRMATION: ("waits for confirmation", "asks: {why}"),
    Status.COMPLETED: ("completed", "completed: {why}"),
    Status.FAILED: ("failed", "failed: {why}"),
    Status.CANCELLED: ("was cancelled", "was cancelled: {why}"),
}
# What a person can do about it.
_TO_DO = {
    Status.PAUSED: "It waits until somebody resumes it.",
    Status.PAUSED_BY_AGENT: "It waits until somebody answers.",
    Status.AWAITING_CONFIRMATION: "It waits until somebody confirms or declines.",
    Status.FAILED: "It stopped and will not go on by itself.",
}
_BEFORE_A_NEW_START = "See at the link what it had done before you start it again."
# Where to do it, if other lines come before the link and if none do.
_BELOW, _RIGHT_BELOW = ", at the link below.", ", at the link:"
_RESUMES = re.compile("resum", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Notes:
    """Lines around the text of a message: `prefaces` before it, and what happened to it on its way.

    `repeat`: an earlier attempt may have arrived. `instead_of` is the delivery that died, if this
    one goes to a fall-back.
    """

    prefaces: tuple[str, ...] = ()
    repeat: bool = False
    instead_of: DeadOriginal | None = None

    @property
    def before(self) -> str:
        """The lines before the text."""
        notes = [REPEAT] if self.repeat else []
        return "\n".join([*notes, *self.prefaces])

    @property
    def after(self) -> str:
        """The lines after the text."""
        if self.instead_of is None:
            return ""
        why = clean(self.instead_of.reason, 200)
        return f"Sent here because {self.instead_of.destination} did not get it: {why}"

    @property
    def room(self) -> int:
        """The most characters of the text."""
        return MAX_BODY - len(self.before) - len(self.after) - 2


@dataclass(frozen=True, slots=True)
class Extras:
    """Words besides those about the event: `heading` before the title, `prefaces` before the body.

    `instead_of` is the delivery that died, if this one goes to a fall-back. `title` takes the place
    of the default one. `is_reminder`: it comes later on purpose, so it is not called late.
    `take_url` is where somebody takes what waits; `taker` has taken it.
    """

    instead_of: DeadOriginal | None = None
    heading: str = ""
    prefaces: tuple[str, ...] = ()
    title: str = ""
    is_reminder: bool = False
    take_url: str = ""
    taker: str = ""


def render(
    facts: MessageContext,
    route: str,
    title: str | None,
    body: str | None,
    *,
    repeat: bool,
    now: int,
    zone: tzinfo = UTC,
    extras: Extras = Extras(),
) -> Message:
    """Write the message about an event, by the templates of its route or by default.

    If a template fails, the default takes its place: no alert is lost. `repeat`: an earlier attempt
    may have arrived, and the message says so. `now` is nanoseconds, `zone` that of the team.
    """
    values = variables(facts, route, now, zone, extras.take_url)
    default_title = extras.title or _title(facts, values)
    prefaces = list(extras.prefaces)
    try:
        head = templates.render(title, values) if title else default_title
        text = templates.render(body, values) if body else None
    except Exception:
        # A template may fail in any way on an unforeseen event: the alert goes out without it.
        head, text = default_title, None
        prefaces.append(f"(The template of “{route}” in routes.yaml failed on this event.)")
    head = clean(extras.heading + head, MAX_TITLE)
    notes = Notes(tuple(prefaces), repeat, extras.instead_of)
    if text is None:
        text = _body(facts, values, head, now, zone, room=notes.room, extras=extras)
    return with_notes(head, text, notes, severity(facts))


def with_notes(title: str, text: str, notes: Notes, severity: Severity) -> Message:
    """Build a message within its limits, with notes around its text."""
    cut = clean(text, notes.room, lines=True)
    whole = "\n".join(part for part in (notes.before, cut, notes.after) if part)
    return Message(clean(title, MAX_TITLE), whole, severity=severity)


def check_template(text: str) -> str | None:
    """Return the problem of a template, or None."""
    return templates.problem(text, VARIABLES)


def _title(facts: MessageContext, values: Mapping[str, Any]) -> str:
    if facts.verdict is not Verdict.APPLIED:
        return unapplied_title(facts)
    assert facts.status is not None
    agent = agent_name(facts, MAX_AGENT_IN_TITLE)
    plain, with_why = _HAPPENED[facts.status]
    why = values["why"]
    if facts.status is Status.RUNNING and _is_resumed(facts):
        plain = "resumed"
    elif is_without_success(facts):
        plain, with_why = "completed without success", "completed without success: {why}"
    elif facts.status is Status.COMPLETED and outcome_of(facts):
        how = clean(values["outcome"], 60)
        plain = with_why = f"completed with {'success' if how == 'success' else f'outcome {how}'}"
        why = ""
    return f"{agent} {with_why.replace('{why}', why) if why else plain}"


def _is_resumed(facts: MessageContext) -> bool:
    """Return whether it runs again, by the name of the event or by the status before."""
    before = facts.previous_status
    waited = before is not None and before.category in (Category.PAUSED, Category.AWAITING)
    return waited or _RESUMES.search(facts.event or "") is not None


def _body(
    facts: MessageContext,
    values: Mapping[str, Any],
    title: str,
    now: int,
    zone: tzinfo,
    *,
    room: int,
    extras: Extras,
) -> str:
    """Write the default text; the provider's words get the room that the other lines leave."""
    is_reminder = extras.is_reminder
    late = _late_line(facts, values, now, zone, is_reminder=is_reminder)
    first = [] if is_reminder else _first_lines(facts, values)
    time = "" if late else _time_line(facts, now, zone, is_reminder=is_reminder)
    take = take_line(extras.take_url, extras.taker)
    after = [values["execution_url"], take, *_fine_print(facts, values, title, time)]
    left = room - sum(len(line) + 1 for line in (late, *first, *after))
    words = _words_of_the_provider(values, title, left)
    if facts.verdict is Verdict.APPLIED and facts.status is Status.FAILED:
        first = [*words, *first]  # of a failure, the cause is worth most
    elif not words:
        first = [line.replace(_BELOW, _RIGHT_BELOW) for line in first]
    else:
        first += words
    return "\n".join(line for line in (late, *first, *after) if line)


def _late_line(
    facts: MessageContext, values: Mapping[str, Any], now: int, zone: tzinfo, *, is_reminder: bool
) -> str:
    """Say that this comes late; a reminder comes later on purpose."""
    is_late = values["late"] and facts.verdict is Verdict.APPLIED and not is_reminder
    if not is_late or facts.occurred_at is None:
        return ""
    at = clock_time(facts.occurred_at, now, zone)
    return f"This comes late: it happened {values['late']} ago, at {at}."


def _first_lines(facts: MessageContext, values: Mapping[str, Any]) -> list[str]:
    """Say what to do about it and where, or what it did before."""
    if facts.verdict is not Verdict.APPLIED:
        return [unapplied_sentence(facts)]
    if facts.execution_status not in (None, facts.status):
        return [f"By now it is {doing(facts.execution_status)}."]
    if facts.status is None:
        return []
    to_do = _TO_DO.get(facts.status, "")
    if _lasts(facts.status):
        return [to_do.removesuffix(".") + _BELOW if values["execution_url"] else to_do]
    had_been = f"It had been {doing(facts.previous_status)} for {values['waited']}."
    line = " ".join(filter(None, [to_do, had_been if values["waited"] else ""]))
    is_failed = facts.status is Status.FAILED and values["execution_url"]
    return [line, _BEFORE_A_NEW_START] if is_failed else [line]


def _words_of_the_provider(values: Mapping[str, Any], title: str, room: int) -> list[str]:
    """Return the provider's words with their labels, except those that stand in the title."""
    lines = []
    for label, name, most in (
        ("Question", "question", 350),
        ("Reason", "reason", 350),
        ("Outcome", "outcome", 80),
        ("Explanation", "reasoning", 150),
        ("Error", "error", 200),
    ):
        limit = min(most, room - len(label) - 3)
        if limit > 0 and not _says(title, values[name]):
            lines.append(f"{label}: {clean(values[name], limit)}")
            room -= len(lines[-1]) + 1
    return lines


def _says(title: str, text: str) -> bool:
    """Return whether the words stand in a title as they are, not as a part of other words."""
    words = re.escape(text.casefold())
    return not text or re.search(rf"(?<!\w){words}(?!\w)", title.casefold()) is not None


def _fine_print(
    facts: MessageContext, values: Mapping[str, Any], title: str, time: str
) -> list[str]:
    lines = [clean(values["metadata_line"], 200), time]
    if facts.verdict is Verdict.APPLIED and values["waited"] and _lasts(facts.status):
        before = doing(facts.previous_status)
        lines.append(f"Before that, it was {before} for {values['waited']}.")
    if facts.gap:
        lines.append("Earlier updates are missing.")
    if POLLED in facts.flags:
        lines.append("We learnt of this by asking; no webhook came.")
    if "order_uncertain" in facts.flags:
        lines.append("The times of its updates do not tell for certain which came first.")
    if facts.verdict is not Verdict.APPLIED and values["event"]:
        sent_as = clean(values["event"], 60)
        lines.append(f"Id of that update: {clean(values['event_id'], 80)} (sent as {sent_as})")
    if values["execution_id"]:
        if not _says(title, values["agent_name"]):
            lines.append(f"Agent: {values['agent_name']}")
        lines.append(f"Execution: {values['execution_id']} · from {facts.source}")
    return lines


def _time_line(facts: MessageContext, now: int, zone: tzinfo, *, is_reminder: bool) -> str:
    """Write since when or at what time; the preface of a reminder says how long that is."""
    if facts.occurred_at is None:
        return ""
    if is_reminder:
        return f"Since {clock_time(facts.occurred_at, now, zone)}"
    time = time_and_distance(facts.occurred_at, now, zone)
    if facts.verdict is not Verdict.APPLIED:
        return f"Dated {time}"
    if facts.status is not None and facts.status.category is Category.TERMINAL:
        return f"At {time}"
    is_wait = _lasts(facts.status) and "(" in time
    return f"Waits since {time}" if is_wait else f"Since {time}"


def _lasts(status: Status | None) -> bool:
    """Return whether an execution in this status waits for people."""
    return status is not None and status.category in (Category.PAUSED, Category.AWAITING)
