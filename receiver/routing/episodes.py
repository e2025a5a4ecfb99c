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

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from receiver.deliveries import Kind, State
from receiver.events import Status
from receiver.routing.conditions import Subject
from receiver.routing.policy import ESCALATIONS, group_key
from receiver.routing.routes import Reminders, Route, decide

# The reason why a plan is superseded that no rule asks for any more.
NOT_ASKED = "no rule asks for it any more"


def not_asked_if_stuck(route: str) -> str:
    """Return the same for words about what is stuck."""
    return f"no route {route} asks for what is stuck any more"


@dataclass(frozen=True, slots=True)
class Told:
    """A stored delivery about an episode. Times are nanoseconds.

    `at` is when it was sent, given up or kept back, or is due. `fell_from` is the kind of the dead
    delivery that a fall-back repeats. `is_stuck`: it says that nothing is heard. `is_silenced`: a
    silence kept it back. `is_tried`: an attempt was made.
    """

    number: int
    key: str
    kind: Kind
    state: State
    route: str
    destination: str
    step: int
    planned_at: int
    at: int
    group_key: str | None = None
    fell_from: Kind | None = None
    is_stuck: bool = False
    is_silenced: bool = False
    is_tried: bool = False
    reason: str = ""

    @property
    def is_plan(self) -> bool:
        """Whether it waits, was never tried, and is owed only if the episode lasts."""
        follows = self.kind in (Kind.REMINDER, Kind.ESCALATION) or self.is_stuck
        return follows and self.state is State.WAITING and not self.is_tried

    @property
    def why_ended(self) -> str:
        """The reason why it is superseded if no rule asks for it any more."""
        return not_asked_if_stuck(self.route) if self.is_stuck else NOT_ASKED

    @property
    def is_on_its_way(self) -> bool:
        """Whether it is being sent, or is tried again."""
        return self.state is State.SENDING or (self.state is State.WAITING and self.is_tried)

    @property
    def is_told(self) -> bool:
        """Whether people were told, or would have been without a silence."""
        return self.state is State.SENT or self.is_silenced

    @property
    def is_first(self) -> bool:
        """Whether it is the first message of its route to its destination."""
        if self.kind is Kind.FALLBACK:
            return self.fell_from in (Kind.NOTICE, Kind.FALLBACK)
        return self.kind is Kind.NOTICE and self.fell_from is None


