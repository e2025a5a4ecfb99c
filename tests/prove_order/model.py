"""The rules about order once more, written from their text alone, to hold the receiver to them.

Nothing is imported from the receiver: the table, the limits and the words are typed in again, so
that a mistake has to be made twice to go unseen. One model is one source; words are their texts,
times are nanoseconds. It says what must be, `tests.prove_order` asks whether it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

SECOND = 10**9
FUTURE = LATE = 5 * 60 * SECOND
MAX_AGE = 14 * 24 * 3600 * SECOND
MOST_HELD = 100

TABLE = {
    "starting": {"running", "failed", "cancelled", "completed"},
    "running": {"paused", "paused_by_agent", "cancelled", "awaiting_confirmation", "completed",
                "failed"},
    "paused": {"cancelled", "running"},
    "paused_by_agent": {"cancelled", "running", "failed"},
    "awaiting_confirmation": {"completed", "cancelled", "failed", "running"},
    "completed": set(), "failed": set(), "cancelled": set(),
}  # fmt: skip
EVERY = frozenset(TABLE)
PROCESSING = {"starting", "running"}
TERMINAL = {"completed", "failed", "cancelled"}
# A message about one of these asks for something only as long as it lasts.
PASSING = {"paused", "paused_by_agent", "awaiting_confirmation"}
NOT_A_STATUS = {f"EXECUTION_ACTION_{what}" for what in ("STARTED", "COMPLETED", "FAILED")}
# The routes of the prover: who is told of which verdict.
TOLD = {"applied": ("ops",), "rejected": ("ops", "audit")}
# An event that took one of these may still be healed.
GAPS = [("held", "gap"), ("rejected", "gap")]
Taken = tuple[str, str]


class Said(NamedTuple):
    """An event as the sender says it. `status` is None where `name` announces none."""

    event_id: str
    execution: str
    status: str | None
    at: int | None
    assumed: bool = False
    name: str = ""
    unknown: bool = False

    @property
    def says(self) -> str:
        """Its status; only of an event that announces one."""
        assert self.status is not None
        return self.status

    @property
    def moment(self) -> int:
        """Its time; only of an event that has one."""
        assert self.at is not None
        return self.at


@dataclass(slots=True, eq=False)
class Stored:
    """An event as it is kept: its verdicts in the order in which it took them."""

    said: Said
    received_at: int
    flags: set[str]
    steps: list[Taken] = field(default_factory=list)
    times: int = 1

    @property
    def verdict(self) -> str:
        return self.steps[-1][0]


@dataclass(slots=True)
class Execution:
    """Where an execution stands after `version` applied events."""

    status: str
    mark: int
    version: int = 0
    gap: bool = False
    assumed: bool = False


@dataclass(slots=True)
class Message:
    """What is owed to a destination about the verdict that an event took."""

    stored: Stored
    verdict: str
    version: int
    state: str = "waiting"


@cache
def leads(start: str, end: str, assumed: bool, through: frozenset[str]) -> bool:
    """Whether a path of at least one move leads there, standing only in `through` between."""
    todo = list(TABLE[start] | (TABLE["paused_by_agent"] if assumed else set()))
    seen: set[str] = set()
    while todo:
        here = todo.pop()
        if here == end:
            return True
        if here in through and here not in seen:
            seen.add(here)
            todo += TABLE[here]
    return False


class Model:
    """One source: its lifecycle, its events, its executions and what is owed about them."""

    def __init__(
        self, observes: frozenset[str] = EVERY, gaps: str = "reject", gap_timeout: int = 30 * SECOND
    ) -> None:
        self.observes, self.gaps, self.gap_timeout = observes, gaps, gap_timeout
        self.executions: dict[str, Execution] = {}
        self.events: defaultdict[str, list[Stored]] = defaultdict(list)
        self.messages: defaultdict[tuple[str, str], list[Message]] = defaultdict(list)
        self._repeats: dict[str, Stored | None] = {}  # of every event id that is known
        self._changes: set[tuple[str, str, str, int]] = set()
        self._held: list[Stored] = []
        self._told: set[tuple[str, int, str, str, str]] = set()

    def legal(self, start: str, end: str, assumed: bool = False) -> bool:
        """Unobserved statuses may have been passed unseen, on the way to an observed one."""
        unseen = EVERY - self.observes if end in self.observes else frozenset()
        return leads(start, end, assumed, unseen)

    def judge(self, execution: Execution, said: Said) -> tuple[str, str, bool]:
        """Verdict, reason and whether the order is uncertain: the rules from "older" on."""
        stands, status, assumed = execution.status, said.says, execution.assumed
        forward = self.legal(stands, status, assumed)
        backward = self.legal(status, stands, said.assumed)
        tied = said.at == execution.mark
        # Nothing comes after an end: where one seems older, a clock is wrong, and the end counts.
        skewed = said.moment < execution.mark
        if skewed and (stands in TERMINAL or status not in TERMINAL):
            return "stale", "older", False
        if tied and (stands in TERMINAL or (backward and not forward)):
            return "stale", "tie", False
        if stands == status and status in PROCESSING | TERMINAL:
            return "duplicate", "same_status", False
        if stands in TERMINAL:
            return "rejected", "terminal", False
        if forward:
            return "applied", "transition", skewed or (tied and backward)
        if leads(stands, status, assumed, EVERY):
            return "held", "gap", skewed
        return "rejected", "illegal", False

    def receive(self, said: Said, now: int) -> Taken:
        """Judge an event received at `now`; its verdict and reason at receipt."""
        stored = Stored(said, now, {"assumed"} if said.assumed else set())
        if said.unknown:
            return self._keep(stored, "quarantined", "unknown_status")
        if said.at is not None and said.at - now > FUTURE:
            return self._keep(stored, "quarantined", "future")
        if said.event_id in self._repeats:
            return self._repeat(stored)
        self._repeats[said.event_id] = None
        if said.status is None:
            known = said.name in NOT_A_STATUS
            return self._keep(stored, "ignored", "not_a_status" if known else "unknown_event")
        change = (said.execution, said.name, said.status, said.moment)
        if change in self._changes:
            return self._keep(stored, "duplicate", "same_change")
        self._changes.add(change)
        if now - said.moment > MAX_AGE:
            return self._keep(stored, "stale", "too_old")
        if now - said.moment > LATE:
            stored.flags.add("late")
        return self._follow(stored)

    def tick(self, now: int) -> None:
        """Time out what has been held for as long as it may be."""
        while due := [held for held in self._held if held.received_at + self.gap_timeout <= now]:
            overdue = min(due, key=lambda held: held.received_at)
            key = overdue.said.execution
            if self.gaps == "reject":
                self._take(overdue, "rejected", "gap", *self._doubts(overdue))
            while overdue.verdict == "held":
                waiting = [held for held in self._held if held.said.execution == key]
                earliest = min(waiting, key=lambda held: held.said.moment)
                self._take(earliest, "applied", "gap", "gap", *self._doubts(earliest))
                self.executions[key].gap = True
                self._heal(key)

    def _doubts(self, held: Stored) -> list[str]:
        """Whether its order is uncertain by now: only of an end that is older than the mark."""
        *_, uncertain = self.judge(self.executions[held.said.execution], held.said)
        return ["order_uncertain"] if uncertain else []

    def claim(self, destination: str, execution: str) -> Message | None:
        """Send the next message about an execution that is still true; supersede those before."""
        for message in self.messages[destination, execution]:
            if message.state == "waiting":
                asks = message.verdict == "applied" and message.stored.said.status in PASSING
                over = asks and self.executions[execution].version != message.version
                # What was told of as rejected may have been healed meanwhile.
                over = over or message.stored.verdict != message.verdict
                message.state = "superseded" if over else "sent"
                if not over:
                    return message
        return None

    def _keep(self, stored: Stored, verdict: str, reason: str, *flags: str) -> Taken:
        key = stored.said.execution
        self.events[key].append(stored)
        if self._take(stored, verdict, reason, *flags):
            self._heal(key)
        return verdict, reason

    def _repeat(self, stored: Stored) -> Taken:
        """The first wins, whatever a repeat says; all its repeats together are one more row."""
        if first := self._repeats[stored.said.event_id]:
            first.times += 1
            return "duplicate", "event_id"
        self._repeats[stored.said.event_id] = stored
        return self._keep(stored, "duplicate", "event_id")

    def _follow(self, stored: Stored) -> Taken:
        key = stored.said.execution
        if key not in self.executions:
            return self._keep(stored, "applied", "first_seen")
        verdict, reason, uncertain = self.judge(self.executions[key], stored.said)
        if sum(held.said.execution == key for held in self._held) >= MOST_HELD:
            verdict = "rejected" if verdict == "held" else verdict
        return self._keep(stored, verdict, reason, *(["order_uncertain"] if uncertain else []))

    def _heal(self, key: str) -> None:
        """Judge again what waits for a missing event, from the earliest, until nothing moves."""
        waits = [stored for stored in self.events[key] if stored.steps[-1] in GAPS]
        for stored in sorted(waits, key=lambda stored: stored.said.moment):
            verdict, reason, uncertain = self.judge(self.executions[key], stored.said)
            flags = ["healed", *(["order_uncertain"] if uncertain else [])]
            if verdict == "applied":
                self._take(stored, verdict, "healed", *flags)
                return self._heal(key)
            if (
                verdict != "held"
                and stored.verdict == "held"
                and self._take(stored, verdict, reason)
            ):
                return self._heal(key)
        return None

    def _take(self, stored: Stored, verdict: str, reason: str, *flags: str) -> bool:
        """Give an event its verdict; whether that moved the execution or its mark."""
        said, key = stored.said, stored.said.execution
        stored.steps.append((verdict, reason))
        stored.flags.update(flags)
        if stored in self._held:
            self._held.remove(stored)
        if verdict == "held":
            self._held.append(stored)
        moved = verdict == "applied" or (reason == "same_status" and said.status in PROCESSING)
        if verdict == "applied":
            execution = self.executions.setdefault(key, Execution(said.says, said.moment))
            execution.status, execution.assumed = said.says, said.assumed
            execution.version += 1
        if moved:
            # What is older than the mark and applied all the same leaves it where it is.
            execution = self.executions[key]
            execution.mark = max(execution.mark, said.moment)
        if verdict in TOLD and self._is_news(stored, verdict, reason):
            for destination in TOLD[verdict]:
                version = self.executions[key].version
                self.messages[destination, key].append(Message(stored, verdict, version))
        return moved

    def _is_news(self, stored: Stored, verdict: str, reason: str) -> bool:
        """Whether people are told: of what is not accepted, once for each kind in an episode."""
        said = stored.said
        version = self.executions[said.execution].version
        kind = (said.execution, version, verdict, reason, said.says)
        news = verdict == "applied" or kind not in self._told
        self._told.add(kind)
        return news
