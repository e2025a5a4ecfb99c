"""`GET /openapi.json` describes everything that the server does, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from receiver.cli import client
from receiver.config import routes_file
from receiver.config.settings import load_settings
from receiver.store.sqlite.store import SqliteStore
from receiver.web import app
from receiver.web.openapi import document
from tests.support.live import PUBLIC, ROUTES, live, until


def built(folder: Path) -> Starlette:
    (folder / "routes.yaml").write_text(ROUTES)
    rules = routes_file.load(str(folder / "routes.yaml"), {"PUBLIC": PUBLIC})
    store = SqliteStore(folder / "receiver.db")
    try:
        return app.build(load_settings({}), rules, store)
    finally:
        store.close()


def test_it_describes_every_route_and_no_other(tmp_path: Path) -> None:
    # The pages are for people.
    routes = [r for r in built(tmp_path).routes if isinstance(r, Route) and r.include_in_schema]
    served = {
        (re.sub(r":[a-z]+}", "}", route.path), method.lower())
        for route in routes
        for method in (route.methods or {"POST"}) - {"HEAD"}
    }
    described = {
        (path, method) for path, methods in document()["paths"].items() for method in methods
    }
    assert served == described


def test_its_references_lead_somewhere() -> None:
    content = document()

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if "$ref" in part else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    schemas = set(content["components"]["schemas"])
    assert {ref.rpartition("/")[2] for ref in references(content)} == schemas


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Return whether a value fits the schema, as far as this document uses JSON Schema."""
    if "$ref" in schema:
        return fits(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return any(fits(value, each, schemas) for each in schema["anyOf"])
    kinds = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list,
             "null": type(None)}  # fmt: skip
    if not isinstance(value, kinds[schema["type"]]) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, list):
        return all(fits(each, schema["items"], schemas) for each in value)
    properties = schema.get("properties")
    if isinstance(value, dict) and properties is not None:
        return set(value) == set(properties) and all(
            fits(value[name], properties[name], schemas) for name in properties
        )
    return True


def test_what_is_answered_has_the_shape_that_it_says(tmp_path: Path) -> None:
    content = document()
    schemas = content["components"]["schemas"]
    with live(tmp_path) as receiver:
        _, receipt = receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        receiver.post(b'{"total": 12}')
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        answers = {
            "Receipt": receipt,
            "Problem": receiver.ask("/api/nothing")[1],
            "Executions": receiver.ask("/api/executions")[1],
            "Deliveries": receiver.ask("/api/deliveries")[1],
            "Known": receiver.ask("/api/executions/asteroid/x")[1],
            "Events": receiver.ask("/api/events?verdict=quarantined")[1],
            "KnownEvent": receiver.ask("/api/events/1")[1],
            "Ledger": receiver.ask("/api/ledger")[1],
            "Health": receiver.ask("/healthz")[1],
        }
        assert receiver.ask("/openapi.json")[1] == content
    for name, answer in answers.items():
        assert fits(answer, schemas[name], schemas), (name, answer)
    assert not fits({**answers["Ledger"], "more": 1}, schemas["Ledger"], schemas)
    assert not fits({**answers["Receipt"], "verdict": "maybe"}, schemas["Receipt"], schemas)


def test_it_is_for_whoever_may_use_the_api_and_names_no_source(tmp_path: Path) -> None:
    with live(tmp_path, api_token="t" * 32) as receiver:
        assert receiver.ask("/openapi.json")[0] == 401
    assert "asteroid" not in str(document())


def test_a_known_event_says_which_routes_matched_and_keeps_its_body(tmp_path: Path) -> None:
    body = client.asteroid_event("EXECUTION_FAILED", "x")
    with live(tmp_path) as receiver:
        receiver.post(body)
        receiver.post(b'{"event_id": 7}')
        until(lambda: receiver.ask("/api/deliveries?state=sent&kind=notice")[1]["items"])
        known = receiver.ask("/api/events/1")[1]
        assert known["body"] == body.decode()
        first, second = known["event"]["routes"]
        assert (first["name"], first["why_not"]) == ("failures", "")
        assert first["destinations"][0]["state"] == "sent"
        assert second["why_not"] == "verdict is applied, not rejected, quarantined"
        assert receiver.ask("/api/events/2")[1]["body"] == '{"event_id": 7}'
        listed = receiver.ask("/api/events?event=EXECUTION_FAILED&limit=1")[1]
        assert ([each["seq"] for each in listed["items"]], listed["next"]) == ([1], None)
        assert receiver.ask("/api/deliveries?execution_id=x")[1]["items"][0]["event_seq"] == 1
        assert receiver.ask("/api/deliveries?execution_id=y")[1]["items"] == []
        for path in ("/api/events/9", "/api/events/x", "/api/events/-1"):
            assert receiver.ask(path)[0] == 404


def test_a_parameter_is_said_once_and_with_a_value_there_is(tmp_path: Path) -> None:
    with live(tmp_path) as receiver:
        for path, words in (
            ("/api/executions?status=failed&status=running", "given twice"),
            ("/api/events?limit=1&limit=1", "given twice"),
            ("/api/deliveries?after=1&after=2", "given twice"),
            ("/api/silences?limit=1&limit=2", "given twice"),
            ("/api/events?verdict=maybe", "verdict is one of applied"),
            ("/api/deliveries?kind=letter", "kind is one of notice"),
            ("/api/events?kind=notice", "Known parameters are verdict"),
        ):
            status, answer, _ = receiver.ask(path)
            assert (status, words in answer["detail"]) == (400, True), path
        twice = "/api/deliveries/redeliver?destination=ops&destination=ops"
        status, answer, _ = receiver.ask(twice, method="POST")
        assert (status, "given twice" in answer["detail"]) == (400, True)


def test_a_silence_that_is_no_object_is_told_what_it_must_hold(tmp_path: Path) -> None:
    with live(tmp_path) as receiver:
        for body in (b"[]", b'"x"', b"1", b"null"):
            status, answer, _ = receiver.ask("/api/silences", method="POST", body=body)
            assert status == 422
            assert "{match: " in answer["detail"]
            assert "reason: " in answer["detail"]
            assert "routes.yaml" not in answer["detail"]
