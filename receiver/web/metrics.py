"""`GET /metrics`: the counters in Prometheus' text format, behind the guard of the API.

What a restart would forget and somebody relies on (what waits, is dead, is owed) comes from the
store. Labels are names of routes.yaml and words of ours.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver import __version__
from receiver.alarms import Alarm
from receiver.config.live_rules import LiveRules
from receiver.errors import StorageUnavailable
from receiver.intake.receive import Intake
from receiver.metrics import BUCKETS, Counters, Histogram, SendersState
from receiver.store.contract import Store
from receiver.store.records import Standing
from receiver.times import SECOND
from receiver.web.guard import Guard
from receiver.web.pages.glance import Glance
from receiver.web.webhooks.spool import Spooling, spooled

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds between two looks at the ledger, which reads every row.
LEDGER_EVERY = 600.0
Samples = Iterable[tuple[tuple[str, ...], float]]
# Name, help text, labels, and the kind of counter or time with the samples.
_COUNTERS = [
    ("receiver_webhooks_total", "Webhooks answered, by status.", ("source", "status"), "webhooks"),
    ("receiver_untrusted_total", "Webhooks answered 401.", ("source", "cause"), "untrusted"),
    ("receiver_verdicts_total", "Proven webhooks.", ("source", "verdict", "reason"), "verdicts"),
    ("receiver_refused_total", "Refused connections and requests.", ("cause",), "refused"),
    ("receiver_reloads_total", "Reloads of routes.yaml.", ("result",), "reloads"),
    ("receiver_asked_total", "Requests to a provider's API.", ("source", "outcome"), "asked"),
    ("receiver_learnt_total", "Changes learnt by asking.", ("source",), "learnt"),
    ("receiver_disagreements_total", "Answers that fit no state.", ("source",), "disagreements"),
    ("receiver_spooled_total", "Webhooks kept in the spool.", ("source",), "spooled"),
    ("receiver_alarms_raised_total", "Alarms raised by this process.", ("alarm",), "alarms"),
    ("receiver_attempts_total", "Attempts to send.", ("destination", "outcome"), "attempts"),
]
_GAUGES = [
    ("receiver_last_accepted_seconds", "When the last was accepted.", ("source",), "accepted"),
    ("receiver_learnt_lag_seconds", "How late the last was learnt.", ("source",), "learnt_lag"),
    ("receiver_key_last_used_seconds", "When a key proved one.", ("source", "key"), "key_used"),
    ("receiver_last_reload_seconds", "When routes.yaml was last read.", ("result",), "reload"),
]
_HISTOGRAMS = [
    ("receiver_intake_duration_seconds", "From a whole webhook to its verdict on disk.", "source",
     "intake"),
    ("receiver_attempt_duration_seconds", "How long attempts to send took.", "destination",
     "attempt"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """Figures of the store. Of the `standings` and `heard` only names of routes.yaml are there.

    Times are nanoseconds. `imbalance` is None until the ledger was read for the first time.
    """

    now: int
    standings: Sequence[Standing] = ()
    heard: Mapping[str, int | None] = field(default_factory=dict)
    held: int = 0
    backlog: int = 0
    imbalance: int | None = None


def route(
    counters: Counters, guard: Guard, skews: Callable[[], Mapping[str, float]], store: Store,
    spooling: Spooling | None, in_force: LiveRules[Intake],
    senders: Callable[[], SendersState | None] = lambda: None,
) -> Route:  # fmt: skip
    """Return the route of the metrics; `skews` reads the clocks of sources from the store."""
    ledger = Glance(store.ledger, LEDGER_EVERY)

    def metrics(request: Request) -> Response:
        if (refused := guard.refuse(request)) is not None:
            return refused
        now = time.time_ns()
        stored: Stored | None = None
        try:
            watched = store.watched(now, now)
            skewed, alarms = skews(), watched.alarms
            seen = ledger.look()
            standings = store.standings(now)
            rules = in_force.rules
            stored = Stored(
                now,
                [standings.get(name, _new(name)) for name in rules.destinations],
                {n: each.heard_at for n, each in watched.sources.items() if n in rules.sources},
                store.held(),
                store.backlog(),
                None if seen is None else seen.value["imbalance"],
            )
        except StorageUnavailable:
            skewed, alarms = {}, ()  # the counts are most wanted when the storage fails
        headers = {"Cache-Control": "no-store"}
        digest, processes = in_force.digest, senders()
        content = text(counters, skewed, alarms, spooled(spooling), digest, stored, processes)
        return Response(content, headers=headers, media_type=MEDIA_TYPE)

    return Route("/metrics", metrics, methods=["GET"])


def _new(name: str) -> Standing:
    return Standing(name, None, None, "", 0, 0)


def text(
    counters: Counters,
    skews: Mapping[str, float],
    alarms: Iterable[Alarm] = (),
    spooled: int | None = None,
    rules: str = "",
    stored: Stored | None = None,
    senders: SendersState | None = None,
) -> str:
    """Write all metrics in the text exposition format 0.0.4, with the open alarms."""
    lines: list[str] = []
    for name, description, labels, kind in _COUNTERS:
        lines += _metric(name, "counter", description, labels, counters.counts(kind), str)
    for name, description, labels, kind in _GAUGES:
        samples = counters.times(kind)
        lines += _metric(name, "gauge", description, labels, samples, "{:.3f}".format)
    for name, description, label, kind in _HISTOGRAMS:
        lines += _histogram(name, description, label, kind, counters.histograms(kind))
    open_alarms = sorted(((alarm.kind.value, alarm.about), 1.0) for alarm in alarms)
    lines += _gauge("receiver_alarm", "1 for each open alarm.", ("alarm", "about"), open_alarms)
    clocks = [((source,), seconds) for source, seconds in sorted(skews.items())]
    about = "How far the source's times are ahead."  # less than a minute is 0
    lines += _gauge("receiver_clock_skew_seconds", about, ("source",), clocks)
    waiting = [] if spooled is None else [((), float(spooled))]
    lines += _gauge("receiver_spooled", "Webhooks that wait in the spool.", (), waiting)
    build = [((__version__, platform.python_version()), 1.0)]
    lines += _gauge("receiver_build_info", "What runs.", ("version", "python"), build)
    digest = [((rules,), 1.0)] if rules else []
    # One series at a time: another digest takes the place of the one before.
    lines += _gauge("receiver_rules_info", "The rules in force.", ("digest",), digest)
    if senders is not None:
        lines += _of_senders(senders)
    if stored is not None:
        lines += _of_store(stored)
    return "\n".join([*lines, ""])


def _of_senders(senders: SendersState) -> list[str]:
    """Write the state of the processes that send."""
    running = [((), float(senders.running))]
    ends = [((cause,), n) for cause, n in sorted(senders.ends.items())]
    about = "Processes that send and ended by themselves, or had to be ended."
    return [
        *_gauge("receiver_senders", "Processes that send.", (), running),
        *_metric("receiver_sender_ends_total", "counter", about, ("cause",), ends, str),
    ]


def _seconds(at: int | None) -> float:
    return 0.0 if at is None else at / SECOND


_OF_DESTINATIONS: Mapping[str, tuple[str, Callable[[Standing, int], float]]] = {
    "receiver_deliveries_waiting": (
        "Messages that are owed, or that quiet hours keep back.",
        lambda s, now: s.waiting + s.quiet,
    ),
    "receiver_deliveries_dead": ("Messages that were given up.", lambda s, now: s.dead),
    "receiver_oldest_owed_seconds": (
        "Age of the oldest message that is owed now; 0: none is, or quiet hours keep it back.",
        lambda s, now: 0.0 if s.owed_since is None else max(now - s.owed_since, 0) / SECOND,
    ),
    "receiver_failing_since_seconds": (
        "Since when nothing arrives; 0: it works.", lambda s, now: _seconds(s.failing_since),
    ),
    "receiver_last_success_seconds": (
        "When something last arrived; 0: never.", lambda s, now: _seconds(s.succeeded_at),
    ),
}  # fmt: skip


def _of_store(stored: Stored) -> list[str]:
    """Write the figures of the store."""
    lines: list[str] = []
    for name, (description, value) in _OF_DESTINATIONS.items():
        samples = [((each.name,), value(each, stored.now)) for each in stored.standings]
        lines += _gauge(name, description, ("destination",), samples, "{:.3f}")
    heard = [((name,), _seconds(at)) for name, at in sorted(stored.heard.items())]
    about = "When the last event came, by the store; 0: never."
    lines += _gauge("receiver_last_event_seconds", about, ("source",), heard, "{:.3f}")
    single: Mapping[str, tuple[str, float | None]] = {
        "receiver_held": ("Events that wait for an earlier one.", stored.held),
        "receiver_backlog": ("Writes that wait for their commit.", stored.backlog),
        "receiver_ledger_imbalance": ("What was promised and is not there.", stored.imbalance),
    }
    for name, (description, n) in single.items():
        lines += _gauge(name, description, (), [] if n is None else [((), float(n))])
    return lines


def _gauge(
    name: str, description: str, labels: tuple[str, ...], samples: Samples, form: str = "{:.0f}"
) -> list[str]:
    return _metric(name, "gauge", description, labels, samples, form.format)


def _histogram(
    name: str, description: str, label: str, kind: str,
    found: Iterable[tuple[tuple[str, ...], Histogram]],
) -> list[str]:  # fmt: skip
    lines = [f"# HELP {name} {description}", f"# TYPE {name} histogram"]
    for (value,), histogram in found:
        of, below = f'{label}="{_escape(value)}"', 0
        for bound, n in zip((*BUCKETS[kind], "+Inf"), histogram.counts, strict=True):
            below += n
            lines.append(f'{name}_bucket{{{of},le="{bound}"}} {below}')
        lines.append(f"{name}_sum{{{of}}} {histogram.seconds:.6f}")
        lines.append(f"{name}_count{{{of}}} {below}")
    return lines


def _metric(
    name: str,
    kind: str,
    description: str,
    labels: tuple[str, ...],
    samples: Samples,
    write: Callable[[float], str],
) -> list[str]:
    lines = [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]
    for values, value in samples:
        pairs = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(labels, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {write(value)}" if pairs else f"{name} {write(value)}")
    return lines


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
