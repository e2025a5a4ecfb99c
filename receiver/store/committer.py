"""Group commit: one thread owns the write connection and commits the gathered writes at once.

It blocks for the first write, takes what else waits (no timer: under load the batch grows by
itself while the last one is synced), does all of it in one transaction, and answers after the
commit. The engine gives it a connection to do that with.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from receiver.errors import Overloaded, ReceiverError, StorageClosed, StorageUnavailable, Unstorable
from receiver.store.contract import Act, Item, Result, Transaction

if TYPE_CHECKING:
    import asyncio

MAX_BATCH = 256
# How often a batch begins anew because it met another process's transaction.
MEETINGS = 5


class Connection(Protocol):
    """A connection that one thread owns; it raises `failures` when the storage fails."""

    failures: tuple[type[Exception], ...]

    def begin(self, *, small: bool) -> Transaction:
        """Begin; `small`: each act changes a few rows, whatever is stored."""

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def tidy(self) -> None:
        """Do the work that can wait until the answers are given."""

    def met_another(self, error: Exception) -> bool:
        """Return whether the same acts may succeed now that another transaction has ended."""

    def is_lost(self, error: Exception) -> bool:
        """Return whether the storage can no longer be trusted after this error."""

    def kind_of(self, error: Exception) -> type[StorageUnavailable]:
        """Return the kind of our error that one of the `failures` becomes."""

    def close(self) -> None: ...


class _Write:
    """One act that waits for its commit, and the future that gets its result."""

    __slots__ = ("act", "error", "future", "item", "loop", "result", "small")

    def __init__(
        self, act: Any, item: Any, future: Any, loop: asyncio.AbstractEventLoop | None, small: bool
    ) -> None:
        self.act, self.item, self.future, self.loop = act, item, future, loop
        self.small = small
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():  # its coroutine was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Undone(ReceiverError):
    """The end of an act that must not be committed, with its result."""

    def __init__(self, result: Any) -> None:
        super().__init__("This act is never committed.")
        self.result = result


class Committer:
    """The thread that does writes in the order of their arrival, many in one commit.

    `opened` runs in the committer's thread, because a SQLite connection must stay in one thread.
    `backlog` is the number of writes that may wait; further ones are Overloaded. `most` of them go
    into one commit, as many as may without it.

    The thread ends by itself when the storage can no longer be trusted. `failure` then holds the
    reason, and the committer's thread calls the listeners of `on_failure`.
    """

    def __init__(
        self, opened: Callable[[], Connection], backlog: int, most: int | None = None
    ) -> None:
        self._most = most
        self._waiting: deque[_Write] = deque()
        self._backlog = backlog
        self._closed = False
        self.failure = ""
        self._listeners: list[Callable[[str], None]] = []
        # What many bring at once wakes the thread once.
        self._door = threading.Condition(threading.Lock())
        self._started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="committer", daemon=True
        )
        self._thread.start()
        self._started.result()

    async def write(self, act: Act[Any, Any], item: Any) -> Any:
        """See contract.Writing.write."""
        loop = _running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._submit([_Write(act, item, future, loop, False)])
        return await future

    def write_all(
        self, act: Act[Any, Any], items: Sequence[tuple[Any, asyncio.Future[Any]]]
    ) -> None:
        """See contract.Writing.write_all."""
        loop = _running_loop()
        self._submit([_Write(act, item, future, loop, True) for item, future in items])

    def write_now(self, act: Act[Any, Any], item: Any, *, small: bool = False) -> Any:
        """See contract.Writing.write_now."""
        future: Future[Any] = Future()
        self._submit([_Write(act, item, future, None, small)])
        return future.result()

    def backlog(self) -> int:
        """Return how many writes wait."""
        return len(self._waiting)

    def rehearse(self, act: Act[Any, Any], item: Any) -> Any:
        """See contract.Writing.rehearse."""

        def undone(transaction: Transaction, items: Sequence[Any]) -> Sequence[Any]:
            raise _Undone(act(transaction, items)[0])

        try:
            return self.write_now(undone, item)
        except _Undone as end:
            return end.result

    def on_failure(self, listener: Callable[[str], None]) -> None:
        """See contract.Writing.on_failure."""
        with self._door:
            self._listeners.append(listener)
            failure = self.failure
        if failure:
            listener(failure)

    def close(self) -> None:
        """Commit the waiting writes and end the thread."""
        with self._door:
            self._closed = True
            self._door.notify()
        self._thread.join()

    def _submit(self, writes: Sequence[_Write]) -> None:
        with self._door:
            room = 0 if self._closed else self._backlog - len(self._waiting)
            self._waiting.extend(writes[: max(room, 0)])
            self._door.notify()
            reason = (self.failure or "The store is closed") if self._closed else ""
        for write in writes[max(room, 0) :]:
            if reason:
                write.error = StorageClosed(f"{reason}: send it again.")
            else:
                write.error = Overloaded("Too much waits for its commit: send it again later.")
            write.settle()

    def _run(self, opened: Callable[[], Connection]) -> None:
        try:
            connection = opened()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        try:
            while not self.failure and (batch := self._gather()):
                self._commit(connection, batch)
                _answer(batch)
                if not self.failure:
                    connection.tidy()
            connection.close()
        except Exception as error:
            # Any error counts: no caller may wait for a thread that has ended.
            self._fail(error)
        if self.failure:
            self._refuse()
            with contextlib.suppress(Exception):
                connection.close()

    def _fail(self, error: Exception) -> None:
        with self._door:
            self._closed = True
            self.failure = f"The storage failed ({error})"

    def _refuse(self) -> None:
        """Answer the writes that still wait; no new ones can come."""
        while self._waiting:
            write = self._waiting.popleft()
            write.error = StorageClosed(f"{self.failure}: send it again.")
            _answer([write])
        for listener in self._listeners:
            listener(self.failure)

    def _gather(self) -> list[_Write]:
        """Take the writes that wait, or the next one to come; none at the end."""
        with self._door:
            while not self._waiting and not self._closed:
                self._door.wait()
            n = min(len(self._waiting), self._most or MAX_BATCH)
            return [self._waiting.popleft() for _ in range(n)]

    def _commit(
        self, connection: Connection, batch: Sequence[_Write], meetings: int = MEETINGS
    ) -> None:
        try:
            self._do(connection, batch)
        except Exception as error:
            if meetings and connection.met_another(error):
                self._commit(connection, batch, meetings - 1)
                return
            if connection.is_lost(error):
                self._fail(error)
            if self.failure or isinstance(error, connection.failures):
                # The storage fails, not an item: to try each by itself would only take longer.
                for write in batch:
                    write.error = _unavailable(error, connection.kind_of(error))
            elif len(batch) == 1:
                is_ours = isinstance(error, ReceiverError)
                batch[0].error = error if is_ours else _unavailable(error, Unstorable)
            else:
                for write in batch:
                    self._commit(connection, [write], meetings)

    def _do(self, connection: Connection, batch: Sequence[_Write]) -> None:
        if self.failure:
            raise StorageUnavailable(f"{self.failure}: send it again.")
        transaction = connection.begin(small=all(write.small for write in batch))
        try:
            # Neighbours with the same act go as one set: one look-up and one insert for all.
            start = 0
            for end in range(1, len(batch) + 1):
                if end < len(batch) and batch[end].act == batch[start].act:
                    continue
                group = batch[start:end]
                results = group[0].act(transaction, [write.item for write in group])
                for write, result in zip(group, results, strict=True):
                    write.result = result
                start = end
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


class Committed:
    """The writing side of a store, for engines that commit through a committer."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def close(self) -> None:
        """Commit the waiting writes, and take no more."""
        self._committer.close()

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        """See contract.Writing.write."""
        result: Result = await self._committer.write(act, item)
        return result

    def write_all(
        self, act: Act[Item, Result], items: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        """See contract.Writing.write_all."""
        self._committer.write_all(act, items)

    def write_now(self, act: Act[Item, Result], item: Item, *, small: bool = False) -> Result:
        """See contract.Writing.write_now."""
        result: Result = self._committer.write_now(act, item, small=small)
        return result

    def rehearse(self, act: Act[Item, Result], item: Item) -> Result:
        """See contract.Writing.rehearse."""
        result: Result = self._committer.rehearse(act, item)
        return result

    def backlog(self) -> int:
        """See contract.Writing.backlog."""
        return self._committer.backlog()

    def on_failure(self, listener: Callable[[str], None]) -> None:
        """See contract.Writing.on_failure."""
        self._committer.on_failure(listener)

    def announce(self, rules: str) -> None:
        """Do nothing: an engine for several processes does it."""

    def check_writable(self) -> None:
        """See contract.Writing.check_writable."""
        self.write_now(_heartbeat, None)


def _heartbeat(transaction: Transaction, items: Sequence[None]) -> Sequence[None]:
    transaction.heartbeat()
    return [None] * len(items)


def _unavailable(error: Exception, kind: type[StorageUnavailable]) -> StorageUnavailable:
    # A driver's further lines may show rows.
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    unavailable = kind(f"It could not be committed ({reason}): send it again.")
    unavailable.__cause__ = error
    return unavailable


def _answer(batch: Sequence[_Write]) -> None:
    """Settle all writes, with one wake-up for each event loop instead of one for each write."""
    loops: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in batch:
        if write.loop is None:
            write.settle()
        else:
            loops.setdefault(write.loop, []).append(write)
    for loop, writes in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, writes)
        except RuntimeError:
            continue  # the loop is closed, so nobody waits any more


def _settle(writes: Sequence[_Write]) -> None:
    for write in writes:
        write.settle()


def _running_loop() -> asyncio.AbstractEventLoop:
    from asyncio import get_running_loop

    return get_running_loop()
