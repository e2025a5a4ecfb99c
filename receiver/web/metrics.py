"""`GET /metrics`: the counters in Prometheus' text format, behind the guard of the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.alarms import Alarm
from receiver.config.live_rules import LiveRules
from receiver.errors import StorageUnavailable
from receiver.intake.receive import Intake
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.spooling import SpoolState
from receiver.web.guard import Guard
from receiver.web.webhooks.spool import Spooling

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
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
]
_GAUGES = [
    ("receiver_last_accepted_seconds", "When the last was accepted.", ("source",), "accepted"),
    ("receiver_learnt_lag_seconds", "How late the last was learnt.", ("source",), "learnt_lag"),
    ("receiver_key_last_used_seconds", "When a key proved one.", ("source", "key"), "key_used"),
]
# Less than a minute is 0.
_SKEW = (
    "receiver_clock_skew_seconds",
    "gauge",
    "How far the source's times are ahead.",
    ("source",),
)

_SPOOLED = ("receiver_spooled", "gauge", "Webhooks that wait in the spool.", ())

# One series at a time: another digest takes the place of the one before.
_RULES = ("receiver_rules_info", "gauge", "The rules in force.", ("digest",))


def route(
    counters: Counters,
    guard: Guard,
    skews: Callable[[], Mapping[str, float]],
    store: Store,
    in_force: LiveRules[Intake],
    spooling: Spooling | None,
) -> Route:
    """Return the route of the metrics; `skews` reads the clocks of sources from the store."""

    def metrics(request: Request) -> Response:
        if (refused := guard.refuse(request)) is not None:
            return refused
        now = time.time_ns()
        try:
            skewed, alarms = skews(), store.watched(now, now).alarms
        except StorageUnavailable:
            skewed, alarms = {}, ()  # the counts are most wanted when the storage fails
        headers = {"Cache-Control": "no-store"}
        content = text(counters, skewed, alarms, _waiting(spooling), in_force.digest)
        return Response(content, headers=headers, media_type=MEDIA_TYPE)

    return Route("/metrics", metrics, methods=["GET"])


def _waiting(spooling: Spooling | None) -> SpoolState | None:
    try:
        return None if spooling is None else spooling.state()
    except StorageUnavailable:
        return None


def text(
    counters: Counters,
    skews: Mapping[str, float],
    alarms: Iterable[Alarm] = (),
    spool: SpoolState | None = None,
    rules: str = "",
) -> str:
    """Write all metrics in the text exposition format 0.0.4, with the open alarms."""
    lines: list[str] = []
    for name, description, labels, kind in _COUNTERS:
        lines += _metric(name, "counter", description, labels, counters.counts(kind), str)
    for name, description, labels, kind in _GAUGES:
        samples = counters.times(kind)
        lines += _metric(name, "gauge", description, labels, samples, "{:.3f}".format)
    labels = ("alarm", "about")
    open_alarms = sorted(((alarm.kind.value, alarm.about), 1.0) for alarm in alarms)
    lines += _metric(
        "receiver_alarm", "gauge", "1 for each open alarm.", labels, open_alarms, "{:.0f}".format
    )
    clocks = [((source,), seconds) for source, seconds in sorted(skews.items())]
    lines += _metric(*_SKEW, clocks, "{:.0f}".format)
    waiting = [] if spool is None else [((), float(spool.waiting))]
    lines += _metric(*_SPOOLED, waiting, "{:.0f}".format)
    lines += _metric(*_RULES, [((rules,), 1.0)] if rules else [], "{:.0f}".format)
    return "\n".join([*lines, ""])


def _metric(
    name: str,
    kind: str,
    description: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], float]],
    write: Callable[[float], str],
) -> list[str]:
    lines = [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]
    for values, value in samples:
        pairs = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(labels, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {write(value)}")
    return lines


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
