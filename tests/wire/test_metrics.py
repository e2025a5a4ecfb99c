"""`GET /metrics`: its text, its readers, and that no sender can write into it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.metrics import Counters
from receiver.sources import signing
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from receiver.web.metrics import text
from tests.support.live import PRIVATE, PUBLIC, ROUTES, Live, live, until
from tests.support.raw import Answer, ask, request

OLD, NEW = signing.generate("rsa-sha256"), signing.generate("rsa-sha256")
TWO_KEYS = """\
sources:
  asteroid:
    verify:
      scheme: rsa-sha256
      keys: [{key: "${OLD}", label: "2025"}, "", "${NEW}"]
"""
LINE = re.compile(
    r"# (HELP|TYPE) [a-z_]+ .+|"
    r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\[\\n"])*"(,[a-z_]+="([^"\\\n]|\\[\\n"])*")*\})? -?[0-9.]+'
)


def metrics(receiver: Live, **headers: str) -> Answer:
    port = int(receiver.url.rpartition(":")[2])
    return ask(port, request(b"", headers.items(), method="GET", path="/metrics"))


def shown(receiver: Live) -> dict[str, float]:
    """Return every sample by its name and labels."""
    lines = metrics(receiver).body.decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_failing_signatures_look_different_from_silence(tmp_path: Path) -> None:
    with live(tmp_path) as receiver:
        before = shown(receiver)
        body = client.asteroid_event("EXECUTION_FAILED", "x")
        for private in (PRIVATE, PRIVATE, OLD[0]):
            receiver.post(body, private=private)
        receiver.ask("/webhooks/asteroid", method="POST", body=body)
        receiver.ask("/webhooks/nobody", method="POST", body=body)
        after = shown(receiver)
    moved = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)}
    when = moved.pop('receiver_last_accepted_seconds{source="asteroid"}')
    assert moved.pop('receiver_key_last_used_seconds{source="asteroid",key="1"}') == when
    assert when > 1_700_000_000
    assert moved.pop('receiver_last_event_seconds{source="asteroid"}') == pytest.approx(when, abs=5)
    assert moved.pop('receiver_intake_duration_seconds_count{source="asteroid"}') == 2
    others = ("receiver_intake_", "receiver_attempt", "receiver_last_success", "receiver_oldest")
    moved = {name: n for name, n in moved.items() if not name.startswith(others)}
    assert moved == {
        'receiver_webhooks_total{source="asteroid",status="202"}': 1,
        'receiver_webhooks_total{source="asteroid",status="200"}': 1,
        'receiver_webhooks_total{source="asteroid",status="401"}': 2,
        'receiver_webhooks_total{source="",status="404"}': 1,
        'receiver_refused_total{cause="unknown_source"}': 1,
        'receiver_untrusted_total{source="asteroid",cause="wrong"}': 1,
        'receiver_untrusted_total{source="asteroid",cause="missing"}': 1,
        'receiver_verdicts_total{source="asteroid",verdict="applied",reason="first_seen"}': 1,
        'receiver_verdicts_total{source="asteroid",verdict="duplicate",reason="event_id"}': 1,
    }
    assert before['receiver_untrusted_total{source="asteroid",cause="expired"}'] == 0


@pytest.mark.parametrize("ahead", [120, -180])
def test_a_clock_that_differs_for_a_while_is_in_the_metrics_and_in_the_hints(
    tmp_path: Path, ahead: int
) -> None:
    store = SqliteStore(tmp_path / "receiver.db", serve=True)
    now = client.now_whole()
    for minute in range(7):
        at = now - minute * 60 * SECOND
        event = Event(
            "asteroid", f"e-{minute}", "E", Status.RUNNING, f"x-{minute}", at + ahead * SECOND
        )
        store.write_now(Intake([]).receive, VerifiedWebhook("asteroid", event, b"{}", at))
    store.close()
    with live(tmp_path) as receiver:
        assert shown(receiver)['receiver_clock_skew_seconds{source="asteroid"}'] == ahead
        (hint,) = receiver.ask("/api/hints")[1]["items"]
    assert (hint["source"], hint["status"]) == ("asteroid", None)
    assert ("2 min ahead" if ahead > 0 else "3 min or more after") in hint["text"]


def test_while_a_key_is_rotated_both_prove_and_the_metrics_say_which_did(tmp_path: Path) -> None:
    keys = {"OLD": OLD[1], "NEW": NEW[1]}
    with live(tmp_path, TWO_KEYS, keys) as receiver:
        for number, (private, _) in enumerate((OLD, NEW)):
            body = client.asteroid_event("EXECUTION_STARTED", str(number))
            assert receiver.post(body, private=private)[0] == 202
            used = {name for name in shown(receiver) if "key_last_used" in name}
            assert len(used) == number + 1
        assert used == {
            'receiver_key_last_used_seconds{source="asteroid",key="2025"}',
            'receiver_key_last_used_seconds{source="asteroid",key="3"}',
        }


def test_a_source_over_its_rate_is_429_and_forgeries_do_not_use_it_up(tmp_path: Path) -> None:
    slow = TWO_KEYS.replace("    verify:", "    rate: 2/m\n    verify:")
    with live(tmp_path, slow, {"OLD": OLD[1], "NEW": NEW[1]}) as receiver:
        body = client.asteroid_event("EXECUTION_STARTED", "x")
        for _ in range(5):
            assert receiver.post(body, private=PRIVATE)[0] == 401
        assert receiver.post(body, private=NEW[0])[0] == 202
        headers = dict(
            signing.sign(receiver.verification, NEW[0], body, message_id="", now=0)
        )  # fmt: skip
        status, content, answered = receiver.ask(
            "/webhooks/asteroid", method="POST", headers=headers, body=body
        )
        assert (status, content["title"]) == (429, "Too Many Requests")
        assert 1 <= int(answered["Retry-After"]) <= 30
        assert receiver.store.ledger()["accepted"] == 1


def test_a_flood_of_forgeries_is_a_line_a_cause_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live(tmp_path) as receiver:
        port = int(receiver.url.rpartition(":")[2])
        for number in range(40):
            body = client.asteroid_event("EXECUTION_STARTED", str(number))
            assert receiver.post(body, private=OLD[0])[0] == 401
            assert ask(port, request(body)).status == 401
            assert ask(port, b"nonsense\r\n\r\n").status == 400
    lines = [r.getMessage() for r in caplog.records if r.name == "receiver.refused"]
    # The first of a cause at once, and at the end the sum of those that wait for their minute.
    assert sorted(lines) == [
        f"{cause} count={n}"
        for cause in (
            "connection.refused cause=malformed",
            "webhook.untrusted source=asteroid cause=missing",
            "webhook.untrusted source=asteroid cause=wrong",
        )
        for n in (1, 39)
    ]


def test_metrics_are_for_whoever_may_use_the_api(tmp_path: Path) -> None:
    token = "t" * 32
    with live(tmp_path, ROUTES, api_token=token) as receiver:
        assert metrics(receiver).status == 401
        assert metrics(receiver, Authorization="Bearer no").status == 401
        given = {"Authorization": f"Bearer {token}"}
        answer = metrics(receiver, **given)
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    with live(tmp_path, ROUTES) as receiver:
        assert receiver.ask("/metrics", headers={"Host": "evil.example"})[0] == 421
    with live(tmp_path, ROUTES, host="0.0.0.0") as receiver:
        assert metrics(receiver).status == 403
        assert PUBLIC not in metrics(receiver).body.decode()


def test_what_senders_write_is_no_label(tmp_path: Path) -> None:
    with live(tmp_path) as receiver:
        before = set(shown(receiver))
        for number in range(50):
            port = int(receiver.url.rpartition(":")[2])
            ask(port, request(b"{}", path=f"/webhooks/s{number}"))
            body = client.asteroid_event(
                f"EVENT_{number}", f"x-{number}", agent_name=f"agent {number}"
            )
            receiver.post(body)
        assert len(set(shown(receiver)) - before) < 10


def test_a_label_cannot_end_its_quotes() -> None:
    counters = Counters([])
    counters.judged("s", "v", 'a"b\\c\nd', "k", 0.0)
    assert r'reason="a\"b\\c\nd"' in text(counters, {})


OWED = """\
sources:
  asteroid: {verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}}
