"""Backtest: what other rules would have told people about the events that are stored.

Each event is planned by the rules in force and by the others, with the code that plans real
messages. What follows a message is played for as long as its wait really lasted. It reads the store
in portions, and writes nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import Kind, PlannedDelivery, State
from receiver.events import Category, Verdict
from receiver.intake.plan import Planner, no_wait_begins, subject
from receiver.routing.course import course
from receiver.routing.planned import Episode, Told
from receiver.routing.routes import decide
from receiver.store.contract import Store
from receiver.store.reading import PastEvent, Surveying
from receiver.store.records import JudgedWebhook
from receiver.times import SECOND, format_time

Document = dict[str, Any]
# How many messages: (route, destination, kind) → n.
Counts = Counter[tuple[str, str, str]]

# Events of one read; how many later events of an execution count as news.
PORTION, MOST_NEWS = 500, 1_000
# The newest examples of each route and destination, and of all.
EXAMPLES, MOST_EXAMPLES = 3, 30
_DAY = 24 * 3600 * SECOND
LEFT_OUT = (
    "A message counts when a rule asks for it: quiet hours may put it off or make it needless, a"
    " group sends several as one digest, and a silence keeps it back.",
    "Alarms, dead letters and fall-backs are left out, because they depend on what failed.",
    "Verdicts, ends of waits and who took what (the last of several) stay as they were: other"
    " settings of a source change nothing here.",
    "What follows a message counts for waits that began in this time, until they ended or now.",
)


def backtest(
    store: Store,
    in_force: Rules,
    others: Rules,
    since: int,
    now: int,
    most: int,
    is_over: Callable[[], bool] = lambda: False,
) -> Document:
    """Compare what both rules would have sent since then (ns): in all, by route, with examples.

    It looks at so many of the newest events at most, in their order, and ends early once `is_over`.
    """
    newest = max((event["seq"] for event in store.events({}, 1, None)[0]), default=0)
    # Numbers of events have hardly any gaps.
    behind = max(0, newest - most)
    sides = _Side(store, in_force, now), _Side(store, others, now)
    examples = _Examples(*sides)
    events, until, is_whole = 0, now, True
    if behind and any(past.number <= behind for past in store.past(since, 0, 1)):
        is_whole = False
        since = next((e.entries[0].judged_at for e in store.past(since, behind, 1)), since)
    for past in itertools.takewhile(lambda e: e.number <= newest, _events(store, since, behind)):
        if events % PORTION == 0 and events and is_over():
            is_whole, until = False, past.entries[0].judged_at
            break
        events += 1
        for entry in past.entries:
            before, after = (side.messages(entry, past) for side in sides)
            examples.note(entry, past, before, after)
    return {
        "since": format_time(since),
        "until": format_time(until),
        "is_whole": is_whole,
        "events": events,
        **_compared(*(side.counts for side in sides)),
        "examples": examples.newest(),
        "left_out": list(LEFT_OUT),
    }


def _events(store: Surveying, since: int, after: int) -> Iterator[PastEvent]:
    while portion := store.past(since, after, PORTION):
        yield from portion
        after = portion[-1].number


class _Side:
    """Side of the comparison: a set of rules, and the messages that it would have sent so far."""

    def __init__(self, store: Surveying, rules: Rules, now: int) -> None:
        self.rules, self.counts = rules, Counts()
        self._store, self._now = store, now
        self._plan = Planner(rules.routes)
        self._is_watching = any(route.stuck for route in rules.routes)
        self._soonest = min(_delays(rules), default=None)
        self._resolved = [route.name for route in rules.routes if route.resolved]
        self._acknowledged = [route.name for route in rules.routes if route.acknowledged]
        # Of these only the first counts: in its episode, by a hash of its key; or in a day.
        self._firsts: set[int] = set()
        self._told_at: dict[tuple[str, str], int] = {}

    def messages(self, entry: JudgedWebhook, past: PastEvent) -> Counts:
        """Return what it would have sent about a verdict, and count it."""
        if entry.source not in self.rules.sources:
            return Counts()
        planned = [message for message in self._plan(entry) if self._is_first(message, entry)]
        told = [_told_of(number, m, entry.judged_at) for number, m in enumerate(planned, 1)]
        sent = [each for each in told if each.state is State.SENT]
        counts = Counts((m.route, m.destination, str(m.kind)) for m in sent)
        if told and entry.after and entry.after.status.category is not Category.TERMINAL:
            counts += self._follow_ups(entry, past, told)
        self.counts += counts
        return counts

    def _is_first(self, message: PlannedDelivery, entry: JudgedWebhook) -> bool:
        """Return whether the store would owe it: of some messages it owes only the first."""
        verdict = entry.judgement.verdict
        if verdict is Verdict.APPLIED:
            return True
        if verdict is Verdict.QUARANTINED:
            key = message.destination, message.order_key
            if entry.judged_at < self._told_at.get(key, -_DAY) + _DAY:
                return False
            self._told_at[key] = entry.judged_at
            return True
        number = hash(message.dedup_key)
        is_new = number not in self._firsts
        self._firsts.add(number)
        return is_new

    def _follow_ups(self, entry: JudgedWebhook, past: PastEvent, told: Sequence[Told]) -> Counts:
        """Count what follows while the wait lasts, and the words about who took it and its end."""
        assert entry.event is not None
        assert entry.after is not None
        after, at = entry.after, entry.judged_at
        episode = Episode(
            entry.source, after.execution_id, after.version, after.status, past.number,
            entry.event.event_id, at, at, subject(entry, after), messages=tuple(told),
        )  # fmt: skip
        ends = [end for end in (past.ended_at, past.taken_at) if end is not None]
        until, sent = min([*ends, self._now]), list[Told]()
        if self._soonest is not None and until > at + self._soonest:
            news = self._news(entry.source, after.execution_id, past.number)
            sent = list(course(episode, self.rules.routes, until, news))
        heard = [*(each for each in told if each.state is State.SENT), *sent]
        counts = Counts((each.route, each.destination, str(each.kind)) for each in sent)
        if past.taken_at is not None:
            counts += _once(heard, self._acknowledged, Kind.ACKNOWLEDGED)
        if past.ended_at is not None:
            counts += _once(heard, self._resolved, Kind.RESOLVED)
        return counts

    def _news(self, source: str, execution_id: str, number: int) -> Sequence[int]:
        """Return when later events of an execution came, if a route waits for silence."""
        if not self._is_watching:
            return ()
        return self._store.heard_after(source, execution_id, number, MOST_NEWS)


def _delays(rules: Rules) -> Iterator[int]:
    """Yield the times after which something may follow: most waits are over before."""
    for route in rules.routes:
        yield from (later.after for later in route.escalate)
        if route.remind is not None:
            yield route.remind.every
        if route.stuck is not None:
            yield route.stuck.after


def _told_of(number: int, message: PlannedDelivery, now: int) -> Told:
    """Return a message that went at once, or waits until it is due."""
    at = now + message.due_in
    return Told(
        number, message.dedup_key, message.kind, State.WAITING if message.due_in else State.SENT,
        message.route, message.destination, message.step, at, at, message.group_key,
        is_stuck=bool(message.due_in) and message.kind is Kind.NOTICE,
    )  # fmt: skip


def _once(heard: Iterable[Told], routes: Sequence[str], kind: Kind) -> Counts:
    """Count one message, by the first of the routes, for each destination that they have told."""
    told = {(each.route, each.destination) for each in heard}
    first: dict[str, str] = {}
    for route in routes:
        for destination in (to for name, to in told if name == route):
            first.setdefault(destination, route)
    return Counts((route, destination, str(kind)) for destination, route in first.items())


class _Examples:
    """Examples: events about which a destination would have heard more, or less."""

    def __init__(self, in_force: _Side, others: _Side) -> None:
        self._in_force, self._others = in_force, others
        self._found: dict[tuple[str, str, bool], deque[Document]] = {}

    def note(self, entry: JudgedWebhook, past: PastEvent, before: Counts, after: Counts) -> None:
        """Note an event if the two differ for a destination."""
        if before == after:
            return
        for name in sorted({key[1] for key in (*before, *after)}):
            was, would = _to(before, name), _to(after, name)
            if _by_kind(was) != _by_kind(would):
                self._add(entry, past, name, was, would)

    def newest(self) -> list[Document]:
        """Return the newest ones, those of each route and destination together."""
        found = [example for kept in self._found.values() for example in reversed(kept)]
        return found[:MOST_EXAMPLES]

    def _add(
        self, entry: JudgedWebhook, past: PastEvent, name: str, was: Counter[tuple[str, str]],
        would: Counter[tuple[str, str]],
    ) -> None:  # fmt: skip
        kinds = _by_kind(would) - _by_kind(was)
        is_more = bool(kinds)
        kinds = kinds or _by_kind(was) - _by_kind(would)
        told = would if is_more else was
        route = min(route for route, kind in told if kind in kinds)
        lacking = self._in_force if is_more else self._others
        kept = self._found.setdefault((route, name, is_more), deque(maxlen=EXAMPLES))
        event, execution = entry.event, entry.after or entry.before
        agent = subject(entry, execution)
        kept.append({
            "at": format_time(entry.judged_at),
            "source": entry.source,
            "execution_id": event.execution_id if event else None,
            "event_id": event.event_id if event else None,
            "seq": past.number,
            "agent": agent.agent_name or agent.agent_id,
            "event": event.event if event else None,
            "verdict": str(entry.judgement.verdict),
            "destination": name,
            "route": route,
            "is_more": is_more,
            "before": dict(sorted(_by_kind(was).items())),
            "after": dict(sorted(_by_kind(would).items())),
            "why": _why(lacking.rules, route, name, entry),
        })  # fmt: skip


def _to(counts: Counts, destination: str) -> Counter[tuple[str, str]]:
    """Return the counts of a destination, by route and kind."""
    return Counter({(r, kind): n for (r, name, kind), n in counts.items() if name == destination})


def _by_kind(counts: Mapping[tuple[str, str], int]) -> Counter[str]:
    found = Counter[str]()
    for (_, kind), n in counts.items():
        found[kind] += n
    return found


def _why(rules: Rules, name: str, destination: str, entry: JudgedWebhook) -> str:
    """Say why rules would not have sent what a route of the other rules would."""
    route, about = rules.route(name), subject(entry, entry.after or entry.before)
    if entry.source not in rules.sources:
        return f"there is no source {entry.source!r}"
    if route is None:
        return f"there is no route {name!r}"
    (decision,) = [each for each in decide(rules.routes, about) if each.route is route]
    why_not = decision.why_not if route.stuck is None else no_wait_begins(route, entry, about)
    named = {*route.notify, *(n for later in route.escalate for n in later.notify)}
    if why_not:
        return why_not
    if destination not in named:
        return f"route {name!r} does not name {destination}"
    if destination in route.notify and not route.stuck and destination not in decision.destinations:
        return f"a route above {name!r} tells {destination}"
    return f"what follows in route {name!r} differs"


def _compared(before: Counts, after: Counts) -> Document:
    """Return both counts in all, by destination, and by route."""

    def grouped(*places: int) -> list[tuple[tuple[str, ...], int, int]]:
        sums = [Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()]
        for total, counts in zip(sums, (before, after), strict=True):
            for key, n in counts.items():
                total[tuple(key[place] for place in places)] += n
        return [(key, sums[0][key], sums[1][key]) for key in sorted({*sums[0], *sums[1]})]

    return {
        "before": before.total(),
        "after": after.total(),
        "destinations": [
            {"destination": name, "before": was, "after": would}
            for (name,), was, would in grouped(1)
        ],
        "routes": [
            {"route": route, "destination": name, "kind": kind, "before": was, "after": would}
            for (route, name, kind), was, would in grouped(0, 1, 2)
        ],
    }
