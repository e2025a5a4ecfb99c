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
  at the reload, once. An escalation is known by its destination and by how long after the beginning
  it comes; where two lists differ, those between two known ones are the same in their order.
* If a notice died and nobody got it instead, reminders go on as if it had been sent at its death.
* A route escalates what it told of at the beginning: one of another name is another route.
* A destination that got a message about an episode as a fall-back stands in for the one that did
  not get it: if that was the notice, it is reminded instead, while the route names that one.
* What a destination will be told at its own time does not stand for what it gets instead of another
  one; but for a reminder of the same number, which comes within `every`.
* A silence ends before what is asked for at its end.
* A silence asks of a message what its route's match would ask of the event that it tells of: of
  a message about an end, the event that ended the episode. It acts at the moment of telling. What
  quiet hours hold or a group gathers at its end, and was asked for while it lasted, it kept back
  (but for reminders, of which there is always a next one).
* Missed messages are listed when no other silence holds that covers them.
* What fell back was tried: it gathers no more. A destination where it died before, though it may
  have arrived, gets it in place of another one.
* A message to a destination that is gone is dead; such a one has no fall-backs.
* Who is told of an episode that is over by then is told of its end next. Only a silence's digest,
  which says so itself, is enough.
* A digest lists each execution once, by the newest of its messages, in its state at that moment.
* A silence's digest goes out as soon as one of the messages would that it lists. Nobody gets it in
  place of another one who gets a digest of that silence about all the same episodes.
* What was planned and not tried yet, because quiet hours or a group keep it back, is a plan still:
  after a reload it waits for the time that the new rules give it, or is not told at all. The same
  holds for word of what is stuck, if something is heard meanwhile.
* A reminder waits for a digest of a silence that goes out now and lists the same: the next one
  counts from that digest, if it is told.
* Word of an end, and of who has it, comes from the first route in the file that told there.
* Those who were told of together, in a digest, are reminded of together.
* At the end of `retry_for` there is one more try, before what else is due in that second, and for
  what joined a digest that fails, too.
* `retry_for` begins when a message may first go out: what gathers is not tried yet. It also counts
  while nothing runs: what is older at a start is tried once.
* A wait that a destination asks for is obeyed, also where it is longer than `retry_for`: what ends
  meanwhile is given up without a try.
* A message of a route that is gone waits for its destination's quiet hours, for no other, and for
  nobody who might join it.
* What falls into quiet hours is looked at again at their end, or at a reload; what is left goes out
  as one message for each destination. It is not given up meanwhile.
* After a start, and when a destination changed in the file, one message is tried in spite of a
  pause. Until a try was made since, nothing is given up without one.
