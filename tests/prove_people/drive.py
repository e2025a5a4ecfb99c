"""The program in a scenario: real rules, store, planner, turns and texts, with the time passed in.

Destinations answer as the scenario says, and remember what they got. Nothing sleeps: the time goes
on to whatever the scenario or the store says is next.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from receiver.config import routes_file
from receiver.config.rules import Rules as RealRules
from receiver.deliveries import Attempt, Claim, Digest, DigestItem, Kind, Message, Outcome
from receiver.dispatch import operators
from receiver.dispatch.operators import list_silences
from receiver.dispatch.turn import policy_at, tell_of
from receiver.events import Status
from receiver.intake.receive import Intake
from receiver.routing.silences import Silence
from receiver.store.contract import Act as StoreAct
from receiver.store.contract import Item as Of
from receiver.store.contract import Result, Transaction
from receiver.store.sqlite.store import SqliteStore
from tests.prove_people.plan import Act, Item, Outage, Rules, Scenario, Told
from tests.support.people import DELIVERED, FAILED, GONE, SECOND, SOURCES, START, Walk

MIDNIGHT = START - 12 * 3600 * SECOND
LOST = Attempt(Outcome.UNCERTAIN, "no answer")
WAITS = ("awaiting_confirmation", "paused_by_agent", "paused")


@lru_cache(maxsize=4096)
def parsed(rules: Rules, folder: Path) -> RealRules:
    """Read rules as the program does."""
    path = folder / "routes.yaml"
    path.write_text(SOURCES + str(rules), "utf-8")
    return routes_file.load(str(path), {})


class Within:
    """A store whose writes are parts of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.next_due = transaction.next_due

    def write_now(self, act: StoreAct[Of, Result], item: Of) -> Result:
        """Do the act on the item."""
        return act(self.transaction, [item])[0]


