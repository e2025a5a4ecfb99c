"""Refusals in the log: a line a minute and cause, with the first few paths of that minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from receiver.metrics import REFUSALS, Counters
from receiver.sources.source import Source
from receiver.sources.verification import Verification
from receiver.web.webhooks import endpoint
from receiver.web.webhooks.addresses import Addresses
from receiver.web.webhooks.refusals import OncePerMinute, Refusals

SOURCES = {"asteroid": Source("asteroid", "asteroid", Verification("rsa-sha256"))}


def told(count: int, act: Callable[[Refusals], None]) -> list[str]:
    """Return the first lines about what the act notes."""
    lines: asyncio.Queue[str] = asyncio.Queue()

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.put_nowait(record.getMessage())

    async def listen() -> list[str]:
        act(Refusals(Counters([]), 0.05, Addresses(lambda: SOURCES)))
        return [await asyncio.wait_for(lines.get(), 10) for _ in range(count)]

    logger, ears = logging.getLogger("receiver.refused"), Ears()
    logger.addHandler(ears)
    try:
        return asyncio.run(listen())
    finally:
        logger.removeHandler(ears)


def test_a_sum_names_the_first_different_paths_of_its_time() -> None:
    def flood(refusals: Refusals) -> None:
        for number in range(100):
            refusals.nowhere(f"/hook/{number // 10}")
            refusals.nowhere("/login.php")

    assert told(4, flood) == [
        "webhook.refused cause=address path=/hook/0 count=1",
        "webhook.refused cause=not_found path=/login.php count=1",
        "webhook.refused cause=address path=/hook/0,/hook/1,/hook/2 count=99",
        "webhook.refused cause=not_found path=/login.php count=99",
    ]


def test_a_line_names_each_meant_address_once() -> None:
    def wander(refusals: Refusals) -> None:
        refusals.nowhere("/")
        for path in ("/asteroid", "/webhook/asteroid", "/webhooks/asteroid/"):
            refusals.request("address", path)
            refusals.request("method", "/webhooks/asteroid", "asteroid")

    assert told(5, wander)[3:] == [
        "webhook.refused cause=address path=/webhook/asteroid,/webhooks/asteroid/"
        " meant=/webhooks/asteroid count=2",
        "webhook.refused source=asteroid cause=method path=/webhooks/asteroid count=2",
    ]


def test_every_cause_of_a_refused_webhook_is_one_that_starts_at_zero() -> None:
    assert set(endpoint._CAUSES.values()) <= set(REFUSALS)


def test_each_cause_gets_its_line_when_its_own_minute_is_over() -> None:
    lines = OncePerMinute(every=60.0)
    assert lines.note(("early",), now=0.0) == 1
    assert lines.note(("late",), now=50.0) == 1
    assert lines.note(("late",), now=51.0) == 0
    assert lines.rest(51.0) == 9.0
    assert lines.overdue(60.0) == []
    assert lines.rest(60.0) == 50.0
    assert lines.overdue(110.0) == [(("late",), 1)]


def test_what_waits_for_its_line_is_told_at_the_end() -> None:
    def end(refusals: Refusals) -> None:
        refusals.nowhere("/a")
        refusals.nowhere("/b")
        refusals.flush()

    assert told(2, end)[1] == "webhook.refused cause=not_found path=/b count=1"
