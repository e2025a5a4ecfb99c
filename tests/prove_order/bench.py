"""The receiver over a real database with the model beside it, and where they differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from receiver.deliveries import Attempt, Claim, Outcome, State
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.routing.conditions import Condition
from receiver.routing.policy import SendPolicy
from receiver.routing.routes import Route
from receiver.sources.formats import asteroid
from receiver.store.records import AttemptResult
from receiver.store.sqlite.store import SqliteStore
from tests.prove_order.histories import HOUR
from tests.prove_order.model import PASSING, TERMINAL, Model, Said
from tests.prove_order.plans import DESTINATIONS, Op, Rules, Sent, history
from tests.support.stores import prepared

ROUTES = [
    Route("applied", (Condition("status", ("*",)),), ("ops",)),
    Route("not accepted", (Condition("verdict", ("rejected",)),), ("ops", "audit")),
]
PACE = SendPolicy(1e6)
DELIVERED = Attempt(Outcome.DELIVERED, "")


class Bench:
    """The receiver over a real database and the model beside it; `wrong` says where they differ.

    Only the first difference of a history is kept: what follows from it says nothing.
    """

    def __init__(self, path: Path, rules: dict[str, Rules]) -> None:
        self.path = path
        self.models = {source: Model(*each) for source, each in rules.items()}
        # A source without an ordering of its own is judged as published.
        self.intake = Intake(
            ROUTES, {s: each.ordering() for s, each in rules.items() if each != Rules()}
        )
        self.store = SqliteStore(prepared(path), serve=True)
        self.wrong: dict[str, str] = {}
        self.figures: Counter[str] = Counter()
        self.executions: dict[tuple[str, str], None] = {}
        self.told: defaultdict[tuple[str, str], list[Claim]] = defaultdict(list)
        self._ended: dict[tuple[str, str], str] = {}
        self._sending: list[Claim] = []

    def do(self, op: Op) -> None:
        """One operation on both."""
        self.figures[f"op {op.kind}"] += 1
        if op.kind == "receive":
            self.receive(op.batch, op.now)
        elif op.kind == "tick":
            self.tick(op.now)
        elif op.kind == "drain":
            self.drain(op.destination, op.now, op.most, op.slow)
        else:
            self.restart(op.now)

    def receive(self, batch: Sequence[Sent], now: int) -> None:
        """A batch of webhooks, in one transaction."""
        arrivals = [
            VerifiedWebhook(source, event(source, said), b"{}", now) for source, said in batch
        ]
        receipts = self.store.write_now(
            lambda transaction, items: [self.intake.receive(transaction, items[0])], arrivals
        )
        for (source, said), receipt in zip(batch, receipts, strict=True):
            key = (source, said.execution)
            self.executions[key] = None
            model = self.models[source]
            verdict, reason = model.receive(said, now)
            flags = {"assumed"} if said.assumed else set()
            if reason != "event_id":
                flags = model.events[said.execution][-1].flags
            stands = model.executions.get(said.execution)
            told = receipt.judgement
            self.agree(
                key,
                f"receipt of {said.event_id}",
                (told.verdict.value, told.reason, set(told.flags)),
                (verdict, reason, flags),
            )
            status = stands and stands.status
            self.agree(key, f"status after {said.event_id}", receipt.execution_status, status)
            self.figures[f"{verdict} ({reason})"] += 1
            if receipt.execution_status in TERMINAL:
                ended = self._ended.setdefault(key, receipt.execution_status)
                self.agree(key, "terminal status", receipt.execution_status, ended)

    def tick(self, now: int) -> None:
        """Time out what has been held for too long."""
        while self.store.write_now(
            lambda transaction, _: [self.intake.expire(transaction, [now])[0]], None
        ):
            pass
        for model in self.models.values():
            model.tick(now)

    def drain(self, destination: str, now: int, most: int = 1_000_000, slow: bool = False) -> None:
        """Send what a destination is owed."""
        self.finish(now)

        def claim(transaction: Any, _: object) -> list[list[Claim]]:
            claims: list[Claim] = []
            while len(claims) < most and (
                c := transaction.claim(destination, PACE, now, now + HOUR)
            ):
                claims.append(c)
                if not slow:
                    transaction.record(c, DELIVERED, AttemptResult(State.SENT, "", now, "t", "b"))
            return [claims]

        claims = self.store.write_now(claim, None)
        self._sending = claims if slow else []
        for each in claims:
            facts = each.facts
            key = (facts.source, str(facts.execution_id))
            found = self.models[key[0]].claim(destination, key[1])
            self.told[key].append(each)
            self.figures[f"sent to {destination}"] += 1
            self.agree(
                key,
                f"message to {destination}",
                (facts.event_id, facts.verdict.value),
                found and (found.stored.said.event_id, found.verdict),
            )
            if facts.status in PASSING and facts.verdict == "applied":
                # Committed reads see the execution as it stood when the message was taken.
                shown = self.store.execution(*key)
                stood = shown and shown["execution"]
                stands = stood and (stood["status"], stood["since"])
                self.agree(key, "wait", stands, (facts.status, facts.occurred_at))
        if not slow and len(claims) < most:
            self.nothing_else(destination)

    def nothing_else(self, destination: str) -> None:
        """The model has nothing left to send either, once the receiver has not."""
        for source, model in self.models.items():
            for to, execution in list(model.messages):
                if to == destination and (left := model.claim(destination, execution)):
                    owed = (left.stored.said.event_id, left.verdict)
                    self.agree((source, execution), f"message to {destination}", None, owed)

    def finish(self, now: int) -> None:
        """Write down what became of the messages that are being sent."""

        def record(transaction: Any, _: object) -> list[None]:
            for claim in self._sending:
                after = AttemptResult(State.SENT, "", now, "t", "b")
                assert transaction.record(claim, DELIVERED, after)
            return [None]

        if self._sending:
            self.store.write_now(record, None)
            self._sending = []

    def restart(self, now: int) -> None:
        """Close the database and open it again."""
        self.finish(now)
        self.store.close()
        self.store = SqliteStore(self.path, serve=True)

    def compare(self) -> None:
        """Everything that is stored with everything that the model knows."""
        for key in self.executions:
            self.compare_one(key, self.store.execution(*key))
        imbalance = self.store.ledger()["imbalance"]
        for name in {history(execution) for _, execution in self.executions} if imbalance else ():
            self.wrong.setdefault(name, f"the ledger's imbalance is {imbalance}")

    def compare_one(self, key: tuple[str, str], found: Any) -> None:
        """One execution, as the API tells of it."""
        model = self.models[key[0]]
        stands = model.executions.get(key[1])
        if found is None or stands is None:
            self.agree(key, "is there", found is not None, stands is not None)
            return
        told = found["execution"]
        self.agree(key, "execution", (told["status"], told["gap"]), (stands.status, stands.gap))
        self.agree(key, "end", told["status"], self._ended.get(key, told["status"]))
        if stands.status in TERMINAL:
            self.figures["ended"] += 1
        self.compare_events(key, model, found["events"])
        for destination in DESTINATIONS:
            self.compare_messages(key, model, destination, found["deliveries"])

    def compare_events(self, key: tuple[str, str], model: Model, rows: list[Any]) -> None:
        """Compare the events of an execution, each with all its verdicts."""
        real = [
            (row["event_id"], [(s["verdict"], s["reason"]) for s in row["steps"]],
             sorted(row["flags"]), row["times"])
            for row in rows if row["verdict"] != "quarantined"
        ]  # fmt: skip
        stored = [each for each in model.events[key[1]] if each.verdict != "quarantined"]
        wanted = [(s.said.event_id, s.steps, sorted(s.flags), s.times) for s in stored]
        self.agree(key, "events", real, wanted)
        changes = Counter((s.said.status, s.said.at) for s in stored if s.steps[0][0] == "applied")
        self.figures["applied twice at one time"] += sum(n > 1 for n in changes.values())
        last = [(row["verdict"], row["reason"]) for row in rows]
        steps = [(s["verdict"], s["reason"]) for row in rows for s in row["steps"][-1:]]
        self.agree(key, "last", last, steps)
        for each in stored:
            self.figures.update(f"flag {flag}" for flag in each.flags)
            doubted = each.said.status in TERMINAL and "order_uncertain" in each.flags
            self.figures[f"{each.verdict} end that seems older"] += doubted
            for verdict, reason in each.steps[1:]:
                self.figures[f"then {verdict} ({reason})"] += 1

    def compare_messages(
        self, key: tuple[str, str], model: Model, destination: str, rows: list[Any]
    ) -> None:
        """Compare the messages of an execution to one destination."""
        real = [
            (row["event_id"], row["verdict"], row["state"])
            for row in rows
            if row["destination"] == destination
        ]
        wanted = [
            (m.stored.said.event_id, m.verdict, m.state)
            for m in model.messages[destination, key[1]]
        ]
        self.agree(key, f"messages to {destination}", real, wanted)
        self.figures["superseded"] += sum(m[2] == "superseded" for m in wanted)

    def agree(self, key: tuple[str, str], what: str, real: object, wanted: object) -> None:
        """Note the first difference of a history."""
        if real != wanted:
            text = f"{what} of {key[0]}/{key[1]}\n  receiver: {real}\n  expected: {wanted}"
            self.wrong.setdefault(history(key[1]), text)


def event(source: str, said: Said) -> Event:
    """What a source says, in the receiver's words."""
    status = None if said.status is None or said.unknown else Status(said.status)
    return Event(
        source, said.event_id, said.name or "E", status, said.execution, said.at,
        unknown_status="dancing" if said.unknown else None,
        is_known_without_status=asteroid.is_without_status(said.name),
        flags=frozenset({"assumed"} if said.assumed else ()),
    )  # fmt: skip
