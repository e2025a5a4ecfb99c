"""A stand-in for the provider's API on loopback, written from `asteroid.md`; with faults on demand.

It keeps executions with their changes of status, serves what people may ask and do there, and notes
every request. The published SDK drives it as its client (tests/wire/test_provider_sdk.py). Nobody
says from where the provider counts pages: `first_page`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from receiver.times import SECOND, format_time

KEY = "provider-key-0123456789abcdef"
ACTIVE = ("starting", "running", "paused", "paused_by_agent", "awaiting_confirmation")
ENDED = ("completed", "failed", "cancelled")
PHASES = {"pending": ("queued",), "active": ACTIVE, "terminal": ENDED}
_ACTS = {"pause": "paused", "resume": "running", "cancel": "cancelled"}
# What may be done with an execution in a status.
_FITS = {
    "paused": ("starting", "running"),
    "running": ("paused", "paused_by_agent", "awaiting_confirmation"),
    "cancelled": ("queued", *ACTIVE),
}
_PAYLOADS = {
    "paused": "pausedPayload",
    "paused_by_agent": "pausedPayload",
    "awaiting_confirmation": "awaitingConfirmationPayload",
    "completed": "completedPayload",
    "failed": "failedPayload",
    "cancelled": "cancelledPayload",
}


@dataclass
class Run:
    """An execution at the provider: its changes (time in nanoseconds, status, payload)."""

    execution_id: str
    changes: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=list)
    agent_id: str = "agent-1"
    agent_name: str = "Invoice agent"
    metadata: Mapping[str, Any] | None = None

    @property
    def status(self) -> str:
        """The present status."""
        return self.changes[-1][1]


_SORTS: dict[str, Callable[[Run], Any]] = {
    "created_at": lambda run: run.changes[0][0],
    "status": lambda run: run.status,
    "started_at": lambda run: next((at for at, status, _ in run.changes if status == "running"), 0),
}


@dataclass
class StandIn:
    """The API's state. `fault` answers instead of it: (status, headers, body), or None."""

    url: str = ""
    key: str = KEY
    header: str = "X-Api-Key"
    runs: dict[str, Run] = field(default_factory=dict)
    requests: list[tuple[float, str, str]] = field(default_factory=list)
    fault: Callable[[str, str], tuple[int, Mapping[str, str], bytes] | None] = lambda m, p: None
    clock_ahead: float = 0.0
    has_activities: bool = True
    largest_page: int = 100
    first_page: int = 1
    ends_at_last_page: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def moves(self, execution_id: str, status: str, at: int | None = None, **payload: Any) -> None:
        """Let an execution go into a status, now or at a time (nanoseconds)."""
        with self.lock:
            run = self.runs.setdefault(execution_id, Run(execution_id))
            run.changes.append((time.time_ns() if at is None else at, status, payload))

    def delete(self, execution_id: str) -> None:
        """Delete an execution."""
        with self.lock:
            del self.runs[execution_id]

    def asked(self, method: str = "GET", part: str = "") -> list[str]:
        """Return the addresses that were asked."""
        with self.lock:
            return [path for _, how, path in self.requests if how == method and part in path]


def execution_json(run: Run) -> dict[str, Any]:
    """Return an execution as the API writes it; a time is there once it has happened."""
    first = run.changes[0][0]
    ended = [at for at, status, _ in run.changes if status in ENDED]
    started = [at for at, status, _ in run.changes if status == "running"]
    result = next((p for _, s, p in reversed(run.changes) if s == "completed"), None)
    return {
        "id": run.execution_id,
        "status": run.status,
        "agentId": run.agent_id, "workflowId": run.agent_id, "workflowVersionId": "v-1",
        "agentName": run.agent_name, "workflowName": run.agent_name,
        "organizationId": "org-1", "createdAt": format_time(first),
        **({"startedAt": format_time(started[0])} if started else {}),
        **({"terminalAt": format_time(ended[-1])} if ended else {}),
        **({"executionResult": {
            "id": "result-1", "executionId": run.execution_id, "createdAt": format_time(ended[-1]),
            **_completed(result)}} if result is not None else {}),
        "humanLabels": [], "comments": [], "hasBeenRerun": False,
        **({"metadata": run.metadata} if run.metadata else {}),
        "platformUrl": f"https://platform.asteroid.ai/executions/{run.execution_id}",
    }  # fmt: skip


