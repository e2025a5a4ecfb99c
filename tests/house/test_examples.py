"""The three files of the README, read as they stand there and walked through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.times import parse_time
from tests.support.live import PUBLIC
from tests.support.people import HOUR, MINUTE, SECOND, Told, Walk
from tests.support.readme_parts import README

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
FILES = re.findall(r"```yaml\n(sources:\n.*?)```", README.read_text("utf-8"), re.S)
NAMES = ("OPS_URL", "MAIL_URL", "APPROVERS_URL", "LEAD_URL", "TEAM_URL", "PAGER_URL")
ENVIRON: Mapping[str, str] = {"ASTEROID_PUBLIC_KEY": PUBLIC, **dict.fromkeys(NAMES, "console://")}


@contextmanager
def walked(folder: Path, number: int, at: str) -> Iterator[Walk]:
    folder.mkdir(exist_ok=True)
    walk = Walk(folder, FILES[number], ENVIRON, parse_time(at))
    try:
        yield walk
    finally:
        walk.store.close()


def titles(found: list[tuple[int, Told]]) -> list[tuple[int, str]]:
    return [(at, f"{told.destination}: {told.title}") for at, told in found]


def test_there_are_three_files_and_they_surprise_nobody(tmp_path: Path) -> None:
    assert len(FILES) == 3
    for number in range(3):
        with walked(tmp_path / str(number), number, "2026-06-01T12:00:00Z") as walk:
            assert not [w for w in walk.rules.warnings if "secret_header" not in w]


def test_the_ops_team_gets_one_message_for_an_incident_and_hears_of_what_hangs(
    tmp_path: Path,
) -> None:
    with walked(tmp_path, 0, "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING, "hangs")
        for number in range(60):
            walk.comes(Status.FAILED, f"x-{number}", detail={"reason": "log-in refused"})
            walk.passes(SECOND)
        walk.comes(Status.COMPLETED, "y", detail={"outcome": "failure"})
        walk.comes(Status.CANCELLED, "z", detail={"reason": "user_requested"})
        walk.comes(Status.COMPLETED, "z2", detail={"outcome": "success"})
        first = walk.gets()
        walk.restart()
        found = walk.until_quiet(7 * HOUR)
        assert [f"{told.destination}: {told.title}" for told in first] == [
            "ops: Invoice agent: 60 failed since 12:00 UTC: log-in refused",
        ]  # fmt: skip
        assert titles(found) == [
            (1, "ops: Invoice agent completed without success"),
            (119, "ops: Stuck? Invoice agent: no news for 2 h, still running"),
            (359, "ops: Reminder 1: Stuck? Invoice agent: no news for 2 h, still running"),
        ]
        walk.comes(Status.FAILED, "hangs", detail={"reason": "worker_lost"})
        walk.passes(MINUTE)
        assert walk.titles() == [
            "ops: Invoice agent: failed after running for 7 h 1 min",
            "ops: Invoice agent failed: worker_lost",
        ]  # fmt: skip


def test_the_approvers_are_reminded_until_somebody_takes_it(tmp_path: Path) -> None:
    with walked(tmp_path, 1, "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING, metadata={"team": "payments"})
        walk.comes(AWAITS, metadata={"team": "payments"}, detail={"reason": "Pay 4,200 EUR"})
        assert walk.titles() == ["approvers: Invoice agent asks: Pay 4,200 EUR"]
        found = walk.until_quiet(20 * MINUTE)
        walk.restart()
        found += walk.until_quiet(20 * MINUTE)
        assert titles(found) == [
            (15, "approvers: Reminder 1: Invoice agent asks: Pay 4,200 EUR"),
            (10, "approvers: Reminder 2: Invoice agent asks: Pay 4,200 EUR"),
            (10, "lead: Escalated: Invoice agent asks: Pay 4,200 EUR"),
        ]
        assert walk.acknowledge("Ann") is True
        assert sorted(walk.titles()) == [
            "approvers: Invoice agent: Ann takes care of it",
            "lead: Invoice agent: Ann takes care of it",
        ]
        assert walk.until_quiet(3 * HOUR) == []
        walk.comes(RUNNING)
        assert sorted(walk.titles()) == [
            "approvers: Invoice agent: confirmed after 3 h 40 min; Ann had taken it",
            "lead: Invoice agent: confirmed after 3 h 40 min; Ann had taken it",
        ]


def test_confirmations_of_other_teams_gather_and_are_each_listed(tmp_path: Path) -> None:
    with walked(tmp_path, 1, "2026-06-01T12:00:00Z") as walk:
        for number in range(12):
            walk.comes(AWAITS, f"x-{number}")
        walk.passes(MINUTE)
        told = walk.gets()
        assert [each.title for each in told] == [
            "Invoice agent: 10 wait for confirmation since 12:00 UTC",
            "Invoice agent: 2 wait for confirmation since 12:00 UTC",
        ]
        bodies = "\n".join(each.message.body for each in told)
        assert all(re.search(rf"· x-{number}$", bodies, re.M) for number in range(12))
        for number in range(12):
            walk.comes(RUNNING, f"x-{number}")
        assert walk.titles() == ["approvers: Invoice agent: 12 are settled"]
        assert walk.until_quiet(3 * HOUR) == []


def test_the_team_that_sleeps_wakes_only_for_what_is_urgent(tmp_path: Path) -> None:
    with walked(tmp_path, 2, "2026-06-05T21:30:00Z") as walk:  # Friday, 23:30 in Berlin
        walk.comes(AWAITS, "inv")
        walk.comes(Status.FAILED, "f-1")
        walk.comes(Status.COMPLETED, "report", agent_name="Report agent", agent_id=None)
        walk.comes(Status.FAILED, "f-2", detail={"reason": "budget_exceeded"})
        assert sorted(walk.titles()) == [
            "pager: Invoice agent failed: budget_exceeded",
            "team: Invoice agent failed: budget_exceeded",
        ]
        found = walk.until_quiet(5 * HOUR)
        assert titles(found) == [(240, "pager: Escalated: Invoice agent waits for confirmation")]
        walk.restart()
        found = walk.until_quiet(3 * HOUR)  # until 07:30
        assert titles(found) == [
            (150, "team: Invoice agent: 1 waits for confirmation, 1 failed since 5 Jun 21:30 UTC"),
            (180, "team: Reminder 1: Invoice agent waits for confirmation"),
        ]
        walk.comes(Status.CANCELLED, "inv")
        assert sorted(walk.titles()) == [
            "pager: Invoice agent: cancelled after waiting for confirmation for 8 h",
            "team: Invoice agent: cancelled after waiting for confirmation for 8 h",
        ]
        found = walk.until_quiet(50 * HOUR, 30 * MINUTE)
        # The report waits for Monday, 07:00 in Berlin.
        assert titles(found) == [(47 * 60 + 30, "team: Report agent completed")]


@pytest.mark.parametrize("number", range(3))
def test_what_nobody_answers_is_told_of_until_it_moves_and_never_after(
    tmp_path: Path, number: int
) -> None:
    with walked(tmp_path, number, "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING)
        walk.comes(AWAITS)
        walk.until_quiet(30 * HOUR, 5 * MINUTE)
        walk.comes(Status.FAILED)
        last = walk.until_quiet(30 * HOUR, 5 * MINUTE)
        kinds = {told.claim.kind for _, told in last}
        assert kinds <= {"notice", "resolved"}
        assert walk.pending() == 0
