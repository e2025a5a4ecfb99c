"""Episodes: what is planned next for an execution while it stays in a status. Pure.

It follows from the episode (since when, what was told to whom and when, whether somebody took it)
and the routes in force. So a reload, a start or the death of a message changes plans, and never
ends them for good.

* Whom a route told it reminds: `every` so long after the last message that was sent, or given up,
  or kept back by a silence.
* Escalations and words about stuck executions have times that do not hang on what was told.
* What is planned is compared with what waits (`changes`). What should have gone meanwhile goes at
  once, and once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from receiver.deliveries import Kind, State
from receiver.events import Status
from receiver.routing.conditions import Subject
from receiver.routing.differences import compared
from receiver.routing.escalations import Later, escalations, watchers
from receiver.routing.planned import Changes, Episode, Plan, Told, later_key
from receiver.routing.policy import ESCALATIONS, group_key
from receiver.routing.routes import Reminders, Route, decide


def changes(episode: Episode, routes: Sequence[Route], now: int) -> Changes:
    """Return how what waits about an episode differs from what the routes ask for."""
    if episode.taken_by:
        why = f"acknowledged by {episode.taken_by}"
        return Changes(ended=tuple((m.number, why) for m in episode.messages if m.is_plan))
    return compared(episode.messages, list(_plans(episode, routes, now)))


def _plans(episode: Episode, routes: Sequence[Route], now: int) -> Iterator[Plan]:
    telling = [each.route for each in decide(routes, episode.subject) if not each.why_not]
    watching = [route for route in routes if is_watched(route, episode.status, episode.subject)]
    for route in (*telling, *watching):
        yield from _reminders(episode, route, now)
    begun = [route for route in telling if _has_begun(episode, route)]
    for later in escalations(begun):
        yield _escalation(episode, later)
    yield from _if_stuck(episode, watching, {route.name for route in routes})


def is_watched(route: Route, status: Status, subject: Subject) -> bool:
    """Return whether a route tells of executions with this status of which nothing is heard."""
    return route.stuck is not None and status in route.stuck.statuses and not route.unmet(subject)


def _has_begun(episode: Episode, route: Route) -> bool:
    """Return whether somebody was owed word of the episode by this route.

    A route that is new does not begin to tell of what began before it. One whose destinations all
    heard from routes above it has escalations alone.
    """
    return any(
        (each.is_first or each.kind is Kind.ESCALATION) and each.route == route.name
        for each in episode.messages
    )


def _escalation(episode: Episode, escalation: Later) -> Plan:
    route, destination = escalation.route, escalation.destination
    key = group_key(route, episode.subject)
    return Plan(
        Kind.ESCALATION,
        route.name,
        destination,
        escalation.place,
        episode.begun_at,
        episode.begun_at + escalation.after,
        _key("escalation", episode, destination, route, escalation.number),
        f"{key}{ESCALATIONS}" if key and route.group_at(destination) else None,
    )


def _if_stuck(
    episode: Episode, watching: Sequence[Route], names: AbstractSet[str]
) -> Iterator[Plan]:
    """Yield words in case nothing is heard.

    A route does not begin anew if people heard of it from one that is gone, or that told them in
    its place.
    """
    asked = list(watchers(watching))
    telling = {(route.name, destination) for route, _, destination in asked}
    told = [m for m in episode.messages if m.is_stuck and (m.is_told or m.is_on_its_way)]
    afters = {route.name: route.stuck.after for route in watching if route.stuck is not None}
    for route, stuck, destination in asked:
        if any(
            m.destination == destination
            and m.route != route.name
            and (
                m.route not in names
                or ((m.route, destination) not in telling and afters.get(m.route) == stuck.after)
            )
            for m in told
        ):
            continue
        group = route.group_at(destination)
        yield Plan(
            Kind.NOTICE,
            route.name,
            destination,
            0,
            episode.heard_at,
            episode.heard_at + stuck.after,
            _key("stuck", episode, destination, route, 1),
            group_key(route, episode.subject) if group else None,
            group.wait if group else 0,
            is_if_silent=True,
        )


def _key(kind: str, episode: Episode, destination: str, route: Route, step: int) -> str:
    return later_key(kind, episode.source, destination, episode.event_id, route.name, step)


def _reminders(episode: Episode, route: Route, now: int) -> Iterator[Plan]:
    """Yield the next reminder of each destination that the route told.

    Who got a message instead of another destination is reminded while the route names that one.
    """
    if route.remind is None:
        return
    chains: dict[str, list[Told]] = {}
    for told in episode.messages:
        if told.route == route.name and (told.is_first or told.kind is Kind.REMINDER):
            chains.setdefault(told.destination, []).append(told)
    for destination, messages in chains.items():
        if destination in route.notify or any(m.instead_of in route.notify for m in messages):
            yield from _next_reminder(episode, route, route.remind, messages, now)


def _next_reminder(
    episode: Episode, route: Route, remind: Reminders, messages: Sequence[Told], now: int
) -> Iterator[Plan]:
    """Yield the next reminder, unless the first message is still owed or one is on its way."""
    reminders = [each for each in messages if each.kind is Kind.REMINDER]
    done = [
        m
        for m in messages
        if m.is_given_up or (m.is_told and not _waits_again(m, episode, route, now))
    ]
    if any(each.is_on_its_way for each in reminders) or not any(each.is_first for each in done):
        return
    ended = [*done, *(each for each in reminders if each.state is State.DEAD)]
    last = max(ended, key=lambda each: (each.step, each.number))
    # Nobody got a reminder that died or that a silence kept back: the next one has its number.
    again = last.step > 0 and last.state is not State.SENT
    step = last.step + (0 if again else 1)
    if remind.at_most is not None and step > remind.at_most:
        return
    key = _key("reminder", episode, last.destination, route, step)
    told_at = max(each.at for each in ended)
    since = min(told_at, now)
    planned_at = since + remind.every
    again_at = episode.heard_at + route.stuck.after if route.stuck is not None else planned_at
    key = f"{key}/{last.number}" if again else key
    yield Plan(
        Kind.REMINDER, route.name, last.destination, step, since, max(planned_at, again_at), key,
        last.group_key, is_if_silent=again_at > planned_at, is_vague=told_at > now,
    )  # fmt: skip


def _waits_again(told: Told, episode: Episode, route: Route, now: int) -> bool:
    """Return whether a silence kept back word that nothing is heard, and something was since."""
    is_kept_back = told.is_silenced and not told.is_listed and told.is_stuck
    return is_kept_back and route.stuck is not None and episode.heard_at + route.stuck.after > now
