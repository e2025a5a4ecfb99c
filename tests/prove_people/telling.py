"""Telling: which messages go out together and when, and what follows from how it goes."""

from __future__ import annotations

from tests.prove_people.plan import Outage, Place, Told
from tests.prove_people.said import is_known_to_be_over, items, latest
from tests.prove_people.state import DAY, NAGS, Group, Owed, State

# They have no order among others: what comes at its own time, and what tells of several.
APART = NAGS | {"stuck", "silenced"}

FIRST, LONGEST = 5, 3600  # seconds: the first and the longest wait for a retry
PAUSE_AFTER, LONGEST_PAUSE = 5, 60  # failures in a row over several executions, and seconds


def gathering_of(owed: Owed) -> Group | None:
    """Return the group in which a message gathers, by its route."""
    if not owed.way.wait or owed.night or owed.mates or owed.kind in ("escalation", "silenced"):
        return None
    kind = owed.kind if owed.kind in ("resolved", "taken") else "news"
    return owed.to, owed.way.name, owed.episode.agent, kind


def group_of(owed: Owed) -> Group | None:
    """Return what a message has to share with others to go out together with them."""
    if owed.kind == "escalation" and owed.way.wait and not (owed.night or owed.mates):
        return owed.to, owed.way.name, owed.episode.agent, owed.kind
    if owed.night or owed.mates:
        kind = owed.kind if owed.kind in ("resolved", "taken") and not owed.night else "news"
        return owed.to, "night", str(owed.night or owed.mates), kind
    return gathering_of(owed)


def is_about(digest: Owed, owed: Owed) -> bool:
    """Whether the digest of a silence lists a message of the same route about the same episode."""
    return any(
        each.episode is owed.episode
        and each.way.name == owed.way.name
        and each.to == owed.to
        and each.kind in ("notice", "stuck", "reminder")
        for each in digest.listed
    )


def tells_of_all(digest: Owed, owed: Owed) -> bool:
    """Whether the digest of a silence tells of all episodes of which another one does."""
    known = {each.episode for each in digest.listed}
    return all(each.episode in known for each in owed.listed)


