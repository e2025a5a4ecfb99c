"""Acting and asking by several processes: one at a time acts, and all keep to one rate."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile

import pytest

from receiver.cli.client import asteroid_event
from receiver.intake.reconcile.turns import turn_at
from tests.support import warm
from tests.support.commands import TOP, run
from tests.support.live import PUBLIC, free_port, live, until
from tests.support.postgres import Server
from tests.support.provider import KEY, StandIn, standing_in
from tests.wire import test_reconcile as asking
from tests.wire.test_acting import ALL, PUBLIC_URL, ROUTES, acts_of, receiver, waits, wish
from tests.wire.test_reconcile import now, status


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with standing_in() as made:
        yield made


class Hanging:
    """A fault: the provider does what is posted, and answers only when it is let go."""

    def __init__(self, provider: StandIn) -> None:
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self._provider = provider

    def __call__(self, method: str, path: str) -> None:
        if method == "POST":
            self._provider.moves(path.split("/")[4], "running")
            self.has_begun.set()
            self.may_go_on.wait(20)


def command(folder: Path, *arguments: str) -> CompletedProcess[bytes]:
    return run(folder, *arguments, API_KEY=KEY, PUBLIC=PUBLIC)


def test_while_one_process_acts_another_one_does_not(tmp_path: Path, provider: StandIn) -> None:
    with receiver(tmp_path, provider) as running:
        waits(provider, running, "x")
        source = running.in_force.rules.sources["asteroid"]
        with turn_at(running.store, source, "x", 0.0) as held:
            assert held is not None
            refused = command(tmp_path, "act", "cancel", "x", "--by", "Bob")
        assert refused.returncode == 1
        assert b"Somebody acts on it at this moment" in refused.stderr
        assert provider.requests == []
        assert command(tmp_path, "act", "cancel", "x", "--by", "Bob").returncode == 0


def test_what_another_process_has_asked_for_is_pending_here(
    tmp_path: Path, provider: StandIn
) -> None:
    provider.moves("x", "running", now(60))
    provider.fault = lambda method, path: (200, {}, b"") if method == "POST" else None
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x", occurred_at=now(60)))
        done = command(tmp_path, "act", "pause", "x", "--by", "Ann")
        assert done.returncode == 0, done.stderr
        code, content = wish(running, "x", "pause", by="Bob")
        assert (code, "Ann paused it a moment ago" in content["detail"]) == (409, True)
        assert len(provider.asked("POST")) == 1


def test_a_process_that_dies_while_it_acts_loses_no_audit_and_the_provider_is_asked(
    tmp_path: Path, provider: StandIn
) -> None:
    with receiver(tmp_path, provider) as running:
        waits(provider, running, "x")
        provider.fault = hanging = Hanging(provider)
        with TemporaryFile() as out:
            environ = {**os.environ, "API_KEY": KEY, "PUBLIC": PUBLIC, "PYTHONPATH": str(TOP)}
            given = ("act", "resume", "x", "--by", "Ann")
            process = warm.start(given, tmp_path, environ, out)
            assert hanging.has_begun.wait(20)
            process.kill()
            process.wait(20)
        hanging.may_go_on.set()
        provider.fault = lambda method, path: None
        text = "Ann tried to resume it by a command: no result is known, it may have happened"
        assert acts_of(running, "x") == [text]
        code, content = wish(running, "x", "cancel", by="Bob")
        assert (code, "acts on it at this moment" in content["detail"]) == (409, True)
        with closing(sqlite3.connect(tmp_path / "receiver.db")) as file:
            file.execute("UPDATE acting SET until_at = 1")  # its time is over
            file.commit()
        until(lambda: status(running, "x") == "running")
        until(lambda: "it may have happened" in acts_of(running, "x")[0].partition(": ")[2])
        until(lambda: acts_of(running, "x")[0].endswith("by a command: it may have happened"))
        assert len(provider.asked("POST")) == 1
        assert wish(running, "x", "cancel", by="Bob")[0] == 200


def test_an_act_that_cannot_be_written_down_does_not_leave(
    tmp_path: Path, provider: StandIn
) -> None:
    with receiver(tmp_path, provider) as running:
        waits(provider, running, "x")
        with closing(sqlite3.connect(tmp_path / "receiver.db")) as file:
            file.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit"
                " BEGIN SELECT RAISE(ABORT, 'no space'); END"
            )
            assert wish(running, "x")[0] == 503
            file.execute("DROP TRIGGER full")
        assert provider.asked("POST") == []
        assert wish(running, "x")[0] == 200


def test_a_command_beside_a_server_keeps_to_one_rate_with_it(
    tmp_path: Path, provider: StandIn
) -> None:
    for number in range(60):
        provider.moves(f"x-{number}", "running", now(60))
    with asking.receiver(tmp_path, provider, rate="10/s"), ThreadPoolExecutor(1) as pool:
        done = pool.submit(command, tmp_path, "reconcile")
        until(lambda: len(provider.requests) >= 30)
        times = [at for at, _, _ in provider.requests]
        provider.fault = lambda method, path: (401, {}, b"{}")
        done.result()
    for first, later in zip(times, times[15:], strict=False):
        assert later - first >= 0.4  # ten at once, then ten a second


def test_a_pause_that_the_provider_asks_for_holds_back_all_processes(
    tmp_path: Path, provider: StandIn
) -> None:
    provider.moves("x", "running", now(60))
    provider.fault = lambda method, path: (429, {"Retry-After": "900"}, b"{}")
    with asking.receiver(tmp_path, provider):
        until(lambda: provider.requests)
        until(lambda: b"pause, which lasts 15 min" in command(tmp_path, "reconcile").stderr)
        assert len(provider.requests) <= 2


def test_another_node_goes_on_where_one_was_killed_in_the_middle_of_a_round(
    tmp_path: Path, provider: StandIn, postgres: Server
) -> None:
    for number in range(30):
        provider.moves(f"x-{number}", "running", now(60))
    url = postgres.emptied()
    environ = {
        **os.environ, "API_KEY": KEY, "PUBLIC": PUBLIC, "PYTHONPATH": str(TOP),
        "RECEIVER_DATABASE_URL": url, "RECEIVER_PORT": str(free_port()),
    }  # fmt: skip
    routes = asking.ROUTES.format(url=provider.url, rate="10/s", quiet_for="1h", discover="1h")
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "routes.yaml").write_text(routes)
    with TemporaryFile() as out:
        holder = warm.start(["serve"], folder, environ, out)
        until(lambda: len(provider.requests) >= 15)
        with asking.receiver(tmp_path, provider, rate="10/s", quiet_for="1h",
                             database_url=url) as other:  # fmt: skip
            until(lambda: len(provider.requests) >= 20)
            assert not other.store.leads("alarms")
            assert len(provider.asked(part="phase=")) == 1  # the other one asks nothing
            holder.kill()
            holder.wait(20)
            postgres.do(f"UPDATE {url.rpartition('%3D')[2]}.timer SET until_at = 0")
            until(lambda: len(provider.asked(part="phase=")) == 2)
            until(lambda: all(status(other, f"x-{number}") for number in range(30)))
            items, _ = other.store.events({}, 200, None)
            assert len(items) == 30
            assert other.ask("/api/ledger")[1]["imbalance"] == 0
    times = [at for at, _, _ in provider.requests]
    for first, later in zip(times, times[15:], strict=False):
        assert later - first >= 0.4  # ten at once, then ten a second


def test_a_server_that_stops_waits_for_no_provider_and_tells_of_the_act(
    tmp_path: Path, provider: StandIn
) -> None:
    routes = ROUTES.format(url=provider.url, acts=ALL).replace("timeout: 1s", "timeout: 60s")
    with ThreadPoolExecutor(1) as pool:
        with live(tmp_path, routes, {"API_KEY": KEY}, public_url=PUBLIC_URL) as running:
            waits(provider, running, "x")
            provider.fault = hanging = Hanging(provider)
            first = pool.submit(wish, running, "x", "resume")
            assert hanging.has_begun.wait(20)
        begun = time.monotonic()
        first.exception(30)
        assert time.monotonic() - begun < 5
        until(lambda: not [each for each in threading.enumerate() if "AnyIO" in each.name])
        hanging.may_go_on.set()
    shown = " ".join(command(tmp_path, "executions", "show", "x").stdout.decode().split())
    # Its result may come too late for the store.
    assert "Ann tried to resume it through the API:" in shown
    assert "it may have happened" in shown


def test_storage_that_fails_after_the_request_left_hides_no_act(
    tmp_path: Path, provider: StandIn
) -> None:
    full = "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'no space'); END"

    def fills_up(method: str, path: str) -> None:
        if method == "POST":
            with closing(sqlite3.connect(tmp_path / "receiver.db")) as file:
                file.execute(full)

    with receiver(tmp_path, provider) as running:
        waits(provider, running, "x")
        provider.fault = fills_up
        code, content = wish(running, "x")
        assert (code, content["outcome"]) == (200, "done")
        assert "Ann resumed x. It could not be asked again." in content["text"]
        assert acts_of(running, "x") == ["Ann resumed it through the API"]
