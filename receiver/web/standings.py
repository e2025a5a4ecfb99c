"""API of how destinations and sources stand: what works, what fails and since when."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.alarms import AlarmKind
from receiver.config.live_rules import LiveRules
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.records import Standing
from receiver.times import format_time
from receiver.web.guard import Guard
from receiver.web.paging import json_response, revalidated


class StandingApi:
    """The endpoints about destinations and sources. Refusals count from the start of the process.

    They are plain functions: Starlette runs them in a thread.
    """

    def __init__(self, store: Store, in_force: LiveRules[object], counters: Counters) -> None:
        self._store, self._in_force, self._counters = store, in_force, counters

    def destinations(self, request: Request) -> Response:
        now = time.time_ns()
        standings, rules = self._store.standings(now), self._in_force.rules
        items = []
        for name, destination in rules.destinations.items():
            stands = standings.get(name, Standing(name, None, None, "", 0, 0))
            items.append({
                "name": name,
                "kind": destination.kind,
                "last_success": _time(stands.succeeded_at),
                "failing_since": _time(stands.failing_since),
                "last_failure": stands.last_failure if stands.failing_since is not None else "",
                "waiting": stands.waiting,
                "dead": stands.dead,
            })  # fmt: skip
        return json_response({"items": items})

    def sources(self, request: Request) -> Response:
        now = time.time_ns()
        watched = self._store.watched(now, now)
        quiet = {each.about: each.began_at for each in watched.alarms
                 if each.kind is AlarmKind.SOURCE_QUIET}  # fmt: skip
        refused = self._refused()
        items = []
        for name, source in self._in_force.rules.sources.items():
            heard = watched.sources.get(name)
            items.append({
                "name": name,
                "format": source.format,
                "keys": len(source.verification.keys),
                "last_event": _time(heard.heard_at if heard else None),
                "quiet_since": _time(quiet.get(name)),
                "refused": refused.get(name, {}),
            })  # fmt: skip
        return json_response({"items": items})

    def _refused(self) -> dict[str, dict[str, int]]:
        """Return the refused webhooks by source and cause."""
        refused: dict[str, dict[str, int]] = {}
        for (source, cause), n in self._counters.counts("untrusted"):
            if n:
                refused.setdefault(source, {})[cause] = n
        return refused


def routes(api: StandingApi, guard: Guard) -> list[Route]:
    """Return the routes of the endpoints, each behind the guard."""

    def destinations(request: Request) -> Response:
        return guard.refuse(request) or revalidated(request, api.destinations(request))

    def sources(request: Request) -> Response:
        return guard.refuse(request) or revalidated(request, api.sources(request))

    return [
        Route("/api/destinations", destinations, methods=["GET"]),
        Route("/api/sources", sources, methods=["GET"]),
    ]


def _time(instant: int | None) -> str | None:
    return None if instant is None else format_time(instant)
