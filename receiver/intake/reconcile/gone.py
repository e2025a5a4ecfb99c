"""Gone: an execution that its provider does not know any more, although we were told of it.

Only what has ended can be deleted there. So it has ended, nobody knows how, and nobody has to do
anything: reminders and questions stop, and whoever was told of its wait hears that once. If a
webhook comes after all, it counts as ever.

A key for another organisation knows none of our executions: it has to know one of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Acknowledgement, OnlyIf
from receiver.events import NOBODY, Category
from receiver.intake.reconcile.asker import Asker
from receiver.store.contract import Store, Transaction
from receiver.store.records import TakeOutcome

log = logging.getLogger("receiver.reconcile")

# So many answers in a row say that it is not known.
SAID_SO_OFTEN = 3
# So many others are asked about, to see whether the key knows any.
_OTHERS = 3


def knows_another(
    store: Store, asker: Asker, source: str, execution_id: str, may_go_on: Callable[[], bool]
) -> bool:
    """Return whether the provider knows another one of the newest executions of a source."""
    newest, _ = store.executions({"source": source}, _OTHERS + 1, None)
    others = [each["execution_id"] for each in newest if each["execution_id"] != execution_id]
    return any(may_go_on() and asker.knows(each) for each in others[:_OTHERS])


def end_unseen(store: Store, rules: Rules, source: str, execution_id: str) -> None:
    """End the reminders of an execution, and tell whoever was told of it, unless it is taken."""
    execution = store.standing(source, [execution_id]).get(execution_id)
    if execution is None or execution.status.category is Category.TERMINAL:
        return
    waits = execution.status.category is not Category.PROCESSING
    routes = tuple(route.name for route in rules.routes if waits or route.stuck)
    item = _Unseen(source, execution_id, execution.version, routes, time.time_ns())
    outcome = store.write_now(_end_unseen, item)
    log.warning("execution.gone source=%s execution_id=%r result=%s", source, execution_id, outcome)


@dataclass(frozen=True, slots=True)
class _Unseen:
    """An execution at a version whose end nobody saw, and the routes whose readers hear that."""

    source: str
    execution_id: str
    version: int
    routes: tuple[str, ...]
    at: int


def _end_unseen(transaction: Transaction, items: Sequence[_Unseen]) -> Sequence[TakeOutcome]:
    return [
        transaction.acknowledge(
            each.source, each.execution_id, Acknowledgement(NOBODY, each.at), each.routes,
            OnlyIf(each.version),
        ).outcome
        for each in items
    ]  # fmt: skip
