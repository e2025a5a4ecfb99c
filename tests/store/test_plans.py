"""Every named statement is planned on every engine there is; the hot ones use their index."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from receiver import store
from receiver.store.postgres import many_rows as of_postgres
from receiver.store.postgres import peers
from receiver.store.postgres.address import read_address
from receiver.store.postgres.connection import dialect
from receiver.store.postgres.many_rows import _HOLD
from receiver.store.postgres.many_rows import ManyRows as OfPostgres
from receiver.store.postgres.schema import prepare
from receiver.store.sql.database import STATEMENTS, Statement
from receiver.store.sql.outbox import INSERT_DELIVERY
from receiver.store.sql.plans import EPISODES
from receiver.store.sqlite import many_rows
from receiver.store.sqlite.connection import DIALECT, connect
from receiver.store.sqlite.many_rows import MOST, ManyRows
from receiver.store.sqlite.store import SqliteStore
from tests.support.postgres import Server

SQL = Path(store.__path__[0]) / "sql"
POSTGRESQL = replace(dialect(), spell=lambda text: numbered(text))  # noqa: PLW0108  (it stands below)


def numbered(text: str) -> str:
    """The statement with `$1`, `$2` … for its parameters."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return re.sub(r":([a-z_]+)", number, text)


def plan_of(folder: Path, query: str | Statement) -> str:
    """How SQLite would go about it, with nothing bound."""
    text = DIALECT.text(query) if isinstance(query, Statement) else query
    if not (folder / "r.db").exists():
        SqliteStore(folder / "r.db").close()
    bound: Any = dict.fromkeys(re.findall(r":([a-z_]+)", text)) or [None] * text.count("?")
    with closing(connect(folder / "r.db")) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", bound).fetchall()
    return " / ".join(row[3] for row in rows)


def test_sqlite_plans_every_statement(tmp_path: Path) -> None:
    refused = []
    for statement in STATEMENTS.values():
        try:
            plan_of(tmp_path, statement)
        except sqlite3.Error as error:
            refused.append(f"{statement.name}: {error}")
    assert refused == []
    assert len(STATEMENTS) > 100


def test_postgresql_plans_every_statement(postgres: Server) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    refused = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in STATEMENTS.values():
            text: Any = f"EXPLAIN (GENERIC_PLAN) {POSTGRESQL.text(statement)}"
            try:
                connection.execute(text)
            except psycopg.Error as error:
                refused.append(f"{statement.name}: {str(error).splitlines()[0]}")
    assert refused == []


@pytest.mark.parametrize("which", ["of_statuses", "waited_for"])
def test_open_episodes_are_walked_in_parts_by_number(tmp_path: Path, which: str) -> None:
    plan = plan_of(tmp_path, EPISODES[which])
    assert "SEARCH x USING" in plan
    assert "(id>?)" in plan or "rowid>?" in plan
    assert "TEMP B-TREE" not in plan


def test_deliveries_are_inserted_by_one_text() -> None:
    inserts = {
        re.match(r"INSERT INTO delivery \([^)]*\)", statement.text)
        for statement in STATEMENTS.values()
        if "INTO delivery" in statement.text
    }
    assert {insert and insert[0] for insert in inserts} == {INSERT_DELIVERY}


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("still_held", "USING INDEX event_gap"),
        ("healable", "USING INDEX event_gap"),
        ("next_given_up", "INDEX event_held"),
        ("expired_held", "INDEX event_held"),
        ("next_due", "INDEX delivery_due"),
        ("dead_count", "INDEX delivery_dead"),
        ("lost_leases", "INDEX delivery_lease"),
        ("next_claim", "INDEX delivery_order"),
        ("event_number", "INDEX event_id (source=? AND event_id=? AND repeated=?)"),
        ("event_received", "INTEGER PRIMARY KEY"),
        ("failed", "INDEX execution_ended"),
        ("remove_audit", "INDEX audit_at"),
        ("taking", "INTEGER PRIMARY KEY"),
        ("is_owed", "INDEX sqlite_autoindex_delivery_1 (dedup_key=?)"),
    ],
)
def test_hot_queries_use_their_index(tmp_path: Path, name: str, index: str) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert index in plan
    assert "SCAN" not in plan or "SCAN delivery USING INDEX delivery_lease" in plan
    assert "TEMP B-TREE" not in plan


