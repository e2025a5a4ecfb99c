"""Commands as people run them: their output and their exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.cli.main import cli
from receiver.errors import ReceiverError
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.sources import signing
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.commands import TOP, run
from tests.support.live import PUBLIC, ROUTES, free_port, live, until
from tests.support.readme_parts import README


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    return tmp_path


def test_demo_shows_every_verdict_and_a_ledger_in_balance(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--exit")
    shown = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    for words in ("applied (first_seen)", "applied (transition)", "duplicate (event_id)",
                  "held (gap), then applied (healed)",
                  "stale (older)", "rejected (terminal)", "HTTP 401  refused", "imbalance 0",
                  "to ops: Invoice agent failed"):  # fmt: skip
        assert words in shown
    assert done.stderr == b""
    # The message and the lines that the README shows, whatever their ids and times.
    message, lines = columns_of_the_readme()
    for line in lines:
        assert line in shown
    told = " ".join(each.removeprefix("│ ") for each in shown.splitlines())
    pattern = re.escape(" ".join(message)).replace("…", r"\S+")
    assert re.search(pattern.replace(r"10:02", r"\d\d:\d\d").replace(r"\-7", r"-\w+"), told)


def columns_of_the_readme() -> tuple[list[str], list[str]]:
    """The words of the message that the README shows, and the lines of the demo beside it."""
    block = re.search(r"```text\n(.*┊.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert block is not None
    columns = [line.split("┊") for line in block[1].splitlines()]
    return " ".join(left for left, _ in columns).split(), [right.strip() for _, right in columns]


def test_the_shipped_routes_work_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_bytes((TOP / "routes.yaml").read_bytes())
    done = run(tmp_path, "check")
    assert done.returncode == 0
    assert b"routes.yaml:6: warning: source asteroid has no key" in done.stdout


def test_check_says_which_route_leaves_its_incidents_open(tmp_path: Path) -> None:
    night = "{from: '22:00', to: '07:00', tz: UTC}"
    (tmp_path / "routes.yaml").write_text(
        """\
sources: {own: {format: plain, verify: {scheme: token, header: X-Token, keys: [a-long-token-123]}}}
destinations: {pager: {url: "pagerduty://canary@canary", quiet: NIGHT}, ops: "console://"}
routes:
  - {name: waits, match: {status: awaiting_confirmation}, notify: [pager], resolved: true}
  - {name: paused, match: {status: paused}, notify: [ops], escalate: [{after: 1h, notify: pager}]}
  - {name: whole, notify: [pager], resolved: true, acknowledged: true}
  - {name: failed, match: {status: failed}, notify: [pager], group: {by: [agent]}}
  - {name: told, match: {status: paused}, notify: [ops]}
  - {name: late, notify: pager, resolved: true, acknowledged: true, quiet: NIGHT}
