"""Batches of webhooks: verified, read and handed to the store, many at a time.

All webhooks of one turn of the event loop go through each step together, and reach the committer as
one batch. One by one, each step would find the processor's caches full of the other steps, and the
committer would wake up for the first webhook and compete with the rest.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.errors import TooManyWebhooks
from receiver.intake.rate_limit import TokenBucket
from receiver.intake.receive import (
    Intake,
    Receipt,
    VerifiedWebhook,
    malformed_webhook,
    read_webhook,
)
from receiver.sources import verification
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.times import SECOND


@dataclass(slots=True)
class PendingWebhook:
    """A webhook whose body is complete and not yet verified.

    `key` is the number of the key of the source that proved it, `received_at` is nanoseconds.
    """

    source: Source
    headers: list[tuple[bytes, bytes]]
    body: bytes
    received_at: int
    future: asyncio.Future[Receipt]
    key: int = 0


class WebhookBatcher:
    """The batching of webhooks into the store, for the event loop's thread only.

    `rate` is the most proven webhooks a second, for sources without a rate of their own.
    """

    def __init__(self, store: Store, in_force: LiveRules[Intake], rate: float) -> None:
        self._store = store
        self._in_force = in_force
        self._rate = rate
        self._buckets: dict[tuple[str, float], TokenBucket] = {}
        self._waiting: list[PendingWebhook] = []

    async def take(
        self, source: Source, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Receipt, int]:
        """Store a webhook; return its receipt and the number of the key that proved it.

        Raises UntrustedWebhook, TooManyWebhooks, UnreadableWebhook, Overloaded or
        StorageUnavailable.
        """
        loop = asyncio.get_running_loop()
        pending = PendingWebhook(source, headers, body, time.time_ns(), loop.create_future())
        if not self._waiting:
            loop.call_soon(self._take_all)
        self._waiting.append(pending)
        return await pending.future, pending.key

    async def quarantine(self, source: Source, body: bytes, problem: str) -> Receipt:
        """Store the body of an authentic webhook that cannot be read, with the problem."""
        webhook = malformed_webhook(source, body, time.time_ns(), problem)
        return await self._store.write(self._in_force.derived.receive, webhook)

    def _take_all(self) -> None:
        waiting = self._waiting
        self._waiting = []
        proven = []
        for pending in waiting:
            # A sender that has left will send its webhook again.
            if pending.future.done():
                continue
            try:
                proven.append((self._verify(pending), pending.future))
            except Exception as error:
                # Any error concerns this webhook alone: the endpoint answers it.
                pending.future.set_exception(error)
        if proven:
            self._store.write_all(self._in_force.derived.receive, proven)

    def _verify(self, pending: PendingWebhook) -> VerifiedWebhook:
        source = pending.source
        body = pending.body
        now = pending.received_at
        proof = verification.verify(source.verification, pending.headers, body, now / SECOND)
        pending.key = proof.key
        self._check_rate(source)
        return read_webhook(source, body, proof.message_id, now)

    def _check_rate(self, source: Source) -> None:
        """Count a proven webhook. Forgeries must not use up the sender's rate."""
        now = time.monotonic()
        rate = source.rate or self._rate
        bucket = self._buckets.get((source.name, rate))
        if bucket is None:
            bucket = self._buckets[source.name, rate] = TokenBucket(rate, now)
        if wait := bucket.take(now):
            raise TooManyWebhooks(wait)
