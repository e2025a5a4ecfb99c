"""Text of an explanation, and of the story of an execution, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from receiver.deliveries import PRINTED
from receiver.events import NOBODY
from receiver.intake.explain_stored import in_list, is_stopped
from receiver.lifecycle import RULES
from receiver.times import ago, parse_time


def as_text(explanation: Mapping[str, Any]) -> str:
    """Write the result of `explain` as text."""
    status = explanation["execution_status"] or "not known yet"
    lines = [
        f"event      {explanation['event']} ({explanation['event_id']})",
        f"execution  {explanation['execution_id']}: {status}",
        f"verdict    {_verdict(explanation)}",
    ]
    if explanation["held_until"]:
        missing = " or ".join(explanation["missing"])
        lines.append(f"           {missing} is missing; given up at {explanation['held_until']}")
    lines += _consequences(explanation)
    for settled in explanation["settles"]:
        lines += [
            "",
            f"settles    {settled['event_id']} ({settled['status']}), which was held:"
            f" {_verdict(settled)}",
            *_consequences(settled),
        ]
    lines += _messages(explanation["messages"])
    if explanation["asks"]:
        lines += ["", "Asks its provider, while no webhook comes:"]
        lines += [f"  {each}" for each in explanation["asks"]]
    return "\n".join(lines)


def _messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """List the messages that would follow, and when."""
    if messages:
        yield ""
        yield "Messages, if nothing else happens:"
    for message in messages:
        when = "never" if message["why_not"] else "now" if message["is_now"] else message["at"]
        about = f"{message['kind']} to {message['destination']}, route {message['route']!r}"
        yield f"  {when}: {about}: {message['why_not'] or message['title']}"


def _verdict(judged: Mapping[str, Any]) -> str:
    if judged["verdict"] is None:
        return f"none: {judged['rule']}"
    return f"{judged['verdict']} ({judged['reason']}): {judged['rule']}"


def _consequences(judged: Mapping[str, Any]) -> Iterator[str]:
    if judged["silenced"]:
        yield f"silence    {judged['silenced']}"
    for route in judged["routes"]:
        yield ""
        yield from _route_lines(route)


def _route_lines(route: Mapping[str, Any]) -> Iterator[str]:
    name = f"route {route['name']!r}"
    if route["why_not"]:
        yield f"{name} does not match: {route['why_not']}"
        return
    if route["if_stuck"]:
        yield f"{name} {route['if_stuck']}"
    else:
        to = ", ".join(route["destinations"]) or _nobody(route)
        yield f"{name} tells {to}:"
        yield f"  {route['title']}"
        for line in route["body"].splitlines():
            yield f"  {line}"
    for sentence in route["then"]:
        yield f"  → {sentence}"


def _nobody(route: Mapping[str, Any]) -> str:
    return "nobody" if route["then"] else "nobody new: earlier routes told them already"


def story_text(
    story: Mapping[str, Any],
    quarantined: Sequence[Mapping[str, Any]],
    waits: Mapping[int, str],
    now: int,
) -> Iterator[str]:
    """Write the story of an execution: its events, who was told, and why nobody was.

    `story` is the document of the API, `waits` says why deliveries wait, by their numbers.
    """
    yield from _heading(story["execution"], now)
    yield ""
    yield "Events, as they came:"
    for event in story["events"]:
        yield from event_text(event, story["deliveries"], waits, now)
    if quarantined:
        yield ""
        yield "In quarantine; they change nothing:"
    for event in quarantined:
        yield from event_text(event, (), waits, now)
    yield from messages_text(story["deliveries"], waits, now)
    if story["acts"]:
        yield ""
        yield "What people did with it at the provider:"
    for act in story["acts"]:
        yield f"  {_age(act['at'], now)}  {act['text']}"


def event_text(
    event: Mapping[str, Any],
    deliveries: Sequence[Mapping[str, Any]],
    waits: Mapping[int, str],
    now: int,
    *,
    every_route: bool = False,
) -> Iterator[str]:
    """Write an event with its verdicts and who was told; else, for each route, why nobody was.

    With `every_route` it says of all routes what they do.
    """
    when = _age(event["received_at"], now)
    verdicts = ", then ".join(f"{step['verdict']} ({step['reason']})" for step in event["steps"])
    yield f"  #{event['seq']}  {when}  {event['event'] or 'cannot be read'}: {verdicts}"
    yield f"      {RULES[event['verdict'], event['reason']]}"
    happened = event["occurred_at"]
    if happened is not None and _age(happened, now) != when:
        yield f"      it happened {_age(happened, now)}"
    for name in ("problem", "reason", "outcome", "question"):
        if isinstance(event["detail"].get(name), str):
            yield f"      {name}: {event['detail'][name]}"
    if event["times"] > 1:
        yield f"      it came {event['times']} times"
    own = [each for each in deliveries if each["event_seq"] == event["seq"]]
    routes = event.get("routes")
    listed = [each for each in own if in_list(each)]
    is_told = bool(listed) or any(each["state"] == "sent" for each in own)
    yield from _in_lists(listed, now)
    if not is_told:
        waiting = any(each["state"] in ("waiting", "sending") for each in own)
        yield "      nobody was told yet" if waiting else "      nobody was told"
    if routes is not None:
        yield from _matching(routes, {each["id"]: each for each in own}, waits, now)
        yield from _not_matching(routes, only_stopped=is_told and not every_route)


def _in_lists(deliveries: Sequence[Mapping[str, Any]], now: int) -> Iterator[str]:
    """Say who was told by a list, each destination once."""
    told = {each["instead"] or each["destination"]: each for each in deliveries}
    for destination, each in told.items():
        if (arrived := in_list(each)) is not None:
            printed = " (printed only)" if arrived["detail"].startswith(PRINTED) else ""
            yield f"      {destination} got it in a list {_age(arrived['at'], now)}{printed}"


def messages_text(
    deliveries: Sequence[Mapping[str, Any]], waits: Mapping[int, str], now: int
) -> Iterator[str]:
    """Write deliveries with their attempts."""
    yield ""
    yield "Messages:" if deliveries else "There are no messages about it."
    for each in deliveries:
        step = f" {each['step']}" if each["kind"] in ("reminder", "escalation") else ""
        yield (
            f"  {each['id']}  {each['kind']}{step} to {each['destination']}, route"
            f" {each['route']!r}: {_state(each, waits, now)}"
        )
        if len(each["attempts"]) > 1 or any(attempt["detail"] for attempt in each["attempts"]):
            for attempt in each["attempts"]:
                detail = f": {attempt['detail']}" if attempt["detail"] else ""
                yield f"      {_age(attempt['at'], now)}: {attempt['outcome']}{detail}"


def _heading(execution: Mapping[str, Any], now: int) -> Iterator[str]:
    names = [execution["agent_name"], execution["agent_id"]]
    name, *ids = [name for name in names if name] or ["not said"]
    yield f"execution  {execution['source']}/{execution['execution_id']}"
    yield f"status     {execution['status']}, since {_age(execution['since'], now)}"
    yield f"agent      {name}" + "".join(f" ({each})" for each in ids)
    if execution["execution_url"]:
        yield f"link       {execution['execution_url']}"
    if execution["gap"]:
        yield "gap        an update between its events never came"
    if (taken := execution["acknowledged"]) is not None:
        how = "taken      by " + taken["by"]
        if taken["by"] == NOBODY:
            how = "ended      unseen: its provider no longer knows it"
        yield f"{how}, {_age(taken['at'], now)}"


def _matching(
    routes: Sequence[Mapping[str, Any]],
    deliveries: Mapping[int, Mapping[str, Any]],
    waits: Mapping[int, str],
    now: int,
) -> Iterator[str]:
    for route in routes:
        if not route["why_not"] and not route["destinations"]:
            yield f"      - {route['name']}: it matches, and tells nobody"
        for each in route["destinations"]:
            delivery = deliveries.get(each["delivery"])
            became = _state(delivery, waits, now) if delivery is not None else each["why"]
            yield f"      - {route['name']}, to {each['destination']}: {became}"


def _not_matching(routes: Sequence[Mapping[str, Any]], *, only_stopped: bool) -> Iterator[str]:
    """Write the routes that do not match; those with the same reason together.

    With `only_stopped` only those that were not asked, because a route above them stops.
    """
    by_reason: dict[str, list[str]] = {}
    for route in routes:
        if route["why_not"] and (is_stopped(route["why_not"]) or not only_stopped):
            by_reason.setdefault(route["why_not"], []).append(route["name"])
    for why_not, names in by_reason.items():
        yield f"      - not by {', '.join(names)}: {why_not}"


def _state(delivery: Mapping[str, Any], waits: Mapping[int, str], now: int) -> str:
    """Say what became of a message."""
    state, reason = delivery["state"], delivery["reason"]
    attempts = delivery["attempts"]
    if state == "waiting":
        wait = waits.get(delivery["id"], "")
        return f"waits ({wait})" + (f": {reason}" if reason else "")
    if state == "sent":
        after = f" at attempt {len(attempts)}" if len(attempts) > 1 else ""
        together = delivery["digest"] not in (None, delivery["id"])
        digest = f", together with message {delivery['digest']}" if together else ""
        return f"sent {_age(attempts[-1]['at'], now)}{after}{digest}" if attempts else "sent"
    if state == "superseded":
        return f"not sent: {reason}"
    return f"dead: {reason}" if state == "dead" else "being sent"


def _age(text: str, now: int) -> str:
    return ago(parse_time(text), now)
