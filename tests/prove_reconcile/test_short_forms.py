"""The short form of the proof, and a fault that it has to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.intake.reconcile import asker
from receiver.times import SECOND
from tests.prove_reconcile import timed
from tests.prove_reconcile.proof import run, run_in_time


def test_after_two_rounds_every_status_is_the_provider_s(tmp_path: Path) -> None:
    result = run(tmp_path, 60, seed=5, lost=0.3)
    assert result.wrong == []
    assert result.figures["learnt by asking"] > 20
    assert result.figures["ends told"] > 20


def test_over_hours_the_poller_learns_in_time_and_keeps_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed, "STARTS_WITHIN", 300)
    result = run_in_time(tmp_path, 25, seed=6, lost=0.3)
    assert result.wrong == []
    assert result.figures["learnt by asking"] > 5
    assert max(result.delays_of_ends) <= timed.QUIET_FOR + timed.EVERY + 1


def test_requests_beyond_a_rate_are_counted() -> None:
    assert timed.over_rate([0] * 20, 20.0) == 0
    assert timed.over_rate([0] * 22, 20.0) == 2
    assert timed.over_rate([0] * 20 + [SECOND] * 20, 20.0) == 0


def test_a_receiver_that_does_not_ask_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asker, "learnt", lambda *arguments: [])
    result = run(tmp_path, 40, seed=5, lost=0.3)
    assert len(result.wrong) > 5