* After five failures in a row over several executions (a silence's digest counts as one more) the
  destination waits as its own backoff says, at most a minute.
* What gathers goes out with what its group tries again.
* A success ends the pause of a destination.
* If the clock is set back, what began under the clock ahead (by more than 5 s) begins now, and
  lasts as long as intended; quiet hours are looked at again. A silence that ended is over.
* A message that was being sent when the process died may have arrived: it is told of as a repeat.
* What is due at the same time goes out in the order in which it was planned: with its episode, or
  by a reload that asks for it anew, in the order of the executions.
* A message waits behind earlier ones about its execution to its destination that are tried again,
  but for what was planned (reminders, escalations, word of what is stuck), which comes at its own
  time. Nothing waits behind what a group or quiet hours keep together.
* A message that dies of an episode that is over or taken has no fall-back if it would not be sent.
"""

from __future__ import annotations

from tests.prove_people.plan import Act, Rules, Scenario, Told
from tests.prove_people.planned import Planning
from tests.prove_people.state import AHEAD, TERMINAL, WAITS, Episode, Owed, Silence, matches
from tests.prove_people.telling import Telling


class World(Planning, Telling):
    """The model: what happens, and how time passes."""

    def do(self, act: Act) -> None:
        """Let something happen now."""
        if act.what == "moves":
            self.move(act.about, act.more)
        elif act.what == "hears":
            if (episode := self.episodes.get(act.about)) is not None:
                episode.heard = self.now
                self.put_off_stuck()
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
            self.start()

    def move(self, execution: str, status: str) -> None:
        """An execution comes into a status: an episode ends, and one begins."""
        before = self.episodes.get(execution)
        self.begun += 1
        episode = Episode(
            self.begun, execution, f"agent-{execution[0]}", status, self.now, self.now
        )
        self.episodes[execution] = episode
        if before is not None:
            before.over, before.ended_by = status, self.begun
            self.drop_untrue()
            for to in before.told:
                self.tell_end(before, to)
        named = set[str]()
        for way in self.rules.ways:
            if way.stuck or not matches(way, episode):
                continue
            episode.routes.add(way.name)
            self.plan_escalations(episode)
            for to in way.notify:
                if to not in named:
                    named.add(to)
                    self.owe("notice", episode, way, to)
        episode.turn = self.turn()

    def take(self, execution: str, by: str) -> None:
        """Somebody takes the present episode."""
        episode = self.episodes.get(execution)
        if episode is None or episode.status in TERMINAL or episode.taken == by:
            return
        before, episode.taken = episode.taken, by
        self.drop_untrue()
        for to, names in episode.told.items():
            if way := self.first(names, "acknowledged"):
                owed = self.owe("taken", episode, way, to)
                owed.by = f"{by} from {before}" if before else by
                owed.mates = episode.mates.get(to, 0)

    def reload(self, rules: Rules) -> None:
        """Other rules are in force."""
        new = {place.name for place in rules.places if place not in self.rules.places}
        self.fresh |= new
        self.untried |= new
        self.rules = rules
        self.plan_again()  # a plan is no message yet: it does not die
        for owed in list(self.waiting):
            if rules.place(owed.to) is None:
                self.die(owed)
        self.look_at_hours_again()

    def start(self) -> None:
        """Begin to serve again, maybe with the clock set back meanwhile."""
        self.up = True
        self.fresh = {place.name for place in self.rules.places}
        self.untried = set(self.fresh)
        for episode in self.episodes.values():
            episode.heard += max(self.now - self.stopped, 0)
        self.set_back()
        self.owe_planned(at_start=True)
        self.end_silences()
        self.put_off_stuck()
        self.plan_again()
        self.look_at_hours_again()

    def look_at_hours_again(self) -> None:
        """Make due what quiet hours hold, unless they hold it still."""
        for owed in self.waiting:
            if owed.held and owed.due > self.now:
                until = self.hours_until(owed)
                owed.due = owed.since = until or self.now
                owed.night = until if until and owed.night else owed.night
                owed.began = self.now

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
            self.goes_at(owed)
            for owed in self.waiting
            if self.ready_at(owed) > self.now or not self.is_behind(owed)
        ]
        times += [silence.ends for silence in self.silences if not silence.listed]
        return min(times, default=None)

    def settle(self) -> None:
        """Do all that is due now."""
        going = self.up
        while going:
            self.end_silences()
            self.owe_planned()
            going = sum(map(self.send, self.rules.places)) > 0

    def end_silences(self) -> None:
        """List what ended silences kept back and no other one does."""
        for silence in self.silences:
            if silence.listed or silence.ends > self.now:
                continue
            silence.listed = True
            for owed in [owed for owed in self.waiting if not owed.tries]:
                is_asked = owed.kind != "reminder" and silence.begins <= owed.asked < silence.ends
                if is_asked and silence.is_about(owed):
                    self.keep_back(owed, silence)
            missed = dict[str, list[Owed]]()
            for owed in silence.missed:
                if (other := self.silence_of(owed)) is not None:
                    other.missed.append(owed)
                else:
                    missed.setdefault(owed.to, []).append(owed)
            for to, those in missed.items():
                digest = self.owe("silenced", those[0].episode, those[0].way, to)
                digest.listed, digest.silence = tuple(those), silence

    def set_back(self) -> None:
        """Let what began under a clock that was ahead begin now."""
        now, ahead = self.now, self.now + AHEAD
        for episode in self.episodes.values():
            if episode.since > ahead:
                for later in self.escalations_about(episode):
                    later.at += now - episode.since
                episode.since = now
            episode.heard = now if episode.heard > ahead else episode.heard
        for chain in self.chains.values():
            chain.last = now if chain.last > ahead else chain.last
        for owed in self.waiting:
            if owed.began > ahead:
                shift = now - owed.began
                due = now if owed.held else owed.due + shift
                owed.since += due - owed.due if owed.since > now else 0
                owed.due = due
                owed.asked += shift if owed.asked > ahead else 0
                owed.began = now
        for name, (since, end) in self.paused.items():
            if since > ahead:
                self.paused[name] = now, end - since + now
        for group, at in self.digested.items():
            self.digested[group] = now if at > ahead else at
        for silence in self.silences:
            if silence.begins > ahead and not silence.listed:
                silence.begins, silence.ends = now, silence.ends - silence.begins + now


def play(scenario: Scenario) -> list[Told]:
    """Return all that people are told in a scenario, as the rules say."""
    world = World(scenario)
    for act in scenario.acts:
        world.until(act.at)
        world.do(act)
        world.settle()
    world.until(scenario.ends)
    return sorted(world.told)
