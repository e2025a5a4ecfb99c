"""Faults planted into the rules: a fault that nobody notices is a rule that is not proven."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from receiver import lifecycle
from receiver.events import Judgement, Status, Verdict
from receiver.intake import held as holding
from receiver.intake import plan
from receiver.intake import receive as receiving
from receiver.store.sql import loading
from tests.prove_order.histories import HOUR
from tests.prove_order.model import SECOND
from tests.prove_order.proof import Disagreement, prove

SEED = 11
NUMBERS = itertools.count()
Plant = Callable[[pytest.MonkeyPatch], None]


def constant(module: Any, name: str, value: object) -> Plant:
    """A limit that is another one."""
    return lambda patch: patch.setattr(module, name, value)


def move(start: str, end: str, *, dropped: bool = False) -> Plant:
    """The table with one move more, or one less."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        known = lifecycle.TRANSITIONS[Status(start)]
        changed = known - {Status(end)} if dropped else known | {Status(end)}
        patch.setitem(lifecycle.TRANSITIONS, Status(start), changed)

    return plant


def around(module: Any, name: str, changed: Callable[..., Any]) -> Plant:
    """A function that is called through another one, which gets it first."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *given, **named: changed(real, *given, **named))

    return plant


def unheeded(rule: str, **instead: object) -> Callable[..., Any]:
    """A judgement with this reason becomes another one."""

    def changed(real: Callable[..., Any], *given: Any) -> Any:
        judgement = real(*given)
        return replace(judgement, **instead) if judgement.reason == rule else judgement

    return changed


def tie_is_later(real: Callable[..., Any], execution: Any, event: Any, *rest: Any) -> Any:
    """The rule about ties dropped: what has the mark's time comes after it."""
    return real(replace(execution, mark=execution.mark - 1), event, *rest)


def older_is_stale(real: Callable[..., Any], execution: Any, event: Any, *rest: Any) -> Any:
    """The rule about ends by another clock dropped: whatever is older than the mark is stale."""
    judgement = real(execution, event, *rest)
    if event.occurred_at < execution.mark:
        return Judgement(Verdict.STALE, "older", rest[0])
    return judgement


def only_ties_are_uncertain(
    real: Callable[..., Any], execution: Any, event: Any, *rest: Any
) -> Any:
    """An end that seems older does not say so."""
    judgement = real(execution, event, *rest)
    if event.occurred_at < execution.mark:
        return replace(judgement, flags=judgement.flags - {"order_uncertain"})
    return judgement


def nameless(real: Callable[..., Any], event: Any, loaded: Any) -> Any:
    """A change is its status and its time, whatever the event is called."""
    known = real(event, loaded)
    changes = {(source, x, status, at) for source, x, _, status, at in loaded.changes}
    if known or (event.source, event.execution_id, event.status, event.occurred_at) not in changes:
        return known
    return lifecycle.Known.SAME_CHANGE


def mark_goes_back(patch: pytest.MonkeyPatch) -> None:
    """An end takes the mark with it, wherever its clock puts it."""
    real = lifecycle.advance
    for module in (receiving, holding):
        patch.setattr(
            module, "advance",
            lambda before, event, at: replace(real(before, event, at), mark=event.occurred_at),
        )  # fmt: skip


def without_flag(flag: str) -> Callable[..., Any]:
    """A judgement that does not say what it should."""

    def changed(real: Callable[..., Any], *given: Any) -> Any:
        judgement = real(*given)
        return replace(judgement, flags=judgement.flags - {flag})

    return changed


def without_gap(real: Callable[..., Any], *given: Any) -> Any:
    """An execution that does not say that it went over a gap."""
    entry = real(*given)
    return replace(entry, after=entry.after and replace(entry.after, gap=False))


