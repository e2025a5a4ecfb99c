"""A walk over the real store with the time passed in: what comes, what people get, a restart.

It does what a lane does, by the functions a lane does it with, and no thread or clock is involved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from receiver.config import routes_file
from receiver.config.live_rules import FailedReload
from receiver.config.rules import Rules
from receiver.deliveries import Acknowledgement, Attempt, Claim, Message, OnlyIf, Outcome
from receiver.dispatch import replanning
from receiver.dispatch.alarm_timer import attend, look
from receiver.dispatch.alarms import DAY, changes
from receiver.dispatch.operators import list_silences
from receiver.dispatch.presence import Observation, Refused
from receiver.dispatch.retry import follow, with_others
from receiver.dispatch.turn import FinishedAttempt, TurnRequest, policy_at, record_and_claim
from receiver.errors import StorageUnavailable
from receiver.events import Event, Status
from receiver.intake.receive import Intake, Receipt, VerifiedWebhook
from receiver.links import NO_LINKS, Links
from receiver.messages.compose import compose
from receiver.routing.policy import SendPolicy
from receiver.store.contract import Store, Transaction
from receiver.store.portions import Portions
from receiver.store.records import TakeOutcome, TakeResult
from receiver.times import SECOND as SECOND  # noqa: PLC0414  (named for those who import it from here)
from receiver.times import parse_time
from receiver.web import json_views
from tests.support.stores import open_store

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
START = parse_time("2026-06-01T12:00:00Z")  # a Monday
SOURCES = """\
sources:
  s: {verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}
