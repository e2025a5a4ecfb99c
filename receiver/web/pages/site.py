"""Site: the addresses of the pages, their forms, and the files that they load."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from receiver.config.live_rules import LiveRules
from receiver.config.settings import Settings
from receiver.dispatch.operators import write_down
from receiver.dispatch.trial import Trials
from receiver.errors import StorageUnavailable
from receiver.links import Links
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.web.guard import Guard
from receiver.web.pages.acts import Acts, Form
from receiver.web.pages.backtests import Backtests
from receiver.web.pages.gate import Gate
from receiver.web.pages.lists import Lists
from receiver.web.pages.reference import Reference
from receiver.web.pages.rendering import HEADERS, STATIC, Renderer
from receiver.web.pages.session import Visitor
from receiver.web.pages.take import TakePage
from receiver.web.pages.views import Views

# The files of the pages, and their types.
FILES = {
    "pico.css": "text/css",
    "pages.css": "text/css",
    "htmx.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_NO_STORAGE = "The storage does not answer: nothing was changed. See the log, and try again."
_LATER = {"Retry-After": "5"}
_NO_FORM = "This takes a form: press the button of the page. Programs use the API."
FORM = "application/x-www-form-urlencoded"
MAX_FORM, MAX_FIELDS = 1_000_000, 50
_KEPT = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}

Show = Callable[[Request, Visitor], Response]
Act = Callable[[Request, Visitor, Form], Response]


def routes(
    settings: Settings,
    store: Store,
    in_force: LiveRules[object],
    counters: Counters,
    guard: Guard,
    links: Links,
    trials: Trials,
    renderer: Renderer,
) -> list[Route]:
    """Return the routes of the pages. None of them is in the description of the API."""
    gate = Gate(settings, guard, renderer, partial(write_down, store))
    lists = Lists(store, in_force, renderer)
    views = Views(store, in_force, counters, renderer, settings.zone)
    acts = Acts(
        store, in_force, gate, renderer, views, lists, trials, settings.public_url, settings.zone
    )

    backtests = Backtests(store, in_force, renderer)

    def admitted(request: Request, show: Show) -> Response:
        if isinstance(visitor := gate.admit(request), Response):
            return visitor
        try:
            return show(request, visitor)
        except StorageUnavailable:
            return renderer.problem(request, 503, _NO_STORAGE, _LATER, visitor)

    def shown(path: str, show: Show) -> Route:
        def answer(request: Request) -> Response:
            return admitted(request, show)

        return Route(path, answer, methods=["GET"], include_in_schema=False)

    def posted(path: str, act: Act) -> Route:
        def answer(request: Request, form: Form) -> Response:
            return admitted(request, lambda request, visitor: act(request, visitor, form))

        return _form_route(path, answer, renderer)

    pages = _pages(views, lists, backtests, Reference(renderer))
    forms = _forms(acts, backtests)
    return [
        *(shown(path, show) for path, show in pages.items()),
        *(posted(path, act) for path, act in forms.items()),
        *_take_routes(TakePage(store, in_force, gate, renderer, links), renderer),
        *_open_routes(gate, renderer),
    ]


async def answer_lost(request: Request) -> Response:
    """Answer a browser at an address that there is not."""
    renderer: Renderer = request.app.state.renderer
    return await run_in_threadpool(renderer.lost, request)


def is_by_a_person(request: Request) -> bool:
    """Return whether a browser asks for a page, and not a program for what programs read."""
    path = request.url.path
    return (
        request.method in ("GET", "HEAD")
        and "text/html" in request.headers.get("accept", "")
        and not path.startswith(("/api/", "/webhooks/", "/static/"))
    )


def _pages(
    views: Views, lists: Lists, backtests: Backtests, reference: Reference
) -> dict[str, Show]:
    return {
        "/": views.now,
        "/executions": lists.executions,
        "/executions/{source}/{execution_id:path}": views.execution,
        "/events": lists.events,
        "/events/{seq}": views.event,
        "/deliveries": lists.deliveries,
        "/routes": views.routes,
        "/routes/backtest": backtests.ask,
        "/silences": lists.silences,
        "/ledger": views.ledger,
        "/audit": lists.audit,
        "/help": reference.contents,
        "/help/{topic}": reference.topic,
    }


def _forms(acts: Acts, backtests: Backtests) -> dict[str, Act]:
    return {
        "/act/take": acts.take,
        "/act/provider": acts.act,
        "/act/redeliver": acts.redeliver,
        "/act/redeliver-all": acts.redeliver_all,
        "/act/test": acts.test,
        "/act/silence": acts.silence,
        "/act/end-silence": acts.end_silence,
        "/routes": acts.try_event,
        "/routes/backtest": backtests.compare,
    }


def _open_routes(gate: Gate, renderer: Renderer) -> list[Route]:
    """Return the routes that are there for everybody."""
    return [
        Route("/login", gate.login_page, methods=["GET"], include_in_schema=False),
        _form_route("/login", gate.sign_in, renderer),
        _form_route("/logout", gate.sign_out, renderer),
    ]


def _take_routes(page: TakePage, renderer: Renderer) -> list[Route]:
    """Return the routes of links and of the files that their page loads.

    A proxy in front may leave the path of the public address on, or take it off.
    """

    def show(request: Request) -> Response:
        try:
            return page.show(request)
        except StorageUnavailable:
            return renderer.problem(request, 503, _NO_STORAGE, _LATER)

    def take(request: Request, form: Form) -> Response:
        try:
            return page.take(request, form)
        except StorageUnavailable:
            return renderer.problem(request, 503, _NO_STORAGE, _LATER)

    prefixes = dict.fromkeys(("", page.prefix))
    return [
        route
        for prefix in prefixes
        for route in (
            Route(f"{prefix}/take/{{token:path}}", show, methods=["GET"], include_in_schema=False),
            _form_route(f"{prefix}/take/{{token}}", take, renderer),
            Route(
                f"{prefix}/static/{{name}}", _answer_file, methods=["GET"], include_in_schema=False
            ),
        )
    ]


def _form_route(path: str, act: Callable[[Request, Form], Response], renderer: Renderer) -> Route:
    """Return the route of an endpoint that takes a form."""

    async def answer(request: Request) -> Response:
        try:
            form = await _read_form(request)
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone already
        if form is None:
            is_form = _media_type(request) == FORM
            text = f"At most {MAX_FORM:,} bytes and {MAX_FIELDS} fields." if is_form else _NO_FORM
            status = 413 if is_form else 415
            return await run_in_threadpool(renderer.problem, request, status, text)
        return await run_in_threadpool(act, request, form)

    return Route(path, answer, methods=["POST"], include_in_schema=False)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_form(request: Request) -> Form | None:
    """Return the fields of a form, the last of each name; None if it is none, or too large."""
    if _media_type(request) != FORM:
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return None
    try:
        return dict(parse_qsl(body.decode("ascii", "replace"), True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return None


def _answer_file(request: Request) -> Response:
    """Answer a file of the pages, to anybody: nothing in it is ours alone."""
    name = request.path_params["name"]
    if name not in FILES:
        return Response(status_code=404, headers=HEADERS)
    return FileResponse(STATIC / name, headers=_KEPT, media_type=FILES[name])
