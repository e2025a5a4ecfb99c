"""The short forms of `tests.prove_deliveries`: the same proofs with small counts."""

from __future__ import annotations

import pytest

from tests.prove_deliveries.proofs import prove
from tests.support.postgres import Server
from tests.support.stores import on


@pytest.mark.parametrize(
    "command",
    [
        "faultless --count 400",
        "kills --kills 6",
        "stops",
        "senders --kills 3",
        # So few samples on a busy machine say little about a tenth: only a real wait is seen.
        "hanging --pairs 1 --seconds 1.5 --rate 20 --timeout 30 --goal 20",
        "late --count 60 --seconds 1.5 --refuse 0",
        "shutdown --runs 1 --drain 1",
    ],
    ids=lambda command: command.split()[0],
)
def test_the_promise_holds_in_short(command: str) -> None:
    report = prove(*command.split(), "--seed", "4")
    assert report.broken == [], str(report)


@pytest.mark.parametrize("command", ["faultless --count 120", "kills --kills 3", "stops"])
def test_the_promise_holds_in_short_on_postgresql(command: str, postgres: Server) -> None:
    with on(postgres):
        report = prove(*command.split(), "--store", "postgres", "--seed", "4")
    assert report.broken == [], str(report)


def test_a_planted_bug_turns_its_proof_red() -> None:
    report = prove("planted", "--only", "every message is called")
    assert (report.broken, list(report.figures.values())) == ([], ["found"])
