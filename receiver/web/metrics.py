"""`GET /metrics`: the counters in Prometheus' text format, for whoever may use the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.metrics import Counters
from receiver.web.api import Guard

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Name, type, what it says, its labels, and the kind of counter it is made of.
_COUNTS = [
    ("receiver_webhooks_total", "Webhooks answered, by status.", ("source", "status"), "webhooks"),
    ("receiver_untrusted_total", "Webhooks answered 401.", ("source", "cause"), "untrusted"),
    ("receiver_verdicts_total", "Proven webhooks.", ("source", "verdict", "reason"), "verdicts"),
    ("receiver_refused_total", "Refused before they were requests.", ("cause",), "refused"),
    ("receiver_reloads_total", "Reloads of routes.yaml.", ("result",), "reloads"),
]
_TIMES = [
    ("receiver_last_accepted_seconds", "When the last was accepted.", ("source",), "accepted"),
    ("receiver_key_last_used_seconds", "When a key proved one.", ("source", "key"), "key_used"),
]


def route(counters: Counters, guard: Guard) -> Route:
    """The route of the metrics."""

    def metrics(request: Request) -> Response:
        return guard.refuse(request) or Response(
            text(counters), headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE
        )

    return Route("/metrics", metrics, methods=["GET"])


def text(counters: Counters) -> str:
    """All metrics, in the text exposition format 0.0.4."""
    lines: list[str] = []
    for name, says, labels, kind in _COUNTS:
        lines += _metric(name, "counter", says, labels, counters.counts(kind), str)
    for name, says, labels, kind in _TIMES:
        lines += _metric(name, "gauge", says, labels, counters.times(kind), "{:.3f}".format)
    return "\n".join([*lines, ""])


def _metric(
    name: str,
    kind: str,
    says: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], float]],
    shown: Callable[[float], str],
) -> list[str]:
    lines = [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
    for values, value in samples:
        pairs = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(labels, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {shown(value)}")
    return lines


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
