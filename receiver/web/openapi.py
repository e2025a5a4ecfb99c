"""`GET /openapi.json`: the description of all HTTP that this server speaks.

Written by hand, held to the routes by a test. It holds no secret and names no source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver import __version__
from receiver.web.api import DEFAULT_LIMIT, MAX_LIMIT, Guard
from receiver.web.problem import MEDIA_TYPE
from receiver.web.schemas import SCHEMAS, TEXT, Document, object_of, ref

_GUARDED = ("401", "403", "421")
_PROBLEMS = {
    "400": "It cannot be read.",
    "401": "Not proven to come from the source, or without the API's token.",
    "403": "Without RECEIVER_API_TOKEN the API answers on loopback only.",
    "404": "There is no such thing.",
    "405": "Another method.",
    "408": "It came too slowly: send it again.",
    "409": "It is not in the state for that.",
    "413": "The body is too large.",
    "415": "Not JSON, or with a Content-Encoding.",
    "421": "The Host is not ours.",
    "422": "JSON, but not the envelope of the source.",
    "429": "More than the source's rate: send it again after Retry-After seconds.",
    "431": "The headers are too large.",
    "503": "Not now: send it again after Retry-After seconds.",
}


def _answer(says: str, schema: str) -> Document:
    return {"description": says, "content": {"application/json": {"schema": ref(schema)}}}


def _problems(*statuses: str) -> Document:
    content = {MEDIA_TYPE: {"schema": ref("Problem")}}
    return {s: {"description": _PROBLEMS[s], "content": content} for s in statuses}


def _in_path(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}


def _in_query(name: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _written(schema: Document) -> Document:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _page(says: str, schema: str, *conditions: str) -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return {
        "summary": says,
        "parameters": [
            *[_in_query(name, TEXT) for name in conditions],
            _in_query("limit", limit),
            _in_query("after", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
        ],
        "responses": {
            "200": _answer("A page; `next` is the `after` of the next one.", schema),
            **_problems("400", *_GUARDED),
        },
        "security": [{"token": []}, {}],
    }


def _guarded(says: str, answers: Document, *parameters: str, problems: Iterable[str] = ()) -> Any:
    return {
        "summary": says,
        "parameters": [_in_path(name) for name in parameters],
        "responses": {**answers, **_problems(*problems, *_GUARDED)},
        "security": [{"token": []}, {}],
    }


_WEBHOOK: Document = {
    "summary": "A signed webhook. A 2xx means that the event is on disk; else send it again.",
    "parameters": [_in_path("source")],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
    "responses": {
        "200": _answer("Duplicate, stale, rejected, ignored or quarantined.", "Receipt"),
        "202": _answer("Applied or held.", "Receipt"),
        **_problems("400", "401", "404", "405", "408", "409", "413", "415", "422", "429", "431"),
        **_problems("503"),
    },
}
_ALL_AGAIN: Document = {
    **_guarded(
        "Give all dead deliveries of a destination a new chance.",
        {"202": _answer("They wait.", "AllWaiting")},
        problems=["400", "503"],
    ),
    "parameters": [{**_in_query("destination", TEXT), "required": True}],
}
_TAKE: Document = {
    **_guarded(
        "Take the present episode: its reminders and escalations end.",
        {"200": _answer("It is taken.", "Taken")},
        "source", "execution_id",
        problems=["400", "404", "409", "413", "415", "422", "503"],
    ),
    "requestBody": _written(object_of(by=TEXT)),
}  # fmt: skip
_SILENCE: Document = {
    **_guarded(
        "Keep messages back: conditions as in `match`, `for` or `until`, optionally `from`.",
        {"201": _answer("It is kept.", "Silence")},
        problems=["400", "413", "415", "422", "503"],
    ),
    "requestBody": _written(object_of(match={"type": "object"}, reason=TEXT, by=TEXT)),
}
_METRICS = {"200": {"description": "Prometheus text.", "content": {"text/plain": {}}}}
_JSON = {"200": {"description": "This document.", "content": {"application/json": {}}}}


_OF_OPERATORS: Document = {
    "/api/executions/{source}/{execution_id}/acknowledge": {"post": _TAKE},
    "/api/silences": {"get": _page("Silences, newest first.", "Silences"), "post": _SILENCE},
    "/api/silences/{id}": {
        "delete": _guarded(
            "End a silence now.", {"200": _answer("It is over.", "Silence")},
            "id", problems=["404", "409", "503"],
        )
    },
    "/api/reload": {
        "post": _guarded(
            "Read routes.yaml again.",
            {
                "200": _answer("The new rules are in force.", "Reloaded"),
                "422": _answer("It has errors; the old rules stay.", "NotReloaded"),
            },
        )
    },
}  # fmt: skip


def document() -> Document:
    """The description, OpenAPI 3.1."""
    paths: Document = {
        "/webhooks/{source}": {"post": _WEBHOOK},
        "/healthz": {"get": _open("The process lives.")},
        "/readyz": {"get": _open("It can store webhooks and send what is owed.", "503")},
        "/metrics": {"get": _guarded("Counters.", _METRICS)},
        "/openapi.json": {"get": _guarded("This description.", _JSON)},
        "/api/executions": {
            "get": _page(
                "Executions, newest first.", "Executions",
                "status", "category", "source", "agent", "q",
            )
        },
        "/api/executions/{source}/{execution_id}": {
            "get": _guarded(
                "An execution, its events and its deliveries.",
                {"200": _answer("What is known.", "Known")},
                "source", "execution_id", problems=["404"],
            )
        },
        **_OF_OPERATORS,
        "/api/deliveries": {
            "get": _page("Deliveries, newest first.", "Deliveries", "state", "destination")
        },
        "/api/deliveries/redeliver": {"post": _ALL_AGAIN},
        "/api/deliveries/{id}/redeliver": {
            "post": _guarded(
                "Give a dead delivery a new chance.", {"202": _answer("It waits.", "Waiting")},
                "id", problems=["404", "409", "503"],
            )
        },
        "/api/hints": {
            "get": _guarded(
                "Sources that look badly subscribed.", {"200": _answer("Hints.", "Hints")}
            )
        },
        "/api/ledger": {
            "get": _guarded(
                "What was promised against what is there.", {"200": _answer("Counts.", "Ledger")}
            )
        },
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "receiver", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _open(says: str, *problems: str) -> Document:
    return {"summary": says, "responses": {"200": _answer(says, "Health"), **_problems(*problems)}}


def route(guard: Guard) -> Route:
    """The route of the description."""
    content = json.dumps(document()).encode()

    def openapi(request: Request) -> Response:
        return guard.refuse(request) or Response(content, media_type="application/json")

    return Route("/openapi.json", openapi, methods=["GET"])