"""
FAILED = Attempt(Outcome.FAILED, "HTTP 500")
GONE = Attempt(Outcome.FAILED, "HTTP 404", permanent=True)
DELIVERED = Attempt(Outcome.DELIVERED, "")


@dataclass(frozen=True)
class Told:
    """A message as a destination got it."""

    destination: str
    message: Message
    claim: Claim

    @property
    def title(self) -> str:
        return self.message.title


def counted(told: Told) -> int:
    """Return how many messages a message says that it stands for, in its lines or in its title."""
    found = re.findall(r"^([\d,]+) ×", told.message.body, re.M)
    if not found and told.claim.digest is not None:
        found = re.findall(r"(?:^|[:,] )(?:no news of )?([\d,]+) (?![A-Z])", told.title)
    return sum(int(n.replace(",", "")) for n in found) if found else 1


# The walks that `ending` ends: lists, one in another.
_BEGUN: list[list[Walk]] = []


@contextmanager
def ending() -> Iterator[None]:
    """Close at the end the stores of walks that began inside: each takes a dozen descriptors."""
    _BEGUN.append([])
    try:
        yield
    finally:
        for walk in _BEGUN.pop():
            with suppress(StorageUnavailable):  # closed, or its file was moved
                walk.store.check_writable()
                walk.store.close()


@dataclass
class Walk:
    """A receiver without threads: `now` is moved by hand."""

    folder: Path
    text: str
    environ: Mapping[str, str] = field(default_factory=dict)
    now: int = START
    events: int = 0
    zone: tzinfo = UTC
    since: int = START  # the process serves since then
    links: Links = NO_LINKS

    def __post_init__(self) -> None:
        self.reload(self.text)
        self.store: Store = open_store(self.folder / "receiver.db")
        for begun in _BEGUN[-1:]:
            begun.append(self)

    def reload(self, text: str) -> None:
        """Other rules from now on."""
        path = self.folder / "routes.yaml"
        path.write_text(text if "sources:" in text else SOURCES + text, "utf-8")
        before: Rules | None = getattr(self, "rules", None)
        self.rules = routes_file.load(str(path), self.environ)
        self.intake = Intake.by(self.rules)
        self.source = next(iter(self.rules.sources))
        self.turned = set[str]()
        if before is not None and hasattr(self, "store"):
            self._replan(replanning.difference(before, self.rules))

    def replan(self) -> int:
        """Let what waits follow the rules, as after a start; how many changed."""
        return self._replan(replanning.whole(self.rules))

    def _replan(self, walk: replanning.Walk | None) -> int:
        changed = 0
        place = replanning.Place() if walk else None
        while walk is not None and place is not None:
            due, place = replanning.look(self.store, walk, place, self.now)
            parts = replanning.replan_in_parts(self.store, due, self.rules, self.now)
            changed += sum(done.changed for done in parts)
        return changed

    def restart(self) -> None:
        """Go on as if the process had ended and begun again."""
        self.store.close()
        self.store = open_store(self.folder / "receiver.db")
        self.turned = set()
        self.since = self.now
        self.do(lambda transaction: transaction.release(self.now, own=True))
        self.do(lambda transaction: transaction.set_back(self.now))
        self.replan()

    def is_down(self, time: int) -> None:
        """Let the process be killed and not serve for so long (nanoseconds), then start."""
        self.now += time
        self.since = self.now
        self.attends()
        self.restart()

    def is_stopped(self, time: int) -> None:
        """Let the process stand still for so long (nanoseconds), then go on."""
        self.now += time
        self.attends()

    def attends(self) -> None:
        """Note which sources are served, as a start does, and a worker after a stop."""
        self.store.write_now(attend, Observation(self.rules, self.now, self.since))

    def serves(self, time: int, step: int = SECOND) -> list[Told]:
        """Return what goes out while it serves and looks each step (nanoseconds)."""
        found, begin = list[Told](), self.now
        while self.now < begin + time:
            self.passes(step)
            self.looks()
            found += self.gets()
        return found

    def do(self, act: Callable[[Transaction], Any]) -> Any:
        """Do one act in a transaction of its own."""
        return self.store.write_now(lambda t, items: [act(t) for _ in items], None)

    def comes(self, status: Status | None, execution: str = "x", **more: Any) -> Receipt:
        """Let an event happen and come in now."""
        return self.come([self.event(status, execution, **more)])[0]

    def event(self, status: Status | None, execution: str = "x", **more: Any) -> Event:
        """Make an event that happens now, and after all others."""
        self.events += 1
        self.now += 1
        named = {"agent_name": "Invoice agent", "agent_id": "agent-1", **more}
        return Event(self.source, f"e-{self.events}", "E", status, execution, self.now, **named)

    def come(self, events: Sequence[Event]) -> Sequence[Receipt]:
        """Events come in now, in one batch."""
        arrivals = [VerifiedWebhook(event.source, event, b"{}", self.now) for event in events]
        return self.store.write_now(lambda t, _: [self.intake.receive(t, arrivals)], None)

    def passes(self, time: int) -> None:
        """Time goes by (nanoseconds), and silences that end meanwhile are listed."""
        self.now += time
        list_silences(self.store, self.now, Portions(first=2))

    def looks(
        self, refused: Mapping[str, Refused] | None = None, failed: FailedReload | None = None
    ) -> list[str]:
        """Look whether telling works, as the timer does each second; what began and what ended."""
        self.since = min(self.since, self.now)
        seen = Observation(self.rules, self.now, self.since, refused or {}, failed)
        if not changes(self.store.watched(self.now, self.now - DAY), seen):
            return []
        found = []
        for each in self.store.write_now(look, seen):
            sign = "-" if each.is_over else "+"
            about = f"{each.alarm.kind} {each.alarm.about}".strip()
            found.append(f"{sign} {about}: {', '.join(each.destinations) or 'nobody'}")
        return found

    def policy(self, destination: str) -> SendPolicy:
        """Return the policy of a destination now."""
        return policy_at(self.rules.destinations[destination], self.rules, self.now)

    def claim(self, destination: str) -> Claim | None:
        """Claim what a worker would send to the destination now."""
        policy = self.policy(destination)
        until, anew = self.now + 60 * SECOND, destination not in self.turned
        self.turned.add(destination)
        asked = TurnRequest(
            destination, policy, self.now, until, self.rules, is_first=anew, is_first_by_rules=anew
        )
        return self.store.write_now(record_and_claim, asked).claim

    def compose(self, claim: Claim) -> Message:
        """Compose a message now."""
        return compose(claim, self.rules.route(claim.route), self.now, self.links, self.zone)

    def record(self, claim: Claim, attempt: Attempt = DELIVERED, chance: float = 0.5) -> Message:
        """Record what became of an attempt that ends now."""
        of = self.rules.destinations[claim.destination]
        message = self.compose(claim)
        after = follow(claim, attempt, of, message, self.now, chance)
        done = FinishedAttempt(claim, attempt, with_others(after, claim, self.rules, self.now))
        policy = self.policy(of.name)
        asked = TurnRequest(of.name, policy, self.now, self.now, self.rules, done, goes_on=False)
        assert self.store.write_now(record_and_claim, asked).recorded
        return message

    def gets(self, destination: str | None = None, attempt: Attempt = DELIVERED) -> list[Told]:
        """Return all that goes out now, to one destination or to all; the ledger is in balance."""
        told = []
        for name in [destination] if destination else self.rules.destinations:
            while (claim := self.claim(name)) is not None:
                told.append(Told(name, self.record(claim, attempt), claim))
        assert self.store.ledger()["imbalance"] == 0
        return told

    def titles(self, destination: str | None = None) -> list[str]:
        """Return the same, as `destination: title`."""
        return [f"{each.destination}: {each.title}" for each in self.gets(destination)]

    def until_quiet(self, time: int, step: int = MINUTE) -> list[tuple[int, Told]]:
        """Return all that goes out within a time, looked at each step, with the minute."""
        found, begin = list[tuple[int, Told]](), self.now
        while self.now < begin + time:
            self.passes(step)
            found += [((self.now - begin) // MINUTE, told) for told in self.gets()]
        return found

    def take(self, by: str, execution: str = "x", only: OnlyIf | None = None) -> TakeResult:
        """Let somebody take the present episode now."""
        routes = [route.name for route in self.rules.routes if route.acknowledged]
        taken = Acknowledgement(by, self.now)
        result: TakeResult = self.do(
            lambda t: t.acknowledge(self.source, execution, taken, routes, only)
        )
        return result

    def acknowledge(self, by: str, execution: str = "x") -> bool | None:
        """Do the same; return whether the execution still goes on, None if there is none."""
        outcome = self.take(by, execution).outcome
        return None if outcome is TakeOutcome.UNKNOWN else outcome is not TakeOutcome.ENDED

    def states(self, **conditions: str) -> list[tuple[str, str, str, str]]:
        """(destination, kind, state, reason) of every delivery, oldest first."""
        items, _ = self.store.deliveries(conditions, 200, None)
        return [
            (d["destination"], d["kind"], d["state"], d["reason"]) for d in reversed(items)
        ]  # fmt: skip

    def pending(self) -> int:
        """Count the deliveries that wait."""
        return int(self.store.ledger()["deliveries"].get("waiting", 0))

    def shown(self, execution: str = "x") -> dict[str, Any]:
        """Return what the API says of an execution."""
        found = self.store.execution(self.source, execution)
        assert found is not None
        return json.loads(json.dumps(json_views.known(found, self.rules, self.now)))  # type: ignore[no-any-return]
