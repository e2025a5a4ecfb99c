"""The API for people and their tools: executions, deliveries, the ledger."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.config.exposure import is_loopback
from receiver.config.live_rules import LiveRules
from receiver.config.settings import Settings
from receiver.config.silence_request import read_silence
from receiver.deliveries import State
from receiver.dispatch.operators import (
    acknowledge,
    add_silence,
    expire_silence,
    redeliver,
    redeliver_all,
    take,
)
from receiver.errors import ConfigurationError, MalformedBody
from receiver.events import Category, Status
from receiver.intake.subscription_hints import hints
from receiver.sources.strict_json import parse_json
from receiver.store.contract import Page, Store
from receiver.web import json_views
from receiver.web.problem import problem

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
# What people write here is short.
MAX_BODY = 16_384
WORDS = {
    "state": [state.value for state in State],
    "status": [status.value for status in Status],
    "category": [category.value for category in Category],
}


class Guard:
    """Who may use the API: the holder of the token; without a token only a loopback bind has one.

    The Host must be ours, whoever asks: a page elsewhere must not reach a loopback service by
    pointing its own name at it.
    """

    def __init__(self, settings: Settings) -> None:
        token = settings.api_token
        self._token = token.get_secret_value().encode() if token else None
        self._is_loopback = is_loopback(settings.host)
        self._hosts = {settings.host.lower(), "localhost"}
        if settings.public_url and (name := urlsplit(settings.public_url).hostname):
            self._hosts.add(name.lower())

    def refuse(self, request: Request) -> Response | None:
        """The refusal, or None for who may come in."""
        if _host_name(request.headers.get("host", "")) not in self._hosts:
            return problem(421, "This Host is not ours. Set RECEIVER_PUBLIC_URL to the address.")
        if request.method not in ("GET", "HEAD") and self._is_elsewhere(request):
            return problem(403, "A page elsewhere may not change anything here.")
        if self._token is None:
            if self._is_loopback:
                return None
            return problem(403, "Without RECEIVER_API_TOKEN the API answers on loopback only.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1", "replace")
        if scheme.lower() == "bearer" and hmac.compare_digest(given, self._token):
            return None
        return problem(
            401, "Send Authorization: Bearer and the API token.", {"WWW-Authenticate": "Bearer"}
        )

    def _is_elsewhere(self, request: Request) -> bool:
        """Whether a browser says that another site's page sends this.

        Such a page can post without asking first; only on a loopback bind without a token would
        that be enough to get in. Programs send neither header.
        """
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return True
        origin = request.headers.get("origin")
        if origin is None:
            return False
        try:
            return urlsplit(origin).hostname not in self._hosts
        except ValueError:
            return True


class Api:
    """The endpoints. They are plain functions: Starlette runs them in a thread."""

    def __init__(
        self, store: Store, in_force: LiveRules, wake: Callable[[Iterable[str]], None]
    ) -> None:
        self._store, self._in_force, self._wake = store, in_force, wake

    def executions(self, request: Request) -> Response:
        allowed = ("status", "category", "source", "agent", "q")
        return _page(request, allowed, self._store.executions, json_views.execution)

    def execution(self, request: Request) -> Response:
        path = request.path_params
        found = self._store.execution(path["source"], path["execution_id"])
        if found:
            return _json(json_views.known(found))
        return problem(404, "No event was applied to such an execution.")

    def deliveries(self, request: Request) -> Response:
        allowed = ("state", "destination")
        return _page(request, allowed, self._store.deliveries, json_views.delivery)

    def acknowledge(self, request: Request, content: Any) -> Response:
        path, rules = request.path_params, self._in_force.rules
        by = content.get("by") if isinstance(content, dict) and set(content) == {"by"} else None
        named = by if isinstance(by, str) else ""
        asked = take(path["source"], path["execution_id"], named, rules, time.time_ns())
        if asked is None:
            return problem(422, 'Say who takes it: {"by": "Ann"}.')
        done = self._store.write_now(acknowledge, asked)
        if done is None:
            return problem(404, "No event was applied to such an execution.")
        if not done:
            return problem(409, "This execution has ended: there is nothing to acknowledge.")
        self._wake(rules.destinations)
        found = self._store.execution(path["source"], path["execution_id"])
        return _json({"execution": json_views.execution(found["execution"]) if found else None})

    def silences(self, request: Request) -> Response:
        return _page(request, (), self._store.silences, json_views.silence)

    def add_silence(self, request: Request, content: Any) -> Response:
        now, rules = time.time_ns(), self._in_force.rules
        try:
            asked = read_silence(content, now, rules.sources, rules.destinations)
        except ConfigurationError as error:
            return problem(422, " ".join(f"{line}." for line in error.problems))
        number = self._store.write_now(add_silence, (asked, now))
        return _json(self._silence(number), 201)

    def expire_silence(self, request: Request) -> Response:
        number, now = _number(request.path_params["id"]), time.time_ns()
        done = None if number is None else self._store.write_now(expire_silence, (number, now))
        if number is None or done is None:
            return problem(404, "There is no such silence.")
        if not done:
            return problem(409, "This silence is over.")
        self._wake(self._in_force.rules.destinations)
        return _json(self._silence(number))

    def _silence(self, number: int) -> dict[str, Any] | None:
        found = self._store.silence(number)
        return None if found is None else json_views.silence(found)

    def redeliver(self, request: Request) -> Response:
        number = _number(request.path_params["id"])
        now = time.time_ns()
        done = None if number is None else self._store.write_now(redeliver, (number, now))
        if done is None:
            return problem(404, "There is no such delivery.")
        if not done:
            return problem(409, "Only a dead delivery can be redelivered.")
        self._wake(self._in_force.rules.destinations)
        return _json({"id": number, "state": "waiting"}, 202)

    def redeliver_all(self, request: Request) -> Response:
        name = request.query_params.get("destination", "")
        if name not in self._in_force.rules.destinations:
            return problem(400, "Say which with ?destination=, by its name in routes.yaml.")
        done = self._store.write_now(redeliver_all, (name, time.time_ns()))
        self._wake([name])
        return _json({"destination": name, "redelivered": done}, 202)

    def reload(self, request: Request) -> Response:
        try:
            rules = self._in_force.reload()
        except ConfigurationError as error:
            return _json({"reloaded": False, "problems": error.problems}, 422)
        return _json({"reloaded": True, "warnings": list(rules.warnings)})

    def hints(self, request: Request) -> Response:
        found = hints(self._in_force.rules.orderings, self._store.tallies())
        return _json({"items": [asdict(hint) for hint in found]})

    def ledger(self, request: Request) -> Response:
        return _json(self._store.ledger())


def routes(api: Api, guard: Guard) -> list[Route]:
    """Where the endpoints are, each behind the guard."""

    def guarded(path: str, endpoint: Callable[[Request], Response], method: str) -> Route:
        def answer(request: Request) -> Response:
            return guard.refuse(request) or endpoint(request)

        return Route(path, answer, methods=[method])

    def written(path: str, endpoint: Callable[[Request, Any], Response]) -> Route:
        """What takes a JSON document."""

        async def answer(request: Request) -> Response:
            if (refusal := guard.refuse(request)) is not None:
                return refusal
            try:
                content = await _read(request)
            except ClientDisconnect:
                return problem(400, "The body ended early.")  # nobody is there to read it
            if isinstance(content, Response):
                return content
            return await run_in_threadpool(endpoint, request, content)

        return Route(path, answer, methods=["POST"])

    taken = "/api/executions/{source}/{execution_id:path}/acknowledge"
    return [
        written(taken, api.acknowledge),
        written("/api/silences", api.add_silence),
        guarded("/api/silences", api.silences, "GET"),
        guarded("/api/silences/{id}", api.expire_silence, "DELETE"),
        guarded("/api/executions", api.executions, "GET"),
        guarded("/api/executions/{source}/{execution_id:path}", api.execution, "GET"),
        guarded("/api/deliveries", api.deliveries, "GET"),
        guarded("/api/deliveries/redeliver", api.redeliver_all, "POST"),
        guarded("/api/deliveries/{id}/redeliver", api.redeliver, "POST"),
        guarded("/api/reload", api.reload, "POST"),
        guarded("/api/ledger", api.ledger, "GET"),
        guarded("/api/hints", api.hints, "GET"),
    ]


async def _read(request: Request) -> Any:
    """The JSON document of a request, or what is wrong with it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return problem(415, "Send application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return problem(413, f"At most {MAX_BODY} bytes.")
    try:
        return parse_json(body)
    except MalformedBody as error:
        return problem(400, str(error))


def _page(
    request: Request,
    allowed: Iterable[str],
    query: Callable[[Mapping[str, str], int, int | None], Page],
    shape: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Response:
    parameters = request.query_params
    unknown = set(parameters) - {*allowed, "limit", "after"}
    if unknown:
        return problem(400, f"Known parameters are {', '.join([*allowed, 'limit'])} and after.")
    limit = _number(parameters.get("limit", str(DEFAULT_LIMIT)))
    after = _number(parameters["after"]) if "after" in parameters else None
    if limit is None or (after is None and "after" in parameters):
        return problem(400, "limit and after are whole numbers.")
    if not 1 <= limit <= MAX_LIMIT:
        return problem(400, f"limit is 1 to {MAX_LIMIT}; after is the next of the page before.")
    conditions = {name: parameters[name] for name in allowed if name in parameters}
    for name, words in WORDS.items():
        if name in conditions and conditions[name] not in words:
            return problem(400, f"{name} is one of {', '.join(words)}.")
    items, following = query(conditions, limit, after)
    shaped = [shape(item) for item in items]
    return _json({"items": shaped, "next": None if following is None else str(following)})


def _number(text: str) -> int | None:
    """A whole number that a database can count to, or None. (int() takes much else.)"""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    number = int(text)
    return number if number < 2**63 else None


def _json(content: Any, status: int = 200) -> Response:
    return Response(
        json.dumps(content).encode(), status, {"Cache-Control": "no-store"}, "application/json"
    )


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address without its brackets."""
    name, _, port = host.lower().rpartition(":")
    if not name or not port.isdigit():
        name = host.lower()
    return name.removeprefix("[").removesuffix("]")