class Telling(State):
    """The part of the model that tells people."""

    def send(self, place: Place) -> bool:
        """Send what a destination gets now; return whether anything was done."""
        is_first = place.name in self.fresh
        self.fresh.discard(place.name)
        if self.is_paused(place) and not is_first:
            return self.give_up(place)
        ready, did = self.ready(place)
        ready = [owed for owed in ready if self.is_worth_it(owed)]
        for bundle in self.together(ready + self.joining(ready)):
            those = [owed for owed in bundle if not self.is_behind(owed)]
            if not any(owed in ready for owed in those):
                continue
            if self.is_paused(place) and not is_first:
                continue
            is_first = False
            for owed in those:
                owed.since = self.begins(owed)
            self.attempt(those, place)
            did = True
        if not did and self.fails(place.name):
            did = self.give_up(place)
        return did

    def joining(self, ready: list[Owed]) -> list[Owed]:
        """Return what still gathers, and goes out with what else its group gets now."""
        groups = {gathering_of(owed) for owed in ready} - {None}
        return [
            owed
            for owed in self.waiting
            if gathering_of(owed) in groups and owed not in ready and owed.asked <= self.now
            and self.planned_due(owed) <= self.now + owed.way.wait
            and self.hours_until(owed) is None and self.silence_of(owed) is None
        ]  # fmt: skip

    def planned_due(self, owed: Owed) -> int:
        """When a message goes out at the latest if nobody else joins it."""
        gathers = owed.kind in ("notice", "stuck") and not owed.tries and not owed.fell
        return owed.asked + owed.way.wait if gathers else owed.due

    def fails(self, to: str) -> bool:
        """Whether a destination fails as a whole: five times in a row, over several executions."""
        about = self.failures.get(to, [])
        return len(about) >= PAUSE_AFTER and any(each != about[0] for each in about)

    def is_paused(self, place: Place) -> bool:
        """Whether the destination wants nothing now."""
        return self.paused_until(place.name) > self.now

    def ready(self, place: Place) -> tuple[list[Owed], bool]:
        """Return what may go out to a destination now, and whether a silence kept back more."""
        ready, did = list[Owed](), False
        those = [owed for owed in self.waiting if owed.to == place.name]
        for owed in sorted(those, key=lambda owed: owed.kind != "silenced"):
            if self.ready_at(owed) > self.now or self.is_behind(owed):
                continue
            if self.hold(owed):
                continue
            if self.is_listed_now(owed):
                owed.since = self.now
            elif (silence := self.silence_of(owed)) is not None:
                self.keep_back(owed, silence)
                did = True
            else:
                ready.append(owed)
        return ready, did

    def hold(self, owed: Owed) -> bool:
        """Keep a message back if it is in quiet hours; return whether it is."""
        quiet = self.hours_until(owed)
        if quiet is None:
            return False
        owed.held, owed.due, owed.since, owed.began = True, quiet, quiet, self.now
        owed.night = 0 if owed.kind == "silenced" else quiet
        return True

    def is_worth_it(self, owed: Owed) -> bool:
        """Whether a silence's digest still lists something.

        That nothing was heard of something, it does not say after something was: it is told when it
        is true again. There is always a next reminder.
        """
        if owed.kind != "silenced":
            return True
        for each in owed.listed:
            way = self.rules.way(each.way.name)
            if way is None or not way.stuck or each.episode.over or each.fell:
                continue
            again = each.episode.heard + way.stuck
            if each.kind not in ("stuck", "reminder") or again <= self.now:
                continue
            owed.listed = tuple(other for other in owed.listed if other is not each)
            if each.kind == "stuck":
                self.chains.pop((each.episode, each.way.name, each.first_to or each.to), None)
                each.asked = each.due = each.since = each.began = again
                self.waiting.append(each)
        over = {each.episode.execution for each in latest(owed.listed) if is_known_to_be_over(each)}
        if all(each.episode.execution in over for each in owed.listed):
            self.waiting.remove(owed)
            return False
        return True

    def is_listed_now(self, owed: Owed) -> bool:
        """Whether a reminder would go out beside the digest of a silence that lists the same."""
        return owed.is_plan and owed.kind == "reminder" and any(
            other.kind == "silenced" and other.to == owed.to and other.due <= self.now
            and not other.fell and is_about(other, owed) for other in self.waiting
        )  # fmt: skip

    def remind_from(self, digest: Owed) -> None:
        """Let the reminders of what the digest of a silence listed count from it."""
        for owed in [owed for owed in self.waiting if owed.is_plan and owed.kind == "reminder"]:
            if owed.to == digest.to and is_about(digest, owed):
                self.waiting.remove(owed)
        for each in digest.listed:
            if each.kind not in ("notice", "stuck", "reminder"):
                continue
            chain = self.chains.get((each.episode, each.way.name, each.first_to or each.to))
            if chain is not None and chain.to == digest.to:
                chain.last = max(chain.last, self.now)

    def together(self, ready: list[Owed]) -> list[list[Owed]]:
        """Return the messages that go out: those of a group, one by one, those of the night."""
        bundles = dict[Group | Owed, list[Owed]]()
        for owed in ready:
            bundles.setdefault(group_of(owed) or owed, []).append(owed)
        return sorted(bundles.values(), key=lambda those: min(map(self.place_among, those)))

    def place_among(self, owed: Owed) -> tuple[int, bool, int, int]:
        """Return what orders messages that may go out: their times, and their turns.

        A last try comes before what else is due in that second.
        """
        ready_at = self.ready_at(owed)
        is_last = owed.tries > 0 and owed.due == self.last(owed)
        return (
            ready_at,
            not is_last,
            ready_at if owed.tries or owed.is_late else owed.asked,
            owed.turn,
        )

    def ready_at(self, owed: Owed) -> int:
        """When a message may go out, as far as it gathers with others."""
        return owed.due if owed.tries else max(self.gathered_at(owed), owed.due)

    def gathered_at(self, owed: Owed) -> int:
        """When its group lets a message go out."""
        group, gathering = group_of(owed), gathering_of(owed)
        if group is None or owed.night or not owed.way.wait or owed.kind == "escalation":
            return 0
        if self.rules.way(owed.way.name) is None:
            return 0
        due = self.digested.get(group, -DAY) + owed.way.apart
        if gathering is not None and owed.kind in ("notice", "stuck") and not owed.fell:
            gathers = [
                other.asked
                for other in self.waiting
                if other is owed
                or (gathering_of(other) == group and not other.tries and not self.is_behind(other))
            ]
            due = max(due, min(gathers) + owed.way.wait)
        return due

    def is_behind(self, owed: Owed) -> bool:
        """Whether an earlier message about the execution waits for its retry.

        One that others may join holds up nobody.
        """
        if owed.kind in APART or owed.night:
            return False
        for other in self.waiting:
            if other is owed:
                return False
            same = other.to == owed.to and other.episode.execution == owed.episode.execution
            if same and other.kind not in APART and other.tries and group_of(other) is None:
                return True
        return False

    def attempt(self, those: list[Owed], place: Place) -> None:
        """Try to send one message that stands for these."""
        outage = self.outage(place.name)
        answer = self.answer(outage)
        self.untried.discard(place.name)
        if answer in ("200", "lost", "dies") and (said := items(those)):
            repeat = any(owed.repeat for owed in those)
            self.told.append(Told(self.now, place.name, said, repeat))
        self.count(those[0], place, answer)
        head = min(those, key=lambda owed: owed.turn)
        wait, last = self.wait_after(head, outage), head.since + place.retry_for
        for owed in those:
            owed.held, owed.began = False, self.now
            owed.tries += 1
            self.follow(owed, place, answer, outage, wait, last)
        if answer in ("503", "lost") and self.fails(place.name):
            doublings = len(self.failures[place.name]) - PAUSE_AFTER
            pause = int(min(FIRST * 2**doublings, LONGEST_PAUSE) * self.scenario.chance)
            self.paused[place.name] = self.now, self.now + pause
        if answer == "dies":
            self.stopped = self.now
            self.start()

    def answer(self, outage: Outage | None) -> str:
        """Return how an attempt goes; the process dies once in an outage."""
        if outage is None or outage in self.died:
            return "200"
        if outage.answer == "dies":
            self.died.add(outage)
        return outage.answer

    def count(self, first: Owed, place: Place, answer: str) -> None:
        """Count failures in a row; a success ends them, and a pause."""
        if answer == "200":
            self.failures.pop(place.name, None)
            if self.paused.get(place.name, (0, 0))[0] <= self.now:
                self.paused.pop(place.name, None)
        elif answer in ("503", "lost"):
            about = first if first.kind == "silenced" else first.episode.execution
            self.failures.setdefault(place.name, []).append(about)

    def follow(
        self, owed: Owed, place: Place, answer: str, outage: Outage | None, wait: int, last: int
    ) -> None:
        """Do with a message what follows from an attempt."""
        if answer in ("lost", "dies"):
            owed.repeat = True
            self.learn(owed)
        if answer == "dies":
            owed.due = self.now
        elif answer == "200":
            self.waiting.remove(owed)
            self.gone.add((owed.kind, owed.episode, owed.step, owed.to))
            self.digests += [owed] if owed.listed else []
            self.learn(owed)
            self.carry_on(owed, self.now, is_sent=True)
            if (group := group_of(owed)) is not None:
                self.digested[group] = self.now
                self.forget_groups()
            if owed.kind == "silenced" and not owed.fell:
                self.remind_from(owed)
        elif answer == "404":
            self.die(owed)
        else:
            self.retry(owed, place, outage, wait, last)

    def forget_groups(self) -> None:
        """Forget the digests after which no group waits any more."""
        longest = max(way.apart for way in self.rules.ways)
        self.digested = {g: at for g, at in self.digested.items() if at >= self.now - longest}

    def start(self) -> None:
        """Begin to serve again."""
        raise NotImplementedError

    def give_up(self, place: Place) -> bool:
        """Give up what may not be tried before its end; return whether there was any."""
        overdue = [
            owed
            for owed in self.waiting
            if owed.to == place.name and self.ends_at(owed) <= self.now
            and place.name not in self.untried
        ]  # fmt: skip
        for owed in overdue:
            if not self.hold(owed):
                self.die(owed)
        return bool(overdue)

    def begins(self, owed: Owed) -> int:
        """When `retry_for` begins: not while a message gathers with others."""
        return owed.since if owed.tries else max(owed.since, self.gathered_at(owed))

    def last(self, owed: Owed) -> int:
        """When a message is given up."""
        place = self.rules.place(owed.to)
        return self.begins(owed) + place.retry_for if place else self.now

    def ends_at(self, owed: Owed) -> int:
        """When a message that its destination does not take is given up."""
        return self.last(owed) if owed.tries else max(self.ready_at(owed), self.last(owed))

    def goes_at(self, owed: Owed) -> int:
        """When something happens to a message next: it goes out, or is given up."""
        pause = self.paused_until(owed.to)
        at = max(self.ready_at(owed), pause)
        is_refused = pause > self.now or self.fails(owed.to)
        return min(at, self.ends_at(owed)) if is_refused and owed.to not in self.untried else at

    def wait_after(self, head: Owed, outage: Outage | None) -> int:
        """Return how long a message waits for its next try: all that it stands for has one wait."""
        wait = int(min(FIRST * 2**head.tries, LONGEST) * self.scenario.chance)
        is_asked = outage is not None and outage.answer == "later"
        return max(wait, min(outage.after, LONGEST)) if outage and is_asked else wait

    def retry(self, owed: Owed, place: Place, outage: Outage | None, wait: int, last: int) -> None:
        """Plan the next try, or give up at the end of `retry_for`.

        What joined the message later has time left.
        """
        if outage is not None and outage.answer == "later":
            self.paused[place.name] = self.now, self.now + min(outage.after, LONGEST)
        if self.now < last:
            owed.due = min(self.now + wait, last)
        elif self.now >= owed.since + place.retry_for:
            self.die(owed)
        else:
            owed.due = min(self.now + wait, owed.since + place.retry_for)

    def die(self, owed: Owed) -> None:
        """A message will not be tried again: its fall-backs get it."""
        self.waiting.remove(owed)
        place = self.rules.place(owed.to)
        fell = False
        for name in place.fallback if place else ():
            if self.rules.place(name) is None or self.has(name, owed):
                continue
            other = self.owe(owed.kind, owed.episode, owed.way, name, owed.step)
            other.by, other.listed, other.later = owed.by, owed.listed, owed.later
            other.silence = owed.silence
            other.first_to = owed.first_to or owed.to
            other.asked, other.night, other.mates = owed.asked, owed.night, owed.mates
            other.fell = fell = True
        self.carry_on(owed, self.now, has_fallen=fell)

    def has(self, to: str, owed: Owed) -> bool:
        """Whether a destination has the same message, or will get it."""
        if owed.listed:
            return any(
                o.to == to and o.silence is owed.silence and tells_of_all(o, owed)
                for o in (*self.waiting, *self.digests) if o.listed
            )  # fmt: skip
        key = (owed.kind, owed.episode, owed.step, owed.by)
        waits = any((o.kind, o.episode, o.step, o.by) == key and o.to == to for o in self.waiting)
        is_gone = (owed.kind, owed.episode, owed.step, to) in self.gone
        return waits or is_gone or self.will_be_reminded(to, owed)

    def learn(self, owed: Owed) -> None:
        """The destination knows of the episode from now on."""
        if owed.kind == "resolved":
            owed.episode.ended.add(owed.to)
        if owed.kind in ("resolved", "taken"):
            return
        if owed.night:
            owed.episode.mates[owed.to] = owed.night
        for each in owed.listed or (owed,):
            each.episode.told.setdefault(owed.to, []).append(each.way.name)
            if each.episode.over and not owed.listed:
                self.tell_end(each.episode, owed.to)