@dataclass(frozen=True, slots=True)
class Episode:
    """A stay of an execution in a status since `begun_at` (ns), and all messages about it.

    The number of the `event` that began it; the last event came at `heard_at`. `taken_by` somebody.
    """

    source: str
    execution_id: str
    version: int
    status: Status
    event: int
    event_id: str
    begun_at: int
    heard_at: int
    subject: Subject
    taken_by: str = ""
    messages: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A message that is owed at `planned_at` (ns) if the episode lasts until then.

    With `is_if_silent` also only if nothing is heard: it is put off when it is due. If the time
    `is_vague`, because the clock was set back, what waits already keeps its own.
    """

    kind: Kind
    route: str
    destination: str
    step: int
    planned_at: int
    key: str
    group_key: str | None = None
    gathers: int = 0
    is_if_silent: bool = False
    is_vague: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between what is planned and what waits.

    `moved` have the number of a stored delivery; `ended` those that no rule asks for, and why.
    """

    added: tuple[Plan, ...] = ()
    moved: tuple[tuple[int, Plan], ...] = ()
    ended: tuple[tuple[int, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.moved or self.ended)


def later_key(
    kind: str, source: str, destination: str, event_id: str, route: str, step: int
) -> str:
    """Return the key of a message that a route owes later about the episode that an event began."""
    return f"{kind}/{source}/{destination}/{event_id}/{route}/{step}"


def changes(episode: Episode, routes: Sequence[Route], now: int) -> Changes:
    """Return how what waits about an episode differs from what the routes ask for."""
    if episode.taken_by:
        why = f"acknowledged by {episode.taken_by}"
        return Changes(ended=tuple((m.number, why) for m in episode.messages if m.is_plan))
    return _compared(episode.messages, list(_plans(episode, routes, now)))


def _compared(stored: Sequence[Told], plans: Sequence[Plan]) -> Changes:
    by_key = {each.key: each for each in stored}
    waiting = {each.number: each.why_ended for each in stored if each.is_plan}
    added, moved = [], []
    for plan in plans:
        found = by_key.get(plan.key)
        if found is None:
            added.append(plan)
            continue
        waiting.pop(found.number, None)
        is_ended = found.state is State.SUPERSEDED and found.reason == found.why_ended
        # The claim puts off what is due only if nothing was heard.
        is_first = plan.is_if_silent and plan.kind is Kind.NOTICE
        is_later = is_first and plan.planned_at >= found.planned_at
        is_same = found.planned_at == plan.planned_at or is_later or plan.is_vague
        if is_ended or (found.is_plan and not is_same):
            moved.append((found.number, plan))
    return Changes(tuple(added), tuple(moved), tuple(waiting.items()))


def _plans(episode: Episode, routes: Sequence[Route], now: int) -> Iterator[Plan]:
    telling = [each.route for each in decide(routes, episode.subject) if not each.why_not]
    watching = [route for route in routes if is_watched(route, episode.status, episode.subject)]
    for route in (*telling, *watching):
        yield from _reminders(episode, route, now)
        if _has_begun(episode, route):
            yield from _escalations(episode, route)
    names = {route.name for route in routes}
    for route in watching:
        yield from _if_stuck(episode, route, names)


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


def _escalations(episode: Episode, route: Route) -> Iterator[Plan]:
    key = group_key(route, episode.subject)
    for step, escalation in enumerate(route.escalate, 1):
        for destination in escalation.notify:
            yield Plan(
                Kind.ESCALATION,
                route.name,
                destination,
                step,
                episode.begun_at + escalation.after,
                _key("escalation", episode, destination, route, step),
                None if key is None else f"{key}{ESCALATIONS}",
            )


def _if_stuck(episode: Episode, route: Route, names: Set[str]) -> Iterator[Plan]:
    """Yield words in case nothing is heard; a route with a new name does not begin anew."""
    assert route.stuck is not None
    by_other_name = {
        m.destination
        for m in episode.messages
        if m.is_stuck and m.route not in names and (m.is_told or m.is_on_its_way)
    }
    for destination in route.notify:
        if destination in by_other_name:
            continue
        yield Plan(
            Kind.NOTICE,
            route.name,
            destination,
            0,
            episode.heard_at + route.stuck.after,
            _key("stuck", episode, destination, route, 1),
            group_key(route, episode.subject),
            route.group.wait if route.group else 0,
            is_if_silent=True,
        )


def _key(kind: str, episode: Episode, destination: str, route: Route, step: int) -> str:
    return later_key(kind, episode.source, destination, episode.event_id, route.name, step)


def _reminders(episode: Episode, route: Route, now: int) -> Iterator[Plan]:
    """Yield the next reminder of each destination that was told by the route."""
    if route.remind is None:
        return
    chains: dict[str, list[Told]] = {}
    for told in episode.messages:
        if told.route == route.name and (told.is_first or told.kind is Kind.REMINDER):
            chains.setdefault(told.destination, []).append(told)
    for destination, messages in chains.items():
        if destination in route.notify or any(m.kind is Kind.FALLBACK for m in messages):
            yield from _next_reminder(episode, route, route.remind, messages, now)


def _next_reminder(
    episode: Episode, route: Route, remind: Reminders, messages: Sequence[Told], now: int
) -> Iterator[Plan]:
    """Yield the next reminder, unless nobody was told or one is on its way."""
    reminders = [each for each in messages if each.kind is Kind.REMINDER]
    if any(each.is_on_its_way for each in reminders) or not any(
        each.is_first and each.is_told for each in messages
    ):
        return
    ended = [each for each in messages if each.is_told] + [
        each for each in reminders if each.state is State.DEAD
    ]
    last = max(ended, key=lambda each: (each.step, each.number))
    # Nobody got a reminder that died or that a silence kept back: the next one has its number.
    again = last.step > 0 and last.state is not State.SENT
    step = last.step + (0 if again else 1)
    if remind.at_most is not None and step > remind.at_most:
        return
    destination, is_if_silent = last.destination, route.stuck is not None
    key = _key("reminder", episode, destination, route, step)
    planned_at = min(last.at, now) + remind.every
    if route.stuck is not None:
        planned_at = max(planned_at, episode.heard_at + route.stuck.after)
    key = f"{key}/{last.number}" if again else key
    yield Plan(
        Kind.REMINDER, route.name, destination, step, planned_at, key, last.group_key,
        is_if_silent=is_if_silent, is_vague=last.at > now,
    )  # fmt: skip
