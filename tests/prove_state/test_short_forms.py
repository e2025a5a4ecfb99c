"""The short forms of `tests.prove_state`: the same proofs with small counts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from receiver.store.sqlite import schema
from tests.prove_state.older import make, stored
from tests.prove_state.people import Hook, hold_arrivals
from tests.prove_state.proofs import prove
from tests.support.proving import Report


@pytest.mark.parametrize(
    "command",
    [
        "storm --events 900 --kills 2",
        "people --kills 2 --executions 10 --seconds 1.0",
        "backups --events 800 --backups 4",
        "older",
    ],
)
def test_the_state_holds_in_short(command: str) -> None:
    report = prove(*command.split(), "--seed", "4")
    assert report.broken == [], str(report)
    for figure, value in report.figures.items():
        assert value, f"{figure} was never put to the test"


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
def test_a_store_of_an_older_schema_has_rows_of_every_kind(tmp_path: Path, version: int) -> None:
    before = make(tmp_path / "r.db", version)
    # What was removed is counted since schema 5.
    empty = {table for table, rows in before.items() if not rows}
    assert empty <= (set() if version >= 5 else {"pruned"})
    with closing(sqlite3.connect(tmp_path / "r.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_row_that_changes_on_the_way_is_seen(tmp_path: Path) -> None:
    before = make(tmp_path / "r.db", 1)
    with closing(sqlite3.connect(tmp_path / "r.db")) as connection:
        connection.execute("UPDATE delivery SET due_at = due_at + 1 WHERE id = 4")
        connection.commit()
    after = stored(tmp_path / "r.db", before)
    assert [table for table in before if after[table] != before[table]] == ["delivery"]


LATE = "Possible repeat: an earlier attempt may have arrived."


@pytest.mark.parametrize(
    ("arrived", "says"),
    [
        ([], "1 ends did not arrive"),
        ([("x1.4: cancelled", "")], ""),
        ([("x1.4: cancelled", LATE)], ""),
        ([("x1.4: cancelled", ""), ("x1.4: cancelled", LATE)], ""),
        ([("x1.4: cancelled", ""), ("x1.4: cancelled", "")], "1 ends came again without a word"),
        ([("x1.4: Ann takes it over from Bob", "")], "1 ends did not arrive"),
        ([("While silenced: x1.4: 1 is settled", "")], "1 ends did not arrive"),
        ([("x1.3: cancelled", "")], "1 ends did not arrive"),
    ],
)
def test_ends_that_are_lost_or_come_twice_are_found(
    arrived: list[tuple[str, str]], says: str
) -> None:
    hook, report = Hook(), Report("people")
    hook.arrived = [("team", title, body) for title, body in arrived]
    hold_arrivals({("team", "x1.4")}, hook, report)
    assert [each[: len(says)] for each in report.broken] == ([says] if says else [])