class Drive(Walk):
    """A receiver in a scenario."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.scenario = scenario
        self.begun = MIDNIGHT + scenario.begins * SECOND
        self.told: list[Told] = []
        self.silences: list[int] = []
        self.ends: list[int] = []  # of silences
        self.polls = set[int]()  # a worker looks each second: when something may be given up
        self.listed = 0  # those that ended by then are listed
        self.known = set[str]()  # the names of all destinations so far
        self.up = True
        super().__init__(folder, "", now=self.begun)

    def reload(self, text: str) -> None:
        """Put the first rules in force."""
        self.enforce(self.scenario.rules[0])

    def enforce(self, rules: Rules) -> None:
        """Put rules in force, as a reload does."""
        self.rules = parsed(rules, self.folder.parent)
        self.intake = Intake.by(self.rules)
        self.source = next(iter(self.rules.sources))
        self.turned = set()

    def play(self) -> list[Told]:
        """Let the scenario happen; return what people were told."""
        for act in self.scenario.acts:
            self.at_once(lambda at=act.at: self.until(at))  # type: ignore[misc]
            if act.what == "starts":
                self.up = True
                self.is_down(0)
            else:
                self.at_once(lambda act=act: self.happens(act))  # type: ignore[misc]
            self.at_once(self.settle)
        self.at_once(lambda: self.until(self.scenario.ends))
        return sorted(self.told)

    def at_once(self, acts: Callable[[], None]) -> None:
        """Do acts in one transaction: a transaction for each takes five times as long."""
        store = self.store

        def within(transaction: Transaction) -> None:
            self.store = Within(transaction)  # type: ignore[assignment]
            try:
                acts()
            finally:
                self.store = store

        self.do(within)

    def until(self, at: int) -> None:
        """Let time pass, with all that is due meanwhile."""
        end = self.begun + at * SECOND
        while self.up and (then := self.next_time()) is not None and then < end:
            self.now = max(then, self.now + SECOND // 1000)
            self.settle()
        self.now = max(end, self.now)

    def next_time(self) -> int | None:
        """When the program would wake up."""
        found = [self.next_due(name) for name in self.rules.destinations]
        found += [end for end in self.ends if end > self.listed]
        found += [at for at in self.polls if at > self.now]
        return min((at for at in found if at is not None), default=None)

    def next_due(self, name: str) -> int | None:
        """When the worker of a destination would wake up."""
        policy = policy_at(self.rules.destinations[name], self.rules, self.now)
        return self.store.next_due(name, policy, self.now)

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
            self.ends.append(ends)
        elif act.what == "unsilences":
            item = (self.silences[act.number], self.now)
            self.store.write_now(operators.expire_silence, item)
        elif act.what == "reloads":
            self.enforce(self.scenario.rules[act.number])
            self.replan()
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
        if any(self.listed < end <= self.now for end in self.ends):
            list_silences(self.store, self.now)
            self.listed = self.now
        if len(self.rules.destinations.keys() & self.known) < len(self.known):
            self.do(self.bury)
        self.known |= self.rules.destinations.keys()
        going = True
        while going:
            going = False
            for name in self.rules.destinations:
                while self.is_due(name) and (claim := self.claim(name)) is not None:
                    going = True
                    attempt = self.answer(name)
                    message = self.record(claim, attempt, self.scenario.chance)
                    if attempt.outcome is not Outcome.FAILED:
                        self.hears(claim, message)
                    if attempt.outcome is not Outcome.DELIVERED:
                        lasts = self.rules.destinations[name].retry_for * SECOND
                        self.polls.add(claim.owed_at + int(lasts) + SECOND // 1000)

    def is_due(self, name: str) -> bool:
        """Return whether a worker would claim now; the first turn by new rules always does."""
        if name not in self.turned or self.now in self.polls:
            return True
        due = self.next_due(name)
        return due is not None and due <= self.now

    def answer(self, name: str) -> Attempt:
        """Return how the destination answers now."""
        now = (self.now - self.begun) // SECOND
        for outage in self.scenario.outages:
            if outage.to == name and outage.begins <= now < outage.ends:
                return answer_of(outage)
        return DELIVERED

    def hears(self, claim: Claim, message: Message) -> None:
        """Note a message that arrived, unless it is about a dead one."""
        if claim.origin is not None and claim.kind is not Kind.FALLBACK:
            return
        items = items_of(claim)
        if items:
            at = (self.now - self.begun) // SECOND
            repeat = "Possible repeat" in message.body
            self.told.append(Told(at, claim.destination, items, repeat))


def answer_of(outage: Outage) -> Attempt:
    """Return the attempt that an outage leads to."""
    if outage.answer == "lost":
        return LOST
    if outage.answer == "404":
        return GONE
    after = float(outage.after) if outage.answer == "later" else None
    return Attempt(Outcome.FAILED, "HTTP 503", retry_after=after) if after else FAILED


def items_of(claim: Claim) -> tuple[Item, ...]:
    """Return what a message says of which executions, in essence."""
    if isinstance(claim.digest, Digest):
        found = {item for each in claim.digest.listed for item in listed(each)}
        return tuple(sorted(found))
    kind, step = (
        (claim.origin.kind, claim.origin.step) if claim.origin else (claim.kind, claim.step)
    )
    facts = claim.facts
    return ((str(facts.execution_id), said(claim, kind, step)),)


def said(claim: Claim, kind: Kind, step: int) -> str:
    """Return what a message about one execution says."""
    status = str(claim.facts.status)
    if kind is Kind.REMINDER:
        return f"reminder {step} {status}"
    if kind is Kind.ACKNOWLEDGED and claim.acknowledged is not None:
        before = claim.acknowledged.taken_from
        return f"taken by {claim.acknowledged.by}" + (f" from {before}" if before else "")
    if kind is Kind.RESOLVED:
        return f"{claim.begun.status if claim.begun else '?'} is over: {status}"
    if kind is Kind.NOTICE:
        if claim.digest is None and getattr(claim, "route", "").startswith("stuck"):
            return f"stuck {status}"
        taken = claim.acknowledged
        return status + (f", {taken.by} has it" if taken else "")
    return f"{kind} {status}"


def listed(item: DigestItem) -> list[Item]:
    """Return what a line of a digest says."""
    execution, status = str(item.facts.execution_id), str(item.facts.status)
    if item.kind is Kind.RESOLVED:
        return [(execution, f"{item.begun.status if item.begun else '?'} is over: {status}")]
    if item.kind is Kind.ACKNOWLEDGED:
        return [(execution, f"taken by {item.taken_by}")]
    if item.over:
        return [(execution, "over")] if status in WAITS else []
    if item.taken:
        return [(execution, f"{status}, {item.taken_by} has it")]
    return [(execution, status)]


@lru_cache(maxsize=1)
def template(folder: Path) -> Path:
    """Make an empty store once: to copy it takes less than to make it."""
    path = folder / "empty.db"
    SqliteStore(path, serve=True).close()
    return path


def play(scenario: Scenario, folder: Path) -> list[Told]:
    """Return all that people are told in a scenario by the program."""
    here = folder / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    shutil.copy(template(folder), here / "receiver.db")
    drive = Drive(here, scenario)
    try:
        return drive.play()
    finally:
        drive.store.close()
