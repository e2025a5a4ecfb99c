"""The API for people and their tools: executions, deliveries, the ledger."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.dispatch import redeliver
from receiver.exposure import is_loopback
from receiver.settings import Settings
from receiver.store import Store
from receiver.web.problem import problem

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


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


def routes(store: Store, settings: Settings) -> list[Route]:
    """The API's routes. Their endpoints are plain functions: Starlette runs them in a thread."""
    guard = Guard(settings)

    def executions(request: Request) -> Response:
        allowed = ("status", "category", "source", "agent", "q")
        return guard.refuse(request) or _page(request, allowed, store.executions)

    def execution(request: Request) -> Response:
        if (refusal := guard.refuse(request)) is not None:
            return refusal
        found = store.execution(request.path_params["source"], request.path_params["execution_id"])
        return _json(found) if found else problem(404, "No event was applied to such an execution.")

    def deliveries(request: Request) -> Response:
        allowed = ("state", "destination")
        return guard.refuse(request) or _page(request, allowed, store.deliveries)

    def again(request: Request) -> Response:
        if (refusal := guard.refuse(request)) is not None:
            return refusal
        number = _number(request.path_params["id"])
        done = None if number is None else store.write_now(redeliver, (number, time.time_ns()))
        if done is None:
            return problem(404, "There is no such delivery.")
        if not done:
            return problem(409, "Only a dead delivery can be redelivered.")
        return _json({"id": number, "state": "waiting"}, 202)

    def ledger(request: Request) -> Response:
        return guard.refuse(request) or _json(store.ledger())

    return [
        Route("/api/executions", executions, methods=["GET"]),
        Route("/api/executions/{source}/{execution_id:path}", execution, methods=["GET"]),
        Route("/api/deliveries", deliveries, methods=["GET"]),
        Route("/api/deliveries/{id}/redeliver", again, methods=["POST"]),
        Route("/api/ledger", ledger, methods=["GET"]),
    ]


def _page(
    request: Request,
    allowed: Iterable[str],
    query: Callable[[Mapping[str, str], int, int | None], tuple[list[dict[str, Any]], int | None]],
) -> Response:
    parameters = request.query_params
    unknown = set(parameters) - {*allowed, "limit", "after"}
    if unknown:
        return problem(400, f"Known parameters are {', '.join(allowed)}, limit and after.")
    limit = _number(parameters.get("limit", str(DEFAULT_LIMIT)))
    after = _number(parameters["after"]) if "after" in parameters else None
    if limit is None or (after is None and "after" in parameters):
        return problem(400, "limit and after are whole numbers.")
    if not 1 <= limit <= MAX_LIMIT:
        return problem(400, f"limit is 1 to {MAX_LIMIT}; after is the next of the page before.")
    conditions = {name: parameters[name] for name in allowed if name in parameters}
    items, following = query(conditions, limit, after)
    return _json({"items": items, "next": None if following is None else str(following)})


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
