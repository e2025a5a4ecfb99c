"""Doctor says what a store is made of, whether it is served, and when each source was heard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.store.sqlite.file import is_served
from receiver.store.sqlite.store import SqliteStore
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES, live
from tests.support.stores import prepared


def doctor(folder: Path, *words: str) -> str:
    done = run(folder, "doctor", *words, PUBLIC=PUBLIC)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_it_says_whether_a_server_serves_the_store_and_disturbs_none(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        told = doctor(tmp_path)
        assert "a server serves it now" in told
        assert "source asteroid: last heard 0 s ago" in told or " s ago, 1 key." in told
        found = json.loads(doctor(tmp_path, "--json"))
        assert found["storage"]["is_served"] is True
        assert found["storage"]["engine"].startswith("SQLite 3.")
        assert found["sources"][0]["keys"] == 1
        assert receiver.post(client.asteroid_event("EXECUTION_FAILED", "y"))[0] == 202
    told = doctor(tmp_path)
    assert "; no server serves it now." in told
    assert "0 bytes in its log" in told


def test_a_source_that_was_never_heard_is_called_so(tmp_path: Path) -> None:
    prepared(tmp_path / "receiver.db")
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    assert "source asteroid: never heard, 1 key." in doctor(tmp_path)


@pytest.mark.parametrize("serve", [True, False])
def test_to_ask_takes_no_lock(tmp_path: Path, serve: bool) -> None:
    path = prepared(tmp_path / "receiver.db")
    assert is_served(path) is False
    store = SqliteStore(path, serve=serve)
    try:
        assert is_served(path) is serve
        if not serve:
            SqliteStore(path, serve=True).close()
    finally:
        store.close()
    assert is_served(path) is False
