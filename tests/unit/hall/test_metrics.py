"""Counters and what is told of them: bounded, exact, and once a minute."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from receiver import errors
from receiver.metrics import CAUSES, Counters
from receiver.web.webhooks.refusals import OncePerMinute, Refusals


def test_what_is_known_beforehand_starts_at_zero() -> None:
    counters = Counters(["a", "b"])
    assert counters.counts("untrusted") == [((s, c), 0) for s in "ab" for c in sorted(CAUSES)]
    assert all(cause in (errors.UntrustedWebhook.__doc__ or "") for cause in CAUSES)


def test_threads_lose_no_count() -> None:
    counters = Counters([])

    def count() -> None:
        for _ in range(5_000):
            counters.answered("a", 202)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.counts("webhooks") == [(("a", "202"), 20_000)]


def test_a_verdict_says_when_the_source_and_the_key_were_last_good() -> None:
    counters = Counters(["a"])
    counters.judged("a", "applied", "first_seen", "2026", 100.0)
    counters.judged("a", "duplicate", "event_id", "1", 200.0)
    assert counters.times("accepted") == [(("a",), 200.0)]
    assert counters.times("key_used") == [(("a", "1"), 200.0), (("a", "2026"), 100.0)]


def test_the_first_is_told_at_once_and_then_a_sum_a_minute() -> None:
    told = OncePerMinute()
    assert told.note(("a",), 0.0) == 1
    assert [told.note(("a",), float(at)) for at in range(1, 60)] == [0] * 59
    assert told.note(("b",), 30.0) == 1
    assert told.note(("a",), 60.0) == 60
    assert told.note(("a",), 61.0) == 0
    assert told.overdue(119.0) == []
    assert told.overdue(120.0) == [(("a",), 1)]
    assert told.overdue(180.0) == []
    assert not told.is_waiting()
    assert told.note(("a",), 181.0) == 1


def test_what_came_after_the_line_is_told_even_if_nothing_more_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.put_nowait(record.getMessage())

    async def flood() -> list[str]:
        refusals = Refusals(Counters(["a"]), every=0.05)
        for _ in range(10):
            refusals.webhook("a", "wrong")
        return [await asyncio.wait_for(lines.get(), 10) for _ in range(2)]

    logger, ears = logging.getLogger("receiver.refused"), Ears()
    logger.addHandler(ears)
    try:
        told = asyncio.run(flood())
    finally:
        logger.removeHandler(ears)
    assert told == [
        "webhook.untrusted source=a cause=wrong count=1",
        "webhook.untrusted source=a cause=wrong count=9",
    ]