""".replace("NIGHT", night),
        "utf-8",
    )
    lines = run(tmp_path, "check").stdout.decode().splitlines()
    route = "warning: route {} opens incidents at pager, and"
    assert [line for line in lines if "incidents" in line] == [
        f"routes.yaml:4: {route.format('waits')} does not say what becomes of them: add"
        " acknowledged: true",
        f"routes.yaml:5: {route.format('paused')} does not say what becomes of them: add"
        " acknowledged: true and resolved: true",
        f"routes.yaml:7: {route.format('failed').removesuffix(' and')} where each episode goes by"
        " itself: group is not used there",
        f"routes.yaml:9: {route.format('late')} resolves them no earlier than after its quiet"
        " hours",
        "routes.yaml:2: warning: destination pager opens and resolves incidents no earlier than"
        " after its quiet hours",
    ]
    assert "canary" not in "\n".join(lines)


def test_a_broken_file_stops_check_and_serve_with_file_line_and_message(folder: Path) -> None:
    (folder / "routes.yaml").write_text(ROUTES.replace("notify: [ops]", "notify: [opz]", 1))
    for command in ("check", "serve"):
        done = run(folder, command, PUBLIC=PUBLIC, RECEIVER_PORT=str(free_port()))
        assert done.returncode == 1
        assert done.stderr.startswith(b"routes.yaml:7: there is no destination 'opz'")
        assert b"Traceback" not in done.stderr


def test_a_misspelled_setting_names_the_nearest(folder: Path) -> None:
    done = run(folder, "check", PUBLIC=PUBLIC, RECEIVER_PROT="9000")
    assert (done.returncode, b"Did you mean RECEIVER_PORT?" in done.stderr) == (1, True)


def test_explain_says_the_verdict_the_routes_and_the_text(folder: Path) -> None:
    body = client.asteroid_event("EXECUTION_FAILED", "x-1", payload={"reason": "no log-in"})
    (folder / "event.json").write_bytes(body)
    done = run(folder, "explain", "event.json", "--source", "asteroid", PUBLIC=PUBLIC)
    shown = done.stdout.decode()
    assert "verdict    applied (first_seen)" in shown
    assert "route 'failures' tells ops:" in shown
    assert "failed: no log-in" in shown
    assert "route 'not accepted' does not match: verdict is applied" in shown
    assert not (folder / "receiver.db").exists()
    done = run(folder, "explain", "-", "--source", "asteroid", "--json", stdin=body, PUBLIC=PUBLIC)
    assert json.loads(done.stdout)["verdict"] == "applied"
    unreadable = run(folder, "explain", "-", "--source", "asteroid", stdin=b"{", PUBLIC=PUBLIC)
    assert b"quarantined (malformed)" in unreadable.stdout


def test_explain_judges_against_what_is_stored(folder: Path) -> None:
    with live(folder) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x-1"))
    later = client.asteroid_event("EXECUTION_RESUMED", "x-1")
    done = run(folder, "explain", "-", "--source", "asteroid", stdin=later, PUBLIC=PUBLIC)
    assert b"verdict    rejected (terminal)" in done.stdout


def test_keygen_and_send_reach_a_running_server(folder: Path) -> None:
    made = run(folder, "keygen", "--out", "try")
    assert made.returncode == 0
    assert (folder / "try.private.pem").stat().st_mode & 0o077 == 0
    assert run(folder, "keygen", "--out", "try").returncode == 1
    public = (folder / "try.public.pem").read_text()
    send = ("send", "--source", "asteroid", "--event", "EXECUTION_FAILED", "--execution", "x-1",
            "--key", "try.private.pem")  # fmt: skip
    with live(folder, ROUTES, {"PUBLIC": public}) as receiver:
        sent = run(folder, *send, "--url", receiver.url, PUBLIC=public)
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        shown = run(folder, "executions", PUBLIC=public)
        listed = run(folder, "deliveries", "--json", PUBLIC=public)
        again = run(folder, "redeliver", "1", PUBLIC=public)
    assert (sent.returncode, b'"verdict": "applied"' in sent.stdout) == (0, True)
    assert b"failed" in shown.stdout
    assert json.loads(listed.stdout)[0]["state"] == "sent"
    assert (again.returncode, b"is not dead" in again.stderr) == (1, True)
    nobody = run(folder, *send, "--url", f"http://127.0.0.1:{free_port()}", PUBLIC=public)
    assert (nobody.returncode, b"receiver serve" in nobody.stderr) == (1, True)


def test_a_command_that_looks_says_what_to_do_where_there_is_nothing(tmp_path: Path) -> None:
    for command in (("executions",), ("deliveries",), ("redeliver", "1")):
        done = run(tmp_path, *command)
        assert (done.returncode, b"Start `receiver serve` first" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert run(tmp_path, "redeliver", "x").returncode == 2
    assert run(tmp_path, "nonsense").returncode == 2


def test_every_command_explains_itself(tmp_path: Path) -> None:
    assert all(command.help for command in cli.commands.values())
    assert run(tmp_path, "--help").returncode == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_with_exit_code_0_on_a_signal(folder: Path, sent: signal.Signals) -> None:
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": str(TOP), "PUBLIC": PUBLIC, "RECEIVER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", "serve"], cwd=folder, env=environ,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert any(b"serve.started" in line for line in iter(process.stderr.readline, b""))
        until(lambda: _answers(port))
        process.send_signal(sent)
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _answers(port: int) -> bool:
    try:
        return client.post_raw(f"http://127.0.0.1:{port}/webhooks/asteroid", b"{}", {})[0] == 401
    except ReceiverError:
        return False


def test_a_key_of_another_kind_is_told_in_words(folder: Path) -> None:
    (folder / "key").write_text(signing.generate("token")[0])
    done = run(folder, "send", "--source", "asteroid", "--event", "EXECUTION_FAILED",
               "--execution", "x", "--key", "key", PUBLIC=PUBLIC)  # fmt: skip
    assert (done.returncode, b"no private key in PEM" in done.stderr) == (1, True)


def stored(folder: Path, *stories: tuple[str, int, str]) -> None:
    """Events (status, second, execution) in the folder's database, given up after a minute."""
    start = client.now_whole() - 100 * SECOND
    store = SqliteStore(folder / "receiver.db", serve=True)
    for number, (status, second, execution) in enumerate(stories):
        event = Event(
            "asteroid", f"e-{number}", "E", Status(status), execution, start + second * SECOND
        )
        store.write_now(
            Intake([]).receive, VerifiedWebhook("asteroid", event, b"{}", start + 50 * SECOND)
        )
    store.close()


