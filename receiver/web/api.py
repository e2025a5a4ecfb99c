"""API for people and their tools: executions, events, deliveries, silences, the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.audit import Act, Actor, Door, Entry
from receiver.config.live_rules import LiveRules
from receiver.config.silence_request import read_silence
from receiver.dispatch.operators import (
    Noted,
    acknowledge,
    add_silence_noted,
    expire_silence_noted,
    in_words,
    redeliver_all_noted,
    redeliver_noted,
    take,
    write_down,
)
from receiver.dispatch.trial import Trials
from receiver.errors import ConfigurationError
from receiver.intake.subscription_hints import hints, skew
from receiver.store.contract import Store
from receiver.store.records import TakeOutcome
from receiver.times import SECOND
from receiver.web import acting, json_views
from receiver.web.guard import Guard
from receiver.web.paging import (
    answer_page,
    each,
    json_response,
    read_document,
    read_parameters,
    revalidated,
    searching,
    whole_number,
)
from receiver.web.problem import problem
from receiver.web.webhooks.spool import Spooling, spooled

# Seconds between two looks at the clocks of sources.
MEASURE_EVERY = 60.0


class Api:
    """The endpoints of the API. They are plain functions: Starlette runs them in a thread."""

    def __init__(
        self,
        store: Store,
        in_force: LiveRules[object],
        guard: Guard,
        spooling: Spooling | None,
        trials: Trials,
    ) -> None:
        self._store = store
        self._spooling = spooling
        self._trials = trials
        self._in_force = in_force
        self._guard = guard
        self._skews: dict[str, float] = {}
        self._measure_at = 0.0  # monotonic seconds

    def executions(self, request: Request) -> Response:
        allowed = ("status", "category", "source", "agent", "q")
        search = searching(self._store.executions)
        return answer_page(request, allowed, search, each(json_views.execution))

    def execution(self, request: Request) -> Response:
        path = request.path_params
        story = self._store.execution(path["source"], path["execution_id"])
        if story is None:
            return problem(404, "No event was applied to such an execution.")
        return json_response(json_views.known(story, self._in_force.rules, time.time_ns()))

    def events(self, request: Request) -> Response:
        allowed = ("verdict", "source", "execution_id", "event")
        search = searching(self._store.events)
        return answer_page(request, allowed, search, each(json_views.event))

    def event(self, request: Request) -> Response:
        number = whole_number(request.path_params["seq"])
        known = None if number is None else self._store.event(number)
        if known is None:
            return problem(404, "There is no such event: GET /api/events lists them.")
        return json_response(json_views.known_event(known, self._in_force.rules, time.time_ns()))

    def deliveries(self, request: Request) -> Response:
        allowed = ("state", "destination", "execution_id", "kind")
        search = searching(self._store.deliveries)
        return answer_page(request, allowed, search, self._delivery_views)

    def _delivery_views(self, views: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return json_views.deliveries(views, self._in_force.rules, time.time_ns())

    def acknowledge(self, request: Request, content: Any) -> Response:
        path = request.path_params
        rules = self._in_force.rules
        given = content.get("by") if isinstance(content, dict) and set(content) == {"by"} else None
        name = given if isinstance(given, str) else ""
        by = self._actor(request, name)
        claim = take(path["source"], path["execution_id"], by, rules, time.time_ns())
        if claim is None:
            return problem(422, 'Say who takes it: {"by": "Ann"}.')
        result = self._store.write_now(acknowledge, claim)
        if result.outcome is TakeOutcome.UNKNOWN:
            return problem(404, "No event was applied to such an execution.")
        if result.outcome is TakeOutcome.ENDED:
            return problem(409, "This execution has ended: there is nothing to acknowledge.")
        story = self._store.execution(path["source"], path["execution_id"])
        execution = json_views.execution(story["execution"]) if story else None
        words = in_words(claim, result, time.time_ns())
        return json_response({"execution": execution, "result": result.outcome, "text": words})

    def act(self, request: Request, content: Any) -> Response:
        rules, by = self._in_force.rules, self._actor(request)
        return acting.answer(self._store, rules, by, request.path_params, content)

    def silences(self, request: Request) -> Response:
        return answer_page(request, (), self._store.silences, each(json_views.silence))

    def add_silence(self, request: Request, content: Any) -> Response:
        now = time.time_ns()
        rules = self._in_force.rules
        try:
            silence = read_silence(content, now, rules.sources, rules.destinations)
        except ConfigurationError as error:
            return problem(422, " ".join(f"{line}." for line in error.problems))
        entry = Entry(now, Act.SILENCE, self._actor(request, silence.by), result=silence.reason)
        number = self._store.write_now(add_silence_noted, Noted((silence, now), entry))
        return json_response(self._silence_view(number), 201)

    def expire_silence(self, request: Request) -> Response:
        number = whole_number(request.path_params["id"])
        if number is None:
            return problem(404, "There is no such silence: GET /api/silences lists them.")
        now = time.time_ns()
        entry = Entry(now, Act.END_SILENCE, self._actor(request), about=str(number))
        is_ended = self._store.write_now(expire_silence_noted, Noted((number, now), entry))
        if is_ended is None:
            return problem(404, "There is no such silence: GET /api/silences lists them.")
        if not is_ended:
            return problem(409, "This silence is over.")
        return json_response(self._silence_view(number))

    def _silence_view(self, number: int) -> dict[str, Any] | None:
        silence = self._store.silence(number)
        return None if silence is None else json_views.silence(silence)

    def redeliver(self, request: Request) -> Response:
        number = whole_number(request.path_params["id"])
        if number is None:
            return problem(404, "There is no such delivery: GET /api/deliveries lists them.")
        now = time.time_ns()
        entry = Entry(now, Act.REDELIVER, self._actor(request), about=f"delivery {number}")
        is_waiting = self._store.write_now(redeliver_noted, Noted((number, now), entry))
        if is_waiting is None:
            return problem(404, "There is no such delivery: GET /api/deliveries lists them.")
        if not is_waiting:
            return problem(409, "Only a dead delivery can be redelivered.")
        return json_response({"id": number, "state": "waiting"}, 202)

    def redeliver_all(self, request: Request) -> Response:
        parameters = read_parameters(request, "destination")
        if isinstance(parameters, Response):
            return parameters
        name = parameters.get("destination", "")
        if name not in self._in_force.rules.destinations:
            return problem(400, "Say which with ?destination=, by its name in routes.yaml.")
        now = time.time_ns()
        entry = Entry(now, Act.REDELIVER, self._actor(request), about=name)
        count = self._store.write_now(redeliver_all_noted, Noted((name, now), entry))
        return json_response({"destination": name, "redelivered": count}, 202)

    def test(self, request: Request) -> Response:
        destination = self._in_force.rules.destinations.get(request.path_params["name"])
        if destination is None:
            return problem(404, "routes.yaml has no such destination.")
        attempt = self._trials.try_destination(destination, "somebody through the API")
        if attempt is None:
            return problem(409, "Another test of this destination is under way: wait for its end.")
        self._note(request, Act.TEST, destination.name, str(attempt.outcome))
        return json_response(
            {
                "outcome": attempt.outcome,
                "detail": attempt.detail,
                "duration_ms": attempt.duration_ms,
                "permanent": attempt.permanent,
            }
        )

    def reload(self, request: Request) -> Response:
        try:
            rules = self._in_force.reload()
        except ConfigurationError as error:
            self._note(request, Act.RELOAD, "", "not loaded: the old rules stay")
            return json_response({"reloaded": False, "problems": error.problems}, 422)
        self._note(request, Act.RELOAD, "", "loaded")
        return json_response({"reloaded": True, "warnings": list(rules.warnings)})

    def audit(self, request: Request) -> Response:
        allowed = ("act", "door", "who", "source", "execution_id")
        return answer_page(request, allowed, self._store.audit, each(json_views.audit))

    def _actor(self, request: Request, who: str = "") -> Actor:
        return Actor(who, Door.API, self._guard.address(request))

    def _note(self, request: Request, act: Act, about: str, result: str) -> None:
        """Write down what somebody did that changes nothing in the store."""
        entry = Entry(time.time_ns(), act, self._actor(request), about=about, result=result)
        write_down(self._store, entry)

    def hints(self, request: Request) -> Response:
        orderings = self._in_force.rules.orderings
        items = hints(orderings, self._store.tallies(), self._store.delays())
        return json_response({"items": [asdict(hint) for hint in items]})

    def skews(self) -> dict[str, float]:
        """Return by how many seconds each configured source seems ahead, for the metrics.

        It looks at many events, so it looks once a minute at most.
        """
        if time.monotonic() >= self._measure_at:
            self._skews = {each.source: skew(each) / SECOND for each in self._store.delays()}
            self._measure_at = time.monotonic() + MEASURE_EVERY
        return {source: self._skews.get(source, 0.0) for source in self._in_force.rules.orderings}

    def ledger(self, request: Request) -> Response:
        # What waits in the spool is promised, and not in the ledger before it is judged.
        return json_response({**self._store.ledger(), "spooled": spooled(self._spooling)})


def routes(api: Api, guard: Guard) -> list[Route]:
    """Return the routes of the endpoints, each behind the guard."""

    def guarded(path: str, endpoint: Callable[[Request], Response], method: str) -> Route:
        def answer(request: Request) -> Response:
            return guard.refuse(request) or revalidated(request, endpoint(request))

        return Route(path, answer, methods=[method])

    def posted(path: str, endpoint: Callable[[Request, Any], Response]) -> Route:
        """Return the route of an endpoint that takes a JSON document."""

        async def answer(request: Request) -> Response:
            if (refusal := guard.refuse(request)) is not None:
                return refusal
            try:
                content = await read_document(request)
            except ClientDisconnect:
                return problem(400, "The body ended early.")  # the client is gone already
            if isinstance(content, Response):
                return content
            return await run_in_threadpool(endpoint, request, content)

        return Route(path, answer, methods=["POST"])

    execution = "/api/executions/{source}/{execution_id:path}"
    return [
        posted(f"{execution}/acknowledge", api.acknowledge),
        posted(f"{execution}/act", api.act),
        posted("/api/silences", api.add_silence),
        guarded("/api/silences", api.silences, "GET"),
        guarded("/api/silences/{id}", api.expire_silence, "DELETE"),
        guarded("/api/executions", api.executions, "GET"),
        guarded(execution, api.execution, "GET"),
        guarded("/api/events", api.events, "GET"),
        guarded("/api/events/{seq}", api.event, "GET"),
        guarded("/api/deliveries", api.deliveries, "GET"),
        guarded("/api/deliveries/redeliver", api.redeliver_all, "POST"),
        guarded("/api/deliveries/{id}/redeliver", api.redeliver, "POST"),
        guarded("/api/destinations/{name}/test", api.test, "POST"),
        guarded("/api/reload", api.reload, "POST"),
        guarded("/api/ledger", api.ledger, "GET"),
        guarded("/api/audit", api.audit, "GET"),
        guarded("/api/hints", api.hints, "GET"),
    ]
