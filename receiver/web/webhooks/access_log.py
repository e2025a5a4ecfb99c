"""Access log: one line for each webhook; the lines of one batch are written together.

They are written after the answers. The reader of the log has to keep up: a slow one delays the
writing, and with it the event loop.
"""

from __future__ import annotations

import asyncio
import logging

from receiver import logs
from receiver.intake.expiry import log_judged_again
from receiver.intake.receive import Receipt

log = logging.getLogger("receiver.intake")


class AccessLog:
    """The log of answered webhooks, for the event loop's thread only."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Receipt]] = []

    def add(self, source: str, receipt: Receipt) -> None:
        """Log a webhook and the held events that it settled, after the answers of this turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write_lines)
        self._waiting.append((source, receipt))

    def _write_lines(self) -> None:
        waiting = self._waiting
        self._waiting = []
        with logs.together():
            for source, receipt in waiting:
                _log_received(source, receipt)


def _log_received(source: str, receipt: Receipt) -> None:
    event = receipt.event
    judgement = receipt.judgement
    log.info(
        "webhook.received source=%s event_id=%r execution_id=%r verdict=%s reason=%s owed=%d",
        source,
        event.event_id if event else None,
        event.execution_id if event else None,
        judgement.verdict,
        judgement.reason,
        len(receipt.destinations),
    )
    for entry in receipt.settled:
        log_judged_again(entry)