FAULTS: dict[str, Plant] = {
    "the future begins a nanosecond later": constant(lifecycle, "FUTURE", 300 * SECOND + 1),
    "late begins a nanosecond later": constant(lifecycle, "LATE", 300 * SECOND + 1),
    "too old begins a nanosecond later": constant(
        lifecycle, "MAX_EVENT_AGE", 14 * 24 * HOUR + 1
    ),
    "one more is held": constant(holding, "MAX_HELD", 101),
    "a pause may complete": move("paused", "completed"),
    "an agent's pause cannot fail": move("paused_by_agent", "failed", dropped=True),
    "nothing heals": around(receiving, "rejudge_held", lambda real, *given: iter(())),
    "what was rejected is not healed": around(
        holding,
        "_decides",
        lambda real, judgement, held: held.verdict == "held" and real(judgement, held),
    ),
    "what was overtaken stays held": around(
        holding, "_decides", lambda real, judgement, held: judgement.verdict == "applied"
    ),
    "held events are judged in the order of receipt": constant(
        holding, "_occurred_at", lambda held: 0
    ),
    "a repetition does not move the mark": constant(receiving, "moves_mark", lambda *given: False),
    "gaps are always applied": around(
        receiving, "expire",
        lambda real, held, loaded, now, ordering: real(
            held, loaded, now, replace(ordering, gaps="apply")
        ),
    ),
    "all statuses are observed": around(lifecycle, "moves", lambda real, observes: real(None)),
    "an assumed pause is a user's": around(
        lifecycle.Moves, "is_legal",
        lambda real, self, before, after, assumed=False: real(self, before, after),
    ),
    "a tie is later": around(lifecycle, "_against", tie_is_later),
    "an uncertain order is not flagged": around(
        lifecycle, "_against", without_flag("order_uncertain")
    ),
    "a gap is not shown": around(holding, "judged_again", without_gap),
    "a terminal status changes": around(
        lifecycle, "_against", unheeded("terminal", verdict=Verdict.APPLIED, reason="transition")
    ),
    "the same change counts twice": around(
        receiving, "known",
        lambda real, *given: known if (known := real(*given)) != "same_change" else None,
    ),
    "a change has no name": around(receiving, "known", nameless),
    "an end that seems older is stale": around(lifecycle, "_against", older_is_stale),
    "an end that seems older is not flagged": around(
        lifecycle, "_against", only_ties_are_uncertain
    ),
    "an end that seems older moves the mark back": mark_goes_back,
    "an end that was rejected is overtaken": around(
        loading, "_healable",
        lambda real, db, key, mark: [
            held for held in real(db, key, mark)
            if held.verdict == "held" or held.event.occurred_at >= mark
        ],
    ),
    "every rejected event of an episode is told": around(
        plan, "_notice",
        lambda real, entry, *rest: replace(real(entry, *rest), dedup_key=str(next(NUMBERS))),
    ),
    "a pause is told of when it is over": constant(plan, "_guard", lambda entry: None),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.moves.cache_clear()
    FAULTS[fault](monkeypatch)
    try:
        # Without the fault the same histories agree, see the first test.
        with pytest.raises(Disagreement) as noticed:
            prove("random", SEED, 2_000, pool=400, shrink=False)
        # By what is said differently, or by the store, which refuses what must never be.
        text = str(noticed.value)
        assert "receiver: " in text or "a terminal execution never changes" in text
    finally:
        monkeypatch.undo()
        lifecycle.moves.cache_clear()


def test_a_disagreement_is_told_by_its_smallest_history(monkeypatch: pytest.MonkeyPatch) -> None:
    around(lifecycle, "_against", unheeded("older", verdict=Verdict.REJECTED))(monkeypatch)
    with pytest.raises(Disagreement) as told_of:
        prove("random", SEED, 100)
    text = str(told_of.value)
    assert text.startswith(f"random, seed {SEED}, pool 0")
    # Two webhooks are enough: one and an older one.
    assert text.count(" id ") == 2
    assert "expected: ('stale', 'older'" in text
