"""The lines about webhooks: one for each, written at once for all that were answered together.

Behind the answers, not before them. Whoever takes the log has to keep up: what is written waits
for him, and the event loop with it.
"""

from __future__ import annotations

import asyncio
import logging

from receiver import logs
from receiver.intake.receive import Receipt, log_judged_again
from receiver.sources.source import Source

log = logging.getLogger("receiver.intake")


class AccessLog:
    """Lives in the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Source, Receipt]] = []

    def about(self, source: Source, receipt: Receipt) -> None:
        """The line about a webhook and those about what it settled, before this turn ends."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append((source, receipt))

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        with logs.together():
            for source, receipt in waiting:
                _log(source, receipt)


def _log(source: Source, receipt: Receipt) -> None:
    event, judgement = receipt.event, receipt.judgement
    log.info(
        "webhook.received source=%s event_id=%r execution_id=%r verdict=%s reason=%s owed=%d",
        source.name,
        event.event_id if event else None,
        event.execution_id if event else None,
        judgement.verdict,
        judgement.reason,
        len(receipt.destinations),
    )
    for entry in receipt.settled:
        log_judged_again(entry)
