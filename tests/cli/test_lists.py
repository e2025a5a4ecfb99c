"""Lists of the command line: as long as one asks, and said where they are cut."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.grown import grow
from tests.support.live import ROUTES

N = 450
DEFINITELY_ALL = "1000000"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with more executions, events and messages than a page has."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "routes.yaml").write_text(ROUTES, "utf-8")
    grow(folder / "receiver.db", N, days=(2, 1))
    with closing(sqlite3.connect(folder / "receiver.db")) as db, db:
        ids = [n for (n,) in db.execute("SELECT id FROM delivery ORDER BY id")]
        # The oldest of all and two of the newest five wait.
        waiting = (ids[0], ids[-2], ids[-4])
        db.execute(f"UPDATE delivery SET state = 'waiting' WHERE id IN {waiting}")
        begin = (
            "INSERT INTO silence (match, reason, by, created_at, from_at, until_at)"
            " VALUES ('{}', 'r', 'Ann', 1, 1, 2)"
        )
        db.execute(begin)
        db.execute(begin)
        for n in range(5):
            db.execute(
                "INSERT INTO audit (at, act, who, door, place, about, result)"
                " VALUES (?, 'take', 'Ann', 'api', '', '', '')",
                (n + 1,),
            )
    return folder


def test_a_list_is_as_long_as_one_asks(grown: Path) -> None:
    for command in ("executions", "events"):
        done = run(grown, command, "--limit", DEFINITELY_ALL, "--json")
        rows = json.loads(done.stdout)
        assert len(rows) >= N
        assert done.stderr == b""
        key = "execution_id" if command == "executions" else "seq"
        assert len({row[key] for row in rows}) == len(rows)
        some = run(grown, command, "--limit", "201", "--json")
        assert json.loads(some.stdout) == rows[:201]
        assert some.stderr == b"These are the newest 201: --limit shows more.\n"
        table = run(grown, command, "--limit", "300").stdout.decode().splitlines()
        assert len(table) == 302
        assert table[-1] == "These are the newest 300: --limit shows more."


def test_an_empty_list_is_one_document(grown: Path) -> None:
    done = run(grown, "executions", "--agent", "nobody", "--json")
    assert (done.stdout, done.stderr) == (b"[]\n", b"")


def test_each_part_of_the_deliveries_says_where_it_is_cut(grown: Path) -> None:
    shown = run(grown, "deliveries", "--limit", "2").stdout.decode()
    waiting, done = shown.split("\nDone:\n")
    more = "These are the newest 2: --limit shows more."
    assert [part.splitlines()[-1] for part in (waiting, done)] == [more, more]
    waiting, done = run(grown, "deliveries", "--limit", "5").stdout.decode().split("\nDone:\n")
    assert waiting.count(" waiting ") == 3
    assert "newest" not in waiting
    assert done.count(" sent ") == 5
    assert done.endswith("These are the newest 5: --limit shows more.\n")
    listed = run(grown, "deliveries", "--limit", "5", "--json")
    rows = json.loads(listed.stdout)
    assert [row["state"] for row in rows] == ["waiting"] * 3 + ["sent"] * 5
    assert listed.stderr.endswith(b"\nDone: the newest 5: --limit shows more.\n")
    every = json.loads(run(grown, "deliveries", "--limit", DEFINITELY_ALL, "--json").stdout)
    with closing(sqlite3.connect(grown / "receiver.db")) as db:
        assert len(every) == db.execute("SELECT count(*) FROM delivery").fetchone()[0]


@pytest.mark.parametrize(("command", "n"), [(("audit",), 5), (("silence", "list"), 2)])
def test_other_lists_say_where_they_are_cut_too(
    grown: Path, command: tuple[str, ...], n: int
) -> None:
    line = "These are the newest 1: --limit shows more.\n"
    cut = run(grown, *command, "--limit", "1")
    assert cut.stdout.decode().endswith(line)
    assert run(grown, *command, "--limit", "1", "--json").stderr.decode() == line
    assert b"newest" not in run(grown, *command, "--limit", str(n)).stdout


def test_a_shortened_id_of_a_table_will_do_wherever_an_id_is_asked_for(grown: Path) -> None:
    row = json.loads(run(grown, "executions", "--limit", "1", "--json").stdout)[0]
    whole = row["execution_id"]
    for short in (f"{whole[:-3]}…{whole[-2:]}", whole[:-1]):
        fit = [each for each in ids(grown) if each.startswith(whole[:-1])]
        code = 0 if "…" in short or len(fit) == 1 else 2
        assert run(grown, "executions", "show", short).returncode == code
    for command in ("events", "deliveries"):
        asked = run(grown, command, "--execution", f"{whole[:-3]}…{whole[-3:]}", "--json")
        exact = run(grown, command, "--execution", whole, "--json")
        assert (asked.returncode, asked.stderr) == (0, b"")
        assert json.loads(asked.stdout) == json.loads(exact.stdout)
    assert run(grown, "events", "--execution", f"{whole[:1]}…").returncode == 2  # several


def ids(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "receiver.db")) as db:
        return [each for (each,) in db.execute("SELECT execution_id FROM execution")]
