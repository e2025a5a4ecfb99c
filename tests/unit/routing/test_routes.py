"""Routes: globs, any-of, negation, all-of, and the first route that names a destination."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.events import Status, Verdict
from receiver.routing.conditions import Condition, Subject
from receiver.routing.routes import Route, decide

FAILED = Subject(
    "asteroid", Verdict.APPLIED, Status.FAILED, "agent-1", "Invoice agent", "EXECUTION_FAILED",
    None, "timeout", {"team": "payments", "tags": ["a", "b"], "retries": 3, "vip": True},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "patterns", "holds"),
    [
        ("status", ["failed"], True), ("status", ["running", "failed"], True),
        ("status", ["running"], False), ("status", ["!failed"], False),
        ("category", ["terminal"], True), ("source", ["aster*"], True),
        ("agent", ["Invoice *"], True), ("agent", ["agent-?"], True),
        ("agent", ["invoice *"], False), ("agent", ["!agent-1"], False),
        ("reason", ["time*"], True), ("reason", ["!user_requested"], True),
        ("outcome", ["!success"], True), ("outcome", ["success"], False), ("outcome", ["*"], False),
        ("reason", ["t*", "!timeout"], False), ("reason", ["!a", "!b"], True),
        ("metadata.team", ["payments", "billing"], True), ("metadata.none", ["*"], False),
        ("metadata.tags", ["b"], True), ("metadata.retries", ["3"], True),
        ("metadata.vip", ["true"], True), ("event", ["EXECUTION_*"], True),
        ("reason", ["[t]imeout"], True), ("reason", [".*"], False),
    ],
)  # fmt: skip
def test_a_condition_holds_as_the_readme_says(name: str, patterns: list[str], holds: bool) -> None:
    assert (Condition(name, tuple(patterns)).why_not(FAILED) == "") is holds


def route(name: str, *notify: str, stop: bool = False, **conditions: str) -> Route:
    return Route(name, tuple(Condition(k, (v,)) for k, v in conditions.items()), notify, stop=stop)


def told(routes: list[Route], subject: Subject = FAILED) -> dict[str, Any]:
    return {d.route.name: d.why_not or d.destinations for d in decide(routes, subject)}


def test_every_route_applies_and_a_destination_is_told_by_the_first() -> None:
    routes = [route("a", "ops", "x"), route("b", "ops", "y"), route("c", "z", status="paused")]
    assert told(routes) == {
        "a": ("ops", "x"), "b": ("y",), "c": "status is failed, not paused",
    }  # fmt: skip


def test_stop_ends_the_search_only_where_it_applies() -> None:
    found = told([
        route("no", "x", stop=True, status="paused"), route("a", "ops", stop=True), route("b", "y"),
    ])  # fmt: skip
    assert found["a"] == ("ops",)
    assert found["b"] == "route 'a' above it stops"


def test_a_route_is_about_applied_events_unless_it_says_otherwise() -> None:
    rejected = Subject("asteroid", Verdict.REJECTED, Status.RUNNING)
    routes = [route("plain", "x"), route("holes", "y", verdict="rejected")]
    assert told(routes, rejected) == {"plain": "verdict is rejected, not applied", "holes": ("y",)}
    assert told(routes)["holes"] == "verdict is applied, not rejected"


def test_several_conditions_are_all_of() -> None:
    both = route("a", "x", status="failed", reason="budget_exceeded")
    assert told([both])["a"] == "reason is timeout, not budget_exceeded"