def test_what_waits_for_a_person_is_read_in_the_order_of_its_index(tmp_path: Path) -> None:
    first, _, rest = plan_of(tmp_path, STATEMENTS["needing_people"]).partition(" / SCAN x")
    assert first == "CO-ROUTINE x / SCAN execution USING INDEX execution_waits"
    assert rest.count("SCAN") == 0  # a partial index, read from its beginning up to the limit


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("deliveries_dead", "delivery_dead"),
        ("deliveries_waiting", "delivery_due"),
        ("deliveries_sending", "delivery_lease"),
        ("events_held", "event_held"),
        ("events_unapplied", "event_unapplied"),
    ],
)
def test_lists_of_few_walk_over_those_alone(tmp_path: Path, name: str, index: str) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert plan.endswith(f"USING INDEX {index}")
    assert plan.startswith("SEARCH")
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("executions_waiting", ["SCAN execution USING INDEX execution_waits", "SEARCH x"]),
        ("executions_open", ["SEARCH x USING INDEX execution_open (id<?)"]),
    ],
)
def test_a_list_of_open_executions_never_walks_over_those_that_ended(
    tmp_path: Path, name: str, steps: list[str]
) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert all(step in plan for step in steps)
    assert plan.count("SCAN") == sum("SCAN" in step for step in steps)
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("events_of_one", "h USING PRIMARY KEY (execution=?)"),
        ("events_of_one", "event_execution (source=? AND execution_id=?)"),
        ("deliveries_of_one", "delivery_execution (source=? AND execution_id=? AND rowid<?)"),
        ("judgements", "PRIMARY KEY (event=?)"),
        ("attempts", "PRIMARY KEY (delivery=?)"),
        ("sent_texts", "INTEGER PRIMARY KEY (rowid=?)"),
        ("obstacles", "d USING INTEGER PRIMARY KEY (rowid=?)"),
        ("lists_instead", "delivery_origin (origin=?)"),
        ("told_of_episodes", "delivery_event (event=?)"),
        ("told_of_episodes", "l USING INDEX delivery_origin (origin=?)"),
        ("told_of", "x USING INDEX sqlite_autoindex_execution_1 (source=? AND execution_id=?)"),
        ("told_of", "h USING PRIMARY KEY (execution=? AND version=?)"),
        ("told_of", "d USING INDEX delivery_event (event=?)"),
        ("told_of", "l USING INTEGER PRIMARY KEY (rowid=?)"),
        ("told_of", "l USING INDEX delivery_origin (origin=?)"),
    ],
)
def test_what_belongs_to_the_rows_of_a_page_is_found_by_its_keys(
    tmp_path: Path, name: str, index: str
) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert index in plan
    scans = [step for step in plan.split(" / ") if step.startswith("SCAN")]
    assert all(step.startswith("SCAN json_each") for step in scans)


@pytest.mark.parametrize(
    "name", ["event_numbers", "newest_event", "newest_execution", "newest_of_deliveries"]
)
def test_the_first_and_the_last_number_are_found_without_a_walk(tmp_path: Path, name: str) -> None:
    assert "SCAN event" not in (plan := plan_of(tmp_path, STATEMENTS[name]))
    assert "SEARCH" in plan


@pytest.mark.parametrize(
    "name",
    [
        "events_of_execution", "events_of_one", "execution_stays", "heard_after", "heard_at",
        "last_heard", "learnt", "news_came", "put_off_stuck_group", "put_off_stuck_one",
        "prunable_executions", "remind_missed", "set_back_heard", "source_absent",
        "watch_silenced_again",
    ],
)  # fmt: skip
def test_the_events_of_an_execution_are_those_of_its_history_and_of_a_small_index(
    tmp_path: Path, name: str
) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert "SEARCH h USING PRIMARY KEY (execution=?)" in plan
    assert "SEARCH u USING INDEX event_execution (source=? AND execution_id=?)" in plan
    assert not re.search(r"SCAN [erwuh] ", plan)


def test_rejected_ends_are_looked_for_in_a_bounded_part_of_the_index(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, STATEMENTS["healable_ends"])
    # `e` is that part.
    assert plan.endswith("verdict=? AND occurred_at<?) / SCAN e")
    assert "SEARCH event USING INDEX event_gap" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("many", "index"),
    [
        (many_rows.STORED_IDS, "INDEX event_id (source=? AND event_id=?)"),
        (many_rows.STORED_CHANGES,
         "INDEX event_execution (source=? AND execution_id=? AND occurred_at=?)"),
        (many_rows.STORED_CHANGES, "h USING PRIMARY KEY (execution=?)"),
        (many_rows.STORED, "INDEX sqlite_autoindex_execution_1 (source=? AND execution_id=?)"),
        (many_rows.STORED, "INDEX event_gap (source=? AND execution_id=?)"),
        (many_rows.NUMBERS,
         "INDEX sqlite_autoindex_execution_1 (source=? AND execution_id=?)"),
        (many_rows.EXECUTION_MOVES, "SEARCH execution USING INTEGER PRIMARY KEY"),
    ],
)  # fmt: skip
def test_statements_about_many_rows_look_for_each_by_its_index(
    tmp_path: Path, many: ManyRows, index: str
) -> None:
    for n in (1, 2, MOST):
        plan = plan_of(tmp_path, many.text(n))
        assert index in plan
        for table in ("e", "x", "event", "execution"):
            assert f"SCAN {table} " not in f"{plan} "
        assert "TEMP B-TREE" not in plan


