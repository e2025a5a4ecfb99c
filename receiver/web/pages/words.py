"""Words of the pages: verdicts, states, kinds and flags as people say them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from receiver.audit import Act, Door
from receiver.deliveries import PRINTED, Kind, State
from receiver.events import Status, Verdict
from receiver.intake.explain_stored import in_list
from receiver.messages.wording import DOING

VERDICTS: Mapping[str, str] = {
    Verdict.APPLIED: "counted",
    Verdict.HELD: "waits for an earlier update",
    Verdict.DUPLICATE: "seen before",
    Verdict.STALE: "too late to count",
    Verdict.REJECTED: "rejected, does not count",
    Verdict.IGNORED: "says nothing about the status",
    Verdict.QUARANTINED: "cannot be used, set aside",
}
STATUSES: Mapping[str, str] = {
    **{status: f"{status}" for status in Status},
    Status.PAUSED: "paused by a person",
    Status.PAUSED_BY_AGENT: "waits for an answer",
    Status.AWAITING_CONFIRMATION: "waits for confirmation",
}
# What an execution does, after the name of its agent.
WAITS: Mapping[str, str] = {
    Status.STARTING: "is starting, and no news came",
    Status.RUNNING: "is running, and no news came",
    Status.PAUSED: "is paused",
    Status.PAUSED_BY_AGENT: "waits for an answer",
    Status.AWAITING_CONFIRMATION: "waits for confirmation",
}
# The tone of a badge, besides its words.
TONES: Mapping[str, str] = {
    Status.STARTING: "going",
    Status.RUNNING: "going",
    Status.PAUSED: "waiting",
    Status.PAUSED_BY_AGENT: "waiting",
    Status.AWAITING_CONFIRMATION: "waiting",
    Status.COMPLETED: "good",
    Status.FAILED: "bad",
    Status.CANCELLED: "over",
    Verdict.APPLIED: "good",
    Verdict.HELD: "waiting",
    Verdict.REJECTED: "bad",
    Verdict.QUARANTINED: "bad",
    State.WAITING: "waiting",
    State.SENDING: "going",
    State.SENT: "good",
    State.DEAD: "bad",
}
STATES: Mapping[str, str] = {
    State.WAITING: "waits",
    State.SENDING: "is being sent",
    State.SENT: "sent",
    State.SUPERSEDED: "not sent",
    State.DEAD: "given up",
}
KINDS: Mapping[str, str] = {
    Kind.NOTICE: "message",
    Kind.REMINDER: "reminder",
    Kind.ESCALATION: "escalation",
    Kind.ACKNOWLEDGED: "word of who takes it",
    Kind.RESOLVED: "word that it is over",
    Kind.DIGEST: "list of what a silence kept back",
    Kind.FALLBACK: "fall-back for another destination",
    Kind.ALARM: "alarm",
}
ACTS: Mapping[str, str] = {
    Act.TAKE: "took",
    Act.RESUME: "asked to resume",
    Act.CANCEL: "asked to cancel",
    Act.PAUSE: "asked to pause",
    Act.REDELIVER: "sent again",
    Act.SILENCE: "added silence",
    Act.END_SILENCE: "ended silence",
    Act.TEST: "sent a test to",
    Act.RELOAD: "reloaded the rules",
    Act.RENAME: "renamed",
    Act.SIGN_IN: "signed in",
    Act.SIGN_IN_REFUSED: "tried a wrong token",
    Act.SIGN_OUT: "signed out",
}
DOORS: Mapping[str, str] = {
    Door.COMMAND: "by a command",
    Door.API: "through the API",
    Door.PAGE: "on a page",
    Door.LINK: "by a message’s link",
    Door.SIGNAL: "by a signal",
}
FLAGS: Mapping[str, str] = {
    "gap": "an update before it never came",
    "healed": "put in order later",
    "late": "came more than 5 min after it happened",
    "polled": "learnt by asking the provider; no webhook came",
    "order_uncertain": "its place in the order is uncertain",
    "assumed": "who paused it is a guess",
}
CATEGORIES: Mapping[str, str] = {
    "processing": "at work",
    "paused": "paused",
    "awaiting": "waits for confirmation",
    "terminal": "ended",
}
OUTCOMES: Mapping[str, str] = {
    "delivered": "arrived",
    "failed": "failed",
    "uncertain": "nobody knows whether it arrived",
}
# Why a webhook was refused, in the words of a sentence: “3 times …”.
CAUSES: Mapping[str, str] = {
    "missing": "no signature",
    "repeated": "a signature header twice",
    "malformed": "a signature that cannot be read",
    "wrong": "a wrong signature",
    "expired": "a signature that is too old",
    "no_key": "no key is set for the source",
    "secret_header": "a missing or wrong secret header",
    "agent": "an agent that is not on the list",
}
ALARMS: Mapping[str, str] = {
    "destination": "A destination does not get its messages",
    "source_quiet": "A source is silent",
    "reload": "The rules could not be read again",
    "signatures": "Webhooks without proof were refused",
    "quarantined": "Webhooks were set aside",
}


# What a silence is made of, as the fields of its form are called.
SILENCE_FIELDS: Mapping[str, str] = {
    "for or until": "For how long",
    "for": "For how long",
    "until": "For how long",
    "from": "From",
    "reason and by": "Why and Your name",
    "reason": "Why",
    "by": "Your name",
}
# Updates that do not count, which only a route with their verdict tells of.
UNCOUNTED: Mapping[str, str] = {
    Verdict.HELD: "updates that wait",
    Verdict.STALE: "late updates",
    Verdict.REJECTED: "rejected updates",
    Verdict.QUARANTINED: "updates that were set aside",
}
_MOMENTS = ("reminder", "planned: escalation")
_NO_LONGER = re.compile(
    r"no longer (?P<before>\w+): now (?P<after>\w+)(?P<again> again)?(?P<more>;.*)?"
)
_UNASKED = re.compile(r"verdict is (held|stale|rejected|quarantined), not applied")
_OTHER = re.compile(r"verdict is ([a-z]+), not ([a-z, ]+)")
# The statuses whose names are no words.
_CODES = re.compile(r"\b(?:awaiting_confirmation|paused_by_agent)\b")
_NO_CONDITION = "Say what is silenced: choose a source, an agent or a status, or write a condition."


def in_form(problem: str) -> str:
    """Return a problem of a silence in the words of its form."""
    place, _, text = problem.partition(": ")
    if place == "match" and text.startswith("say "):
        return _NO_CONDITION
    if place.startswith("--match"):
        return f"Other conditions: {place.removeprefix('--match ')}: {text}"
    return f"{SILENCE_FIELDS.get(place, place)}: {text}" if text else problem


def counted(number: int, thing: str) -> str:
    """Return a number of things: “1 message”, “2,000 messages”."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def joint(wait: str | None) -> str:
    """Return the word between the reason for a wait and a time: until then, or at that moment."""
    is_moment = (wait or "").endswith("next try") or (wait or "").startswith(_MOMENTS)
    return " at" if is_moment else " until"


