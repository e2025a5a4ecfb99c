"""A model of people's rules: who is told what, and when. It was written from the text of the rules.

It knows nothing of the program. What is planned (reminders, escalations, stuck executions) is
derived from the episodes and the rules in force whenever it is asked for, and becomes a message
only when its time has come. Times are whole seconds.

Where the text is silent, this is decided here:

* An escalation and `stuck` count from the beginning of the episode, `stuck` from the last event. A
  reminder counts from the last message of its route about the episode that ended for this
  destination: sent, kept back by a silence, or dead.
* A reminder that something is stuck is true only after as long a time without news again.
* Rules that a reload changes hold for what is planned: what would have been due in the past is due
  at the reload, once. An escalation is the same one as long as its place in the list is.
* If a notice died and nobody got it, there is nothing to remind of.
* A route escalates what it told of at the beginning: one of another name is another route.
* A destination that got a message about an episode as a fall-back stands in for the one that did
  not get it: if that was the notice, it is reminded instead.
* A silence asks of a message what its route's match would ask of the event that it tells of: of
  a message about an end, the event that ended the episode. It acts at the moment of telling. What
  quiet hours hold or a group gathers at its end, and was asked for while it lasted, it kept back.
* Missed messages are listed when no other silence holds that covers them.
* A message to a destination that is gone is dead; such a one has no fall-backs.
* What a silence's digest lists is each execution once, in its state at that moment.
* Those who were told of together, in a digest, are reminded of together.
* `retry_for` begins when a message may first go out: what gathers is not tried yet.
* A wait that a destination asks for is obeyed, also where it is longer than `retry_for`: what ends
  meanwhile is given up without a try.
* What falls into quiet hours is looked at again at their end, or at a reload; what is left goes out
  as one message for each destination.
* Order holds among messages about one execution to one destination that wait for a retry, but for
  reminders and escalations, which come at their own times; nothing waits behind quiet hours.
* A message that dies of an episode that is over or taken has no fall-back if it would not be sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.prove_people.plan import Act, Item, Outage, Place, Quiet, Rules, Scenario, Told, Way

DAY = 86_400
TERMINAL = frozenset({"completed", "failed", "cancelled"})
WAITS = frozenset({"awaiting_confirmation", "paused_by_agent", "paused"})
FIRST, LONGEST = 5, 3600  # seconds: the first and the longest wait for a retry
NAGS = frozenset({"reminder", "escalation"})


@dataclass(eq=False)
class Episode:
    """A stay of an execution in a status."""

    execution: str
    agent: str
    status: str
    since: int
    heard: int
    follows: Episode | None = None
    over: str = ""  # the status that ended it
    ended: int = 0
    taken: str = ""
    routes: set[str] = field(default_factory=set)  # those that told of its beginning
    told: dict[str, list[str]] = field(default_factory=dict)  # destination → routes that told it


@dataclass(eq=False)
class Chain:
    """The reminders of a route about an episode to one destination."""

    to: str
    last: int
    sent: int = 0
    mates: int = -1  # when it was told of together with others


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
    step: int = 0
    by: str = ""
    tries: int = 0
    repeat: bool = False
    held: bool = False
    mates: int = -1
    first_to: str = ""  # the destination whose message it is, if it is a fall-back
    listed: tuple[Owed, ...] = ()  # what a silence kept back

    @property
    def subject(self) -> Episode:
        """The episode whose first event it tells of."""
        return self.episode


Group = tuple[str, str, str, str]


def group_of(owed: Owed) -> Group | None:
    """Return what a message has to share with others to go out together with them."""
    if owed.mates >= 0 and owed.kind == "reminder":
        return owed.to, "", "mates", str(owed.mates)
    return gathering_of(owed)


def gathering_of(owed: Owed) -> Group | None:
    """Return the group in which a message gathers, by its route."""
    if not owed.way.wait or owed.kind in ("escalation", "silenced"):
        return None
    kind = owed.kind if owed.kind in ("resolved", "taken") else "news"
    return owed.to, owed.way.name, owed.episode.agent, kind


def together(ready: list[Owed]) -> list[list[Owed]]:
    """Return the messages that go out: those of a group, one by one, those of the quiet hours."""
    night = [owed for owed in ready if owed.held and owed.kind != "silenced"]
    bundles = dict[Group, list[Owed]]()
    alone = list[list[Owed]]()
    for owed in ready:
        if owed in night:
            continue
        if (group := group_of(owed)) is not None:
            bundles.setdefault(group, []).append(owed)
        else:
            alone.append([owed])
    return [*bundles.values(), *alone, *([night] if night else [])]


@dataclass(eq=False)
class Silence:
    """A silence and what it kept back."""

    what: str
    value: str
    begins: int
    ends: int
    missed: list[Owed] = field(default_factory=list)
    listed: bool = False


class World:
    """State of the model at a time: all that is known, and what was told so far."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rules: Rules = scenario.rules[0]
        self.now = 0
        self.up = True
        self.episodes: dict[str, Episode] = {}  # the present one of each execution
        self.chains: dict[tuple[Episode, str, str], Chain] = {}
        self.done: set[tuple[Episode, str, str, int]] = set()  # escalations; -1 is stuck
        self.waiting: list[Owed] = []
        self.silences: list[Silence] = []
        self.paused: dict[str, int] = {}
        self.digested: dict[Group, int] = {}
        self.told: list[Told] = []
        self.gone: set[tuple[str, Episode, int, str]] = set()

    # What happens.

    def do(self, act: Act) -> None:
        """Let something happen now."""
        if act.what == "moves":
            self.move(act.about, act.more)
        elif act.what == "hears":
            if (episode := self.episodes.get(act.about)) is not None:
                episode.heard = self.now
        elif act.what == "takes":
            self.take(act.about, act.more)
        elif act.what == "silences":
            self.silences.append(Silence(act.about, act.more, self.now, self.now + act.number))
        elif act.what == "unsilences":
            silence = self.silences[act.number]
            silence.ends = min(silence.ends, self.now)
        elif act.what == "reloads":
            self.reload(self.scenario.rules[act.number])
        elif act.what == "stops":
            self.up, self.stopped = False, self.now
        elif act.what == "starts":
            self.up = True
            for episode in self.episodes.values():
                episode.heard += self.now - self.stopped
            self.look_at_hours_again()

    def move(self, execution: str, status: str) -> None:
        """An execution comes into a status: an episode ends, and one begins."""
        before = self.episodes.get(execution)
        agent = f"agent-{execution[0]}"
        episode = Episode(execution, agent, status, self.now, self.now, before)
        self.episodes[execution] = episode
        if before is not None:
            before.over, before.ended = status, self.now
            self.drop_untrue()
            for to, names in before.told.items():
                ways = [self.rules.way(name) for name in names]
                if way := next((way for way in ways if way and way.resolved), None):
                    self.owe("resolved", before, way, to)
        named = set[str]()
        for way in self.rules.ways:
            if way.stuck or not matches(way, episode):
                continue
            episode.routes.add(way.name)
            for to in way.notify:
                if to not in named:
                    named.add(to)
                    self.owe("notice", episode, way, to)

    def take(self, execution: str, by: str) -> None:
        """Somebody takes the present episode."""
        episode = self.episodes.get(execution)
        if episode is None or episode.status in TERMINAL or episode.taken == by:
            return
        before, episode.taken = episode.taken, by
        self.drop_untrue()
        for to, names in episode.told.items():
            ways = [self.rules.way(name) for name in names]
            if way := next((way for way in ways if way and way.acknowledged), None):
                owed = self.owe("taken", episode, way, to)
                owed.by = f"{by} from {before}" if before else by

    def reload(self, rules: Rules) -> None:
        """Other rules are in force."""
        self.rules = rules
        for owed in list(self.waiting):
            if rules.place(owed.to) is None:
                self.die(owed)
        self.look_at_hours_again()

    def look_at_hours_again(self) -> None:
        """Make due what quiet hours hold, unless they hold it still."""
        for owed in self.waiting:
            if owed.held and self.quiet_until(owed) is None:
                owed.due = owed.since = self.now
            elif owed.held:
                owed.due = owed.since = self.quiet_until(owed) or self.now

    def owe(self, kind: str, episode: Episode, way: Way, to: str, step: int = 0) -> Owed:
        """Add a message that is due now; to a destination that is gone it is dead at once."""
        owed = Owed(kind, episode, way, to, self.now, self.now, self.now, step)
        if self.rules.place(to) is not None:
            self.waiting.append(owed)
        return owed

    # What is planned.

    def plans(self) -> Iterator[tuple[int, str, Episode, Way, str, int]]:
        """Yield what is planned, with its time: reminders, escalations, stuck executions."""
        for episode in self.episodes.values():
            if episode.status in TERMINAL or episode.taken:
                continue
            for way in self.rules.ways:
                if not matches(way, episode):
                    continue
                yield from self.stuck(episode, way)
                yield from self.escalations(episode, way)
                yield from self.reminders(episode, way)

    def stuck(
        self, episode: Episode, way: Way
    ) -> Iterator[tuple[int, str, Episode, Way, str, int]]:
        for to in way.notify if way.stuck else ():
            if (episode, way.name, to, -1) not in self.done:
                yield episode.heard + way.stuck, "stuck", episode, way, to, -1

    def escalations(
        self, episode: Episode, way: Way
    ) -> Iterator[tuple[int, str, Episode, Way, str, int]]:
        begins = episode.since
        if way.name not in episode.routes:
            return
        for step, (after, to) in enumerate(way.escalate):
            if (episode, way.name, to, step) not in self.done:
                yield begins + after, "escalation", episode, way, to, step

    def reminders(
        self, episode: Episode, way: Way
    ) -> Iterator[tuple[int, str, Episode, Way, str, int]]:
        if not way.every:
            return
        for (about, name, to), chain in self.chains.items():
            if about is not episode or name != way.name or to not in way.notify:
                continue
            if self.rules.place(chain.to) is None:
                continue
            if way.at_most and chain.sent >= way.at_most:
                continue
            if self.is_waiting("reminder", episode, way.name, to):
                continue
            again = episode.heard + way.stuck if way.stuck else 0
            yield max(chain.last + way.every, again), "reminder", episode, way, to, chain.sent + 1

    def is_waiting(self, kind: str, episode: Episode, name: str, first_to: str) -> bool:
        """Whether such a message waits: there is never more than one reminder."""
        return any(
            o.kind == kind and o.episode is episode and o.way.name == name
            and (o.first_to or o.to) == first_to
            for o in self.waiting
        )  # fmt: skip

    # Time.

    def until(self, at: int) -> None:
        """Let time pass, with all that is due meanwhile."""
        while self.up and (then := self.next_time()) is not None and then < at:
            self.now = max(then, self.now)
            self.settle()
        self.now = at

    def next_time(self) -> int | None:
        """When something is due next."""
        times = [time for time, *_ in self.plans()]
        times += [
            max(self.ready_at(owed), min(self.paused.get(owed.to, 0), self.last(owed)))
            for owed in self.waiting
            if self.ready_at(owed) > self.now or not self.is_behind(owed)
        ]
        times += [silence.ends for silence in self.silences if not silence.listed]
        return min(times, default=None)

    def settle(self) -> None:
        """Do all that is due now."""
        if not self.up:
            return
        going = True
        while going:
            self.end_silences()
            for time, kind, episode, way, to, step in list(self.plans()):
                if time <= self.now:
                    if kind != "reminder":
                        self.done.add((episode, way.name, to, step))
                        self.owe(kind, episode, way, to, step)
                    else:
                        chain = self.chains[episode, way.name, to]
                        owed = self.owe(kind, episode, way, chain.to, step)
                        owed.asked = time
                        owed.first_to, owed.mates = to, chain.mates
            going = sum(map(self.send, self.rules.places)) > 0

    # Silences.

    def end_silences(self) -> None:
        """List what ended silences kept back and no other one does."""
        for silence in self.silences:
            if silence.listed or silence.ends > self.now:
                continue
            silence.listed = True
            for owed in [owed for owed in self.waiting if not owed.tries]:
                if silence.begins <= owed.asked and is_silenced(owed, silence):
                    self.keep_back(owed, silence)
            missed = dict[str, list[Owed]]()
            for owed in silence.missed:
                if (other := self.silence_of(owed)) is not None:
                    other.missed.append(owed)
                else:
                    missed.setdefault(owed.to, []).append(owed)
            for to, those in missed.items():
                digest = self.owe("silenced", those[0].episode, those[0].way, to)
                digest.listed = tuple(those)

    def keep_back(self, owed: Owed, silence: Silence) -> None:
        """A silence keeps a message back."""
        silence.missed.append(owed)
        self.waiting.remove(owed)
        self.carry_on(owed, self.now)

    def silence_of(self, owed: Owed) -> Silence | None:
        """The last silence that covers a message now."""
        covering = [
            silence
            for silence in self.silences
            if silence.begins <= self.now < silence.ends and is_silenced(owed, silence)
        ]
        return max(covering, key=lambda silence: silence.ends, default=None)

    # Sending.

    def send(self, place: Place) -> bool:
        """Send what a destination gets now; return whether anything was done."""
        if self.paused.get(place.name, 0) > self.now:
            return self.give_up(place)
        ready, did = self.ready(place)
        for those in together(ready):
            is_paused = self.paused.get(place.name, 0) > self.now
            if is_paused or (len(those) == 1 and self.is_behind(those[0])):
                continue
            for owed in those:
                owed.since = self.begins(owed)
            for owed in those:
                if (group := gathering_of(owed)) is not None and not owed.held:
                    self.digested[group] = self.now
            self.attempt(those, place)
            did = True
        return did

    def ready(self, place: Place) -> tuple[list[Owed], bool]:
        """Return what may go out to a destination now, and whether a silence kept back more."""
        ready, did = list[Owed](), False
        for owed in [owed for owed in self.waiting if owed.to == place.name]:
            if self.ready_at(owed) > self.now or self.is_behind(owed):
                continue
            if (quiet := self.quiet_until(owed)) is not None:
                owed.held, owed.due, owed.since = True, quiet, quiet
            elif (silence := self.silence_of(owed)) is not None:
                self.keep_back(owed, silence)
                did = True
            else:
                ready.append(owed)
        return ready, did

    def ready_at(self, owed: Owed) -> int:
        """When a message may go out, as far as it gathers with others."""
        group = gathering_of(owed)
        if group is None or owed.held or owed.tries:
            return owed.due
        due = self.digested.get(group, -DAY) + owed.way.apart
        if owed.kind in ("notice", "stuck"):
            gathers = [o.asked for o in self.waiting if gathering_of(o) == group and not o.held]
            due = max(due, min(gathers) + owed.way.wait)
        return max(due, owed.due)

    def is_behind(self, owed: Owed) -> bool:
        """Whether an earlier message about the execution waits for its retry."""
        if owed.kind in NAGS:
            return False
        for other in self.waiting:
            if other is owed:
                return False
            same = other.to == owed.to and other.episode.execution == owed.episode.execution
            if (
                same
                and other.kind not in NAGS
                and other.tries
                and other.due > self.now
                and not other.held
            ):
                return True
        return False

    def attempt(self, those: list[Owed], place: Place) -> None:
        """Try to send one message that stands for these."""
        outage = self.outage(place.name)
        answer = outage.answer if outage else "200"
        if answer in ("200", "lost"):
            repeat = any(owed.repeat for owed in those)
            items = self.items(those)
            if items:
                self.told.append(Told(self.now, place.name, items, repeat))
        for owed in those:
            owed.held = False
            owed.tries += 1
            if answer == "lost":
                owed.repeat = True
                self.learn(owed)
            if answer == "200":
                self.waiting.remove(owed)
                self.learn(owed)
                self.carry_on(owed, self.now, sent=len(those))
            elif answer == "404":
                self.die(owed)
            else:
                self.retry(owed, place, outage)

    def give_up(self, place: Place) -> bool:
        """Give up what may not be tried before its end; return whether there was any."""
        overdue = [
            owed
            for owed in self.waiting
            if owed.to == place.name and max(self.ready_at(owed), self.last(owed)) <= self.now
        ]
        for owed in overdue:
            self.die(owed)
        return bool(overdue)

    def begins(self, owed: Owed) -> int:
        """When `retry_for` begins: not while a message gathers with others."""
        is_gathering = gathering_of(owed) is not None and not owed.tries and not owed.held
        return max(owed.since, self.ready_at(owed)) if is_gathering else owed.since

    def last(self, owed: Owed) -> int:
        """When a message is given up."""
        place = self.rules.place(owed.to)
        return self.begins(owed) + place.retry_for if place else self.now

    def outage(self, to: str) -> Outage | None:
        """Return how the destination fails now, if it does."""
        found = (o for o in self.scenario.outages if o.to == to and o.begins <= self.now < o.ends)
        return next(found, None)

    def retry(self, owed: Owed, place: Place, outage: Outage | None) -> None:
        """Plan the next try, or give up at the end of `retry_for`."""
        last = owed.since + place.retry_for
        wait = int(min(FIRST * 2 ** (owed.tries - 1), LONGEST) * self.scenario.chance)
        if outage is not None and outage.answer == "later":
            wait = max(wait, min(outage.after, LONGEST))
            self.paused[place.name] = self.now + min(outage.after, LONGEST)
        if self.now >= last:
            self.die(owed)
        else:
            owed.due = min(self.now + wait, last)

    def die(self, owed: Owed) -> None:
        """A message will not be tried again: its fall-backs get it."""
        self.waiting.remove(owed)
        place = self.rules.place(owed.to)
        self.carry_on(owed, self.now, is_dead=True)
        for name in place.fallback if place else ():
            key = (owed.kind, owed.episode, owed.step, owed.by)
            if (
                self.rules.place(name) is None
                or any(
                    (o.kind, o.episode, o.step, o.by) == key and o.to == name for o in self.waiting
                )
                or (owed.kind, owed.episode, owed.step, name) in self.gone
            ):
                continue
            other = self.owe(owed.kind, owed.episode, owed.way, name, owed.step)
            other.by, other.listed = owed.by, owed.listed
            other.first_to = owed.first_to or owed.to
            other.asked = owed.asked

    def learn(self, owed: Owed) -> None:
        """The destination knows of the episode from now on."""
        self.gone.add((owed.kind, owed.episode, owed.step, owed.to))
        if owed.kind in ("resolved", "taken"):
            return
        for each in owed.listed or (owed,):
            each.episode.told.setdefault(owed.to, []).append(each.way.name)

    def carry_on(self, owed: Owed, at: int, *, sent: int = 0, is_dead: bool = False) -> None:
        """The next reminder counts from this message, which told of so many episodes."""
        if owed.kind not in ("notice", "reminder", "stuck"):
            return
        first = owed.first_to or owed.to
        key = (owed.episode, owed.way.name, first)
        if is_dead and key not in self.chains:
            return
        chain = self.chains.setdefault(key, Chain(owed.to, at))
        chain.last = at
        if owed.kind == "reminder":
            chain.sent += sent > 0 and owed.to == chain.to
        elif sent:
            chain.to = owed.to
        chain.mates = self.now if sent > 1 else -1

    def drop_untrue(self) -> None:
        """Drop what is no longer true."""
        self.waiting = [owed for owed in self.waiting if self.is_true(owed)]

    def is_true(self, owed: Owed) -> bool:
        """Whether a message may still be sent."""
        episode = owed.episode
        if owed.kind in ("resolved", "silenced"):
            return True
        if episode.over:
            return owed.kind == "notice" and episode.status not in WAITS
        if episode.taken and owed.kind == "taken":
            return owed.by.split(" from ")[0] == episode.taken
        return not (episode.taken and owed.kind in ("reminder", "escalation", "stuck"))

    def quiet_until(self, owed: Owed) -> int | None:
        """The end of the quiet hours that keep a message back now."""
        way = self.rules.way(owed.way.name) or owed.way
        place = self.rules.place(owed.to)
        hours = [way.quiet] if way.quiet else []
        if place and place.quiet and not way.urgent:
            hours.append(place.quiet)
        return quiet_until(hours, self.now + self.scenario.begins, self.scenario.begins)

    # What is said.

    def items(self, those: list[Owed]) -> tuple[Item, ...]:
        """What a message says of which executions."""
        if len(those) == 1 and not those[0].listed:
            return ((those[0].episode.execution, said(those[0])),)
        found = set[Item]()
        for owed in those:
            for each in latest(owed.listed) or (owed,):
                found |= set(listed(each))
        return tuple(sorted(found))


