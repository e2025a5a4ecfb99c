"""Webhooks while PostgreSQL is away: kept in a file, and judged in their order when it is back."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from receiver.store.opening import SpoolFile
from receiver.store.postgres import link
from receiver.store.sqlite import connection as sqlite
from receiver.times import parse_time
from tests.support.live import Live, live, live_part, until
from tests.support.postgres import Server
from tests.support.proxy import Proxy, proxy

ROUTES = """\
sources:
  asteroid:
    format: plain
    spool: true
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
  other:
    format: plain
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
destinations:
  ops: console://
routes:
  - {name: all, match: {status: "*"}, notify: [ops]}
"""
AT = "2026-11-28T03:00:00Z"


def webhook(number: int, status: str = "running", execution: str = "x", at: str = AT) -> bytes:
    return json.dumps({
        "event_id": f"e-{number}", "execution_id": f"x-{execution}", "status": status,
        "occurred_at": at,
    }).encode()  # fmt: skip


@contextmanager
def spooling(
    server: Server, folder: Path, routes: str = ROUTES, **settings: str
) -> Iterator[tuple[Live, Proxy]]:
    file = str(folder / "spool.db")
    with (
        proxy(server.emptied()) as way,
        live(folder, routes, None, database_url=way.url, spool_file=file, **settings) as node,
    ):
        yield node, way


def ready(node: Live) -> dict[str, Any]:
    status, said, _ = node.ask("/readyz")
    return {**said, "code": status}


def is_ready(node: Live) -> bool:
    return bool(ready(node).get("status") == "ready")


def events(node: Live) -> list[dict[str, Any]]:
    """All events, the first judged first."""
    items: list[dict[str, Any]] = node.ask("/api/events?limit=200")[1]["items"]
    return items[::-1]


def test_what_comes_while_the_database_is_away_is_judged_in_its_order_when_it_is_back(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receiver")
    with spooling(postgres, tmp_path) as (node, way):
        assert node.post(webhook(1))[1]["verdict"] == "applied"
        way.cut()
        before = time.time_ns()
        status, said = node.post(webhook(2, "awaiting_confirmation", at="2026-11-28T03:00:01Z"))
        assert (status, said) == (202, {
            "verdict": "spooled", "reason": "database_away", "event_id": "e-2",
            "execution_id": "x-x", "status": "awaiting_confirmation", "execution_status": None,
        })  # fmt: skip
        after = time.time_ns()
        for number in range(3, 9):
            assert node.post(webhook(number, execution=str(number)))[0] == 202
        assert node.post(webhook(3, execution="3"))[1]["verdict"] == "spooled"
        # What is wrong is refused as ever, and a source that does not ask for it gets its 503.
        assert node.post(b"{")[0] == 400
        assert node.post(b'{"event_id": 7}')[0] == 422
        forged = {"X-Asteroid-Signature": "AAAA"}
        assert node.ask("/webhooks/asteroid", method="POST", body=b"{}", headers=forged)[0] == 401
        assert node.post(webhook(99), source="other")[0] == 503
        said = ready(node)
        assert (said["code"], said["status"], said["spool"]["waiting"]) == (200, "spooling", 10)
        assert node.ask("/api/executions")[0] == 503
        assert b"receiver_spooled 10\n" in metrics(node)
        way.open()
        until(lambda: is_ready(node), seconds=6)
        found = events(node)
        numbers = [each["event_id"] for each in found if each["event_id"]]
        assert numbers == [f"e-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 3)]
        verdicts = [each["verdict"] for each in found]
        assert verdicts == ["applied"] * 8 + ["duplicate", "quarantined", "quarantined"]
        assert before <= parse_time(found[1]["received_at"]) <= after
        assert b"receiver_spooled 0\n" in metrics(node)
        assert b'receiver_spooled_total{source="asteroid"} 10\n' in metrics(node)
        assert b'verdict="applied",reason="first_seen"} 7\n' in metrics(node)
        assert node.post(webhook(10, execution="10"))[1]["verdict"] == "applied"
        assert node.store.ledger()["imbalance"] == 0
    for line in ("spool.began", "webhook.spooled source=asteroid", "spool.drained"):
        assert line in caplog.text
    assert caplog.text.count("spool.began") == 1
    assert "Traceback" not in caplog.text


def metrics(node: Live) -> bytes:
    import urllib.request

    with urllib.request.urlopen(f"{node.url}/metrics", timeout=30) as answer:
        return bytes(answer.read())


def test_a_start_without_the_database_keeps_webhooks_and_judges_them_once_it_is_there(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receiver")
    with proxy(postgres.schema()) as way:  # a database without tables: it makes them late
        way.cut()
        settings = {"database_url": way.url, "spool_file": str(tmp_path / "spool.db")}
        with live_part(tmp_path, ROUTES, {}, settings, may_be_away=True) as node:
            for number in range(3):
                said = node.post(webhook(number, execution=str(number)))[1]
                assert said["verdict"] == "spooled"
            said = ready(node)
            assert (said["code"], said["status"], said["spool"]["waiting"]) == (200, "spooling", 3)
            assert node.post(webhook(9), source="other")[0] == 503
            assert node.ask("/api/executions")[0] == 503
            assert b"receiver_spooled 3\n" in metrics(node)
            way.open()
            until(lambda: is_ready(node))
            assert [each["event_id"] for each in events(node)] == ["e-0", "e-1", "e-2"]
            # What sends was started late, too.
            until(lambda: node.ask("/api/ledger")[1]["deliveries"] == {"sent": 3})
            assert node.ask("/api/ledger")[1]["spooled"] == 0
    text = caplog.text
    assert text.index("serve.waits") < text.index("spool.drained")
    assert text.index("database.back") < text.index("dispatch.started")


def test_an_end_before_the_database_was_ever_there_keeps_what_was_spooled(
    postgres: Server, tmp_path: Path
) -> None:
    with proxy(postgres.emptied()) as way:
        way.cut()
        settings = {"database_url": way.url, "spool_file": str(tmp_path / "spool.db")}
        with live_part(tmp_path, ROUTES, {}, settings, may_be_away=True) as node:
            assert node.post(webhook(1))[1]["verdict"] == "spooled"
        way.open()
        with live_part(tmp_path, ROUTES, {}, settings, may_be_away=True) as node:
            until(lambda: is_ready(node))
            assert [each["verdict"] for each in events(node)] == ["applied"]


def test_a_database_that_turns_out_to_be_none_for_it_ends_the_process(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = postgres.schema()
    with psycopg.connect(newer, autocommit=True) as db:
        db.execute("CREATE TABLE schema_version AS SELECT 1000 AS version")
    with proxy(newer) as way:
        way.cut()
        settings = {"database_url": way.url, "spool_file": str(tmp_path / "spool.db")}
        with live_part(tmp_path, ROUTES, {}, settings, may_be_away=True) as node:
            assert node.post(webhook(1))[1]["verdict"] == "spooled"
            way.open()
            until(lambda: node.app.state.failure)
            assert "newer than this receiver's" in node.app.state.failure
    assert "storage.failed" in caplog.text
    found = SpoolFile(settings["spool_file"], 1).look()
    assert found is not None
    assert found[0].waiting == 1


def test_a_server_that_answers_nothing_is_not_waited_for(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_PATIENCE", 3.0)
    with spooling(postgres, tmp_path) as (node, way):
        assert node.post(webhook(1))[1]["verdict"] == "applied"
        way.is_swallowing = True
        began = time.monotonic()
        assert node.post(webhook(2, execution="2"))[1]["verdict"] == "spooled"
        assert time.monotonic() - began < 4
        began = time.monotonic()
        for number in range(3, 9):
            assert node.post(webhook(number, execution=str(number)))[1]["verdict"] == "spooled"
        assert ready(node)["status"] == "spooling"
        assert time.monotonic() - began < 2
        way.cut()
        way.is_swallowing = False
        way.open()
        until(lambda: is_ready(node), seconds=10)
        assert {each["verdict"] for each in events(node)} == {"applied"}
        assert len(events(node)) == 8


def test_what_comes_while_others_still_wait_queues_up_behind_them(
    postgres: Server, tmp_path: Path
) -> None:
    with spooling(postgres, tmp_path, log_level="warning") as (node, way):
        way.cut()
        with ThreadPoolExecutor(8) as senders:

            def post(number: int) -> str:
                return str(node.post(webhook(number, execution=str(number)))[1]["verdict"])

            assert set(senders.map(post, range(600))) == {"spooled"}
            way.open()
            found: list[str] = []
            # It ends although new ones come all the time.
            while "applied" not in found:
                number = 600 + len(found)
                found += senders.map(post, range(number, number + 8))
                assert len(found) < 20_000
        assert found.index("applied") > 0
        until(lambda: is_ready(node))
        assert node.store.ledger()["verdicts"] == {"applied": 600 + len(found)}
        first = [int(e["event_id"][2:]) for e in node.ask("/api/events?limit=8")[1]["items"]]
        assert min(first) >= 592 + len(found)  # the last to come are the last to be judged


def test_a_full_spool_is_503_and_takes_more_once_it_was_emptied(
    postgres: Server, tmp_path: Path
) -> None:
    with spooling(postgres, tmp_path, spool_size="65536") as (node, way):
        way.cut()
        for number in range(2):
            assert node.post(webhook(number, execution="y" * 150) + b" " * 29_000)[0] == 202
        status, said = node.post(webhook(8) + b" " * 29_000)
        assert (status, "stored" in said["detail"]) == (503, True)
        assert node.post(webhook(9))[1]["verdict"] == "spooled"  # there is room for a small one
        fill = [node.post(webhook(n) + b" " * 1_000)[0] for n in range(20, 30)]
        assert fill[0] == 202
        assert fill[-1] == 503
        said = ready(node)
        assert said["spool"]["bytes"] <= said["spool"]["most"] == 65_536
        way.open()
        until(lambda: is_ready(node))
        assert node.post(webhook(8) + b" " * 29_000)[0] in (200, 202)


def test_a_file_that_cannot_be_written_holds_up_nothing_once_the_database_is_back(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk; here another program has locked it."""
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    with spooling(postgres, tmp_path) as (node, way):
        way.cut()
        for number in range(3):
            assert node.post(webhook(number, execution=str(number)))[0] == 202
        with closing(sqlite3.connect(tmp_path / "spool.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # Nothing can be kept: no balancer shall send webhooks here.
            assert node.post(webhook(9, execution="9"))[0] == 503
            assert ready(node)["code"] == 503
            way.open()
            until(lambda: node.post(webhook(4, execution="4"))[1].get("verdict") == "applied")
            other.execute("ROLLBACK")
        until(lambda: b"receiver_spooled 0\n" in metrics(node))
        # None was judged again.
        assert node.store.ledger()["verdicts"] == {"applied": 4}


def test_a_process_that_dies_after_the_database_took_them_applies_nothing_twice(
    postgres: Server, tmp_path: Path
) -> None:
    """Its file as it stood then is there at the next start, as after a kill in between."""
    file = tmp_path / "spool.db"
    with spooling(postgres, tmp_path) as (node, way):
        way.cut()
        for number in range(5):
            assert node.post(webhook(number, execution=str(number)))[0] == 202
        for each in tmp_path.glob("spool.db*"):
            shutil.copy(each, each.with_name(f"kept-{each.name}"))
        way.open()
        until(lambda: is_ready(node))
        told = node.store.ledger()["owed"]
        url = way.url
        for each in tmp_path.glob("kept-spool.db*"):
            each.rename(each.with_name(each.name.replace("kept-", "left-")))
        left = {"database_url": url, "spool_file": str(tmp_path / "left-spool.db")}
        # The source no longer asks for it: what waits is judged all the same.
        rules = ROUTES.replace("    spool: true\n", "")
        with live(tmp_path, rules, None, **left) as again:
            until(lambda: is_ready(again))
            verdicts = [each["verdict"] for each in events(again)]
            assert verdicts == ["applied"] * 5 + ["duplicate"] * 5
            assert again.store.ledger()["owed"] == told
            assert again.store.ledger()["imbalance"] == 0
    assert file.exists()


def test_a_source_that_has_left_the_rules_loses_nothing(postgres: Server, tmp_path: Path) -> None:
    with spooling(postgres, tmp_path) as (node, way):
        way.cut()
        assert node.post(webhook(1))[0] == 202
        rules = (tmp_path / "routes.yaml").read_text()
        (tmp_path / "routes.yaml").write_text(rules.replace("  asteroid:\n", "  renamed:\n"))
        node.in_force.reload()
        way.open()
        until(lambda: is_ready(node))
        (found,) = events(node)
        assert (found["source"], found["verdict"]) == ("asteroid", "applied")


def test_a_reload_opens_the_spool_for_a_source_that_asks_for_it_now(
    postgres: Server, tmp_path: Path
) -> None:
    with spooling(postgres, tmp_path, ROUTES.replace("    spool: true\n", "")) as (node, way):
        way.cut()
        assert node.post(webhook(1))[0] == 503
        assert not (tmp_path / "spool.db").exists()
        (tmp_path / "routes.yaml").write_text(ROUTES)
        node.in_force.reload()
        assert node.post(webhook(1))[1]["verdict"] == "spooled"
        way.open()
        until(lambda: is_ready(node))
        assert [each["verdict"] for each in events(node)] == ["applied"]


def test_a_spool_that_fails_is_left_behind_and_the_database_takes_webhooks_again(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with spooling(postgres, tmp_path) as (node, way):
        way.cut()
        assert node.post(webhook(1))[0] == 202
        (tmp_path / "spool.db").rename(tmp_path / "moved.db")
        until(lambda: node.post(webhook(2, execution="2"))[0] == 503)
        until(lambda: ready(node)["code"] == 503)
        way.open()
        until(lambda: ready(node)["code"] == 200)
        assert "moved" in ready(node)["spool"]["error"]
        assert node.post(webhook(3, execution="3"))[1]["verdict"] == "applied"
    assert "spool.failed" in caplog.text
