"""A receiver knows that intake is busy from the webhooks that wait for their answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from receiver.cli import client
from receiver.store.contract import Transaction
from receiver.web.webhooks.batch import MANY
from tests.support.live import live, until


def test_intake_is_busy_while_many_webhooks_wait_and_not_after_their_answers(
    tmp_path: Path,
) -> None:
    go_on = threading.Event()

    def wait(transaction: Transaction, items: Sequence[None]) -> Sequence[None]:
        go_on.wait(30)
        return items

    with live(tmp_path) as receiver, ThreadPoolExecutor(MANY + 1) as pool:
        batcher = receiver.app.state.endpoint.batcher
        pool.submit(receiver.store.write_now, wait, None)
        bodies = [client.asteroid_event("EXECUTION_STARTED", f"x-{n}") for n in range(MANY)]
        answers = [pool.submit(receiver.post, body) for body in bodies[1:]]
        try:
            until(lambda: receiver.store.backlog() == MANY - 1)
            assert not batcher.is_busy()
            answers.append(pool.submit(receiver.post, bodies[0]))
            until(batcher.is_busy)
        finally:
            go_on.set()
        assert {answer.result(30)[0] for answer in answers} == {202}
        until(lambda: not batcher.is_busy())
        assert receiver.post(b"{}")[0] != 202
        assert not batcher.is_busy()
