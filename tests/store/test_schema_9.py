"""What waited in a store of schema 8 keeps its time, and says when it was asked for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import SqliteStore
from tests.prove_state.older import HOUR, NOW, make

CREATED, MORNING = NOW - HOUR, NOW + 8 * HOUR
LATER = NOW + 2 * HOUR
QUIET = f"quiet/{MORNING}"
NOTICE: dict[str, Any] = {"kind": "notice", "guard_version": 2}
REMINDER: dict[str, Any] = {"kind": "reminder", "guard_version": 2, "step": 3}
ESCALATION: dict[str, Any] = {"kind": "escalation", "guard_version": 2, "step": 1}
STUCK: dict[str, Any] = {"dedup_key": "stuck/s/ops/e-2/r/1", "guard_version": 2}
TRIED: dict[str, Any] = {"tries": 2, "attempts": 2, "reason": "HTTP 503"}
DEAD: dict[str, Any] = {"kind": "notice", "origin": 2}


@pytest.mark.parametrize(
    ("row", "due", "planned", "kept_by", "group"),
    [
        pytest.param({}, CREATED, CREATED, None, None, id="due"),
        pytest.param(NOTICE | TRIED, LATER, CREATED, "retry", None, id="tried"),
        pytest.param({"group_key": "r/1"}, LATER, CREATED, "gathers", "r/1", id="gathers"),
        pytest.param({"group_key": QUIET}, MORNING, CREATED, "quiet", QUIET, id="night"),
        pytest.param({"group_key": QUIET}, LATER, CREATED, "gathers", QUIET, id="after the night"),
        pytest.param(REMINDER, LATER, LATER, None, None, id="reminder"),
        pytest.param(REMINDER | TRIED, LATER, CREATED, "retry", None, id="reminder tried"),
        pytest.param(
            REMINDER | {"group_key": QUIET}, MORNING, CREATED, "quiet", QUIET, id="reminder, night"
        ),
        pytest.param(
            ESCALATION | {"group_key": "r/1"}, LATER, LATER, None, "r/1#escalation", id="escalation"
        ),
        pytest.param(STUCK, LATER, LATER, None, None, id="stuck"),
        pytest.param(DEAD, MORNING, CREATED, "quiet", None, id="report at night"),
    ],
)  # fmt: skip
def test_what_waits_says_when_it_was_asked_for_and_keeps_its_due_time(
    tmp_path: Path, row: dict[str, Any], due: int, planned: int, kept_by: str | None,
    group: str | None,
) -> None:  # fmt: skip
    path = tmp_path / "receiver.db"
    make(path, 8)
    values: dict[str, Any] = {
        "id": 99, "dedup_key": "k", "event": 2, "source": "s", "execution_id": "waits",
        "event_id": "e-2", "route": "r", "destination": "mail", "kind": "notice", "order_key": "k",
        "created_at": CREATED, "owed_at": due if not row.get("tries") else CREATED, "due_at": due,
        **row,
    }  # fmt: skip
    with closing(connect(path)) as connection:
        marks = ", ".join("?" * len(values))
        connection.execute(
            f"INSERT INTO delivery ({', '.join(values)}) VALUES ({marks})", list(values.values())
        )
    SqliteStore(path, serve=True).close()
    with closing(connect(path, read_only=True)) as connection:
        found = connection.execute(
            "SELECT planned_at, kept_by, due_at, group_key, state FROM delivery WHERE id = 99"
        ).fetchone()
    assert found == (planned, kept_by, due, group, "waiting")


def test_what_was_settled_before_stays_as_it_was_and_can_be_redelivered(tmp_path: Path) -> None:
    path = tmp_path / "receiver.db"
    make(path, 8)
    store = SqliteStore(path, serve=True)
    try:
        (dead,), _ = store.deliveries({"state": "dead"}, 9, None)
        assert (dead["planned_at"], dead["due_at"]) == (None, NOW - HOUR)
        again = store.write_now(lambda t, ids: [t.redeliver(n, NOW) for n in ids], dead["id"])
        assert again is True
        waiting, _ = store.deliveries({"state": "waiting"}, 9, None)
        (waits,) = (each for each in waiting if each["id"] == dead["id"])
        assert waits["planned_at"] == waits["created_at"]
    finally:
        store.close()
