"""Spooled webhooks: kept in a local file while the database is away, judged once it is back.

For the event loop's thread only. What waits is judged in the order of its receipt, and before what
comes later: newer webhooks of these sources queue up behind it. A webhook leaves the file after the
database has it, so what a dead process left there is judged again, as a duplicate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.errors import StorageRefused, StorageServed, StorageUnavailable, Unstorable
from receiver.intake.receive import Intake, Receipt, reread
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.opening import SpoolFile
from receiver.store.spooling import Spool, SpooledWebhook, SpoolState
from receiver.times import SECOND, format_time
from receiver.web.webhooks.access_log import AccessLog
from receiver.web.webhooks.passed import Passed

log = logging.getLogger("receiver.spool")

Rows = Sequence[tuple[int, SpooledWebhook]]

# Webhooks that are judged at once, and seconds between two tries while the database is away.
BATCH, AGAIN = 256, 0.5
# The time for which a webhook counts that could not be kept (seconds).
NOT_KEPT_FOR = 3.0
FULL = "The spool is full (RECEIVER_SPOOL_SIZE): send it again."


class Spooling:
    """The way of webhooks into the spool and out of it.

    The file is opened once a source wants it, or if it is there: what waits in it is judged,
    whatever the rules say.
    """

    def __init__(
        self,
        store: Store,
        in_force: LiveRules[Intake],
        counters: Counters,
        file: SpoolFile,
    ) -> None:
        self._store = store
        self._in_force = in_force
        self._counters = counters
        self._file = file
        self._spool: Spool | None = None
        self._access_log = AccessLog()
        # New webhooks queue up in the file; the database took the last ones that were tried.
        self._is_behind = self._is_back = False
        self._arriving = 0  # webhooks that are being written to the file
        self._began_at = time.monotonic()
        self._passed = Passed()
        self._not_kept_at = float("-inf")  # monotonic seconds
        self._news, self._settled = asyncio.Event(), asyncio.Event()
        self._is_turning = False
        self._later: list[Callable[[], object]] = []
        self._failure = ""
        self._draining: asyncio.Task[None] | None = None
        if _is_wanted(in_force.rules):
            self._open()
        elif file.is_there():
            with suppress(StorageServed):  # it is another process's
                self._open()
        in_force.on_change(self._follow)

    def _open(self) -> None:
        spool = self._file.open()
        state = spool.state()
        self._is_behind = state.waiting > 0
        if state.oldest is not None:
            since = format_time(state.oldest)
            log.warning("spool.waits webhooks=%d since=%s", state.waiting, since)
        self._spool = spool

    def _follow(self, rules: Rules) -> None:
        """Open the file if new rules want it; called from any thread."""
        if self._spool is not None or not _is_wanted(rules):
            return
        try:
            self._open()
        except StorageRefused as error:
            log.error("spool.not_opened error=%s", error)
            return
        if self._draining is not None:
            self._draining.get_loop().call_soon_threadsafe(self._news.set)

    def comes_first(self) -> bool:
        """Return whether a new webhook has to queue up in the file."""
        return self._is_behind and self.has_room()

    def has_room(self) -> bool:
        """Return whether webhooks may be kept if the database fails."""
        return self._spool is not None and not self._failure

    def postpone(self, act: Callable[[], object]) -> bool:
        """Do an act a moment later, if the last that waits is just on its way to the database."""
        if self._is_turning:
            self._later.append(act)
        return self._is_turning

    async def keep(self, webhook: SpooledWebhook) -> None:
        """Keep a webhook; StorageUnavailable if that fails, too.

        What is kept later stands behind it, from the call on.
        """
        if not await self._keep(webhook):
            raise StorageUnavailable(FULL)

    def keep_for(self, webhook: SpooledWebhook, future: asyncio.Future[Receipt | None]) -> None:
        """Do the same; the future gets None, for there is no receipt yet, or the error."""

        def answer(kept: asyncio.Future[bool]) -> None:
            error = kept.exception()
            if error is None and not kept.result():
                error = StorageUnavailable(FULL)
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._keep(webhook).add_done_callback(answer)

    def _keep(self, webhook: SpooledWebhook) -> asyncio.Future[bool]:
        assert self._spool is not None
        if not self._is_behind:
            self._is_behind, self._began_at = True, time.monotonic()
            log.warning("spool.began: the database does not answer, webhooks are kept in a file")
        self._arriving += 1
        kept = self._spool.keep(webhook)
        kept.add_done_callback(lambda future: self._arrived(webhook, future))
        return kept

    def _arrived(self, webhook: SpooledWebhook, kept: asyncio.Future[bool]) -> None:
        self._arriving -= 1
        self._news.set()
        if not self._arriving:
            self._settled.set()
        if kept.cancelled():
            return
        if kept.exception() is not None:
            self._not_kept_at = time.monotonic()
        elif kept.result():
            self._counters.spooled(webhook.source, webhook.key, webhook.received_at / SECOND)

    def state(self) -> SpoolState | None:
        """Return how much waits; None without a file. StorageUnavailable if the file failed."""
        if self._failure:
            raise StorageUnavailable(self._failure)
        return None if self._spool is None else self._spool.state()

    def is_enough(self) -> bool:
        """Return whether webhooks can be taken without the database."""
        try:
            state = self.state()
        except StorageUnavailable:
            return False
        has_room = state is not None and state.size < state.most
        has_room = has_room and time.monotonic() - self._not_kept_at > NOT_KEPT_FOR
        return has_room and _is_wanted(self._in_force.rules)

    def start(self) -> None:
        """Begin to judge what waits, in the running event loop."""
        self._draining = asyncio.create_task(self._run(), name="spool")

    def is_alive(self) -> bool:
        """Return whether what waits is going to be judged."""
        return self._draining is not None and not self._draining.done()

    async def stop(self) -> None:
        """Stop, and close the file; what waits there stays."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        if self._spool is not None:
            await asyncio.to_thread(self._spool.close)

    async def _run(self) -> None:
        while True:
            try:
                if await self._drain():
                    continue
            except StorageUnavailable as error:
                self._look_at_file(error)
            if not self._is_behind and not self._passed.judged:
                await self._news.wait()
            self._news.clear()
            await asyncio.sleep(AGAIN)

    def _look_at_file(self, error: StorageUnavailable) -> None:
        """Go on without the file, if it can no longer be trusted."""
        log.error("spool.error error=%s", error)
        try:
            self.state()
        except StorageUnavailable as failure:
            log.critical("spool.failed: %s The next start checks the file.", failure)
            self._failure, self._is_behind = str(failure), False

    async def _drain(self) -> bool:
        """Judge the first that wait; return whether to go on at once."""
        if self._spool is None or self._failure:
            return False
        if not self._is_behind:
            await self._passed.remove_judged(self._spool)
            return False
        rows, is_last = self._first()
        # Until the database is known to be back, nothing new has to wait for it.
        if is_last and (self._is_back or not rows):
            # The last go to the database before anything that comes from now on.
            self._is_turning = True
            try:
                while self._arriving:
                    self._settled.clear()
                    await self._settled.wait()
                rows, is_last = self._first()
                futures = self._submit(rows)
                self._is_behind = not is_last
            finally:
                self._is_turning = False
                later, self._later = self._later, []
                for act in later:
                    act()
        else:
            futures = self._submit(rows)
        if futures:
            await asyncio.wait(futures)
        return await self._settle(self._spool, rows, futures)

    def _first(self) -> tuple[Rows, bool]:
        """Return the first that wait, and whether they are all."""
        assert self._spool is not None
        passed = self._passed.numbers()
        rows = self._spool.first(BATCH, without=passed)
        return rows, self._spool.state().waiting <= len(rows) + len(passed)

    def _submit(self, rows: Rows) -> Sequence[asyncio.Future[Receipt]]:
        loop, now = asyncio.get_running_loop(), time.time_ns()
        futures: list[asyncio.Future[Receipt]] = [loop.create_future() for _ in rows]
        # One by one in time, too: some keys of messages are times.
        webhooks = [reread(webhook, now + n) for n, (_, webhook) in enumerate(rows)]
        self._store.write_all(
            self._in_force.derived.receive, list(zip(webhooks, futures, strict=True))
        )
        return futures

    async def _settle(
        self, spool: Spool, rows: Rows, futures: Sequence[asyncio.Future[Receipt]]
    ) -> bool:
        """Remove what the database has; return whether to go on at once."""
        errors = [future.exception() for future in futures]
        done = [number for (number, _), error in zip(rows, errors, strict=True) if error is None]
        self._passed.judged.update(done)
        for (number, webhook), future, error in zip(rows, futures, errors, strict=True):
            if error is None:
                self._tell(webhook, future.result())
            elif isinstance(error, Unstorable):
                self._passed.count_refusal(number, error)
        if len(done) == len(rows) and not self._is_behind:
            aside = spool.state().waiting - len(self._passed.judged)
            took = time.monotonic() - self._began_at
            log.warning("spool.drained after=%.1fs aside=%d", took, aside)
        self._is_behind = self._is_behind or len(done) < len(rows)
        self._is_back = bool(done)
        try:
            await self._passed.remove_judged(spool)
        except StorageUnavailable as error:
            self._look_at_file(error)  # what waits is judged all the same
        return bool(done)

    def _tell(self, webhook: SpooledWebhook, receipt: Receipt) -> None:
        if webhook.problem:
            return  # its sender was told so when it came
        judgement, at = receipt.judgement, webhook.received_at / SECOND
        self._counters.judged(webhook.source, judgement.verdict, judgement.reason, webhook.key, at)
        self._access_log.add(webhook.source, receipt)


def spooled(spooling: Spooling | None) -> int | None:
    """Return how many webhooks wait in the spool; None without one that can be trusted."""
    try:
        state = None if spooling is None else spooling.state()
    except StorageUnavailable:
        return None
    return None if state is None else state.waiting


def _is_wanted(rules: Rules) -> bool:
    return any(source.spool for source in rules.sources.values())
