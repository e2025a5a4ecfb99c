"""Our own downtime is nobody's silence: neither of an execution nor of a source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.events import Status
from tests.prove_durability.clock import Hook
from tests.prove_durability.driver import TOKEN, Receiver, answered
from tests.prove_durability.sender import request
from tests.support.people import HOUR, MINUTE, SECOND, Walk
from tests.support.served import until

RUNNING = Status.RUNNING
SOURCES = """\
sources:
  s: {verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}, MORE}
destinations:
  ops: {url: console://, rate: 1000/s}
routes:
  - name: stuck
    stuck: {status: [running], after: 4s}
    notify: ops
"""
ROUTES = SOURCES.replace(", MORE", "")


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    opened.looks()
    yield opened
    opened.store.close()


def stuck_after(walk: Walk, seconds: int = 60) -> int | None:
    """Serve until somebody hears that something is stuck; after how many seconds."""
    for n in range(seconds + 1):
        if walk.gets():
            return n
        walk.serves(0)
        walk.passes(SECOND)
        walk.looks()
    return None


def test_a_kill_does_not_count(walk: Walk) -> None:
    walk.comes(RUNNING)
    assert walk.serves(SECOND) == []
    walk.is_down(6 * SECOND)
    assert stuck_after(walk) == 3


def test_several_kills_do_not_count_and_what_was_served_between_them_does(walk: Walk) -> None:
    walk.comes(RUNNING)
    for _ in range(3):
        assert walk.serves(SECOND) == []
        walk.is_down(10 * MINUTE)
    assert stuck_after(walk) == 1


@pytest.mark.parametrize("down", [6 * SECOND, 5 * MINUTE, 30 * HOUR])
def test_a_stop_without_a_start_does_not_count(walk: Walk, down: int) -> None:
    walk.comes(RUNNING)
    assert walk.serves(SECOND) == []
    walk.is_stopped(down)
    assert stuck_after(walk) == 3


def test_what_was_heard_before_the_kill_counts_from_when_it_was_heard(walk: Walk) -> None:
    walk.comes(RUNNING)
    assert walk.serves(3 * SECOND) == []
    walk.comes(None)
    assert walk.serves(SECOND) == []
    walk.is_down(6 * SECOND)
    assert stuck_after(walk) == 3
    walk.comes(RUNNING, "y")
    walk.is_down(HOUR)
    walk.comes(None, "y")
    assert stuck_after(walk) == 4


def test_what_was_stuck_before_is_told_at_once(walk: Walk) -> None:
    walk.comes(RUNNING)
    for _ in range(5):
        walk.passes(SECOND)
        walk.looks()
    walk.is_down(HOUR)
    assert stuck_after(walk) == 0


def test_it_is_told_once_and_no_reminder_comes_because_we_were_away(walk: Walk) -> None:
    walk.reload(ROUTES + "    remind: {every: 10s}\n")
    walk.comes(RUNNING)
    walk.is_down(MINUTE)
    assert stuck_after(walk) == 4
    assert walk.serves(2 * SECOND) == []
    assert [told.claim.kind for told in walk.serves(9 * SECOND)] == ["reminder"]


def test_a_long_wait_counts_what_was_served_to_the_minute(walk: Walk) -> None:
    walk.reload(ROUTES.replace("after: 4s", "after: 2h"))
    walk.comes(RUNNING)
    for _ in range(4):
        assert walk.serves(20 * MINUTE, MINUTE) == []
        walk.is_down(3 * HOUR)
    assert len(walk.serves(35 * MINUTE, MINUTE)) == 0
    assert len(walk.serves(10 * MINUTE, MINUTE)) == 1


def test_a_short_silence_of_a_source_is_not_ours_either(walk: Walk) -> None:
    walk.reload(SOURCES.replace("MORE", "quiet_after: 5s").replace("after: 4s", "after: 1h"))
    walk.comes(RUNNING)
    assert walk.serves(SECOND) == []
    for _ in range(2):
        walk.is_down(6 * SECOND)
        assert walk.looks() == []
        walk.passes(SECOND)
        assert walk.looks() == []
    walk.is_stopped(6 * SECOND)
    assert walk.looks() == []
    found = []
    for _ in range(4):
        walk.passes(SECOND)
        found += walk.looks()
    assert found == ["+ source_quiet s: ops"]


def test_without_a_stop_nothing_is_put_off(walk: Walk) -> None:
    walk.comes(RUNNING)
    assert stuck_after(walk) == 4


PROCESS = """\
sources:
  s: {verify: {scheme: token, header: X-Token, keys: ["%s"]}}
destinations:
  ops: {url: "json://127.0.0.1:%d/", rate: 1000/s}
routes:
  - {name: stuck, stuck: {status: running, after: 4s}, notify: ops, title: "{{ execution_id }}"}
"""


async def told_after(folder: Path) -> tuple[float, list[str]]:
    """Return how long a receiver that was killed for 5 s served before it told of `x`."""
    hook = Hook()
    hook.status = 200
    async with hook.listening() as port, Receiver(folder, routes=PROCESS % (TOKEN, port)) as one:
        await one.start()
        body = client.asteroid_event("EXECUTION_STARTED", "x")
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(request(body))
        assert (await answered(reader))[0] == 202
        writer.close()
        await one.kill()
        await asyncio.sleep(5)
        one.launch()
        started = time.monotonic()
        await until(hook.titles, "it is told", 60)
        return time.monotonic() - started, hook.titles()


def test_a_process_that_was_killed_waits_for_the_rest_of_the_time(tmp_path: Path) -> None:
    waited, titles = asyncio.run(told_after(tmp_path))
    assert titles == ["Stuck? x"]
    assert waited > 3


# Rules that ask for it later.


def test_what_was_our_absence_counts_for_no_rule_that_comes_afterwards(walk: Walk) -> None:
    without = SOURCES.replace(", MORE", "").partition("routes:")[0] + (
        "routes:\n  - {name: f, match: {status: failed}, notify: ops}\n"
    )
    walk.reload(without)
    walk.comes(RUNNING)
    assert walk.serves(SECOND) == []
    walk.now += 6 * SECOND
    walk.since = walk.now
    walk.reload(ROUTES)  # the file was changed while nobody served
    walk.attends()
    walk.restart()
    # Without the rule it is noted once a minute that we serve.
    assert stuck_after(walk) == 4


def test_what_was_served_without_the_rule_counts(walk: Walk) -> None:
    without = ROUTES.replace(
        "  - name: stuck\n    stuck: {status: [running], after: 4s}\n",
        "  - name: f\n    match: {status: failed}\n",
    )
    walk.reload(ROUTES.replace("after: 4s", "after: 10m"))
    walk.comes(RUNNING)
    assert walk.serves(MINUTE) == []
    walk.reload(without)
    assert walk.serves(5 * MINUTE, 10 * SECOND) == []
    walk.reload(ROUTES.replace("after: 4s", "after: 10m"))
    assert stuck_after(walk, 300) == 240