def plain(text: str | None) -> str:
    """Return a reason with the statuses as people say them."""
    text = text or ""
    if match := _NO_LONGER.fullmatch(text):
        before, after, again = match["before"], match["after"], match["again"] or ""
        if before in DOING and after in DOING:
            return (
                f"it was no longer {doing(before)}: by then it was {doing(after)}{again}"
                f"{match['more'] or ''}"
            )
    if verdict := unasked(text):
        return f"it does not ask for {UNCOUNTED[verdict]} (verdict: {verdict})"
    if match := _OTHER.fullmatch(text):
        this = "counts" if match[1] == Verdict.APPLIED else f"was {match[1]}"
        return f"it tells only of what was {match[2].replace(', ', ' or ')}, and this {this}"
    return _CODES.sub(lambda code: DOING[Status(code[0])], text)


def doing(status: str) -> str:
    """Describe what an execution does, as the end of “it is …”."""
    return DOING[Status(status)]


def unasked(why_not: str) -> str | None:
    """Return the verdict of an update that a route does not ask for; None: it is another reason."""
    match = _UNASKED.fullmatch(why_not)
    return None if match is None else match[1]


def by_reason(routes: Iterable[Mapping[str, Any]]) -> Mapping[str, list[str]]:
    """Return why routes do not apply, each with their names, in the order of the routes."""
    found: dict[str, list[str]] = {}
    for route in routes:
        found.setdefault(route["why_not"], []).append(route["name"])
    return found


def is_printed(delivery: Mapping[str, Any]) -> bool:
    """Return whether a console got the message or its list: nobody as far as we know."""
    attempts, arrived = delivery["attempts"], in_list(delivery)
    if delivery["state"] == State.SENT and attempts:
        arrived = attempts[-1]
    return arrived is not None and arrived["detail"].startswith(PRINTED)
