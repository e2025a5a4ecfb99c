"""Names that changed in routes.yaml: what hangs on the old ones, and how it is carried over."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.dispatch import operators
from receiver.errors import NotRenamed
from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.store.names import NO_SOURCE
from tests.support.people import GONE, HOUR, MINUTE, SOURCES, Walk
from tests.support.stores import only_a_file

ROUTES = """\
destinations:
  team: console://
  lead: console://
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: team
    remind: {every: 15m}
    escalate: [{after: 2h, notify: lead}]
    resolved: true
  - {name: failures, match: {status: failed}, notify: team, group: {by: [agent]}}
  - {name: hangs, stuck: {status: running, after: 3h}, notify: lead}
"""
WAITS = Status.AWAITING_CONFIRMATION
RENAMED = SOURCES.replace("  s:", "  t:") + ROUTES


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, ROUTES)


def waits(walk: Walk, execution: str = "x") -> None:
    walk.comes(Status.RUNNING, execution)
    walk.comes(WAITS, execution)


def settle(walk: Walk) -> tuple[int, int]:
    """Do what the dispatcher does at a start, at a reload and now and then."""
    sources = tuple(walk.rules.sources)
    if not walk.store.is_unsettled(sources):
        return 0, 0
    done: tuple[int, int] = walk.do(lambda t: t.settle_sources(sources, walk.now))
    assert not walk.store.is_unsettled(sources)
    return done


def rename(walk: Walk, kind: str, old: str, new: str, *, dry_run: bool = False) -> dict[str, int]:
    item = operators.Renaming(kind, old, new, dry_run)
    counts: dict[str, int] = walk.store.write_now(operators.rename, item)
    assert walk.store.ledger()["imbalance"] == 0
    return counts


def orphans(walk: Walk) -> list[tuple[str, str, int, int, int]]:
    found = operators.orphans(walk.rules, walk.store)
    return [(o.kind, o.name, o.open, o.held, o.waiting) for o in found]


def dump(walk: Walk) -> list[str]:
    only_a_file("it looks into it")
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as connection:
        return list(connection.iterdump())


def names(walk: Walk, old: str) -> Sequence[str]:
    """Return the tables and columns that still have a name, alone or in a key."""
    found = []
    only_a_file("it looks into it")
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for column in connection.execute(f"PRAGMA table_info({table})").fetchall():
                query = f"SELECT count(*) FROM {table} WHERE '/' || {column[1]} || '/' LIKE ?"
                if connection.execute(query, (f"%/{old}/%",)).fetchone()[0]:
                    found.append(f"{table}.{column[1]}")
    return found


def test_a_source_that_is_gone_reminds_nobody_and_says_why(walk: Walk) -> None:
    waits(walk)
    assert walk.titles() == ["team: Invoice agent waits for confirmation"]
    walk.passes(15 * MINUTE)
    assert len(walk.gets()) == 1
    walk.reload(RENAMED)
    assert orphans(walk) == [("source", "s", 1, 0, 2)]  # the reminder and the escalation
    assert settle(walk) == (2, 0)
    assert walk.until_quiet(5 * HOUR, 15 * MINUTE) == []
    reasons = {reason for _, _, state, reason in walk.states() if state == "superseded"}
    assert NO_SOURCE in reasons
    assert orphans(walk) == [("source", "s", 1, 0, 0)]


def test_a_source_that_is_back_reminds_again_once_and_goes_on(walk: Walk) -> None:
    waits(walk)
    walk.gets()
    walk.reload(RENAMED)
    settle(walk)
    walk.passes(5 * HOUR)
    assert walk.gets() == []
    walk.reload(ROUTES)
    superseded, restored = settle(walk)
    assert (superseded, restored) == (0, 2)
    assert orphans(walk) == []
    assert sorted(walk.titles()) == [
        "lead: Escalated: Invoice agent waits for confirmation",
        "team: Reminder 1: Invoice agent waits for confirmation",
    ]  # fmt: skip
    walk.passes(15 * MINUTE)
    assert walk.titles() == ["team: Reminder 2: Invoice agent waits for confirmation"]
    assert settle(walk) == (0, 0)


def test_nobody_is_told_that_executions_of_a_source_that_is_gone_are_stuck(walk: Walk) -> None:
    walk.comes(Status.RUNNING)
    walk.reload(RENAMED)
    assert settle(walk) == (1, 0)
    assert walk.until_quiet(5 * HOUR, 15 * MINUTE) == []
    walk.reload(ROUTES)
    assert settle(walk) == (0, 1)
    assert walk.titles() == ["lead: Stuck? Invoice agent: no news for 5 h, last known as running"]


def test_a_reminder_planned_while_the_source_goes_is_superseded_as_well(walk: Walk) -> None:
    waits(walk)
    walk.gets()
    walk.passes(15 * MINUTE)
    claim = walk.claim("team")
    assert claim is not None
    walk.reload(RENAMED)
    settle(walk)
    walk.record(claim)  # it was on its way, and plans the next one
    assert settle(walk) == (1, 0)
    assert walk.until_quiet(2 * HOUR) == []


def test_a_renamed_source_goes_on_where_it_was(walk: Walk) -> None:
    for execution in ("x", "done"):
        waits(walk, execution)
    walk.gets()
    walk.comes(Status.COMPLETED, "done")
    walk.gets()
    walk.reload(RENAMED)
    settle(walk)
    before = dump(walk)
    dry = rename(walk, "source", "s", "t", dry_run=True)
    assert dump(walk) == before
    assert rename(walk, "source", "s", "t") == dry
    assert dry["executions"] == 2
    assert dry["left"] == 0
    assert names(walk, "s") == []
    assert settle(walk)[1] == 2
    walk.passes(15 * MINUTE)
    assert walk.titles() == ["team: Reminder 1: Invoice agent waits for confirmation"]
    walk.comes(Status.RUNNING)
    assert walk.titles() == ["team: Invoice agent: confirmed after 15 min, it continues"]
    assert walk.shown()["execution"]["status"] == "running"
    assert rename(walk, "source", "s", "t")["executions"] == 0  # again: nothing is left to do


def test_events_after_a_renaming_are_still_known_as_duplicates(walk: Walk) -> None:
    waits(walk)
    first = walk.event(Status.COMPLETED)
    walk.come([first])
    walk.reload(RENAMED)
    rename(walk, "source", "s", "t")
    (receipt,) = walk.come([replace(first, source="t")])
    assert (receipt.judgement.verdict, receipt.judgement.reason) == ("duplicate", "event_id")


def test_a_source_whose_new_name_was_used_already_becomes_one_but_for_what_both_know(
    walk: Walk,
) -> None:
    for execution in ("only old", "in both"):
        waits(walk, execution)
    walk.gets()
    walk.reload(RENAMED)
    settle(walk)
    walk.comes(Status.COMPLETED, "in both")
    waits(walk, "only new")
    counts = rename(walk, "source", "s", "t")
    assert (counts["executions"], counts["left"]) == (1, 1)
    settle(walk)
    walk.passes(15 * MINUTE)
    titles = walk.gets()
    assert {t.claim.facts.execution_id for t in titles} == {"only old", "only new"}
    assert orphans(walk) == [("source", "s", 1, 0, 0)]  # which has ended under its new name


def test_a_renamed_route_reminds_and_tells_the_end(walk: Walk) -> None:
    waits(walk)
    walk.gets()
    walk.reload(ROUTES.replace("name: confirmations", "name: to confirm"))
    # The running server has ended its plans; the start under the new name takes them up.
    assert orphans(walk) == [("route", "confirmations", 1, 0, 0)]
    before = dump(walk)
    counts = rename(walk, "route", "confirmations", "to confirm", dry_run=True)
    assert dump(walk) == before
    assert rename(walk, "route", "confirmations", "to confirm") == counts
    assert names(walk, "confirmations") == []
    assert orphans(walk) == []
    walk.restart()
    for n in (1, 2, 3):
        walk.passes(15 * MINUTE)
        assert walk.titles() == [f"team: Reminder {n}: Invoice agent waits for confirmation"]
    walk.comes(Status.COMPLETED)
    assert len(walk.gets("team")) == 1  # the end


def test_a_renamed_route_keeps_its_groups_together(walk: Walk) -> None:
    for n in range(3):
        walk.comes(Status.FAILED, f"x-{n}")
    walk.passes(MINUTE)
    assert len(walk.gets()) == 1
    walk.comes(Status.FAILED, "x-3")
    walk.reload(ROUTES.replace("name: failures", "name: failed ones"))
    rename(walk, "route", "failures", "failed ones")
    walk.comes(Status.FAILED, "x-4")
    found = walk.until_quiet(10 * MINUTE)
    assert len(found) == 1  # both of them, when the group's turn has come
    assert found[0][0] >= 4


def test_a_renamed_destination_gets_what_was_owed_and_what_follows(walk: Walk) -> None:
    waits(walk)
    walk.gets()
    walk.comes(Status.RUNNING, "y")
    walk.comes(Status.FAILED, "y")
    new = ROUTES.replace("  team:", "  people:").replace("notify: team", "notify: people")
    walk.reload(new)
    assert orphans(walk) == [("destination", "team", 1, 0, 1)]
    before = dump(walk)
    counts = rename(walk, "destination", "team", "people", dry_run=True)
    assert dump(walk) == before
    assert rename(walk, "destination", "team", "people") == counts
    assert names(walk, "team") == []
    assert orphans(walk) == []
    walk.restart()
    walk.passes(15 * MINUTE)
    assert len(walk.gets("people")) == 2
    walk.comes(Status.COMPLETED)
    assert walk.titles() == [
        "people: Invoice agent: completed after waiting for confirmation for 15 min"
    ]


def test_a_destination_that_died_under_its_old_name_gets_another_chance(walk: Walk) -> None:
    walk.comes(Status.FAILED, "y")
    walk.passes(MINUTE)
    walk.gets("team", GONE)
    new = ROUTES.replace("  team:", "  people:").replace("notify: team", "notify: people")
    walk.reload(new)
    rename(walk, "destination", "team", "people")
    assert walk.do(lambda t: t.redeliver_all("people", walk.now)) == 1
    assert len(walk.gets("people")) == 1


def test_two_names_that_owe_the_same_do_not_become_one(walk: Walk) -> None:
    both = ROUTES.replace("notify: team", "notify: [team, lead]")
    walk.reload(both)
    waits(walk)
    walk.gets()
    before = dump(walk)
    with pytest.raises(NotRenamed, match="cannot become one"):
        rename(walk, "destination", "team", "lead")
    assert dump(walk) == before
    # With another destination there is no such message.
    assert rename(walk, "destination", "team", "people")["deliveries"] > 0


def test_silences_that_last_keep_to_the_new_name(walk: Walk) -> None:
    silence = Silence({"source": ("s", "!other")}, "known", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(silence, walk.now))
    waits(walk)
    walk.reload(RENAMED)
    counts = rename(walk, "source", "s", "t")
    assert counts["silences"] == 1
    walk.comes(Status.FAILED, "z")
    walk.passes(2 * MINUTE)
    assert walk.gets() == []


def test_names_that_look_like_parts_of_others_stay(walk: Walk) -> None:
    walk.reload(SOURCES + SOURCES.replace("sources:\n", "").replace("  s:", "  s2:") + ROUTES)
    waits(walk, "s/x")
    walk.source = "s2"
    waits(walk, "s")
    walk.gets()
    counts = rename(walk, "source", "s", "t")
    assert counts["executions"] == 1
    only_a_file("it looks into it")
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as connection:
        query = (
            "SELECT DISTINCT source, execution_id, order_key FROM delivery WHERE kind = 'notice'"
        )
        keys = {(s, x): k for s, x, k in connection.execute(query) if not k.startswith("stuck")}
    assert keys == {("t", "s/x"): "t/s/x", ("s2", "s"): "s2/s"}


def test_held_events_of_a_source_that_is_gone_are_counted(walk: Walk) -> None:
    walk.comes(Status.RUNNING)
    walk.comes(Status.PAUSED)
    walk.comes(Status.COMPLETED)
    walk.reload(RENAMED)
    assert ("source", "s", 1, 1) in [found[:4] for found in orphans(walk)]
