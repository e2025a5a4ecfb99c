"""Batches of webhooks: verified, read and handed to the store, many at a time.

All webhooks of one turn of the event loop go through each step together, and reach the committer as
one batch. One by one, each step would find the processor's caches full of the other steps, and the
committer would wake up for the first webhook and compete with the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.errors import StorageUnavailable, TooManyWebhooks
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
from receiver.store.spooling import SpooledWebhook
from receiver.times import SECOND
from receiver.web.webhooks.spool import Spooling

# Seconds without an answer after which a database counts as away, where a webhook may be spooled.
PATIENCE = 2.0
# Intake is busy while so many webhooks wait for their answers, and so long after that (seconds):
# many are answered at once, and their senders need a moment for the next ones.
MANY = 8
A_MOMENT = 0.05


@dataclass(slots=True)
class PendingWebhook:
    """A webhook whose body is complete and not yet verified.

    `key` is the number of the key of the source that proved it, `received_at` is nanoseconds. Once
    it is verified there is what was read of it, `webhook`, with the sender's id of the headers.
    """

    source: Source
    headers: list[tuple[bytes, bytes]]
    body: bytes
    received_at: int
    future: asyncio.Future[Receipt | None]
    key: int = 0
    webhook: VerifiedWebhook | None = None
    message_id: str | None = None

    def to_spool(self) -> SpooledWebhook:
        """Return it as the spool keeps it."""
        source, label = self.source, self.source.verification.label(self.key)
        return SpooledWebhook(
            source.name, source.format, label, self.message_id, self.received_at, self.body
        )


class WebhookBatcher:
    """The batching of webhooks into the store, for the event loop's thread only.

    `rate` is the most proven webhooks a second, for sources without a rate of their own. What the
    database does not take goes through `spooling`, where a source wants it.
    """

    def __init__(
        self,
        store: Store,
        in_force: LiveRules[Intake],
        rate: float,
        spooling: Spooling | None = None,
    ) -> None:
        self._store = store
        self._in_force = in_force
        self._rate = rate
        self._spooling = spooling
        self._buckets: dict[tuple[str, float], TokenBucket] = {}
        self._waiting: list[PendingWebhook] = []
        self._unanswered = 0
        self._busy_until = 0.0  # monotonic seconds

    def is_busy(self) -> bool:
        """Return whether many webhooks wait for their answers, or did just now.

        Any thread may ask.
        """
        return self._unanswered >= MANY or time.monotonic() < self._busy_until

    async def take(
        self, source: Source, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Receipt | VerifiedWebhook, int]:
        """Store a webhook; return its receipt and the number of the key that proved it.

        If it was spooled instead, the webhook itself is returned.

        Raises UntrustedWebhook, TooManyWebhooks, UnreadableWebhook, Overloaded or
        StorageUnavailable.
        """
        loop = asyncio.get_running_loop()
        pending = PendingWebhook(source, headers, body, time.time_ns(), loop.create_future())
        if not self._waiting:
            loop.call_soon(self._take_all)
        self._waiting.append(pending)
        self._unanswered += 1
        try:
            receipt = await pending.future
        except StorageUnavailable:
            if (spooling := self._spooling_of(source)) is None:
                raise
            await spooling.keep(pending.to_spool())
            receipt = None
        finally:
            if self._unanswered >= MANY:
                self._busy_until = time.monotonic() + A_MOMENT
            self._unanswered -= 1
        assert pending.webhook is not None
        return (pending.webhook if receipt is None else receipt), pending.key

    async def quarantine(
        self, source: Source, body: bytes, problem: str
    ) -> Receipt | VerifiedWebhook:
        """Store the body of an authentic webhook that cannot be read, with the problem."""
        webhook = malformed_webhook(source, body, time.time_ns(), problem)
        spooling = self._spooling_of(source)
        try:
            if spooling is None or not spooling.comes_first():
                return await self._store.write(self._in_force.derived.receive, webhook)
        except StorageUnavailable:
            if spooling is None:
                raise
        at = webhook.received_at
        kept = SpooledWebhook(source.name, source.format, "", None, at, body, problem)
        await spooling.keep(kept)
        return webhook

    def _spooling_of(self, source: Source) -> Spooling | None:
        spooling = self._spooling if source.spool else None
        return spooling if spooling is not None and spooling.has_room() else None

    def _take_all(self) -> None:
        if self._spooling is not None and self._spooling.postpone(self._take_all):
            return
        waiting = self._waiting
        self._waiting = []
        proven = []
        impatient = []
        for pending in waiting:
            # A sender that has left will send its webhook again.
            if pending.future.done():
                continue
            try:
                webhook = pending.webhook = self._verify(pending)
                if (spooling := self._spooling_of(pending.source)) is not None:
                    if spooling.comes_first():
                        spooling.keep_for(pending.to_spool(), pending.future)
                        continue
                    impatient.append(pending.future)
                proven.append((webhook, pending.future))
            except Exception as error:
                # Any error concerns this webhook alone: the endpoint answers it.
                pending.future.set_exception(error)
        if proven:
            self._store.write_all(self._in_force.derived.receive, proven)
        if impatient:
            asyncio.get_running_loop().call_later(PATIENCE, _give_up, impatient)

    def _verify(self, pending: PendingWebhook) -> VerifiedWebhook:
        source = pending.source
        body = pending.body
        now = pending.received_at
        proof = verification.verify(source.verification, pending.headers, body, now / SECOND)
        pending.key, pending.message_id = proof.key, proof.message_id
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


def _give_up(futures: Sequence[asyncio.Future[Receipt | None]]) -> None:
    """Let webhooks go elsewhere that wait for the database; what it took is a repeat."""
    for future in futures:
        if not future.done():
            future.set_exception(StorageUnavailable("The database does not answer."))
