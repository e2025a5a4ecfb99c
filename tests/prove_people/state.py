"""The model's words, and its state at a time: episodes, what is owed, silences, what was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tests.prove_people.plan import Outage, Quiet, Rules, Scenario, Told, Way

DAY = 86_400
AHEAD = 5  # seconds: a wait that begins later than that from now began under another clock
TERMINAL = frozenset({"completed", "failed", "cancelled"})
WAITS = frozenset({"awaiting_confirmation", "paused_by_agent", "paused"})
NAGS = frozenset({"reminder", "escalation"})
Group = tuple[str, str, str, str]


@dataclass(eq=False)
class Episode:
    """A stay of an execution in a status. They are numbered in the order of their beginnings."""

    number: int
    execution: str
    agent: str
    status: str
    since: int
    heard: int
    over: str = ""  # the status that ended it
    ended_by: int = 0  # the number of the episode with that status
    turn: int = 0  # the place of its plans among all messages
    taken: str = ""
    routes: set[str] = field(default_factory=set)  # those that told of its beginning
    told: dict[str, list[str]] = field(default_factory=dict)  # destination → routes that told it
    ends: set[str] = field(default_factory=set)  # destinations that get word of its end
    ended: set[str] = field(default_factory=set)  # those that got it, or may have
    mates: dict[str, int] = field(default_factory=dict)  # destination → the night it heard after


@dataclass(eq=False)
class Later:
    """An escalation of a route about an episode: to whom, and when."""

    to: str
    at: int
    turn: int = 0  # its place among all messages, if a reload planned it
    is_done: bool = False


@dataclass(eq=False)
class Chain:
    """The reminders of a route about an episode to one destination."""

    to: str
    last: int
    sent: int = 0
    mates: int = 0  # the end of the night after which it was told
    turn: int = 0  # the place of its next reminder: what was told earlier is reminded of earlier


@dataclass(eq=False)
class Owed:
    """A message that is owed, no longer a plan."""

    kind: str
    episode: Episode
    way: Way
    to: str
    asked: int
    due: int
    since: int  # the start of `retry_for`
    began: int  # the start of its present wait
    turn: int  # what is due at the same time goes out in the order of its planning
    step: int = 0
    by: str = ""
    tries: int = 0
    repeat: bool = False
    held: bool = False  # by quiet hours
    night: int = 0  # the end of the quiet hours that held it: they are told of together
    mates: int = 0  # the same of the message that it follows
    first_to: str = ""  # the destination whose message it is, if it is a fall-back
    fell: bool = False  # it is a fall-back
    later: Later | None = None  # the escalation that it is
    listed: tuple[Owed, ...] = ()  # what a silence kept back
    silence: Silence | None = None  # the one that kept it back
    is_late: bool = False  # a reload asks for it after its time

    @property
    def is_plan(self) -> bool:
        """Whether it was planned, and nobody has tried to tell it yet."""
        follows = self.kind in (*NAGS, "stuck")
        return follows and not self.tries and not self.fell

    @property
    def key(self) -> tuple[str, Episode, str, str, int]:
        """What makes it the same message as a plan."""
        step = 0 if self.later else self.step
        return self.kind, self.episode, self.way.name, self.first_to or self.to, step


@dataclass(eq=False)
class Silence:
    """A silence and what it kept back."""

    what: str
    value: str
    begins: int
    ends: int
    missed: list[Owed] = field(default_factory=list)
    listed: bool = False

    def is_about(self, owed: Owed) -> bool:
        """Whether it is about a message."""
        if owed.kind == "silenced":
            return False
        status = owed.episode.over if owed.kind == "resolved" else owed.episode.status
        return {"status": status, "agent": owed.episode.agent}[self.what] == self.value


class State:
    """All that is known at a time, and what was told so far."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rules: Rules = scenario.rules[0]
        self.now = 0
        self.up, self.stopped = True, 0
        self.episodes: dict[str, Episode] = {}  # the present one of each execution
        self.begun = 0  # how many episodes
        self.chains: dict[tuple[Episode, str, str], Chain] = {}
        self.later: dict[tuple[Episode, str], list[Later]] = {}  # the escalations of a route
        self.done: set[tuple[Episode, str, str]] = set()  # whom a route told of what is stuck
        self.waiting: list[Owed] = []
        self.silences: list[Silence] = []
        self.paused: dict[str, tuple[int, int]] = {}  # destination → since when, until when
        self.failures: dict[str, list[object]] = {}  # destination → what failed, in a row
        self.fresh = {place.name for place in self.rules.places}  # not looked at since the start
        self.untried = set(self.fresh)  # not tried since the start
        self.digested: dict[Group, int] = {}
        self.died: set[Outage] = set()  # in which the process died
        self.told: list[Told] = []
        self.turns = 0
        self.gone: set[tuple[str, Episode, int, str]] = set()
        self.first_turns: dict[tuple[Episode, str, str, int], int] = {}  # of escalations
        self.digests: list[Owed] = []  # the digests of silences that arrived

    def turn(self) -> int:
        """Return a number behind all others."""
        self.turns += 1
        return self.turns

    def owe(self, kind: str, episode: Episode, way: Way, to: str, step: int = 0) -> Owed:
        """Add a message that is due now; to a destination that is gone it is dead at once."""
        now = self.now
        owed = Owed(kind, episode, way, to, now, now, now, now, self.turn(), step)
        if self.rules.place(to) is not None:
            self.waiting.append(owed)
        return owed

    def will_be_reminded(self, to: str, owed: Owed) -> bool:
        """Whether a destination gets a reminder of this number by itself."""
        raise NotImplementedError

    def tell_end(self, episode: Episode, to: str) -> None:
        """Owe word of the end of an episode to a destination that was told of it, once."""
        way = self.first(episode.told[to], "resolved")
        if way is not None and to not in episode.ends:
            episode.ends.add(to)
            self.owe("resolved", episode, way, to).mates = episode.mates.get(to, 0)

    def first(self, names: Iterable[str], option: str) -> Way | None:
        """Return the first of these routes in the file that has the option now."""
        ways = [way for way in self.rules.ways if way.name in names]
        return next((way for way in ways if getattr(way, option)), None)

    def outage(self, to: str) -> Outage | None:
        """Return how the destination fails now, if it does."""
        found = (o for o in self.scenario.outages if o.to == to and o.begins <= self.now < o.ends)
        return next(found, None)

    def paused_until(self, to: str) -> int:
        """The end of the pause for which a destination asked."""
        return self.paused.get(to, (0, 0))[1]

    def silence_of(self, owed: Owed) -> Silence | None:
        """The first silence that covers a message now."""
        covering = (
            silence
            for silence in self.silences
            if not silence.listed and silence.begins <= self.now < silence.ends
            and silence.is_about(owed)
        )  # fmt: skip
        return next(covering, None)

    def keep_back(self, owed: Owed, silence: Silence) -> None:
        """A silence keeps a message back."""
        silence.missed.append(owed)
        self.waiting.remove(owed)
        self.carry_on(owed, self.now)

    def carry_on(
        self, owed: Owed, at: int, *, is_sent: bool = False, has_fallen: bool = False
    ) -> None:
        """The next reminder counts from this message."""
        if owed.kind not in ("notice", "reminder", "stuck"):
            return
        if owed.kind == "reminder" and owed.fell:
            return  # the one that it stands for has ended
        first = owed.first_to or owed.to
        key = (owed.episode, owed.way.name, first)
        if has_fallen and key not in self.chains:
            return
        chain = self.chains.setdefault(key, Chain(owed.to, at))
        chain.last, chain.turn = at, self.turn()
        if owed.kind == "reminder":
            chain.sent += is_sent and owed.to == chain.to
        elif is_sent:
            chain.to = owed.to
        chain.mates = owed.night or owed.mates

    def hours_until(self, owed: Owed) -> int | None:
        """The end of the quiet hours that keep a message back now.

        A silence's digest goes out as soon as one of the messages would that it lists.
        """
        if owed.listed:
            ends = [self.hours_until(replace(each, to=owed.to, listed=())) for each in owed.listed]
            return None if None in ends else min(end for end in ends if end is not None)
        way = self.rules.way(owed.way.name)
        place = self.rules.place(owed.to)
        hours = [way.quiet] if way and way.quiet else []
        if place and place.quiet and not (way and way.urgent):
            hours.append(place.quiet)
        return quiet_until(hours, self.now + self.scenario.begins, self.scenario.begins)


def matches(way: Way, episode: Episode) -> bool:
    """Whether a route is about an episode."""
    return episode.status in way.statuses and way.agent in ("", episode.agent)


def quiet_until(hours: list[Quiet], clock: int, begins: int) -> int | None:
    """The end of quiet hours at a time of day, in seconds since the beginning."""
    end = clock
    for _ in range(8):
        for quiet in hours:
            day = end // DAY * DAY
            for base in (day - DAY, day):
                length = (quiet.ends - quiet.begins) % DAY or DAY
                if base + quiet.begins <= end < base + quiet.begins + length:
                    end = base + quiet.begins + length
    return None if end == clock else end - begins
