"""Webhooks whose bodies are here: proven, read and handed to the store, many at a time.

All that came in one turn of the event loop is done in one go, and reaches the committer as one
batch. Done each by itself, every step of it would find the processor's caches full of the others,
and the committer would wake up for the first and take turns with the rest.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.errors import TooManyWebhooks, UntrustedWebhook
from receiver.intake.rate_limit import TokenBucket
from receiver.intake.receive import Intake, Receipt, VerifiedWebhook
from receiver.sources import verification
from receiver.sources.formats import registry
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.times import SECOND


@dataclass(slots=True)
class PendingWebhook:
    """A webhook of which nothing is known yet. `key`: which of the source's keys proved it."""

    source: Source
    headers: list[tuple[bytes, bytes]]
    body: bytes
    received_at: int
    future: asyncio.Future[Receipt]
    key: int = 0


class WebhookBatcher:
    """Lives in the event loop's thread. `rate` is for sources that say nothing else."""

    def __init__(self, store: Store, in_force: LiveRules[Intake], rate: float) -> None:
        self._store, self._in_force, self._rate = store, in_force, rate
        self._buckets: dict[tuple[str, float], TokenBucket] = {}
        self._waiting: list[PendingWebhook] = []

    async def take(
        self, source: Source, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Receipt, int]:
        """What became of a webhook, on disk, and the number of the key that proved it.

        UntrustedWebhook, TooManyWebhooks, UnreadableWebhook, Overloaded, StorageUnavailable.
        """
        loop = asyncio.get_running_loop()
        untold = PendingWebhook(source, headers, body, time.time_ns(), loop.create_future())
        if not self._waiting:
            loop.call_soon(self._take_all)
        self._waiting.append(untold)
        return await untold.future, untold.key

    async def quarantine(self, source: Source, body: bytes) -> Receipt:
        """Keep the body of an authentic webhook that cannot be read."""
        arrival = VerifiedWebhook(
            source.name, None, body, time.time_ns(), "malformed", accepted=False
        )
        return await self._store.write(self._in_force.derived.receive, arrival)

    def _take_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        proven = []
        for untold in waiting:
            # Who is not there any more will send it again.
            if untold.future.done():
                continue
            try:
                proven.append((self._prove(untold), untold.future))
            except Exception as error:
                # Whatever it is, it is about this one: the endpoint answers for it.
                untold.future.set_exception(error)
        if proven:
            self._store.write_all(self._in_force.derived.receive, proven)

    def _prove(self, untold: PendingWebhook) -> VerifiedWebhook:
        source, body, now = untold.source, untold.body, untold.received_at
        proof = verification.verify(source.verification, untold.headers, body, now / SECOND)
        untold.key = proof.key
        self._pace(source)
        event = registry.read(source.format, source.name, body, proof.message_id)
        if source.agents and (event is None or event.agent_id not in source.agents):
            raise UntrustedWebhook("agent")
        return VerifiedWebhook(
            source.name, event, body, now, "" if event is not None else "no_envelope"
        )

    def _pace(self, source: Source) -> None:
        """Only what is proven counts: forgeries must not use up what the sender may send."""
        now = time.monotonic()
        of = (source.name, source.rate or self._rate)
        bucket = self._buckets.get(of)
        if bucket is None:
            bucket = self._buckets[of] = TokenBucket(of[1], now)
        if wait := bucket.take(now):
            raise TooManyWebhooks(wait)
