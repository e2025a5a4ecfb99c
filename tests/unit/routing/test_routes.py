"""Routes: globs, any-of, negation, all-of, and the first route that names a destination."""

from __future__ import annotations

import time
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
        ("reason", ["[t]imeout"], False), ("reason", [".*"], False),
    ],
)  # fmt: skip
def test_a_condition_holds_as_the_readme_says(name: str, patterns: list[str], holds: bool) -> None:
    assert (Condition(name, tuple(patterns)).why_not(FAILED) == "") is holds


@pytest.mark.parametrize(
    ("pattern", "value", "holds"),
    [
        ("[Prod] Invoice agent", "[Prod] Invoice agent", True),
        ("[Prod] Invoice agent", "P Invoice agent", False),
        ("[Prod] *", "[Prod] Invoice agent", True), ("[!a]", "[!a]", True), ("[!a]", "b", False),
        ("[", "[", True), ("]", "]", True), ("a[1]?", "a[1]x", True), ("(a|b)", "(a|b)", True),
        ("a.c", "abc", False), ("^a$", "a", False), ("\\*", "\\x", True), ("a\n*", "a\nb", True),
        ("Stra\u00dfe caf\u00e9", "Stra\u00dfe cafe\u0301", True),
        ("cafe\u0301", "caf\u00e9", True), ("caf?", "cafe\u0301", True),
        ("cafe", "caf\u00e9", False), ("\uc561*", "\u110b\u1162\u11a8 x", True),
    ],
)  # fmt: skip
def test_only_a_star_and_a_question_mark_are_special_and_unicode_has_one_form(
    pattern: str, value: str, holds: bool
) -> None:
    subject = Subject("s", Verdict.APPLIED, agent_name=value, reason=value, metadata={"a": value})
    for name in ("agent", "reason", "metadata.a"):
        assert (Condition(name, (pattern,)).why_not(subject) == "") is holds
        assert (Condition(name, (f"!{pattern}",)).why_not(subject) == "") is not holds


def test_a_key_of_the_metadata_has_one_form_of_unicode_too() -> None:
    subject = Subject("s", Verdict.APPLIED, metadata={"gro\u0308\u00dfe": "4"})
    assert Condition("metadata.gr\u00f6\u00dfe", ("4",)).why_not(subject) == ""


@pytest.mark.parametrize(
    ("patterns", "value", "holds"),
    [
        # The sender's text is compared as it stands.
        (["1.10"], "1.10", True), (["1.10"], "1.1", False), (["True"], "True", True),
        (["true"], "True", False), (["null"], "null", True), (["0x10"], "16", False),
        # The sender's numbers and words of JSON have no one spelling.
        (["1.10"], 1.1, True), (["1.1"], 1.1, True), (["1.2"], 1.1, False), (["1e3"], 1000, True),
        (["1000"], 1000.0, True), (["4*"], 404, True), (["404"], 404, True), (["!404"], 404, False),
        (["True"], True, True), (["true"], True, True), (["TRUE"], True, True),
        (["1"], True, False), (["false"], True, False), (["False"], False, True),
        (["!true"], False, True), (["tr*"], True, True), (["nan"], 1, False),
        (["null"], None, True), (["~"], None, True), (["*"], None, False), (["!*"], None, True),
        (["!null"], None, False), (["!x"], None, True), (["*"], "", True),
        (["1" * 400], 10**399, False), (["9007199254740993"], 2**53 + 1, True),
        (["9007199254740992"], 2**53 + 1, False),
        # Each element of a list counts.
        (["1.10"], ["x", 1.1], True), (["null"], [None], True), (['{"a": "\u00e9"}'],
         {"a": "\u00e9"}, True),
    ],
)  # fmt: skip
def test_a_value_of_the_metadata_is_compared_as_people_expect(
    patterns: list[str], value: Any, holds: bool
) -> None:
    subject = Subject("s", Verdict.APPLIED, metadata={"a": value})
    assert (Condition("metadata.a", tuple(patterns)).why_not(subject) == "") is holds


def test_many_stars_against_a_long_text_take_no_time() -> None:
    pattern = "*a" * 40 + "b"
    subject = Subject("s", Verdict.APPLIED, reason="a" * 2_000)
    begun = time.process_time()
    assert Condition("reason", (pattern,)).why_not(subject)
    assert time.process_time() - begun < 1


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
