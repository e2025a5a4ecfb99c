"""A transaction of the contract, over one connection of any engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from receiver.alarms import Alarm
from receiver.deliveries import Acknowledgement, Attempt, Claim, Kind, OnlyIf, PlannedDelivery
from receiver.events import Event, Execution, Held, Verdict
from receiver.retention import Limits
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store import names
from receiver.store.portions import SilencePlace, SilencesListed
from receiver.store.records import (
    AttemptResult,
    ExecutionKey,
    Failures,
    JudgedWebhook,
    Loaded,
    OwedDelivery,
    PruneCursor,
    Pruned,
    TakeResult,
    Watched,
)
from receiver.store.sql import (
    alarms,
    audit,
    claims,
    clock,
    episodes,
    fallbacks,
    loading,
    outbox,
    plans,
    pruning,
    quarantine,
    quiet,
    reads,
    rows,
    silences,
)
from receiver.store.sql.database import Database, Row, statement

JUDGE_AGAIN = statement(
    "judge_again",
    "UPDATE event SET verdict = :verdict, reason = :reason, flags = :flags, missing = :missing,"
    " held_until = NULL, version = :version, owed = owed + :owed WHERE seq = :event",
)
# The first step is inserted only when a second one follows.
FIRST_STEP = statement(
    "first_step",
    "INSERT INTO judgement (event, number, at, verdict, reason)"
    " SELECT seq, 1, received_at, verdict, reason FROM event WHERE seq = :event"
    " ON CONFLICT (event, number) DO NOTHING",
)
STEP = statement(
    "step",
    "INSERT INTO judgement (event, number, at, verdict, reason)"
    " SELECT event, max(number) + 1, CAST(:at AS bigint), CAST(:verdict AS text),"
    " CAST(:reason AS text) FROM judgement WHERE event = :event GROUP BY event",
)
IS_OWED = statement("is_owed", "SELECT 1 FROM delivery WHERE dedup_key = :dedup_key")
EVENT_NUMBER = statement(
    "event_number",
    "SELECT seq FROM event WHERE source = :source AND event_id = :event_id AND repeated = 0"
    " AND verdict <> 'quarantined'",
)
HEARTBEAT = statement("heartbeat", "UPDATE promised SET n = n WHERE name = 'accepted'{part}")


class SqlTransaction(plans.SqlPlanning, audit.SqlAuditing):
    """contract.Transaction. `holder` gets the leases; no holder's name starts with another's."""

    def __init__(self, database: Database, holder: str = "") -> None:
        self._database, self._holder = database, holder
        self._numbers: dict[ExecutionKey, int] = {}  # the ids of executions, as far as known
        self._request: claims.Request | None = None
        database.due.clear()

    def load(self, events: Sequence[Event]) -> Loaded:
        return loading.load(self._database, events, self._numbers, lock=True)

    def expired_held(self, now: int) -> Sequence[Held]:
        return loading.expired_held(self._database, now)

    def save(self, entries: Sequence[JudgedWebhook]) -> None:
        messages = self._not_yet_owed(entries)
        numbers = self._write_down(entries, messages)
        self._judge_again(entries, numbers, messages)
        self._advance(entries, numbers)
        self._promise("accepted", sum(entry.accepted for entry in entries if not entry.again))
        # First, so that people hear of the end of an episode before they hear of the next one.
        self._promise("owed", episodes.tell_ends(self._database, entries))
        deliveries = [
            row
            for entry, seq, owing in zip(entries, numbers, messages, strict=True)
            for row in rows.delivery_rows(seq, entry, owing)
        ]
        outbox.add(self._database, deliveries, max((e.judged_at for e in entries), default=0))
        # Last, because an episode that ends here may have begun in this batch.
        episodes.supersede(self._database, entries)
        if any(entry.judgement.verdict is Verdict.QUARANTINED for entry in entries):
            self._evict()
        heard = {
            each.source: each.received_at or each.judged_at for each in entries if not each.again
        }
        alarms.heard(self._database, heard)

    def _write_down(
        self, entries: Sequence[JudgedWebhook], messages: Sequence[Sequence[PlannedDelivery]]
    ) -> Sequence[int]:
        """Insert the new events; return the number of each entry's event, new or stored before."""
        bulk = self._database.bulk
        new = iter(bulk.new_events(sum(not entry.again for entry in entries)))
        numbers = [0 if entry.again else next(new) for entry in entries]
        bulk.add_events([
            rows.event_row(seq, entry, len(owing))
            for seq, entry, owing in zip(numbers, entries, messages, strict=True)
            if not entry.again
        ])  # fmt: skip
        # Last, because an event that is judged again may have come in this batch.
        return [seq or self._seq(entry) for seq, entry in zip(numbers, entries, strict=True)]

    def _judge_again(
        self, entries: Sequence[JudgedWebhook], numbers: Sequence[int],
        messages: Sequence[Sequence[PlannedDelivery]],
    ) -> None:  # fmt: skip
        for entry, seq, owing in zip(entries, numbers, messages, strict=True):
            if not entry.again:
                continue
            judgement = entry.judgement
            values = {
                "event": seq, "at": entry.judged_at, "verdict": str(judgement.verdict),
                "reason": judgement.reason, "flags": rows.words(judgement.flags),
                "missing": rows.words(judgement.missing), "owed": len(owing),
                "version": entry.after.version if entry.after else None,
            }  # fmt: skip
            for act in (FIRST_STEP, STEP, JUDGE_AGAIN):
                self._database.change(act, values)

    def _advance(self, entries: Sequence[JudgedWebhook], numbers: Sequence[int]) -> None:
        """Store the new states of executions, and the steps that led to them."""
        changed = [(entry.after or entry.moved, entry, seq)
                   for entry, seq in zip(entries, numbers, strict=True)]  # fmt: skip
        n = sum(after is not None and entry.before is None for after, entry, _ in changed)
        ids = iter(self._database.bulk.new_executions(n))
        new: list[Row] = []
        history: list[Row] = []
        # An execution may move more than once in a batch. The CHECKs have to see each step.
        moves: list[list[Row]] = []
        moved: dict[ExecutionKey, int] = {}
        self._look_up([entry.before for after, entry, _ in changed if after and entry.before])
        for after, entry, seq in changed:
            if after is None:
                continue
            key = after.source, after.execution_id
            if entry.before is None:
                self._numbers[key] = next(ids)
                new.append(rows.execution_row(self._numbers[key], after))
            else:
                round_ = moved.get(key, 0)
                moved[key] = round_ + 1
                if round_ == len(moves):
                    moves.append([])
                moves[round_].append(rows.moved_row(self._numbers[key], entry.before, after))
            if entry.after is not None:
                history.append(rows.history_row(self._numbers[key], seq, entry))
        self._store_moves(new, moves, history)

    def _store_moves(
        self, new: Sequence[Row], moves: Sequence[Sequence[Row]], history: Sequence[Row]
    ) -> None:
        bulk = self._database.bulk
        bulk.add_executions(new)
        for round_ in moves:
            if bulk.move_executions(round_) != len(round_):
                raise AssertionError("an execution changed between loading and saving it")
        bulk.add_history(history)

    def _look_up(self, executions: Iterable[Execution]) -> None:
        """Find the ids of stored executions that `load` did not return."""
        unknown = sorted({(x.source, x.execution_id) for x in executions} - self._numbers.keys())
        for source, execution_id, number in self._database.bulk.execution_numbers(unknown):
            self._numbers[source, execution_id] = number

    def claim(
        self, destination: str, policy: SendPolicy, now: int, until: int, *, anyway: bool = False,
        again: bool = False,
    ) -> Claim | None:  # fmt: skip
        db, holder = self._database, self._holder
        if not again:
            self._request = claims.request(db, destination, policy, now, until, holder, anyway)
        return None if self._request is None else claims.claim(db, self._request)

    def recheck_quiet(self, destination: str, policy: SendPolicy, now: int) -> None:
        quiet.recheck(self._database, destination, policy, now)
        quiet.regroup(self._database, destination, policy)

    def record(
        self, claim: Claim, attempt: Attempt, after: AttemptResult, beside: Sequence[Claim] = ()
    ) -> bool:
        db = self._database
        which = "digest" if claim.group_key is not None and claim.digest is not None else "one"
        if not outbox.record(db, claim, attempt, after, beside):
            return False
        quarantine.settle(db, claim, after.state)
        others = []
        for message in after.owed:
            if which == "digest" and message.kind is Kind.FALLBACK:
                self._promise("owed", fallbacks.fall_back(db, claim, message.destination))
            else:
                others.append(message)
        if others:
            self.owe(claim.delivery, others, claim.claimed_at)
        self._promise("owed", episodes.follow_attempt(db, claim, after, which))
        return True

    def failures(self, destination: str) -> Failures:
        return outbox.failures(self._database, destination)

    def pause(self, destination: str, now: int, until: int) -> None:
        values = {"destination": destination, "now": now, "until": until}
        self._database.change(outbox.PAUSE, values)

    def owe(self, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> None:
        new = [m for m in messages if not fallbacks.has_it(self._database, delivery, m, now)]
        self._promise("owed", fallbacks.owe(self._database, delivery, new, now))

    def release(self, now: int, *, own: bool = False, unsent: Claim | None = None) -> int:
        return outbox.release(self._database, now, self._holder if own else None, unsent)

    def expire_overdue(
        self, destination: str, policy: SendPolicy, reason: str, now: int
    ) -> Sequence[Claim]:
        return quiet.expire_overdue(self._database, destination, policy, reason, now)

    def end_orphans(self, destinations: Sequence[str], now: int) -> Sequence[Claim]:
        return outbox.end_orphans(self._database, destinations, now)

    def redeliver(self, delivery: int, now: int) -> bool | None:
        return outbox.redeliver(self._database, delivery, now)

    def redeliver_all(self, destination: str, now: int) -> int:
        return outbox.redeliver_all(self._database, destination, now)

    def acknowledge(
        self, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str],
        only: OnlyIf | None = None,
    ) -> TakeResult:  # fmt: skip
        db = self._database
        result, added = episodes.acknowledge(db, source, execution_id, taken, routes, only)
        self._promise("owed", added)
        return result

    def add_silence(self, silence: Silence, now: int) -> int:
        return silences.add(self._database, silence, now)

    def expire_silence(self, silence: int, now: int) -> bool | None:
        return silences.expire(self._database, silence, now)

    def list_silences(self, now: int, place: SilencePlace, most: int) -> SilencesListed:
        listed, added = silences.list_ended(self._database, now, place, most)
        self._promise("owed", added)
        return listed

    def set_back(self, now: int) -> int:
        return clock.set_back(self._database, now)

    def prune(self, limits: Limits, place: PruneCursor) -> Pruned:
        return pruning.prune(self._database, limits, place)

    def watched(self, now: int, since: int) -> Watched:
        return alarms.watched(self._database, now, since)

    def starve(self, destination: str, since: int | None) -> None:
        alarms.starve(self._database, destination, since)

    def served(self, source: str, quiet_from: int, now: int) -> None:
        alarms.served(self._database, source, quiet_from, now)

    def absent(self, source: str, statuses: Sequence[str], since: int, now: int) -> None:
        alarms.absent(self._database, source, statuses, since, now)

    def raise_alarm(self, alarm: Alarm, routes: Mapping[str, str]) -> Alarm | None:
        raised = alarms.raise_alarm(self._database, alarm)
        if raised is not None:
            self.tell_alarm(raised, routes, raised.raised_at)
        return raised

    def tell_alarm(self, alarm: Alarm, routes: Mapping[str, str], now: int) -> None:
        self._promise("owed", alarms.tell(self._database, alarm, routes, now))

    def end_alarm(self, alarm: Alarm, cause: str, now: int) -> Sequence[str] | None:
        routes = alarms.end(self._database, alarm, cause, now)
        if routes is None:
            return None
        self._promise("owed", alarms.tell(self._database, alarm, routes, now, step=1))
        return tuple(routes)

    def settle_sources(self, sources: Sequence[str], now: int) -> tuple[int, int]:
        return names.settle_sources(self._database, sources, now)

    def rename(self, kind: str, old: str, new: str, *, dry_run: bool = False) -> dict[str, int]:
        return names.rename(self._database, kind, old, new, dry_run=dry_run)

    def newest_delivery(self) -> int:
        return int(self._database.value(reads.NEWEST_DELIVERY))

    def owed_since(self, delivery: int) -> Sequence[OwedDelivery]:
        return reads.owed_since(self._database, delivery)

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        return reads.next_due(self._database, destination, policy, now)

    def heartbeat(self) -> None:
        self._database.change(HEARTBEAT)

    def _not_yet_owed(self, entries: Sequence[JudgedWebhook]) -> list[Sequence[PlannedDelivery]]:
        """Return the new deliveries of each entry. An applied event never repeats a message."""
        seen: set[str] = set()
        return [
            entry.owed
            if entry.judgement.verdict is Verdict.APPLIED
            else [message for message in entry.owed if self._is_new(message, entry, seen)]
            for entry in entries
        ]

    def _is_new(self, message: PlannedDelivery, entry: JudgedWebhook, seen: set[str]) -> bool:
        key = message.dedup_key
        if key in seen or self._database.row(IS_OWED, {"dedup_key": key}):
            return False
        seen.add(key)
        if entry.judgement.verdict is not Verdict.QUARANTINED:
            return True
        return quarantine.begins_a_day(self._database, message, entry.judged_at)

    def _seq(self, entry: JudgedWebhook) -> int:
        """Return the number of a stored event that is judged again."""
        assert entry.event is not None
        values = {"source": entry.source, "event_id": entry.event.event_id}
        return int(self._database.value(EVENT_NUMBER, values))

    def _evict(self) -> None:
        evicted = quarantine.evict(self._database)
        self._promise("evicted", sum(reason != "malformed" for reason in evicted))

    def _promise(self, name: str, n: int) -> None:
        outbox.promise(self._database, name, n)
