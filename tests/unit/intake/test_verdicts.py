"""The table of verdicts: what the code can give stands in it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import get_args

from receiver.events import Event, Execution, Held, Judgement, Status, Verdict
from receiver.intake.held import bounded, expire
from receiver.intake.receive import Intake, Unreadable, VerifiedWebhook
from receiver.lifecycle import (
    FUTURE,
    MAX_EVENT_AGE,
    MAX_HELD,
    RULES,
    Known,
    Ordering,
    judge,
    judge_again,
)
from receiver.store.records import Loaded
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
MARK = NOW - 60 * SECOND
EVENT = Event("s", "e-1", "E", None, "x", NOW)
EXECUTIONS = [
    Execution("s", "x", status, MARK, MARK, 1, MARK, assumed=assumed)
    for status, assumed in product(Status, (False, True))
]
EVENTS = [
    *(
        replace(EVENT, status=status, occurred_at=at)
        for status in Status
        for at in (NOW - MAX_EVENT_AGE - 1, MARK - 1, MARK, MARK + 1, NOW + FUTURE + 1)
    ),
    EVENT,
    replace(EVENT, is_known_without_status=True),
    replace(EVENT, unknown_status="dancing"),
]
ORDERINGS = (Ordering(gaps="reject"), Ordering(gaps="apply"))


def of_the_lifecycle() -> Iterator[Judgement]:
    """What any event gets against any execution, alone and when it was held."""
    for event, execution, known in product(EVENTS, [None, *EXECUTIONS], [None, *Known]):
        yield judge(event, execution, known, NOW)
    for event, execution in product(EVENTS, EXECUTIONS):
        if event.status is not None:
            yield judge_again(event, execution)


def of_the_intake() -> Iterator[Judgement]:
    """What webhooks get that cannot be read, and events that are held or would be."""
    for unreadable in set(get_args(Unreadable)) - {""}:
        webhook = VerifiedWebhook("s", None, b"", NOW, unreadable)
        yield Intake([]).judge_all([webhook], Loaded.empty())[0][0].judgement
    paused = next(e for e in EXECUTIONS if e.status is Status.PAUSED and not e.assumed)
    completed = replace(EVENT, status=Status.COMPLETED)
    held = Held(completed, NOW, Verdict.HELD, (Status.RUNNING,), NOW)
    full = Loaded(held={("s", "x"): [held] * MAX_HELD})
    yield bounded(judge(completed, paused, None, NOW), full, ("s", "x"))
    for ordering in ORDERINGS:
        loaded = Loaded(executions={("s", "x"): paused}, held={("s", "x"): [held]})
        yield from (entry.judgement for entry in expire(held, loaded, NOW, ordering))


def test_every_verdict_and_reason_that_the_code_gives_is_in_the_table_and_no_other() -> None:
    judgements = [*of_the_lifecycle(), *of_the_intake()]
    assert {(judgement.verdict, judgement.reason) for judgement in judgements} == set(RULES)


def test_the_times_in_the_table_are_those_of_the_rules() -> None:
    minutes, days = FUTURE // (60 * SECOND), MAX_EVENT_AGE // (24 * 3600 * SECOND)
    assert f"more than {minutes} min in the future" in RULES[Verdict.QUARANTINED, "future"]
    assert f"more than {days} days ago" in RULES[Verdict.STALE, "too_old"]
