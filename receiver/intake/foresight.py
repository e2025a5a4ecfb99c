"""Foresight: the fate of new deliveries if nothing else happens and every message arrives.

It sends messages in a rehearsal, by the claims of dispatch: in their order, at the rate of their
destination, after quiet hours, as digests, and not against a silence. No message leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Outcome, State
from receiver.routing.policy import route_options
from receiver.store.contract import Transaction
from receiver.store.records import AttemptResult, OwedDelivery
from receiver.times import SECOND

# The most claims of a rehearsal: it blocks every commit.
MOST = 500
DELIVERED = Attempt(Outcome.DELIVERED, "")


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A delivery, and the time (nanoseconds) at which it goes out, as `claim`, or is given up.

    `at` is None if too much waits before it.
    """

    owed: OwedDelivery
    at: int | None
    claim: Claim | None = None


def foresee(transaction: Transaction, since: int, rules: Rules, now: int) -> list[Foreseen]:
    """Return the fate of all deliveries that are newer than the one with the number `since`.

    It changes the store, so the transaction must not be committed.
    """
    new = transaction.owed_since(since)
    rehearsal = _Rehearsal(transaction, since, rules)
    rehearsal.send(new, now)
    return [rehearsal.fates.get(owed.number, Foreseen(owed, None)) for owed in new]


@dataclass(slots=True)
class _Rehearsal:
    """The sending of what is due, with one clock for all destinations, as in dispatch."""

    transaction: Transaction
    since: int
    rules: Rules
    fates: dict[int, Foreseen] = field(default_factory=dict)
    claims: int = 0

    def send(self, new: Sequence[OwedDelivery], now: int) -> None:
        """Send until the fate of the new deliveries is known."""
        pending = {o.number: o.destination for o in new if o.destination in self.rules.destinations}
        at = now
        while self.claims < MOST:
            due = [self._send_due(name, pending, at) for name in dict.fromkeys(pending.values())]
            times = [time for time in due if time is not None]
            if not pending or not times:
                return
            at = max(min(times), at + 1)

    def _send_due(self, name: str, pending: dict[int, str], at: int) -> int | None:
        """Send what is due to a destination; return the time at which more is."""
        policy = self.rules.policy_at(self.rules.destinations[name], at)
        options, _ = route_options(self.rules.routes, None, at)
        while self.claims < MOST:
            self.claims += 1
            claim = self.transaction.claim(name, policy, at, at + SECOND)
            for owed in self.transaction.owed_since(self.since):
                if owed.number in pending and owed.state is not State.WAITING:
                    del pending[owed.number]
                    is_sent = owed.state is State.SENDING
                    self.fates[owed.number] = Foreseen(owed, at, claim if is_sent else None)
            if claim is None or not pending:
                break
            after = AttemptResult(State.SENT, "", at, "", "", options=options, at=at)
            self.transaction.record(claim, DELIVERED, after)
        return self.transaction.next_due(name, policy, at)
