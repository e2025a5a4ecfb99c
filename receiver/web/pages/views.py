"""Views: the pages that show one thing: now, an execution, an event, the rules, the ledger.

They read, and change nothing. What may take long is a glance.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Kind, State
from receiver.dispatch.trial import place_of
from receiver.events import Category, Status, Verdict
from receiver.intake.reconcile.acting import fitting
from receiver.messages.variables import question_text
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.records import Happened, Standing, Waited
from receiver.web import json_views
from receiver.web.pages import charts
from receiver.web.pages.diagram import Step, draw
from receiver.web.pages.glance import Glance
from receiver.web.pages.parts import Parts
from receiver.web.pages.rendering import MOST, Renderer, Way
from receiver.web.pages.route_words import describe, quiet_hours
from receiver.web.pages.session import Visitor
from receiver.web.paging import whole_number

View = Mapping[str, Any]
# The most rows of a part of the first page.
MOST_WAITING, MOST_OTHERS = 50, 10
# The most events of an execution on its page, and steps of its path: the newest.
MOST_EVENTS = 50
# The picture of a week need not be of this moment (seconds).
WEEK_RESTS = 15.0


@dataclass(frozen=True, slots=True)
class People:
    """The executions that need people: that wait for them, and that failed in a day."""

    waiting: Sequence[View]
    failed: Sequence[View]


class Views:
    """The pages that show one thing, for visitors whom the gate has let in."""

    def __init__(
        self, store: Store, in_force: LiveRules[object], counters: Counters, renderer: Renderer,
        zone: tzinfo,
    ) -> None:  # fmt: skip
        self._store, self._in_force, self._counters = store, in_force, counters
        self._render, self._zone = renderer, zone
        self.people: Glance[People] = Glance(self._read_people)
        self._hours = Parts[Happened](store.happened, charts.HOUR, pieces=6)
        self._days = Parts[Waited](store.waited, charts.DAY)
        self._day: Glance[tuple[int, Sequence[Happened]]] = Glance(self._read_day)
        self._week: Glance[tuple[int, Sequence[Waited]]] = Glance(self._read_week, WEEK_RESTS)
        self._ledger = Glance(store.ledger)

    def now(self, request: Request, visitor: Visitor) -> Response:
        """Show what waits, what failed, and whether telling works."""
        now = time.time_ns()
        for glance in (self.people, self._day, self._week):
            glance.begin()
        began = time.monotonic()
        people = self.people.look()
        day = self._day.look(time.monotonic() - began)
        week = self._week.look(time.monotonic() - began)
        watched = self._store.watched(now, now)
        content = {
            "title": "Now",
            "waiting": people.value.waiting if people else None,
            "failed": people.value.failed if people else None,
            "question_of": question_of,
            "dead": self._store.deliveries({"state": "dead"}, MOST_OTHERS, None)[0],
            "held": self._store.events({"verdict": "held"}, MOST_OTHERS, None)[0],
            "set_aside": self._store.events({"verdict": "quarantined"}, MOST_OTHERS, None)[0],
            "alarms": watched.alarms,
            "destinations": self._destinations(now),
            "printed": self._prints(),
            "sources": self._sources({name: s.heard_at for name, s in watched.sources.items()}),
            "is_empty": not self._store.events({}, 1, None)[0],
            "day": charts.last_day(day.value[1], day.value[0], self._zone) if day else None,
            "week": charts.waits(week.value[1], week.value[0], self._zone) if week else None,
        }
        return self._render.page(request, "now.html", content, visitor)

    def execution(self, request: Request, visitor: Visitor) -> Response:
        """Show the story of an execution."""
        source, execution_id = (request.path_params[n] for n in ("source", "execution_id"))
        now = time.time_ns()
        rules = self._in_force.rules
        story = self._store.execution(source, execution_id, MOST_EVENTS)
        about = {"verdict": "quarantined", "source": source, "execution_id": execution_id}
        set_aside = self._store.events(about, MOST_OTHERS, None)[0]
        if story is None:
            text = "No update about such an execution was counted. It may have been set aside:"
            way = Way(f"/events?{urlencode(about)}", "its updates that were set aside")
            return self._render.problem(request, 404, text, visitor=visitor, way=way)
        ordering = rules.orderings.get(source)
        content = {
            "title": f"{story['execution']['agent_name'] or 'Execution'} · {execution_id}"[:120],
            **json_views.known(story, rules, now),
            "version": story["path"][-1][0] if story["path"] else None,
            "left_out": story["n"] - len(story["events"]),
            "set_aside": [json_views.event(each) for each in set_aside],
            "most": MOST_EVENTS,
            "steps": (steps := [Step(Status(to), at) for _, to, at in story["path"]]),
            "diagram": draw(steps, ordering.observes if ordering else None),
            "question_of": question_of,
            "lists": self._lists(story["deliveries"], now),
            "prints": self._prints(),
            "waits": may_be_taken(story, rules),
            "can_do": fitting(rules.sources.get(source), Status(story["execution"]["status"])),
        }
        return self._render.page(request, "execution.html", content, visitor)

    def event(self, request: Request, visitor: Visitor) -> Response:
        """Show an event with its raw body, and who was told."""
        number = whole_number(request.path_params["seq"])
        known = None if number is None else self._store.event(number)
        if known is None:
            text = "There is no such event: find it under Events."
            return self._render.problem(request, 404, text, visitor=visitor)
        now = time.time_ns()
        content = {
            "title": f"Event {number}",
            **json_views.known_event(known, self._in_force.rules, now),
            "lists": self._lists(known["deliveries"], now),
            "prints": self._prints(),
            "question_of": question_of,
        }
        return self._render.page(request, "event.html", content, visitor)

    def routes(
        self, request: Request, visitor: Visitor, tried: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None, problem: str = "",
    ) -> Response:  # fmt: skip
        """Show the rules in force, and what was asked about them."""
        rules = self._in_force.rules
        content = {
            "title": "Routes",
            "rules": rules,
            "failed": self._in_force.failed,
            "routes": [(route, describe(route)) for route in rules.routes],
            "places": [(name, place_of(each)) for name, each in rules.destinations.items()],
            "quiet": {name: quiet_hours(name, rules) for name in rules.destinations},
            "tried": tried,
            "problem": problem,
            "form": {"source": "", "body": "", **(form or {})},
        }
        return self._render.page(request, "routes.html", content, visitor, 400 if problem else 200)

    def ledger(self, request: Request, visitor: Visitor) -> Response:
        """Show the promise in numbers."""
        content = {"title": "Ledger", "seen": self._ledger.look()}
        return self._render.page(request, "ledger.html", content, visitor)

    def _lists(self, deliveries: Sequence[View], now: int) -> dict[int, int]:
        """Return when a list tells of each message that a silence keeps back, by its number."""
        kept_back = {
            each["id"]: each["silence"]
            for each in deliveries
            if each["state"] == State.SUPERSEDED
            and each["kind"] == Kind.NOTICE
            and each["silence"] is not None
            and each["destination"] in self._in_force.rules.destinations
        }
        found = {number: self._store.silence(number) for number in set(kept_back.values())}
        ends = {number: silence["until"] for number, silence in found.items() if silence}
        return {n: ends[s] for n, s in kept_back.items() if ends.get(s, 0) > now}

    def _prints(self) -> list[str]:
        """Return the destinations that only print."""
        destinations = self._in_force.rules.destinations
        return [name for name, each in destinations.items() if each.kind == "console"]

    def _destinations(self, now: int) -> list[tuple[str, Standing]]:
        standings = self._store.standings(now)
        return [
            (name, standings.get(name, Standing(name, None, None, "", 0, 0)))
            for name in self._in_force.rules.destinations
        ]

    def _sources(self, heard: Mapping[str, int | None]) -> list[dict[str, Any]]:
        refused: dict[str, list[tuple[str, int]]] = {}
        for (source, cause), n in self._counters.counts("untrusted"):
            if n:
                refused.setdefault(source, []).append((cause, n))
        return [
            {
                "name": name,
                "heard_at": heard.get(name),
                "refused": refused.get(name, []),
                "has_key": bool(source.verification.keys),
            }
            for name, source in self._in_force.rules.sources.items()
        ]

    def _read_people(self) -> People:
        day_ago = time.time_ns() - charts.DAY
        return People(
            self._store.needing_people(MOST_WAITING), self._store.failed(day_ago, MOST_OTHERS)
        )

    def _read_day(self) -> tuple[int, Sequence[Happened]]:
        since = charts.hours_begin(now := time.time_ns())
        return since, self._hours.since(since, now)

    def _read_week(self) -> tuple[int, Sequence[Waited]]:
        since = charts.day_begins(now := time.time_ns(), self._zone, charts.DAYS - 1)
        return since, self._days.since(since, now)


def question_of(detail: Mapping[str, Any]) -> str:
    """Return what the agent asks, with the options; else the reason or the error that it gives."""
    if text := question_text(detail.get("question"), MOST):
        return text
    texts = (detail.get(name) for name in ("reason", "error"))
    return next((text for text in texts if isinstance(text, str)), "")


def may_be_taken(story: View, rules: Rules) -> bool:
    """Return whether an execution waits for a person, or somebody is asked to look after it."""
    about = story["execution"]
    if about["category"] in (Category.AWAITING, Category.PAUSED) or about["acknowledged"]:
        return True
    counted = [each["seq"] for each in story["events"] if each["verdict"] == Verdict.APPLIED]
    present = [each for each in story["deliveries"] if each["event_seq"] in counted[-1:]]
    return any(
        (each["kind"] in (Kind.REMINDER, Kind.ESCALATION) and each["state"] != State.SUPERSEDED)
        or (each["state"] == State.SENT and route is not None and route.stuck is not None)
        for each in present
        for route in (rules.route(each["route"]),)
    )
