"""Alarms: when people learn that telling fails, and which of them. Pure.

* A destination has an outage if nothing went to it for `warn_after` while something waited. It is
  over with the first message that arrives. After a start it is tried first.
* A source is quiet if no authentic webhook of it came for `quiet_after`. Time in which no process
  served does not count, nor does it for executions that are stuck. It is over with the next one.
* The rules could not be read again: over when they are.
* More than REFUSALS webhooks of a source were refused within REFUSALS_IN: over when they are fewer.
* More than MISSED changes of a source were learnt within an hour by asking alone, or its provider
  refuses our key: over when neither is so.
* A webhook was set aside: once for each source and reason, until a day went by without another.

Routes with `alarm` name the destinations to tell, never the one that fails. If none of those works,
the others that work are told as well; if none of them works either, whoever comes back first. An
alarm that nobody could be told of goes to the next ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from receiver.alarms import Alarm, AlarmKind
from receiver.config.rules import Rules
from receiver.deliveries import State
from receiver.destinations.destination import Destination
from receiver.dispatch.presence import Observation, Serving, quiet_from, serving
from receiver.events import Verdict
from receiver.routing.conditions import Subject
from receiver.routing.routes import decide
from receiver.store.records import FailingDestination, Watched
from receiver.times import SECOND

# The route name in messages that no configured route asks for.
UNWRITTEN = "alarms"
DAY = 24 * 3600 * SECOND
REFUSALS, REFUSALS_IN = 10, 300 * SECOND
MISSED, MISSED_IN = 3, 3600 * SECOND
# After a start a destination has the time of an attempt and this much before people are told.
TRIED_WITHIN = 5 * SECOND
# A destination that has just begun to fail still gets word of an alarm soon, more often than not.
PATIENCE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Starving:
    """Something waits for a failing destination since then; None: nothing does any more."""

    destination: str
    since: int | None


@dataclass(frozen=True, slots=True)
class Raised:
    """A new alarm, or one that nobody could be told of; and whom to tell, by which route."""

    alarm: Alarm
    routes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """An alarm that is over; `cause` says how, if not by itself."""

    alarm: Alarm
    cause: str = ""


Change = Starving | Serving | Raised | Ended


def changes(watched: Watched, seen: Observation) -> list[Change]:
    """Decide what has begun or is over since the last look."""
    is_open = {(alarm.kind, alarm.about) for alarm in watched.alarms}
    over = [Ended(alarm, cause) for alarm in watched.alarms
            if (cause := _over(alarm, watched, seen)) is not None]  # fmt: skip
    ended = {each.alarm.id for each in over}
    untold = [alarm for alarm in watched.alarms if alarm.id not in ended]
    return [
        *_starving(watched, seen),
        *serving(watched, seen),
        *over,
        *(
            Raised(alarm, recipients(alarm, watched, seen.rules, told))
            for alarm, told in _begun(watched, seen)
            if (alarm.kind, alarm.about) not in is_open
        ),
        *(each for alarm in untold if (each := _told_again(alarm, watched, seen)).routes),
    ]


def recipients(
    alarm: Alarm, watched: Watched, rules: Rules, told: Collection[str] = ()
) -> dict[str, str]:
    """Return the destinations to tell of an alarm, each with its route.

    `told` got a message about the same thing already.
    """
    tried = watched.told.get(alarm.id, {})
    failing = {alarm.about} if alarm.kind is AlarmKind.DESTINATION else set[str]()
    subject = Subject(alarm.source, Verdict.APPLIED, alarm=alarm.kind.value)
    routed = {
        name: decision.route.name
        for decision in decide(rules.routes, subject)
        for name in decision.destinations
        if name not in failing
    }
    if told:
        return {name: route for name, route in routed.items() if name not in told}
    others = [name for name in rules.destinations if name not in failing]
    working = [
        name
        for name in others
        if name not in watched.failing and tried.get(name) != State.DEAD.value
    ]
    if not any(name in working for name in routed):
        routed = dict.fromkeys(working or others, UNWRITTEN) | routed
    return {name: route for name, route in routed.items() if name not in tried}


def _told_again(alarm: Alarm, watched: Watched, seen: Observation) -> Raised:
    """Return whom else to tell of an open alarm; nobody, if it has reached or can reach people."""
    told = watched.told.get(alarm.id, {})
    reaches = [
        name
        for name, state in told.items()
        if state in (State.SENT, State.SENDING)
        or (state == State.WAITING and not _fails_for_long(watched, name, seen.now))
    ]
    # Without a delivery, a message of another kind told people of what was set aside.
    if reaches or (not told and alarm.kind is AlarmKind.QUARANTINED):
        return Raised(alarm, {})
    return Raised(alarm, recipients(alarm, watched, seen.rules))


def _fails_for_long(watched: Watched, destination: str, now: int) -> bool:
    failing = watched.failing.get(destination)
    return failing is not None and now - failing.failing_since >= PATIENCE


def _begun(watched: Watched, seen: Observation) -> Iterator[tuple[Alarm, Collection[str]]]:
    """Yield all alarms that may be open now, and who was told of the same thing already."""
    rules, now = seen.rules, seen.now
    for name, destination in rules.destinations.items():
        failing = watched.failing.get(name)
        if failing is not None and _is_outage(failing, destination, seen):
            since, why = _starving_since(failing) or now, failing.last_failure
            yield Alarm(AlarmKind.DESTINATION, name, since, now, why), ()
    for name, source in rules.sources.items():
        heard = watched.sources.get(name)
        if source.quiet_after is None or heard is None:
            continue
        silent_from = quiet_from(heard, seen)
        if silent_from + int(source.quiet_after * SECOND) <= now:
            since = silent_from if heard.heard_at is None else heard.heard_at
            why = "never" if heard.heard_at is None else "silent"
            yield Alarm(AlarmKind.SOURCE_QUIET, name, since, now, why), ()
    if seen.failed is not None:
        yield Alarm(AlarmKind.RELOAD, "", seen.failed.at, now, seen.failed.problem), ()
    for name, refused in seen.refused.items():
        if name in rules.sources and refused.n > REFUSALS:
            alarm = Alarm(AlarmKind.SIGNATURES, name, refused.since, now, refused.cause, refused.n)
            yield alarm, ()
    for name, missed in seen.missed.items():
        if name in rules.sources and (missed.is_refused or missed.n > MISSED):
            why = "key" if missed.is_refused else "asked"
            since = min(missed.since, now)
            yield Alarm(AlarmKind.WEBHOOKS_MISSED, name, since, now, why, missed.n), ()
    for each in watched.set_aside:
        first_at = min(each.first_at, now)
        yield (
            Alarm(AlarmKind.QUARANTINED, each.about, first_at, now, each.reason, each.n),
            each.told,
        )


def _over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    """Return how an alarm has ended, empty if by itself; None: it lasts."""
    over = {
        AlarmKind.DESTINATION: _destination_over,
        AlarmKind.SOURCE_QUIET: _quiet_over,
        AlarmKind.RELOAD: _reload_over,
        AlarmKind.SIGNATURES: _signatures_over,
        AlarmKind.QUARANTINED: _set_aside_over,
        AlarmKind.WEBHOOKS_MISSED: _missed_over,
    }
    return over[alarm.kind](alarm, watched, seen)


def _destination_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    if alarm.about not in seen.rules.destinations:
        return "removed"
    failing = watched.failing.get(alarm.about)
    # It may have worked and failed again since the last look.
    return "" if failing is None or failing.failing_since > alarm.raised_at else None


def _quiet_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    source = seen.rules.sources.get(alarm.about)
    if source is None or source.quiet_after is None:
        return "removed"
    heard = watched.sources.get(alarm.about)
    is_heard = heard is not None and (heard.heard_at or 0) > alarm.began_at
    return "" if is_heard else None


def _reload_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    return "" if seen.failed is None else None


def _signatures_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    if alarm.about not in seen.rules.sources:
        return "removed"
    # After a start nobody knows how many were refused before it.
    if seen.now - seen.since < REFUSALS_IN:
        return None
    refused = seen.refused.get(alarm.about)
    return "" if refused is None or refused.n <= REFUSALS else None


def _set_aside_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    return None if any(each.about == alarm.about for each in watched.set_aside) else ""


def _missed_over(alarm: Alarm, watched: Watched, seen: Observation) -> str | None:
    source = seen.rules.sources.get(alarm.about)
    if source is None or source.reconcile is None:
        return "removed"
    missed = seen.missed.get(alarm.about)
    lasts = missed is not None and (missed.is_refused or missed.n > MISSED)
    return None if lasts else ""


def _starving(watched: Watched, seen: Observation) -> Iterator[Starving]:
    for name, failing in watched.failing.items():
        since = _starving_since(failing)
        if since != failing.starving_since:
            yield Starving(name, since)


def _starving_since(failing: FailingDestination) -> int | None:
    """Return since when something has waited and nothing went; None: nothing waits."""
    if failing.waits_since is None:
        return None
    # Before its first failure the message waited for its turn, or for a process to send it.
    return failing.starving_since or max(failing.waits_since, failing.failing_since)


def _is_outage(failing: FailingDestination, destination: Destination, seen: Observation) -> bool:
    since = _starving_since(failing)
    if since is None or since + int(destination.warn_after * SECOND) > seen.now:
        return False
    tried_by = seen.since + int(destination.timeout * SECOND) + TRIED_WITHIN
    return failing.failed_at >= seen.since or seen.now >= tried_by