def test_lifecycle_prints_the_table_in_force_for_a_source(folder: Path) -> None:
    published = run(folder, "lifecycle").stdout.decode()
    assert "paused                 →  running, cancelled" in published
    observes = "    observes: [paused, completed, failed, cancelled]\n    verify:"
    (folder / "routes.yaml").write_text(ROUTES.replace("    verify:", observes), "utf-8")
    done = run(folder, "lifecycle", "--source", "asteroid", PUBLIC=PUBLIC)
    assert done.returncode == 0, done.stderr.decode()
    rows = (line.partition("→") for line in done.stdout.decode().strip().splitlines())
    lines = {status.strip(): targets.strip() for status, _, targets in rows}
    assert lines["paused"] == "running, paused, completed, failed, cancelled"
    assert lines["completed"] == "nothing: terminal"
    assert "running (not observed)" in lines
    assert run(folder, "lifecycle", "--source", "x", PUBLIC=PUBLIC).returncode == 1


def test_explain_names_the_rule_and_what_it_would_settle(folder: Path) -> None:
    stored(folder, ("paused", 1, "x"), ("failed", 3, "x"))
    at = client.now_whole() - 98 * SECOND
    body = client.asteroid_event("EXECUTION_RESUMED", "x", occurred_at=at)
    done = run(folder, "explain", "-", "--source", "asteroid", stdin=body, PUBLIC=PUBLIC)
    shown = done.stdout.decode()
    assert "applied (transition): the lifecycle allows this move" in shown
    assert "settles    e-1 (failed), which was held: applied (healed)" in shown
    assert "route 'failures' tells ops:" in shown
    late = client.asteroid_event("EXECUTION_COMPLETED", "x", occurred_at=at + 50 * SECOND)
    done = run(folder, "explain", "-", "--source", "asteroid", stdin=late, PUBLIC=PUBLIC)
    assert "held (gap): a status in between has not been seen yet" in done.stdout.decode()
    assert "running is missing; given up at" in done.stdout.decode()


def test_doctor_and_check_say_who_is_badly_subscribed(folder: Path) -> None:
    stored(folder, *[(s, n, f"x-{e}") for e in range(5) for n, s in ((1, "paused"), (3, "failed"))])
    store = SqliteStore(folder / "receiver.db", serve=True)
    store.write_now(Intake([]).expire, client.now_whole())
    store.close()
    for command in ("doctor", "check"):
        done = run(folder, command, PUBLIC=PUBLIC)
        assert done.returncode == 0, done.stderr.decode()
        assert "lack an event for running: subscribe to that event" in done.stdout.decode()
    report = json.loads(run(folder, "doctor", "--json", PUBLIC=PUBLIC).stdout)
    assert report["ledger"]["imbalance"] == 0
    assert report["hints"][0]["status"] == "running"


def test_doctor_and_check_say_whose_clock_differs(folder: Path) -> None:
    stored(folder)
    store = SqliteStore(folder / "receiver.db", serve=True)
    now = client.now_whole()
    for minute in range(6):
        at = now - minute * 60 * SECOND
        event = Event(
            "asteroid", f"e-{minute}", "E", Status.RUNNING, f"x-{minute}", at + 200 * SECOND
        )
        store.write_now(Intake([]).receive, VerifiedWebhook("asteroid", event, b"{}", at))
    store.close()
    for command in ("doctor", "check"):
        done = run(folder, command, PUBLIC=PUBLIC)
        assert done.returncode == 0, done.stderr.decode()
        assert "newest events lie 3 min ahead of ours" in done.stdout.decode()
    report = json.loads(run(folder, "doctor", "--json", PUBLIC=PUBLIC).stdout)
    assert [hint["status"] for hint in report["hints"]] == [None]