def latest(missed: tuple[Owed, ...]) -> tuple[Owed, ...]:
    """Return the newest of the messages about each execution; what is, before what ended."""
    newest = dict[str, Owed]()
    for owed in missed:
        other = newest.setdefault(owed.episode.execution, owed)
        if age(owed) >= age(other):
            newest[owed.episode.execution] = owed
    return tuple(newest.values())


def age(owed: Owed) -> tuple[int, int]:
    """Return what orders the messages about an execution by how new they are."""
    if owed.kind == "resolved":
        return owed.episode.ended, 1
    return owed.episode.since, 1 if owed.kind == "taken" else 2


def said(owed: Owed) -> str:
    """What a message about one execution says, in essence."""
    episode = owed.episode
    if owed.kind == "notice":
        return episode.status + (f", {episode.taken} has it" if episode.taken else "")
    if owed.kind == "reminder":
        return f"reminder {owed.step} {episode.status}"
    if owed.kind == "taken":
        return f"taken by {owed.by}"
    if owed.kind == "resolved":
        return f"{episode.status} is over: {episode.over}"
    return f"{owed.kind} {episode.status}"


def listed(owed: Owed) -> Iterator[Item]:
    """What a line of a digest says: several messages about one episode are one line."""
    episode = owed.episode
    if owed.kind == "resolved":
        yield episode.execution, f"{episode.status} is over: {episode.over}"
    elif owed.kind == "taken":
        yield episode.execution, f"taken by {episode.taken}"
    elif episode.over:
        if episode.status in WAITS:
            yield episode.execution, "over"
    elif episode.taken:
        yield episode.execution, f"{episode.status}, {episode.taken} has it"
    else:
        yield episode.execution, episode.status


def matches(way: Way, episode: Episode) -> bool:
    """Whether a route is about an episode."""
    return episode.status in way.statuses and way.agent in ("", episode.agent)


def is_silenced(owed: Owed, silence: Silence) -> bool:
    """Whether a silence is about a message."""
    if owed.kind == "silenced":
        return False
    status = owed.episode.over if owed.kind == "resolved" else owed.episode.status
    return {"status": status, "agent": owed.episode.agent}[silence.what] == silence.value


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


def play(scenario: Scenario) -> list[Told]:
    """Return all that people are told in a scenario, as the rules say."""
    world = World(scenario)
    for act in scenario.acts:
        world.until(act.at)
        world.do(act)
        world.settle()
    world.until(scenario.ends)
    return sorted(world.told)
