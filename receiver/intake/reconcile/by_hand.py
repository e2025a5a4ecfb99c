"""By hand: one round of questions now, for a person or a command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.intake.rate_limit import TokenBucket
from receiver.intake.receive import Intake
from receiver.intake.reconcile.asker import Asked, Asker
from receiver.intake.reconcile.provider import Outcome, Provider
from receiver.metrics import Counters
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.store.contract import Store

# The most executions that one round asks about, and the most pages of active ones.
MOST, MOST_PAGES = 10_000, 1_000
# After one of these there is nothing more to ask now.
_ENDS = (Outcome.KEY_REFUSED, Outcome.BUSY, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Question:
    """An execution that was asked about, and the result; an empty id: the list of active ones."""

    execution_id: str
    asked: Asked


@contextmanager
def asking(store: Store, rules: Rules, source: Source) -> Iterator[tuple[Asker, TokenBucket]]:
    """Make an asker of a source's provider, with its rate; close the connections at the end."""
    assert source.api is not None
    provider = Provider(source.api)
    live_rules = LiveRules(rules, Intake.by, lambda: rules)
    asker = Asker(store, live_rules, source, provider, Counters(()))
    try:
        yield asker, TokenBucket(source.api.rate, time.monotonic())
    finally:
        provider.close()


def ask_one(store: Store, rules: Rules, source: Source, execution_id: str) -> Asked:
    """Ask about one execution."""
    with asking(store, rules, source) as (asker, bucket):
        return asker.ask(execution_id, lambda: _wait(bucket))


def ask_all(store: Store, rules: Rules, source: Source) -> Iterator[Question]:
    """Ask about all executions that have not ended, and list the active ones before.

    It keeps to the rate of the source, and ends where the provider does not answer.
    """
    with asking(store, rules, source) as (asker, bucket):
        ids: dict[str, None] = {}
        for page in range(1, MOST_PAGES + 1):
            _wait(bucket)
            found, reply = asker.active(page)
            if found is None:
                yield Question("", Asked(reply.outcome, detail=reply.detail))
                return
            ids.update(dict.fromkeys(asker.unknown(found.executions)))
            if found.is_last:
                break
        known = store.unheard(source.name, time.time_ns(), MOST)
        ids.update(dict.fromkeys(execution.execution_id for execution, _ in known))
        for execution_id in ids:
            _wait(bucket)
            asked = asker.ask(execution_id, lambda: _wait(bucket))
            yield Question(execution_id, asked)
            if asked.outcome in _ENDS:
                return


def try_key(source: Source) -> str:
    """Try the key of a source's API; return what is wrong, empty if it is fine."""
    assert source.api is not None
    provider = Provider(source.api)
    try:
        reply = provider.get(APIS[source.format].active_path(1))
    finally:
        provider.close()
    return "" if reply.outcome is Outcome.ANSWERED else reply.detail


def _wait(bucket: TokenBucket) -> bool:
    while wait := bucket.take(time.monotonic()):
        time.sleep(wait)
    return True
