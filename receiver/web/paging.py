"""Paging: reads parameters and documents, answers a page, and tells what is unchanged."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.audit import Act, Door
from receiver.deliveries import Kind, State
from receiver.errors import MalformedBody
from receiver.events import Category, Status, Verdict
from receiver.sources.strict_json import parse_json
from receiver.store.reading import Page
from receiver.web.problem import problem

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
# The most bytes of a document: people write short ones here.
MAX_BODY = 16_384
# A search looks at so many rows at a time, and gives way to others in between. One of the API goes
# on for so many seconds before it answers what it has found so far.
SLICE, SEARCH_SECONDS = 10_000, 2.0
Query = Callable[[Mapping[str, str], int, int | None], Page]
Search = Callable[[Mapping[str, str], int, int | None, int | None], Page]
# The allowed values of some parameters; the others take any text.
PARAMETER_VALUES = {
    "state": [state.value for state in State],
    "kind": [kind.value for kind in Kind],
    "verdict": [verdict.value for verdict in Verdict],
    "status": [status.value for status in Status],
    "category": [category.value for category in Category],
    "act": [act.value for act in Act],
    "door": [door.value for door in Door],
}


def answer_page(
    request: Request,
    allowed: Iterable[str],
    query: Query,
    shape: Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]],
) -> Response:
    """Answer a page of `query`, or 400 if a parameter is not `allowed` or has no such value."""
    parameters = read_parameters(request, *allowed, "limit", "after")
    if isinstance(parameters, Response):
        return parameters
    limit = whole_number(parameters.get("limit", str(DEFAULT_LIMIT)))
    after = whole_number(parameters["after"]) if "after" in parameters else None
    if limit is None or (after is None and "after" in parameters):
        return problem(400, "limit and after are whole numbers.")
    if not 1 <= limit <= MAX_LIMIT:
        return problem(400, f"limit is 1 to {MAX_LIMIT}; after is the next of the page before.")
    conditions = {name: parameters[name] for name in allowed if name in parameters}
    for name, values in PARAMETER_VALUES.items():
        if name in conditions and conditions[name] not in values:
            return problem(400, f"{name} is one of {', '.join(values)}.")
    items, following = query(conditions, limit, after)
    next_ = None if following is None else str(following)
    return json_response({"items": shape(items), "next": next_})


def searching(search: Search, seconds: float = SEARCH_SECONDS) -> Query:
    """Return the query that searches slice by slice, until its page is full or time is up."""

    def query(conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        ends = time.monotonic() + seconds
        rows, after = search(conditions, limit, after, SLICE)
        while after is not None and len(rows) < limit and time.monotonic() < ends:
            more, after = search(conditions, limit - len(rows), after, SLICE)
            rows += more
        return rows, after

    return query


def read_parameters(request: Request, *allowed: str) -> dict[str, str] | Response:
    """Return the parameters of the query; 400 if one is not allowed or stands there twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    if set(names) - set(allowed):
        known = f"{', '.join(allowed[:-1])} and {allowed[-1]}" if len(allowed) > 1 else allowed[0]
        return problem(400, f"Known parameters are {known}.")
    if len(set(names)) < len(names):
        return problem(400, "A parameter is given twice: say each only once.")
    return dict(request.query_params)


def each(
    shape: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]:
    """Return the function that shapes every item of a page."""
    return lambda views: [shape(view) for view in views]


def whole_number(text: str) -> int | None:
    """Return the number if it fits into a database, else None. (int() takes more forms.)"""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    number = int(text)
    return number if number < 2**63 else None


def json_response(content: Any, status: int = 200) -> Response:
    """Answer a JSON document."""
    return Response(
        json.dumps(content).encode(), status, {"Cache-Control": "no-store"}, "application/json"
    )


def tag_of(content: bytes) -> str:
    """Return the ETag of an answer: the same for the same bytes."""
    return f'"{hashlib.sha256(content).hexdigest()[:24]}"'


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client has the answer with this ETag already."""
    known = request.headers.get("if-none-match", "")
    return tag in {each.strip().removeprefix("W/") for each in known.split(",")}


def revalidated(request: Request, answer: Response) -> Response:
    """Return 304 for an answer that the client has already; any other with its ETag.

    It is for whoever may see it: a cache between asks each time.
    """
    if request.method != "GET" or answer.status_code != 200:
        return answer
    tag = tag_of(bytes(answer.body))
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


async def read_document(request: Request) -> Any:
    """Return the JSON document of a request, or the problem with it."""
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
