"""The program in a scenario: real rules, store, planner, turns and texts, with the time passed in.

Destinations answer as the scenario says, and remember what they got. Nothing sleeps: the time goes
on to whatever the scenario or the store says is next.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from receiver.config import routes_file
from receiver.config.rules import Rules as RealRules
from receiver.deliveries import Attempt, Claim, Kind, Message, Outcome
from receiver.dispatch import operators, replanning
from receiver.dispatch.operators import list_silences
from receiver.dispatch.turn import TurnRequest, record_and_claim, tell_of
from receiver.events import Event, Status
from receiver.intake.receive import Intake
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store.contract import Store, Transaction
from tests.prove_people.plan import OFFICE, Act, Outage, Rules, Scenario, Told
from tests.prove_people.seen import answer_of, items_of
from tests.prove_people.store import Within, emptied
from tests.support.people import DELIVERED, SECOND, SOURCES, START, Walk

MIDNIGHT = START - 12 * 3600 * SECOND


@lru_cache(maxsize=4096)
def parsed(rules: Rules, folder: Path) -> RealRules:
    """Read rules as the program does.

    What is over after `retry_for` is so at the whole second, and not at any time later.
    """
    path = folder / "routes.yaml"
    path.write_text(SOURCES + str(rules), "utf-8")
    read = routes_file.load(str(path), {})
    destinations = {
        name: replace(destination, retry_for=destination.retry_for - 0.001)
        for name, destination in read.destinations.items()
    }
    return replace(read, destinations=destinations)


class Drive(Walk):
    """A receiver in a scenario."""

    def __init__(self, folder: Path, scenario: Scenario, store: Within) -> None:
        self.scenario = scenario
        self.within, self.store = store, cast("Store", store)
        self.begun = MIDNIGHT + scenario.begins * SECOND
        self.told: list[Told] = []
        self.silences: list[int] = []
        self.polls = set[int]()  # a worker looks each second: when something may be given up
        self.died = set[Outage]()  # in which the process died
        self.known = set[str]()  # the names of all destinations so far
        self.up = True
        self.ahead = scenario.ahead  # seconds: our clock before the sender's
        self.fresh = set[str]()  # destinations whose workers are new
        self.untried = set[str]()  # destinations that were not tried since
        self.policies: tuple[tuple[int, int], dict[str, SendPolicy]] = (0, 0), {}
        self.dues: dict[str, tuple[tuple[int, int], int | None]] = {}
        super().__init__(folder, "", now=self.begun)

    def __post_init__(self) -> None:
        self.enforce(self.scenario.rules[0])

    def starts(self, ahead: int) -> None:
        """Begin to serve, in the order of a real start; the clock is so far ahead of the sender's.

        See `receiver.cli.serve`, `receiver.intake.expiry` and `receiver.dispatch.dispatcher`.
        """
        self.up, self.since, self.ahead = True, self.now, ahead
        self.turned = set()
        self.fresh = set(self.rules.destinations)
        self.untried = set(self.fresh)
        self.do(lambda transaction: transaction.set_back(self.now))
        list_silences(self.store, self.now)
        self.do(lambda transaction: transaction.release(self.now, own=True))
        self.attends()
        self.replan()

    def event(self, status: Status | None, execution: str = "x", **more: Any) -> Event:
        """Make an event that happens now by the sender's clock, and after all others."""
        now = self.now
        made = super().event(status, execution, **more)
        self.now = now  # each event has a second of its own
        return replace(made, occurred_at=now - self.ahead * SECOND)

    def enforce(self, rules: Rules) -> None:
        """Put rules in force, as a reload does."""
        before = self.rules.destinations.values() if hasattr(self, "rules") else ()
        self.rules = parsed(rules, self.folder)
        new = {name for name, of in self.rules.destinations.items() if of not in before}
        self.fresh |= new
        self.untried |= new
        self.intake = Intake.by(self.rules)
        self.source = next(iter(self.rules.sources))
        self.turned = set()

    def play(self) -> list[Told]:
        """Let the scenario happen; return what people were told."""
        for act in self.scenario.acts:
            self.until(act.at)
            self.happens(act)
            self.settle()
        self.until(self.scenario.ends)
        return sorted(self.told)

    def until(self, at: int) -> None:
        """Let time pass, with all that is due meanwhile."""
        end = self.begun + at * SECOND
        while self.up and (then := self.next_time()) is not None and then < end:
            self.now = max(-(-then // SECOND), self.now // SECOND + 1) * SECOND
            self.settle()
        self.now = max(end, self.now) if self.up else end

    def next_time(self) -> int | None:
        """When the program would wake up."""
        found = [self.next_due(name) for name in self.rules.destinations]
        found += [self.within.next_silence_end()] if self.silences else []
        if self.scenario.outages:
            self.polls.update(map(self.given_up, self.rules.destinations))
        found += [at for at in self.polls if at > self.now]
        return min((at for at in found if at is not None), default=None)

    def given_up(self, name: str) -> int:
        """When a worker that looks each second finds the next message that it may give up."""
        lasts = int(self.rules.destinations[name].retry_for * SECOND)
        ends = self.within.first_owed(name, self.now - lasts) + lasts
        return -(-ends // SECOND) * SECOND

    def claim(self, destination: str) -> Claim | None:
        """Claim what a worker would send to the destination now."""
        is_first = destination in self.fresh
        by_rules = destination not in self.turned
        self.fresh.discard(destination)
        self.turned.add(destination)
        policy, until = self.policy(destination), self.now + 60 * SECOND
        asked = TurnRequest(
            destination, policy, self.now, until, self.rules, is_first=is_first,
            is_untried=destination in self.untried, is_first_by_rules=by_rules,
        )  # fmt: skip
        claim = self.store.write_now(record_and_claim, asked).claim
        if claim is not None:
            self.untried.discard(destination)
        return claim

    def compose(self, claim: Claim) -> Message:
        """Compose a message; where no answer is lost, nobody looks at its words."""
        return super().compose(claim) if self.scenario.outages else Message("", "")

    def policy(self, destination: str) -> SendPolicy:
        """Return the policy of a destination now; it is asked for again and again."""
        if self.policies[0] != (self.now, id(self.rules)):
            self.policies = (self.now, id(self.rules)), {}
        found = self.policies[1]
        if destination not in found:
            found[destination] = super().policy(destination)
        return found[destination]

    def next_due(self, name: str) -> int | None:
        """When the worker of a destination would wake up."""
        at = self.now, self.within.writes
        seen, due = self.dues.get(name, ((0, 0), None))
        if seen != at:
            due = self.store.next_due(name, self.policy(name), self.now)
            self.dues[name] = at, due
        return due

    def happens(self, act: Act) -> None:
        """Let something happen now."""
        if act.what in ("moves", "hears"):
            agent = f"agent-{act.about[0]}"
            status = Status(act.more) if act.what == "moves" else None
            self.comes(status, act.about, agent_id=agent, agent_name=agent)
        elif act.what == "takes":
            self.take(act.more, act.about)
        elif act.what == "silences":
            ends = self.now + act.number * SECOND
            of = Silence({act.about: (act.more,)}, "known", "Eve", self.now, ends)
            self.silences.append(self.do(lambda t: t.add_silence(of, self.now)))
        elif act.what == "unsilences":
            item = (self.silences[act.number], self.now)
            self.store.write_now(operators.expire_silence, item)
        elif act.what == "reloads":
            before = self.rules
            self.enforce(self.scenario.rules[act.number])
            self._replan(replanning.difference(before, self.rules))
        elif act.what == "starts":
            self.starts(act.number)
        elif act.what == "stops":
            # A process notes again and again that it serves; here once, just before it ends.
            self.do(lambda transaction: transaction.served(self.source, self.begun, self.now))
            self.up = False

    def bury(self, transaction: Transaction) -> None:
        """End what waits for destinations that are gone."""
        while dead := transaction.end_orphans(tuple(self.rules.destinations), self.now):
            tell_of(transaction, dead, self.rules, self.now)

    def settle(self) -> None:
        """Do all that is due now."""
        if not self.up:
            return
        end = self.within.next_silence_end() if self.silences else None
        if end is not None and end <= self.now:
            list_silences(self.store, self.now)
        if len(self.rules.destinations.keys() & self.known) < len(self.known):
            self.do(self.bury)
        self.known |= self.rules.destinations.keys()
        going = True
        while going:
            going = False
            for name in self.rules.destinations:
                while self.is_due(name) and (claim := self.claim(name)) is not None:
                    going = True
                    if (dies := self.dies(name)) is not None:
                        self.die(claim, dies)
                        continue
                    attempt = self.answer(name)
                    message = self.record(claim, attempt, self.scenario.chance)
                    if attempt.outcome is not Outcome.FAILED:
                        self.hears(claim, message)
                    if attempt.outcome is not Outcome.DELIVERED:
                        self.polls.add(self.now)  # its next turn follows at once

    def is_due(self, name: str) -> bool:
        """Return whether a worker would claim now; the first turn by new rules always does."""
        if name not in self.turned or self.now in self.polls:
            return True
        due = self.next_due(name)
        return due is not None and due <= self.now

    def dies(self, name: str) -> Outage | None:
        """Return the outage in which the process dies while it sends now, once."""
        outage = self.outage(name)
        is_deadly = outage is not None and outage.answer == "dies" and outage not in self.died
        return outage if is_deadly else None

    def die(self, claim: Claim, outage: Outage) -> None:
        """Let the message arrive, and the process end and start again before that is recorded."""
        self.died.add(outage)
        self.hears(claim, self.compose(claim))
        self.do(lambda transaction: transaction.served(self.source, self.begun, self.now))
        self.starts(self.ahead)

    def outage(self, name: str) -> Outage | None:
        """Return how the destination fails now, if it does."""
        now = (self.now - self.begun) // SECOND
        found = (o for o in self.scenario.outages if o.to == name and o.begins <= now < o.ends)
        return next(found, None)

    def answer(self, name: str) -> Attempt:
        """Return how the destination answers now."""
        outage = self.outage(name)
        return DELIVERED if outage is None else answer_of(outage)

    def hears(self, claim: Claim, message: Message) -> None:
        """Note a message that arrived, unless it is about a dead one."""
        if claim.destination == OFFICE:
            return
        if claim.origin is not None and claim.kind is not Kind.FALLBACK:
            return
        items = items_of(claim)
        if items:
            at = (self.now - self.begun) // SECOND
            repeat = "Possible repeat" in message.body
            self.told.append(Told(at, claim.destination, items, repeat))


def play(scenario: Scenario, folder: Path) -> list[Told]:
    """Return all that people are told in a scenario by the program."""
    with emptied(folder) as store:
        return Drive(folder, scenario, store).play()
