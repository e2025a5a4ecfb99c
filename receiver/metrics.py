"""Metrics: counts of events since the start of the process, for `GET /metrics` and the log.

Every name and label is one of a few words of ours: nothing that a sender writes is ever a label.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from receiver.alarms import AlarmKind

# The causes of distrust in a webhook; see UntrustedWebhook.
CAUSES = (
    "missing",
    "repeated",
    "malformed",
    "wrong",
    "expired",
    "no_key",
    "secret_header",
    "agent",
)
RELOADS = ("done", "failed")
# The causes of a refused connection, before there is a request, and of a refused request.
REFUSALS = (
    "malformed",
    "slow",
    "headers",
    "connections",
    "address",
    "not_found",
    "unknown_source",
    "method",
    "too_large",
    "media_type",
    "not_json",
    "not_envelope",
    "rate",
)
# The upper bounds of a histogram's buckets (seconds), by its kind.
BUCKETS = {
    "intake": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    "attempt": (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
}
OUTCOMES = ("delivered", "failed", "uncertain")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histogram of durations: a count for each bucket and one beyond, and the sum (seconds)."""

    counts: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class SendersState:
    """State of the processes that send: `running` of `wanted` ones take requests.

    `ends` counts those that ended, by cause. `problem` says what has kept one away for long.
    """

    running: int
    wanted: int
    ends: Mapping[str, int]
    problem: str = ""


class Counters:
    """Counters of one process. Safe to use from any thread; times are Unix seconds."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._lock = threading.Lock()
        # Counters with known labels start at 0, so that their first increase is visible.
        self._counts: dict[tuple[str, ...], int] = {
            ("untrusted", source, cause): 0 for source in sources for cause in CAUSES
        } | {("refused", cause): 0 for cause in REFUSALS}
        self._counts |= {("reloads", result): 0 for result in RELOADS}
        self._counts |= {("alarms", kind.value): 0 for kind in AlarmKind}
        self._counts |= {("spooled", source): 0 for source in sources}
        self._times: dict[tuple[str, ...], float] = {}
        self._durations: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        for source in sources:
            self._histogram("intake", source)

    def answered(self, source: str, status: int) -> None:
        """Count the answer to a webhook; `source` is "" where there is no such source."""
        self._count("webhooks", source, str(status))

    def untrusted(self, source: str, cause: str) -> None:
        """Count a webhook without proof that it comes from its source."""
        self._count("untrusted", source, cause)

    def judged(self, source: str, verdict: str, reason: str, key: str, now: float) -> None:
        """Count a webhook that got a verdict; `key` is the label of the key that proved it."""
        with self._lock:
            name = ("verdicts", source, verdict, reason)
            self._counts[name] = self._counts.get(name, 0) + 1
            self._note(source, key, now)

    def spooled(self, source: str, key: str, now: float) -> None:
        """Count a webhook that was kept in a file and gets its verdict later."""
        with self._lock:
            name = ("spooled", source)
            self._counts[name] = self._counts.get(name, 0) + 1
            self._note(source, key, now)

    def _note(self, source: str, key: str, now: float) -> None:
        for name in (("accepted", source), ("key_used", source, key)):
            self._times[name] = max(self._times.get(name, 0.0), now)

    def took(self, kind: str, label: str, seconds: float) -> None:
        """Count how long something took: `intake` by source, `attempt` by destination."""
        with self._lock:
            counts, sums = self._histogram(kind, label)
            counts[bisect_left(BUCKETS[kind], seconds)] += 1
            sums[0] += seconds

    def attempted(self, destination: str, outcome: str, seconds: float) -> None:
        """Count an attempt; its outcome is one of OUTCOMES."""
        for each in OUTCOMES:  # each begins at 0
            self._count("attempts", destination, each, n=int(each == outcome))
        self.took("attempt", destination, seconds)

    def refused(self, cause: str) -> None:
        """Count a refused connection or request; `cause` is one of REFUSALS."""
        self._count("refused", cause)

    def reloaded(self, result: str, now: float) -> None:
        """Count a reload of routes.yaml."""
        self._count("reloads", result)
        self.loaded(result, now)

    def loaded(self, result: str, now: float) -> None:
        """Note when routes.yaml was read, at a start too."""
        with self._lock:
            self._times["reload", result] = now

    def asked(self, source: str, outcome: str) -> None:
        """Count a request to the provider of a source; see reconcile.provider.Outcome."""
        self._count("asked", source, outcome)

    def learnt(self, source: str, lag: float) -> None:
        """Count a change that was learnt by asking, `lag` seconds after it happened."""
        self._count("learnt", source)
        with self._lock:
            self._times["learnt_lag", source] = lag

    def disagreed(self, source: str) -> None:
        """Count an answer that says what cannot follow on what is stored."""
        self._count("disagreements", source)

    def alarm_raised(self, kind: AlarmKind) -> None:
        """Count an alarm."""
        self._count("alarms", kind.value)

    def counts(self, kind: str) -> list[tuple[tuple[str, ...], int]]:
        """Return labels and count of each.

        Kinds are webhooks, untrusted, verdicts, refused, reloads, alarms, spooled, asked, learnt,
        disagreements and attempts.
        """
        with self._lock:
            counts = [(name[1:], n) for name, n in self._counts.items() if name[0] == kind]
        return sorted(counts)

    def times(self, kind: str) -> list[tuple[tuple[str, ...], float]]:
        """Return labels and Unix seconds of each: of accepted, key_used or reload.

        Of learnt_lag it returns the seconds.
        """
        with self._lock:
            times = [(name[1:], at) for name, at in self._times.items() if name[0] == kind]
        return sorted(times)

    def histograms(self, kind: str) -> list[tuple[tuple[str, ...], Histogram]]:
        """Return the label and the histogram of each: of intake or attempt."""
        with self._lock:
            found = [
                ((label,), Histogram(tuple(counts), sums[0]))
                for (of, label), (counts, sums) in self._durations.items()
                if of == kind
            ]
        return sorted(found, key=lambda each: each[0])

    def _histogram(self, kind: str, label: str) -> tuple[list[int], list[float]]:
        if (found := self._durations.get((kind, label))) is None:
            found = self._durations[kind, label] = ([0] * (len(BUCKETS[kind]) + 1), [0.0])
        return found

    def _count(self, *name: str, n: int = 1) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + n
