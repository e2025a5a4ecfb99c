"""Alarms: what people read when telling itself fails, and when that is over. Pure.

The title says what does not work. The body says since when, why, how much waits, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, tzinfo

from receiver.alarms import Alarm, AlarmKind
from receiver.deliveries import Claim, DeadOriginal, Kind, Message, MessageContext, Severity
from receiver.events import Category, Verdict
from receiver.messages.follow_ups import thread_of
from receiver.messages.local_time import clock_time
from receiver.messages.notice import MAX_BODY, REPEAT
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.unapplied import MAX_TITLE, unapplied_sentence, unapplied_title
from receiver.messages.wording import takes_care
from receiver.times import span

# Why a webhook is refused, by the causes of `metrics.CAUSES`; and what to do about it.
_REFUSED = {
    "missing": "they carry no signature",
    "repeated": "they carry a signature header twice",
    "malformed": "their signature cannot be read",
    "wrong": "wrong signature",
    "expired": "their time is too far from ours",
    "no_key": "the source has no key",
    "secret_header": "the secret header is missing or wrong",
    "agent": "their agent is not on the list of the source",
}
_MEND_REFUSED = {
    "expired": "Check the clocks of the sender and of this machine.",
    "no_key": "Set its key in routes.yaml and restart.",
    "secret_header": "Compare the secret header at the sender with `secret_header` in routes.yaml.",
    "agent": "If the agent is yours, add it to `agents` in routes.yaml.",
}
_CHECK_KEYS = (
    "Compare the key or secret of the sender with `keys` in routes.yaml. If nobody has changed"
    " either, somebody else may be trying."
)

# What died, if it followed the first message.
_LATER = {
    Kind.REMINDER: " a reminder",
    Kind.ESCALATION: " an escalation",
    Kind.RESOLVED: " word of the end",
    Kind.DIGEST: " the list of what was silenced",
}


def alarm_message(claim: Claim, alarm: Alarm, now: int, zone: tzinfo = UTC) -> Message:
    """Write the message about an alarm or about its end, for a zone; `now` is nanoseconds."""
    is_over = claim.step > 0
    write = {
        AlarmKind.DESTINATION: _destination,
        AlarmKind.SOURCE_QUIET: _source_quiet,
        AlarmKind.RELOAD: _reload,
        AlarmKind.SIGNATURES: _signatures,
        AlarmKind.QUARANTINED: _set_aside,
        AlarmKind.WEBHOOKS_MISSED: _webhooks_missed,
    }[alarm.kind]
    end = alarm.ended_at or now
    if is_over and alarm.end_cause == "removed":
        title, lines = f"{alarm.about}: no longer watched", [_removed(alarm)]
    else:
        title, lines = write(alarm, is_over, end, lambda at: clock_time(at, now, zone))
    failure = alarm.kind in (AlarmKind.DESTINATION, AlarmKind.RELOAD, AlarmKind.SIGNATURES)
    severity = Severity.FAILURE if failure else Severity.WARNING
    message = _message(title, lines, Severity.SUCCESS if is_over else severity, repeat=claim.repeat)
    thread = thread_of("alarm", f"{alarm.id}/{alarm.kind}/{alarm.about}/{alarm.began_at}")
    return replace(message, thread=thread, kind=Kind.RESOLVED if is_over else Kind.NOTICE)


def dead_letter_message(claim: Claim, origin: DeadOriginal, about: str) -> Message:
    """Write the message about one that a destination did not get; `about` is the title of that."""
    lines = [
        f"{origin.destination} did not get a message, and it is not tried again.",
        f"Why: {clean(origin.reason, 400)}",
        *_execution_of(claim),
        *_end_of(claim, origin),
        _again(origin),
    ]
    title = f"{origin.destination} did not get{_which(claim, origin)}: {clean(about, MAX_TITLE)}"
    return _message(title, lines, Severity.FAILURE, repeat=claim.repeat)


def _which(claim: Claim, origin: DeadOriginal) -> str:
    """Say which message about it died, if not the first one."""
    if origin.kind is Kind.ACKNOWLEDGED:
        taken = claim.acknowledged
        return f" word that {takes_care(taken.by if taken else '', 80)}"
    return _LATER.get(origin.kind, "")


def _end_of(claim: Claim, origin: DeadOriginal) -> Iterator[str]:
    """Say where to look for the end of what goes on: those who got a message of it are told."""
    facts = claim.facts
    status = facts.execution_status or facts.status
    is_over = status is None or status.category is Category.TERMINAL
    if facts.execution_id is None or is_over or origin.kind is Kind.RESOLVED:
        return
    where = "open the link" if safe_link(facts.execution_url) else "ask the agent's platform"
    yield f"No word of its end follows this report: {where} to see how it goes on."


def _again(origin: DeadOriginal) -> str:
    """Say how to send the message again; others may follow it and are not reported for a while."""
    several = f"{origin.dead} messages that it did not get" if origin.dead > 1 else "it"
    alone = f"; this one alone: `receiver redeliver {origin.delivery}`" if origin.is_dead else ""
    return (
        f"Mend {origin.destination}, then send {several} again:"
        f" `receiver redeliver --destination {origin.destination}`{alone}"
    )


def _execution_of(claim: Claim) -> Iterator[str]:
    facts = claim.facts
    reason = facts.detail.get("reason")
    if isinstance(reason, str) and reason:
        yield f"Reason: {clean(reason, 300)}"
    if facts.execution_id is not None:
        yield f"Agent: {clean(facts.agent_name or facts.agent_id or 'An agent', 80)}"
        yield f"Execution: {clean(facts.execution_id)}"
    if link := safe_link(facts.execution_url):
        yield link


def _destination(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    name = alarm.about
    lasted = span(end - alarm.began_at)
    if not is_over:
        return f"{name} does not get its messages", [
            f"Nothing has arrived there since {local(alarm.began_at)}, for {lasted}.",
            f"Why: {clean(alarm.cause, 400)}",
            *(
                [f"{_messages(alarm.n)} for it. They are tried again by themselves."]
                * (alarm.n > 0)
            ),
            *_not_got(alarm),
            f"Check its address in routes.yaml and whether it is up: `receiver doctor`, and"
            f" `receiver deliveries --destination {name}`.",
        ]
    lines = [f"It got nothing for {lasted}, since {local(alarm.began_at)}."]
    if alarm.waiting:
        lines.append(f"{_messages(alarm.waiting)} for it, and {_go(alarm.waiting)} out now.")
    return f"{name} works again", [*lines, *_not_got(alarm)]


def _not_got(alarm: Alarm) -> Iterator[str]:
    """Say how many messages a destination did not get, and how to send them again."""
    if alarm.dead:
        yield (
            f"{alarm.dead} it did not get in that time, and they are not tried again. Send them"
            f" again: `receiver redeliver --destination {alarm.about}`"
        )


def _source_quiet(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    name = alarm.about
    lasted = span(end - alarm.began_at)
    if is_over:
        line = f"It had sent nothing for {lasted}, since {local(alarm.began_at)}."
        return f"{name} sends again", [line]
    if alarm.cause == "never":
        what = f"No webhook of it has come since we look out for it ({local(alarm.began_at)})."
    else:
        what = f"The last webhook of it came at {local(alarm.began_at)}."
    return f"{name} has sent nothing for {lasted}", [
        what,
        "Look whether agents ran in that time. If they did, check the webhook at the sender: its"
        " address, whether it is switched on, and what this address answered.",
    ]


def _reload(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    if is_over:
        line = f"The rules of before were in force for {span(end - alarm.began_at)}."
        return "routes.yaml was read again", [line]
    return "routes.yaml could not be read again", [
        f"Since {local(alarm.began_at)} it has an error, and the rules of before stay in force.",
        f"Why: {clean(alarm.cause, 400)}",
        "Mend it, see `receiver check`, and let it be read again.",
    ]


def _signatures(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    name = alarm.about
    if is_over:
        line = f"Many were refused from {local(alarm.began_at)}, for {span(end - alarm.began_at)}."
        return f"{name}: hardly any webhooks are refused any more", [line]
    why = _REFUSED.get(alarm.cause, "they prove nothing")
    return f"{alarm.n} webhooks of {name} were refused: {why}", [
        f"They came since {local(alarm.began_at)}. Nothing in them was believed or stored.",
        _MEND_REFUSED.get(alarm.cause, _CHECK_KEYS),
    ]


def _set_aside(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    name = alarm.source
    if is_over:
        line = f"The first came at {local(alarm.began_at)}; for a day there was no other."
        return f"{name}: all of its webhooks can be used again", [line]
    facts = MessageContext(name, Verdict.QUARANTINED, alarm.cause, alarm.began_at)
    came = f"{alarm.n} came since" if alarm.n > 1 else "It came at"
    return unapplied_title(facts), [f"{came} {local(alarm.began_at)}.", unapplied_sentence(facts)]


def _webhooks_missed(
    alarm: Alarm, is_over: bool, end: int, local: Callable[[int], str]
) -> tuple[str, list[str]]:
    name, since = alarm.about, local(alarm.began_at)
    if alarm.cause == "key":
        if is_over:
            return f"{name}: its provider answers us again", [f"It refused our key since {since}."]
        return f"{name}: its provider refuses our key", [
            f"Since {since} nobody asks it about executions of which no webhook comes. Webhooks"
            " that come are taken as before.",
            "Set a valid key as `api: {key: …}` of the source in routes.yaml, and let it be read"
            " again.",
        ]
    if is_over:
        line = f"From {since} on, changes came by no webhook; we learnt of them by asking."
        return f"{name}: webhooks come again", [line]
    return f"{name}: webhooks seem to be off", [
        f"{alarm.n} changes since {since} came by no webhook: we learnt of them late, by asking its"
        " provider.",
        "Look at the webhook settings of the agents there: the address, whether it is switched on,"
        " and for which events. `receiver events --source"
        f" {name}` lists what came.",
    ]


def _removed(alarm: Alarm) -> str:
    if alarm.kind is AlarmKind.SOURCE_QUIET:
        return "routes.yaml does not ask for its silence any more."
    if alarm.kind is AlarmKind.WEBHOOKS_MISSED:
        return "routes.yaml does not ask its provider any more."
    return "It is not in routes.yaml any more."


def _waiting(n: int) -> list[str]:
    return [_messages(n)] if n else []


def _messages(n: int) -> str:
    return "1 message waits" if n == 1 else f"{n} messages wait"


def _go(n: int) -> str:
    return "goes" if n == 1 else "go"


def _message(title: str, lines: list[str], severity: Severity, *, repeat: bool) -> Message:
    text = "\n".join([*([REPEAT] if repeat else []), *lines])
    return Message(clean(title, MAX_TITLE), clean(text, MAX_BODY, lines=True), severity=severity)
