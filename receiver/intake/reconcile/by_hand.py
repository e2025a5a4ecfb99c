"""By hand: one round of questions now, for a person or a command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.intake.receive import Intake
from receiver.intake.reconcile.asker import Asked, Asker
from receiver.intake.reconcile.pacing import Pace
from receiver.intake.reconcile.provider import Outcome, Provider
from receiver.metrics import Counters
from receiver.sources.answers import Pages
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.times import SECOND, span

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
def asking(store: Store, rules: Rules, source: Source) -> Iterator[tuple[Asker, Pace]]:
    """Make an asker of a source's provider, with its rate; close the connections at the end."""
    assert source.api is not None
    provider = Provider(source.api, owner=store)
    live_rules = LiveRules(rules, Intake.by, lambda: rules)
    asker = Asker(store, live_rules, source, provider, Counters(()))
    try:
        yield asker, Pace(store, source.api)
    finally:
        provider.close()


def ask_one(store: Store, rules: Rules, source: Source, execution_id: str) -> Asked:
    """Ask about one execution."""
    with asking(store, rules, source) as (asker, pace):
        return _ask(asker, pace, execution_id)


def ask_all(store: Store, rules: Rules, source: Source) -> Iterator[Question]:
    """Ask about all executions that have not ended, and list the active ones before.

    It keeps to the rate of the source, and ends where the provider does not answer.
    """
    with asking(store, rules, source) as (asker, pace):
        ids: dict[str, None] = {}
        pages = Pages(MOST_PAGES)
        is_over = False
        while not is_over:
            if pause := _wait(pace):
                yield Question("", _paused(pause))
                return
            found, reply = asker.active(pages.following)
            if found is None:
                yield Question("", Asked(reply.outcome, detail=reply.detail))
                return
            ids.update(dict.fromkeys(asker.unknown(found.executions)))
            is_over = pages.took(found)
        known = store.unheard(source.name, time.time_ns(), MOST)
        ids.update(dict.fromkeys(execution.execution_id for execution, _ in known))
        for execution_id in ids:
            asked = _ask(asker, pace, execution_id)
            yield Question(execution_id, asked)
            if asked.outcome in _ENDS:
                return


def _ask(asker: Asker, pace: Pace, execution_id: str) -> Asked:
    if pause := _wait(pace):
        return _paused(pause)
    asked = asker.ask(execution_id, lambda: not _wait(pace))
    if asked.outcome is Outcome.BUSY and asked.retry_after:
        pace.hold_back(asked.retry_after)
    return asked


def _paused(pause: float) -> Asked:
    detail = f"it has asked for a pause, which lasts {span(round(pause) * SECOND)} from now on"
    return Asked(Outcome.BUSY, retry_after=pause, detail=detail)


def try_key(source: Source) -> str:
    """Try the key of a source's API; return what is wrong, empty if it is fine."""
    assert source.api is not None
    provider = Provider(source.api)
    try:
        reply = provider.get(APIS[source.format].active_path())
    finally:
        provider.close()
    return "" if reply.outcome is Outcome.ANSWERED else reply.detail


def _wait(pace: Pace) -> float:
    """Wait until the next request may go; return 0.0, or the wait if it is too long for people."""
    wait = pace.reserve()
    if wait > pace.patience:
        return wait
    time.sleep(wait)
    return 0.0