GROUP = "delivery_group (destination=? AND group_key=? AND state=? AND due_at<?)"


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("next_claim", "delivery_due (destination=? AND due_at<?)"),
        ("supersede_untrue_one", "d USING INTEGER PRIMARY KEY"),
        ("supersede_untrue_group", GROUP),
        ("silence_candidates_one", "d USING INTEGER PRIMARY KEY"),
        ("silence_candidates_group", GROUP),
        ("put_off_stuck_group", GROUP),
        ("group_head", GROUP),
        ("put_off_quiet", "delivery_due (destination=? AND due_at<?)"),
        ("routes_put_off", "delivery_due (destination=? AND due_at>?)"),
        ("move_quiet", "delivery_due (destination=? AND due_at>?)"),
        ("record", "delivery_token (token=?)"),
        ("episode_over", "delivery_episode (source=? AND execution_id=? AND guard_version<?)"),
        ("resolve_episode", "delivery_execution (source=?"),
        ("resolve_instead_episode", "delivery_execution (source=?"),
        ("resolve_instead_listed", "delivery_digest (digest=?)"),
        ("tell_who_took_it_instead_execution", "delivery_execution (source=?"),
        ("resolve_digest", "delivery_digest (digest=?)"),
        ("remind_digest", "delivery_digest (digest=?)"),
        ("remind_kept_back", "delivery_silenced (silence=? AND destination=? AND due_at=?)"),
        ("active_silences", "silence_open (until_at>?)"),
        ("next_silence_end", "INDEX silence_open"),
        ("silenced_destinations", "delivery_silenced (silence=?)"),
        ("missed_confirmations", "delivery_silenced (silence=? AND destination=?)"),
    ],
)
def test_what_is_asked_of_episodes_and_digests_uses_its_index(
    tmp_path: Path, name: str, index: str
) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert index in plan
    # What is looked at of each delivery is found by its key; a row that is inserted may be checked
    # against all, which stands at the end and is not done where nothing is replaced.
    # What was found is numbered and read once more; fall-backs are followed by their keys.
    found = (
        "(subquery-1)",
        "(subquery-3)",
        "(subquery-4)",
        "(subquery-7)",
        "(subquery-8)",
        "m",
        "SCAN o",
        "SCAN fell",
        "SCAN w",
    )
    scans = [step for step in plan.split(" / ") if step.startswith("SCAN")]
    looked_at = [step for step in scans if not step.endswith(found)]
    assert {step.split()[1] for step in looked_at} <= {"json_each", "delivery"}


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("set_back_deliveries", "SCAN delivery USING INDEX delivery_due"),
        ("set_back_held", "SCAN event USING INDEX event_held"),
        ("set_back_silences", "SCAN silence USING INDEX silence_open"),
        ("set_back_groups", "SEARCH digest_group USING COVERING INDEX"),
    ],
)
def test_a_start_looks_at_what_waits_and_not_at_what_is_kept(
    tmp_path: Path, name: str, index: str
) -> None:
    plan = plan_of(tmp_path, STATEMENTS[name])
    assert index in plan
    assert plan.count("SCAN") <= 1


def test_no_statement_is_missed() -> None:
    """Every module of the store is imported, and none sends a text that is not registered."""
    for module in pkgutil.walk_packages(store.__path__, "receiver.store."):
        importlib.import_module(module.name)
    sources = {path: ast.parse(path.read_text("utf-8")) for path in SQL.parent.rglob("*.py")}
    texts = {
        (path.relative_to(SQL.parent).as_posix(), ast.unparse(call.args[0]))
        for path, tree in sources.items()
        # An engine's own texts are planned below.
        if path.parent.name not in ("postgres", "sqlite") and path.name != "database.py"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("execute", "executemany", "executescript")
    }
    assert {text for _, text in texts} == {
        "'SAVEPOINT renaming'", "'ROLLBACK TO SAVEPOINT renaming'", "'RELEASE SAVEPOINT renaming'",
    }  # fmt: skip
    # A statement that is not registered is made by nobody but the register.
    made = [
        path.name
        for path, tree in sources.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Statement")
    ]
    assert made == ["database.py"]


def test_postgresql_plans_its_statements_about_many_rows(postgres: Server) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    texts = [many.text for many in vars(of_postgres).values() if isinstance(many, OfPostgres)]
    named = [peers._TAKE, peers._GIVE, peers._ALIVE, peers._IS_SERVED, peers._CLEAR]
    texts += [re.sub(r"%\(\w+\)s", "%s", text) for text in (_HOLD, *named)]
    assert len(texts) > 12
    with psycopg.connect(url, autocommit=True) as connection:
        for text in texts:
            spelled: Any = f"EXPLAIN (GENERIC_PLAN) {placed(text)}"
            connection.execute(spelled)


def placed(text: str) -> str:
    """The statement with `$1`, `$2` … for each `%s`."""
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", text).replace("%%", "%")