destinations:
  ops: console://
  pager: {url: "json://127.0.0.1:9/", retry_for: 1h}
  gone: {url: "json://127.0.0.1:9/", retry_for: 1s}
routes:
  - {name: failures, match: {status: failed}, notify: [ops, pager, gone]}
"""


def test_what_a_destination_owes_is_there_and_survives_a_restart(tmp_path: Path) -> None:
    with live(tmp_path, OWED) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        receiver.post(client.asteroid_event("EXECUTION_RESUMED", "y"))

        # Of what died, the others are told.
        until(lambda: receiver.store.ledger()["deliveries"] == {"dead": 1, "sent": 2, "waiting": 2})
        until(lambda: "receiver_ledger_imbalance" in shown(receiver))
        before = shown(receiver)
        assert 'receiver_attempts_total{destination="ops",outcome="delivered"}' in before
    with live(tmp_path, OWED, host="127.0.0.1") as receiver:
        after = shown(receiver)

    def of(found: dict[str, float], name: str, destination: str) -> float:
        return found[f'receiver_{name}{{destination="{destination}"}}']

    for found in (before, after):
        assert [of(found, "deliveries_waiting", d) for d in ("ops", "pager", "gone")] == [0, 2, 0]
        assert [of(found, "deliveries_dead", d) for d in ("ops", "pager", "gone")] == [0, 0, 1]
        assert of(found, "failing_since_seconds", "pager") > 1_700_000_000
        assert of(found, "failing_since_seconds", "ops") == 0
        assert of(found, "last_success_seconds", "ops") > 1_700_000_000
        assert of(found, "last_success_seconds", "pager") == 0
        assert 0 < of(found, "oldest_owed_seconds", "pager") < 60
        assert of(found, "oldest_owed_seconds", "ops") == 0
        assert found['receiver_last_event_seconds{source="asteroid"}'] > 1_700_000_000
    assert of(after, "oldest_owed_seconds", "pager") > of(before, "oldest_owed_seconds", "pager")
    assert before["receiver_ledger_imbalance"] == 0
    assert before['receiver_attempts_total{destination="pager",outcome="failed"}'] >= 1
    assert of(before, "attempt_duration_seconds_count", "ops") == 2
    assert before["receiver_held"] == after["receiver_held"]


def test_a_histogram_counts_each_time_once_and_all_below_its_bounds() -> None:
    counters = Counters(["s"])
    for seconds in (0.001, 0.0011, 0.3, 99.0):
        counters.took("intake", "s", seconds)
    lines = text(counters, {}).splitlines()
    counts = {
        found[1]: int(found[2])
        for line in lines
        if (found := re.fullmatch(r'receiver_intake_.*le="(.*)"} (\d+)', line))
    }
    assert (counts["0.001"], counts["0.0025"], counts["0.25"], counts["0.5"]) == (1, 2, 2, 3)
    assert (counts["10.0"], counts["+Inf"]) == (3, 4)
    assert 'receiver_intake_duration_seconds_sum{source="s"} 99.302100' in lines
    assert 'receiver_intake_duration_seconds_count{source="s"} 4' in lines


def test_promtool_finds_nothing(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    with live(tmp_path, OWED) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        until(lambda: "receiver_ledger_imbalance" in shown(receiver))
        until(lambda: any(name.startswith("receiver_attempt_") for name in shown(receiver)))
        content = metrics(receiver).body
    checked = [
        subprocess.run(
            ["promtool", "check", "metrics"], input=each, capture_output=True, check=False
        )
        for each in (
            content,
            content.replace(b"# TYPE receiver_held gauge", b"# TYPE receiver_held x"),
        )
    ]
    assert [each.returncode == 0 for each in checked] == [True, False]
    assert checked[0].stdout + checked[0].stderr == b""
