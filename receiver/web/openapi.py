"""Description of every address of this server, for `GET /openapi.json`.

It is written by hand, and a test compares it with the routes. It names no source and no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver import __version__
from receiver.sources.access import Act
from receiver.web.guard import Guard
from receiver.web.paging import DEFAULT_LIMIT, MAX_LIMIT
from receiver.web.problem import MEDIA_TYPE
from receiver.web.schemas import SCHEMAS, TEXT, Document, object_of, ref, words_of

_GUARD_STATUSES = ("401", "403", "421")
_DETAILS = {
    "400": "It cannot be read.",
    "401": "Not proven to come from the source, or without the API's token.",
    "403": "Without RECEIVER_API_TOKEN the API answers nobody from outside this machine.",
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


_UNCHANGED: Document = {"304": {"description": "As it was with the ETag in If-None-Match."}}


def _success(description: str, schema: str) -> Document:
    return {"description": description, "content": {"application/json": {"schema": ref(schema)}}}


def _refusals(*statuses: str) -> Document:
    content = {MEDIA_TYPE: {"schema": ref("Problem")}}
    return {status: {"description": _DETAILS[status], "content": content} for status in statuses}


def _path_parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}


def _query_parameter(name: str, schema: Document) -> Document:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _json_body(schema: Document) -> Document:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _listing(summary: str, schema: str, *conditions: str) -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return {
        "summary": summary,
        "parameters": [
            *[_query_parameter(name, TEXT) for name in conditions],
            _query_parameter("limit", limit),
            _query_parameter("after", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
        ],
        "responses": {
            "200": _success("A page; `next` is the `after` of the next, null at the end.", schema),
            **_UNCHANGED,
            **_refusals("400", *_GUARD_STATUSES),
        },
        "security": [{"token": []}, {}],
    }


def _operation(
    summary: str, answers: Document, *parameters: str, problems: Iterable[str] = ()
) -> Document:
    return {
        "summary": summary,
        "parameters": [_path_parameter(name) for name in parameters],
        "responses": {**answers, **_refusals(*problems, *_GUARD_STATUSES)},
        "security": [{"token": []}, {}],
    }


_WEBHOOK: Document = {
    "summary": "A signed webhook. A 2xx means that the event is on disk; else send it again.",
    "parameters": [_path_parameter("source")],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
    "responses": {
        "200": _success("Duplicate, stale, rejected, ignored or quarantined.", "Receipt"),
        "202": _success("Applied or held; spooled, while the database is away.", "Receipt"),
        **_refusals("400", "401", "404", "405", "408", "409", "413", "415", "422", "429", "431"),
        **_refusals("503"),
    },
}
_REDELIVER_ALL: Document = {
    **_operation(
        "Give all dead deliveries of a destination a new chance.",
        {"202": _success("They wait.", "AllWaiting")},
        problems=["400", "503"],
    ),
    "parameters": [{**_query_parameter("destination", TEXT), "required": True}],
}
_TAKE: Document = {
    **_operation(
        "Take the present episode: its reminders and escalations end.",
        {"200": _success("It is taken.", "Taken")},
        "source", "execution_id",
        problems=["400", "404", "409", "413", "415", "422", "503"],
    ),
    "requestBody": _json_body(object_of(by=TEXT)),
}  # fmt: skip
_ACT: Document = {
    **_operation(
        "Resume, cancel or pause it at its provider, if its source allows that.",
        {
            "200": _success("It is done.", "Acted"),
            "202": _success("It may have happened: look before you repeat it.", "Acted"),
        },
        "source", "execution_id",
        problems=["400", "404", "409", "413", "415", "422", "503"],
    ),
    "requestBody": _json_body(
        {
            "type": "object",
            "properties": {"act": words_of(Act), "by": TEXT, "reason": TEXT},
            "required": ["act", "by"],
        }
    ),
}  # fmt: skip
_SILENCE: Document = {
    **_operation(
        "Keep messages back: conditions as in `match`, `for` or `until`, optionally `from`.",
        {"201": _success("It is kept.", "Silence")},
        problems=["400", "413", "415", "422", "503"],
    ),
    "requestBody": _json_body(object_of(match={"type": "object"}, reason=TEXT, by=TEXT)),
}
_METRICS_ANSWER = {"200": {"description": "Prometheus text.", "content": {"text/plain": {}}}}
_OPENAPI_ANSWER = {"200": {"description": "This document.", "content": {"application/json": {}}}}


_OPERATOR_PATHS: Document = {
    "/api/executions/{source}/{execution_id}/acknowledge": {"post": _TAKE},
    "/api/executions/{source}/{execution_id}/act": {"post": _ACT},
    "/api/audit": {
        "get": _listing(
            "What people did, newest first.",
            "Audit", "act", "door", "who", "source", "execution_id",
        )
    },
    "/api/silences": {"get": _listing("Silences, newest first.", "Silences"), "post": _SILENCE},
    "/api/silences/{id}": {
        "delete": _operation(
            "End a silence now.", {"200": _success("It is over.", "Silence")},
            "id", problems=["404", "409", "503"],
        )
    },
    "/api/destinations/{name}/test": {
        "post": _operation(
            "Send a marked test message now, and say what came of it.",
            {"200": _success("What came of it.", "Tested")}, "name", problems=["404", "409"],
        )
    },
    "/api/reload": {
        "post": _operation(
            "Read routes.yaml again.",
            {
                "200": _success("The new rules are in force.", "Reloaded"),
                "422": _success("It has errors; the old rules stay.", "NotReloaded"),
            },
        )
    },
}  # fmt: skip


_LISTED_PATHS: Document = {
    "/api/executions": {
        "get": _listing(
            "Executions, newest first.", "Executions",
            "status", "category", "source", "agent", "q",
        )
    },
    "/api/executions/{source}/{execution_id}": {
        "get": _operation(
            "An execution, its events and its deliveries.",
            {"200": _success("What is known.", "Known"), **_UNCHANGED},
            "source", "execution_id", problems=["404"],
        )
    },
    "/api/events": {
        "get": _listing(
            "Events, newest first, the quarantined included.", "Events",
            "verdict", "source", "execution_id", "event",
        )
    },
    "/api/events/{seq}": {
        "get": _operation(
            "An event: its raw body, which routes match and why the others do not.",
            {"200": _success("What is known.", "KnownEvent"), **_UNCHANGED},
            "seq", problems=["404"],
        )
    },
    "/api/deliveries": {
        "get": _listing(
            "Deliveries, newest first, and why each still waits.", "Deliveries",
            "state", "destination", "execution_id", "kind",
        )
    },
}  # fmt: skip


def document() -> Document:
    """Return the description in OpenAPI 3.1."""
    paths: Document = {
        "/webhooks/{source}": {"post": _WEBHOOK},
        "/healthz": {"get": _public("The process lives.", "Health")},
        "/readyz": {"get": _public("It can store webhooks and send what is owed.", "Ready", "503")},
        "/metrics": {"get": _operation("Counters.", _METRICS_ANSWER)},
        "/openapi.json": {"get": _operation("This description.", _OPENAPI_ANSWER)},
        **_LISTED_PATHS,
        **_OPERATOR_PATHS,
        "/api/deliveries/redeliver": {"post": _REDELIVER_ALL},
        "/api/deliveries/{id}/redeliver": {
            "post": _operation(
                "Give a dead delivery a new chance.", {"202": _success("It waits.", "Waiting")},
                "id", problems=["404", "409", "503"],
            )
        },
        "/api/destinations": {
            "get": _operation(
                "Where messages go, and how each of them stands.",
                {"200": _success("Destinations.", "Destinations"), **_UNCHANGED},
                problems=["503"],
            )
        },
        "/api/sources": {
            "get": _operation(
                "Who sends, when each was heard last, and what was refused.",
                {"200": _success("Sources.", "Sources"), **_UNCHANGED},
                problems=["503"],
            )
        },
        "/api/hints": {
            "get": _operation(
                "Sources that look badly subscribed.",
                {"200": _success("Hints.", "Hints"), **_UNCHANGED},
            )
        },
        "/api/ledger": {
            "get": _operation(
                "What was promised against what is there.",
                {"200": _success("Counts.", "Ledger"), **_UNCHANGED},
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


def _public(summary: str, schema: str, *problems: str) -> Document:
    return {
        "summary": summary,
        "responses": {"200": _success(summary, schema), **_refusals(*problems)},
    }


def route(guard: Guard) -> Route:
    """Return the route of the description."""
    content = json.dumps(document()).encode()

    def openapi(request: Request) -> Response:
        return guard.refuse(request) or Response(content, media_type="application/json")

    return Route("/openapi.json", openapi, methods=["GET"])