def _completed(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words about a completed execution; all three are always there."""
    given = {"outcome": "success", "reasoning": "", "result": None, **payload}
    return {name: given[name] for name in ("outcome", "reasoning", "result")}


def _payload(status: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an activity that says more of a status; only some have one."""
    if status == "completed":
        return {"completedPayload": _completed(payload)}
    return {_PAYLOADS[status]: dict(payload)} if payload and status in _PAYLOADS else {}


def activities_json(run: Run) -> list[dict[str, Any]]:
    """Return the activities of an execution, earliest first; one of them is no change of status."""
    changes = [
        {
            "id": f"a-{number}",
            "executionId": run.execution_id,
            "timestamp": format_time(at),
            "payload": {
                "activityType": "status_changed",
                "status": status,
                **_payload(status, payload),
            },
        }
        for number, (at, status, payload) in enumerate(run.changes)
    ]
    other = {
        "id": "a-other",
        "executionId": run.execution_id,
        "timestamp": format_time(run.changes[0][0] + SECOND),
        "payload": {"activityType": "reasoning", "reasoning": "Looking at the page."},
    }
    return [*changes[:1], other, *changes[1:]]


class _Handler(BaseHTTPRequestHandler):
    """One connection to the stand-in."""

    protocol_version = "HTTP/1.1"
    provider: StandIn

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""

    def do_GET(self) -> None:
        """Answer a question."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Do an act."""
        self._answer("POST")

    def do_DELETE(self) -> None:
        """Delete an execution."""
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        provider = self.provider
        with provider.lock:
            provider.requests.append((time.monotonic(), method, self.path))
        fault = provider.fault(method, self.path)
        if fault is not None:
            self._send(*fault)
        elif self.headers.get(provider.header) != provider.key:
            self._error(401, "The key is not valid.")
        else:
            self._route(method)

    def _route(self, method: str) -> None:
        parts = urlsplit(self.path)
        steps = [unquote(step) for step in parts.path.split("/")[1:]]
        provider = self.provider
        with provider.lock:
            if steps[:3] != ["agents", "v2", "executions"]:
                self._error(404, "no such address")
            elif len(steps) == 3:
                self._list(parse_qs(parts.query))
            elif (run := provider.runs.get(steps[3])) is None:
                self._error(404, "no such execution")
            elif method == "DELETE" and len(steps) == 4:
                self._delete(run)
            elif method == "POST" and len(steps) == 5:
                self._act(run, steps[4])
            elif method != "GET":
                self._error(404, "no such address")
            elif len(steps) == 4:
                self._json(execution_json(run))
            elif steps[4] == "activities" and provider.has_activities:
                self._activities(run, parse_qs(parts.query))
            else:
                self._error(404, "no such address")

    def _list(self, query: Mapping[str, list[str]]) -> None:
        first = self.provider.first_page
        page, size = int(query.get("page", [str(first)])[0]), int(query.get("pageSize", ["50"])[0])
        field, _, direction = query.get("sort", ["created_at:desc"])[0].partition(":")
        phases, statuses = query.get("phase"), query.get("status")
        if page < first or size < 1 or field not in _SORTS or direction not in ("asc", "desc"):
            self._error(400, "The list cannot be read like this.")
            return
        size = min(size, self.provider.largest_page)
        wanted = {status for phase in phases or PHASES for status in PHASES.get(phase, ())}
        runs = [
            run
            for run in self.provider.runs.values()
            if run.status in wanted and (statuses is None or run.status in statuses)
        ]
        runs.sort(key=_SORTS[field], reverse=direction == "desc")
        start = (page - first) * size
        if self.provider.ends_at_last_page and start >= max(len(runs), 1):
            self._error(400, "There is no such page.")
            return
        items = [execution_json(run) for run in runs[start : start + size]]
        self._json({"items": items, "page": page, "pageSize": size, "total": len(runs)})

    def _activities(self, run: Run, query: Mapping[str, list[str]]) -> None:
        found = activities_json(run)
        if query.get("order") == ["desc"]:
            found.reverse()
        self._json(found[: int(query.get("limit", ["1000"])[0])])

    def _delete(self, run: Run) -> None:
        if run.status in ENDED:
            del self.provider.runs[run.execution_id]
            self._send(204, {}, b"")
        else:
            self._error(400, "Only what has ended can be deleted.")

    def _act(self, run: Run, act: str) -> None:
        """Pause, resume or cancel, by an address of its own or as a status."""
        after = _ACTS.get(act)
        if act == "status":
            after = json.loads(self._body or b"{}").get("status")
        if act == "user-messages":
            self._send(201, {}, b'"taken"')
        elif after not in _FITS:
            self._error(400 if act == "status" else 404, "no such act")
        elif run.status not in _FITS[after]:
            self._error(400, f"The execution is {run.status}.")
        else:
            payload = {"reason": "user_requested"} if after == "cancelled" else {}
            run.changes.append((time.time_ns(), after, payload))
            moved = {"executionId": run.execution_id, "status": after}
            self._json("updated" if act == "status" else moved)

    def _json(self, content: Any) -> None:
        self._send(200, {}, json.dumps(content).encode())

    def _error(self, status: int, message: str) -> None:
        self._send(status, {}, json.dumps({"code": status, "message": message}).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + self.provider.clock_ahead, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *arguments: Any) -> None:
        """Say nothing: clients that break off are part of the tests."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Serve a stand-in on loopback while the block lasts."""
    provider = StandIn()
    handler = type("Handler", (_Handler,), {"provider": provider})
    server = _Server(("127.0.0.1", 0), handler)
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
