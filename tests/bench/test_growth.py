"""The short forms of what measures growth: that they measure what they say, not how fast it is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from receiver.retention import Retention
from receiver.store.sqlite.store import SqliteStore
from tests.bench import pages
from tests.bench.growth import bench, count
from tests.bench.load import measure
from tests.bench.startup import environ
from tests.support.grown import grow
from tests.support.live import until


def test_a_grown_database_is_as_the_program_would_have_made_it(tmp_path: Path) -> None:
    grow(tmp_path / "receiver.db", 400, days=(200, 100))
    grow(tmp_path / "receiver.db", 200, days=(20, 1))
    store = SqliteStore(tmp_path / "receiver.db", serve=True, thorough=True)
    ledger = store.ledger()
    assert (ledger["accepted"], ledger["owed"], ledger["imbalance"]) == (1_500, 180, 0)
    (shown,), _ = store.executions({"status": "failed"}, 1, None)
    found = store.execution("asteroid", shown["execution_id"])
    assert found is not None
    assert [e["status"] for e in found["events"]] == ["running", "failed"]
    assert [len(d["attempts"]) for d in found["deliveries"]] == [1]
    limits = Retention().limits(time.time_ns())
    assert store.prunable(limits)["executions"] == 360
    store.close()


def test_a_prune_that_is_killed_leaves_all_in_balance_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "receiver.db"
    grow(path, 20_000, days=(200, 100))
    ended = count(path, "execution WHERE category = 'terminal'")
    command = [sys.executable, "-m", "receiver", "prune"]
    for _ in range(3):
        before = count(path, "execution")
        process = subprocess.Popen(command, cwd=tmp_path, env=environ())
        until(lambda n=before: count(path, "execution") < n)  # type: ignore[misc]
        process.kill()
        process.wait(10)
        store = SqliteStore(path, serve=True)
        assert store.ledger()["imbalance"] == 0
        store.close()
        assert count(path, "pragma_foreign_key_check") == 0
    assert subprocess.run(command, cwd=tmp_path, env=environ(), check=True).returncode == 0
    assert count(path, "execution") == 20_000 - ended


def test_intake_is_measured_with_many_and_few_stored() -> None:
    found = bench("intake", "--stored", "2000", "--few", "100", "--count", "120", "--rounds", "1")
    assert (found["imbalance_many"], found["imbalance_few"]) == (0, 0)
    assert min(found[f"{sort}_{name}_per_s"] for sort in ("new", "moves")
               for name in ("many", "few")) > 0  # fmt: skip


def test_answers_are_measured_while_much_is_removed() -> None:
    found = bench("prune", "--by", "command", "--old", "2000", "--kept", "500", "--rate", "50",
                  "--seconds", "2", "--rounds", "1")  # fmt: skip
    assert found["removed"] > 0
    assert found["imbalance"] == 0


def test_the_log_is_measured_with_a_reader_that_stays() -> None:
    found = bench("log", "--stored", "500", "--count", "200")
    assert found["imbalance"] == 0
    assert 0 < found["alone_log_mb"] < 64


@pytest.mark.parametrize("more", [(), ("--rate", "300", "--seconds", "2")])
def test_a_load_is_acknowledged_told_and_within_its_memory(more: tuple[str, ...]) -> None:
    report = measure("--events", "1500", *more)
    assert report.broken == []
    assert report.figures["events acknowledged"] == (600 if more else 1500)


def test_pages_are_measured_on_a_large_store_beside_an_empty_one(tmp_path: Path) -> None:
    grow(tmp_path / "receiver.db", 200, days=(20, 0.001))
    lines = list(pages.measure(tmp_path, 1, 5, 0.05))
    assert [line.split()[0] for line in lines[:2]] == ["/", "/executions"]
    assert lines[-1].startswith("webhooks beside a page every 0.05 s: p99 x ")
