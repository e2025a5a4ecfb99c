"""What the API says of destinations and sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from receiver.cli.client import asteroid_event
from receiver.sources import signing
from tests.support.live import ROUTES, free_port, live, until

OTHERS = """\
destinations:
  ops: console://
  gone: {{url: "{url}", retry_for: 1h}}
routes:
  - {{name: failures, match: {{status: failed}}, notify: [ops, gone]}}
"""


def test_a_destination_shows_what_works_and_what_fails(tmp_path: Path) -> None:
    port = free_port()
    others = OTHERS.format(url=f"json://127.0.0.1:{port}")
    routes = ROUTES.split("destinations:", maxsplit=1)[0] + others
    with live(tmp_path, routes) as running:
        running.post(asteroid_event("EXECUTION_FAILED", "x-1"))

        def stands(name: str) -> dict[str, Any]:
            found: dict[str, Any] = {
                each["name"]: each for each in running.ask("/api/destinations")[1]["items"]
            }
            return dict(found[name])

        until(lambda: stands("ops")["last_success"] and stands("gone")["failing_since"])
        assert (stands("ops")["kind"], stands("ops")["waiting"]) == ("console", 0)
        gone = stands("gone")
        assert (gone["kind"], gone["waiting"], gone["dead"]) == ("json", 1, 0)
        assert "no connection" in gone["last_failure"]
        assert str(port) not in str(gone)


def test_a_source_shows_when_it_was_heard_and_what_was_refused(tmp_path: Path) -> None:
    with live(tmp_path) as running:
        (source,) = running.ask("/api/sources")[1]["items"]
        assert source == {
            "name": "asteroid", "format": "asteroid", "keys": 1, "last_event": None,
            "quiet_since": None, "refused": {},
        }  # fmt: skip
        running.post(asteroid_event("EXECUTION_STARTED", "x-1"))
        foreign, _ = signing.generate("rsa-sha256")
        assert running.post(asteroid_event("EXECUTION_STARTED", "x-2"), private=foreign)[0] == 401
        (source,) = running.ask("/api/sources")[1]["items"]
        assert source["last_event"] is not None
        assert source["refused"] == {"wrong": 1}


def test_both_need_the_token_and_are_not_sent_twice(tmp_path: Path) -> None:
    with live(tmp_path, api_token="a-token-of-sixteen-bytes") as running:
        for path in ("/api/destinations", "/api/sources"):
            assert running.ask(path)[0] == 401
            told = {"Authorization": "Bearer a-token-of-sixteen-bytes"}
            status, _, headers = running.ask(path, headers=told)
            assert status == 200
            again = {**told, "If-None-Match": headers["ETag"]}
            assert running.ask(path, headers=again)[0] == 304
