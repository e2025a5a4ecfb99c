"""The short form of the proof, and a fault that it has to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.intake.reconcile import asker
from tests.prove_reconcile.proof import run


def test_after_two_rounds_every_status_is_the_provider_s(tmp_path: Path) -> None:
    result = run(tmp_path, 60, seed=5, lost=0.3)
    assert result.wrong == []
    assert result.figures["learnt by asking"] > 20
    assert result.figures["ends told"] > 20


def test_a_receiver_that_does_not_ask_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asker, "learnt", lambda *arguments: [])
    result = run(tmp_path, 40, seed=5, lost=0.3)
    assert len(result.wrong) > 5