def test_doctor_tells_when_the_ledger_is_out_of_balance(folder: Path) -> None:
    stored(folder, ("running", 1, "x"))
    with sqlite3.connect(folder / "receiver.db") as connection:
        connection.execute("UPDATE promised SET n = n + 1 WHERE name = 'accepted'")
    connection.close()
    done = run(folder, "doctor", PUBLIC=PUBLIC)
    assert done.returncode == 1
    assert b"imbalance 1" in done.stdout
    assert b"Keep a copy of the file" in done.stderr


def test_prune_removes_what_is_old_beside_a_server_and_without_one(folder: Path) -> None:
    path, days = folder / "receiver.db", 86_400 * SECOND
    store = SqliteStore(path)
    intake, now = Intake(()), time.time_ns()
    for number, age in enumerate((100, 100, 40, 1)):
        at = now - age * days
        event = Event("asteroid", f"e-{number}", "E", Status.FAILED, f"x-{number}", at)
        arrival = VerifiedWebhook("asteroid", event, b"{}", at)
        store.write_now(lambda t, _, a=arrival: [intake.receive(t, [a])], None)  # type: ignore[misc]
    store.close()
    dry = run(folder, "prune", "--dry-run")
    assert dry.stdout.decode() == (
        "It would remove at most 2 executions, 2 events, 0 deliveries, 0 silences, 0 alarms,"
        " 0 acts, 3 bodies.\n"
    )
    with live(folder) as receiver:
        gone = json.loads(run(folder, "prune", "--json").stdout)
        assert receiver.ask("/api/executions/asteroid/x-1")[0] == 404
        assert receiver.ask("/api/executions/asteroid/x-2")[0] == 200
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0
    assert gone == {
        "removed": True, "executions": 2, "events": 2, "deliveries": 0, "silences": 0,
        "alarms": 0, "acts": 0, "bodies": 1,
    }  # fmt: skip
    again = run(folder, "prune", RECEIVER_KEEP_BODIES="1h")
    assert (
        b"Removed 0 executions, 0 events, 0 deliveries, 0 silences, 0 alarms, 0 acts, 1 bodies."
        in again.stdout
    )
    checked = run(folder, "doctor", PUBLIC=PUBLIC)
    assert b"4 accepted, 0 messages owed, imbalance 0." in checked.stdout
    assert run(folder, "check", PUBLIC=PUBLIC, RECEIVER_KEEP_EXECUTIONS="3d").returncode == 1


def test_audit_says_who_did_what_in_80_columns(folder: Path) -> None:
    assert run(folder, "audit").returncode == 1  # there is no database yet
    stored(folder, ("running", 0, "waits"), ("awaiting_confirmation", 1, "waits"))
    assert run(folder, "audit").stdout.decode() == "Nobody did anything yet.\n"
    took = ("acknowledge", "asteroid", "waits", "--by", "Ann")
    added = ("silence", "add", "--match", "status=failed", "--reason", "a deploy", "--for", "2h")
    assert run(folder, *took, PUBLIC=PUBLIC).returncode == 0
    assert run(folder, *added, "--by", "Bob", PUBLIC=PUBLIC).returncode == 0
    assert run(folder, "silence", "expire", "1").returncode == 0
    assert run(folder, "test", "ops", PUBLIC=PUBLIC).returncode == 0
    lines = run(folder, "audit").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["when"]
    assert max(map(len, lines)) <= 80
    table = "\n".join(lines)
    for words in ("Ann", "take", "waits", "Bob", "a deploy", "end silence", "command", "delivered"):
        assert words in table, words
    rows = json.loads(run(folder, "audit", "--json").stdout)
    assert [row["act"] for row in rows] == ["test", "end_silence", "silence", "take"]
    assert {row["door"] for row in rows} == {"command"}
    only = json.loads(run(folder, "audit", "--who", "Ann", "--act", "take", "--json").stdout)
    assert [(row["who"], row["execution_id"]) for row in only] == [("Ann", "waits")]
    assert run(folder, "audit", "--execution", "none").stdout.decode() == (
        "Nobody did anything that matches.\n"
    )
