"""The proof about `explain` in short, and faults that it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from receiver.intake import explain as explaining
from receiver.intake import foresight, receive
from receiver.store.sqlite.store import SqliteStore
from tests.prove_explain.proof import Different, prove

SEED = 3
Plant = Callable[[pytest.MonkeyPatch], None]


def test_explain_says_what_will_happen() -> None:
    figures = prove(SEED, 160)
    # What never happened has not been proven.
    wanted = {
        "None (agent)", "applied (transition)", "duplicate (event_id)", "held (gap)",
        "rejected (terminal)", "quarantined (future)", "resolved", "escalation", "settled",
        "told now", "told later", "told never",
    }  # fmt: skip
    assert wanted - {name for name, n in figures.items() if n} == set()


def commits(patch: pytest.MonkeyPatch) -> None:
    """Explaining leaves a trace."""
    patch.setattr(SqliteStore, "rehearse", SqliteStore.write_now)


def takes_any_agent(patch: pytest.MonkeyPatch) -> None:
    """The list of agents is forgotten."""
    real = receive.read_webhook
    patch.setattr(
        explaining, "read_webhook",
        lambda source, *rest: real(replace(source, agents=()), *rest),
    )  # fmt: skip


def foretells(changed: Callable[[Any, int], Any]) -> Plant:
    """Messages are foretold in another way."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = foresight.foresee
        patch.setattr(
            explaining, "foresee",
            lambda transaction, since, rules, now: [
                changed(seen, now) for seen in real(transaction, since, rules, now)
            ],
        )  # fmt: skip

    return plant


FAULTS: dict[str, Plant] = {
    "explaining commits": commits,
    "any agent is taken": takes_any_agent,
    "every message goes out now": foretells(lambda seen, now: replace(seen, at=now)),
    "what is silenced has a text": foretells(
        lambda seen, now: replace(seen, owed=replace(seen.owed, reason=""))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[fault](monkeypatch)
    with pytest.raises(Different):
        prove(SEED, 160)
