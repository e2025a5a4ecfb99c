"""Course of an episode: the messages that go out while it lasts, each when it is planned. Pure.

What follows is asked of `episodes.changes`, again and again, as dispatch does: there is no other
rule here than that a message goes when it is due, and that news put off what waits for silence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from receiver.deliveries import Kind, State
from receiver.routing.episodes import changes
from receiver.routing.planned import Episode, Plan, Told
from receiver.routing.routes import Route

# The most messages of one episode: a reminder each minute for a week.
MOST = 10_080


def course(
    episode: Episode, routes: Sequence[Route], until: int, heard: Sequence[int] = ()
) -> Iterator[Told]:
    """Yield what goes out by `until` besides the messages of the episode that went already.

    Its events came at the times in `heard`, in order. It ends after MOST messages.
    """
    going = _Course(episode, routes, sorted(heard))
    for _ in range(MOST):
        if (sent := going.next(until)) is None:
            return
        yield sent


@dataclass(slots=True)
class _Planned:
    """A message, and when the execution was last heard as it was planned."""

    told: Told
    heard_at: int


class _Course:
    def __init__(self, episode: Episode, routes: Sequence[Route], heard: Sequence[int]) -> None:
        self._episode, self._routes, self._heard = episode, routes, heard
        self._now = episode.begun_at
        self._messages = {m.key: _Planned(m, episode.heard_at) for m in episode.messages}
        self._number = max((m.number for m in episode.messages), default=0)

    def next(self, until: int) -> Told | None:
        """Send the next message; None if none is due by then."""
        while (planned := self._next_planned()) is not None:
            told = planned.told
            at = max(told.planned_at, self._now)
            if at >= until:
                return None
            self._now = at
            if self._waits_for_silence(told) and self._heard_at(at) > planned.heard_at:
                del self._messages[told.key]  # it is planned anew, as nothing was sent
                continue
            return self._send(planned, at)
        return None

    def _heard_at(self, at: int) -> int:
        place = bisect_right(self._heard, at)
        return (
            max(self._heard[place - 1], self._episode.heard_at)
            if place
            else (self._episode.heard_at)
        )

    def _waits_for_silence(self, told: Told) -> bool:
        return any(route.stuck is not None and route.name == told.route for route in self._routes)

    def _next_planned(self) -> _Planned | None:
        self._plan()
        waiting = [m for m in self._messages.values() if m.told.state is State.WAITING]
        return min(waiting, key=lambda m: (m.told.planned_at, m.told.number), default=None)

    def _plan(self) -> None:
        """Plan anew until nothing changes: one change may ask for another."""
        heard_at = self._heard_at(self._now)
        for _ in range(4):
            messages = tuple(m.told for m in self._messages.values())
            episode = replace(self._episode, heard_at=heard_at, messages=messages)
            if not (news := changes(episode, self._routes, self._now)):
                return
            by_number = {m.told.number: m for m in self._messages.values()}
            for number, _ in news.ended:
                del self._messages[by_number[number].told.key]
            for number, plan in news.moved:
                moved = replace(
                    by_number[number].told, planned_at=plan.planned_at, group_key=plan.group_key
                )
                self._messages[plan.key] = _Planned(moved, heard_at)
            for plan in news.added:
                self._number += 1
                self._messages[plan.key] = _Planned(_as_told(plan, self._number), heard_at)

    def _send(self, planned: _Planned, at: int) -> Told:
        sent = replace(planned.told, state=State.SENT, at=at)
        if sent.kind is Kind.REMINDER:
            # Only the last reminder counts for the next one.
            for key, other in list(self._messages.items()):
                old = other.told
                is_same = (old.route, old.destination) == (sent.route, sent.destination)
                if old.kind is Kind.REMINDER and is_same and old.state is State.SENT:
                    del self._messages[key]
        self._messages[sent.key] = _Planned(sent, planned.heard_at)
        return sent


def _as_told(plan: Plan, number: int) -> Told:
    return Told(
        number, plan.key, plan.kind, State.WAITING, plan.route, plan.destination, plan.step,
        plan.planned_at, plan.planned_at, plan.group_key,
        is_stuck=plan.is_if_silent and plan.kind is Kind.NOTICE,
    )  # fmt: skip
