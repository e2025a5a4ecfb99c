"""What is planned: reminders, escalations, and word of what is stuck.

It is derived from the episodes and the rules in force whenever it is asked for, and becomes a
message only when its time has come.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import zip_longest

from tests.prove_people.plan import Way
from tests.prove_people.state import TERMINAL, Episode, Later, Owed, State, matches

Plan = tuple[int, str, Episode, Way, str, int]  # when, kind, about, route, destination, step


class Planning(State):
    """The part of the model that looks ahead."""

    def plans(self) -> Iterator[Plan]:
        """Yield what is planned, with its time."""
        for episode in self.episodes.values():
            if episode.status in TERMINAL or episode.taken:
                continue
            for way in self.rules.ways:
                if matches(way, episode):
                    yield from self.stuck(episode, way)
                    yield from self.escalations(episode, way)
                    yield from self.reminders(episode, way)

    def stuck(self, episode: Episode, way: Way) -> Iterator[Plan]:
        """Yield word of what is stuck."""
        for to in way.notify if way.stuck else ():
            if (episode, way.name, to) not in self.done:
                yield episode.heard + way.stuck, "stuck", episode, way, to, -1

    def escalations(self, episode: Episode, way: Way) -> Iterator[Plan]:
        """Yield escalations of what the route told of at its beginning."""
        for later in self.later.get((episode, way.name), ()):
            if not later.is_done:
                yield later.at, "escalation", episode, way, later.to, later.at

    def escalations_about(self, episode: Episode) -> Iterator[Later]:
        """Yield all known escalations about an episode."""
        for (about, _), known in self.later.items():
            if about is episode:
                yield from known

    def plan_escalations(self, episode: Episode) -> None:
        """Let the escalations about an episode follow the rules in force."""
        for name in episode.routes:
            way, known = self.rules.way(name), self.later.get((episode, name), [])
            asks = way.escalate if way is not None and matches(way, episode) else ()
            found = [later for later in known if later.is_done]
            for to in dict.fromkeys(to for _, to in asks):
                times = sorted({episode.since + after for after, other in asks if other == to})
                own = sorted((each for each in known if each.to == to), key=lambda each: each.at)
                for at, same in aligned(times, own):
                    if same is None:
                        found.append(Later(to, at, self.first_turn(episode, name, to, at)))
                    elif not same.is_done:
                        same.at = at
                        found.append(same)
            self.later[episode, name] = found

    def first_turn(self, episode: Episode, name: str, to: str, at: int) -> int:
        """Return the place of an escalation among all messages: of when it was first planned."""
        return self.first_turns.setdefault(
            (episode, name, to, at), self.turn() if episode.turn else 0
        )

    def reminders(self, episode: Episode, way: Way) -> Iterator[Plan]:
        """Yield the next reminder to each destination that the route told."""
        if not way.every:
            return
        for (about, name, to), chain in self.chains.items():
            if about is not episode or name != way.name or to not in way.notify:
                continue
            if self.rules.place(chain.to) is None or 0 < way.at_most <= chain.sent:
                continue
            if self.is_reminding(episode, way.name, to):
                continue
            again = episode.heard + way.stuck if way.stuck else 0
            yield max(chain.last + way.every, again), "reminder", episode, way, to, chain.sent + 1

    def is_reminding(self, episode: Episode, name: str, first_to: str) -> bool:
        """Whether a reminder waits already: there is never more than one."""
        return any(
            o.kind == "reminder" and not o.fell and o.episode is episode and o.way.name == name
            and (o.first_to or o.to) == first_to
            for o in self.waiting
        )  # fmt: skip

    def will_be_reminded(self, to: str, owed: Owed) -> bool:
        return owed.kind == "reminder" and any(
            (kind, episode, way.name, step) == ("reminder", owed.episode, owed.way.name, owed.step)
            and self.chains[episode, way.name, first].to == to
            for _, kind, episode, way, first, step in self.plans()
        )

    def owe_planned(self, *, at_start: bool = False) -> None:
        """Turn what is planned for now into messages.

        `at_start`: what came while nothing ran was due at its time, for `retry_for`, too.
        """
        planned = sorted(self.plans(), key=self.place_of)  # the earliest first
        for time, kind, episode, way, to, step in planned:
            if time > self.now:
                break
            if kind == "reminder":
                chain = self.chains[episode, way.name, to]
                owed = self.owe(kind, episode, way, chain.to, step)
                owed.first_to, owed.mates, owed.turn = to, chain.mates, chain.turn
            else:
                owed = self.owe(kind, episode, way, to, step)
                owed.turn = episode.turn
            if kind == "stuck":
                self.done.add((episode, way.name, to))
            if kind == "escalation":
                known = self.later[episode, way.name]
                owed.later = next(each for each in known if (each.to, each.at) == (to, step))
                owed.later.is_done = True
                owed.turn = owed.later.turn or owed.turn
            owed.asked, owed.is_late = time, time < self.now and not at_start
            owed.since = time if at_start else owed.since

    def place_of(self, plan: Plan) -> tuple[int, int]:
        """Return what orders plans: their times, and their turns."""
        time, kind, episode, way, to, _ = plan
        is_next = kind == "reminder"
        return time, self.chains[episode, way.name, to].turn if is_next else episode.turn

    def plan_again(self) -> None:
        """Keep of what was planned and not tried only what the rules ask for by now."""
        planned = [owed for owed in self.waiting if owed.is_plan]
        self.waiting = [owed for owed in self.waiting if not owed.is_plan]
        for owed in planned:
            self.forget(owed)
        for episode in self.episodes.values():
            self.plan_escalations(episode)
        asked = {
            (kind, episode, way.name, to, step)
            for time, kind, episode, way, to, step in self.plans()
            if time <= self.now and kind != "escalation"
        }
        self.waiting += [owed for owed in planned if self.is_kept(owed, asked)]

    def is_kept(self, owed: Owed, asked: Container[object]) -> bool:
        """Whether what was planned is asked for by now; if so it is a message again."""
        if owed.later is None:
            if owed.kind == "stuck" and owed.key in asked:
                self.done.add((owed.episode, owed.way.name, owed.to))
            return owed.key in asked
        known = self.later.get((owed.episode, owed.way.name), ())
        if owed.later not in known or owed.later.at > self.now:
            return False
        owed.later.is_done, owed.asked = True, owed.later.at
        return True

    def forget(self, owed: Owed) -> None:
        """Let a message be a plan."""
        if owed.later is not None:
            owed.later.is_done = False
        elif owed.kind == "stuck":
            self.done.discard((owed.episode, owed.way.name, owed.to))

    def put_off_stuck(self) -> None:
        """Put off word of what is not stuck any more, because something was heard."""
        for owed in list(self.waiting):
            way = self.rules.way(owed.way.name)
            if way is None or not way.stuck or owed.kind not in ("stuck", "reminder"):
                continue
            again = owed.episode.heard + way.stuck
            if again <= self.now:
                continue
            if not owed.is_plan:
                owed.due = owed.since = owed.asked = again
                owed.held = False
                continue
            self.waiting.remove(owed)
            self.forget(owed)


def aligned(times: list[int], known: list[Later]) -> Iterator[tuple[int, Later | None]]:
    """Yield each time with the escalation that it is; None: it is new.

    Those with equal times are the same, and those between two such are the same in their order.
    """
    left, between = list(known), list[int]()
    for time in times:
        same = next((n for n, later in enumerate(left) if later.at == time), None)
        if same is None:
            between.append(time)
            continue
        yield from zip_longest(between, left[:same][: len(between)])
        yield time, left[same]
        between, left = [], left[same + 1 :]
    yield from zip_longest(between, left[: len(between)])
