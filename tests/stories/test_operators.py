"""What operators and approvers do, by API and command line, on a running server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from receiver.cli import client
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES, Live, live, until

PEOPLE = ROUTES.replace("console://", '"json://127.0.0.1:${PORT}/ops"').replace(
    "routes:\n",
    "routes:\n"
    "  - name: confirmations\n"
    "    match: {status: awaiting_confirmation}\n"
    "    notify: ops\n"
    "    remind: {every: 15m}\n"
    "    resolved: true\n"
    "    acknowledged: true\n",
)
SILENCED = "While silenced: Invoice agent: 1 failed since "


def post(receiver: Live, path: str, content: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    status, answer, _ = receiver.ask(path, method="POST", body=body, headers=headers)
    return status, answer


def asks(receiver: Live, execution: str = "inv/1") -> None:
    start = client.now_whole()
    for number, name in enumerate(("STARTED", "AWAITING_CONFIRMATION")):
        body = client.asteroid_event(f"EXECUTION_{name}", execution, occurred_at=start + number)
        assert receiver.post(body)[0] == 202


def titles(httpserver: HTTPServer) -> list[str]:
    return [request.get_json()["title"] for request, _ in httpserver.log]


def test_an_episode_is_taken_by_api_and_the_others_learn_who(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    with live(tmp_path, PEOPLE, {"PORT": str(httpserver.port)}) as receiver:
        asks(receiver)
        path = "/api/executions/asteroid/inv/1"
        until(lambda: receiver.ask(path)[1]["deliveries"][-1]["kind"] == "reminder")
        assert receiver.ask(path)[1]["execution"]["acknowledged"] is None
        status, answer = post(receiver, f"{path}/acknowledge", {"by": "Ann\u202e"})
        assert (status, answer["execution"]["acknowledged"]["by"]) == (200, "Ann")
        until(lambda: "Invoice agent: Ann takes care of it" in titles(httpserver))
        states = [(d["kind"], d["state"], d["reason"]) for d in receiver.ask(path)[1]["deliveries"]]
        assert ("reminder", "superseded", "acknowledged by Ann") in states
        listed = receiver.ask("/api/executions")[1]["items"]
        assert listed[0]["acknowledged"]["by"] == "Ann"
        assert (answer["result"], listed[0]["acknowledged"]["taken_from"]) == ("taken", None)
        status, answer = post(receiver, f"{path}/acknowledge", {"by": "Bob"})
        assert (status, answer["result"]) == (200, "taken_over")
        assert answer["execution"]["acknowledged"]["taken_from"] == "Ann"
        assert "over from Ann" in answer["text"]
        until(lambda: "Invoice agent: Bob takes it over from Ann" in titles(httpserver))
        status, answer = post(receiver, f"{path}/acknowledge", {"by": "Bob"})
        assert (status, answer["result"]) == (200, "already_taken")
        assert answer["execution"]["acknowledged"]["taken_from"] == "Ann"
        assert "Bob has taken care of inv/1 for" in answer["text"]
        end = client.asteroid_event("EXECUTION_CANCELLED", "inv/1")
        assert receiver.post(end)[0] == 202
        assert post(receiver, f"{path}/acknowledge", {"by": "Ann"})[0] == 409
        assert post(receiver, "/api/executions/asteroid/none/acknowledge", {"by": "A"})[0] == 404
        until(lambda: any("cancelled after waiting" in title for title in titles(httpserver)))
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"by": ""}, 422), ({"by": "\u202e"}, 422), ({"by": 3}, 422), ([], 422), ({}, 422),
        ({"by": "Ann", "at": "now"}, 422), (b"{", 400), (b"[" * 16_000, 400), (b"\xff", 400),
        (b'{"by": "' + b"x" * 20_000 + b'"}', 413),
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(tmp_path: Path, content: Any, status: int) -> None:
    with live(tmp_path) as receiver:
        assert post(receiver, "/api/executions/s/x/acknowledge", content)[0] == status


def test_a_page_elsewhere_cannot_write_with_a_form(tmp_path: Path) -> None:
    with live(tmp_path) as receiver:
        form = {"Content-Type": "text/plain"}
        for path in ("/api/executions/s/x/acknowledge", "/api/silences"):
            assert post(receiver, path, {"by": "Ann"}, **form)[0] == 415


def test_silences_by_api(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    with live(tmp_path, PEOPLE, {"PORT": str(httpserver.port)}) as receiver:
        asked = {
            "match": {"status": "failed", "metadata": {"team": ["payments", "b*"]}},
            "for": "2h", "reason": "deploy", "by": "Ann",
        }  # fmt: skip
        status, made = post(receiver, "/api/silences", asked)
        assert (status, made["id"], made["silenced"], made["listed_at"]) == (201, 1, 0, None)
        assert made["match"] == {"status": ["failed"], "metadata": {"team": ["payments", "b*"]}}
        body = client.asteroid_event("EXECUTION_FAILED", "x", metadata={"team": "payments"})
        receiver.post(body)
        until(lambda: receiver.ask("/api/silences")[1]["items"][0]["silenced"])
        status, ended, _ = receiver.ask("/api/silences/1", method="DELETE")
        assert (status, ended["silenced"]) == (200, 1)
        assert ended["listed_at"] is not None
        until(lambda: any(SILENCED in title for title in titles(httpserver)))
        assert receiver.ask("/api/silences/1", method="DELETE")[0] == 409
        assert receiver.ask("/api/silences/9", method="DELETE")[0] == 404
        assert receiver.ask(f"/api/silences/{2**64}", method="DELETE")[0] == 404
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


def test_a_running_server_gives_times_in_the_zone_of_the_team(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    with live(tmp_path, PEOPLE, {"PORT": str(httpserver.port)}, tz="Asia/Kolkata") as receiver:
        asks(receiver)
        until(lambda: httpserver.log)
        body = httpserver.log[0][0].get_json()["message"]
    assert re.search(r"^Since \d\d:\d\d IST$", body, re.M)


def test_explain_gives_times_in_the_zone_of_the_team(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    body = client.asteroid_event("EXECUTION_FAILED", "x")
    shown = run(
        tmp_path, "explain", "-", "--source", "asteroid", stdin=body, PUBLIC=PUBLIC,
        RECEIVER_TZ="Asia/Kolkata",
    )  # fmt: skip
    assert re.search(rb"\n  At \d\d:\d\d IST\n", shown.stdout)


def test_a_silence_that_runs_out_is_listed_by_the_server_s_clock(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    with live(tmp_path, PEOPLE, {"PORT": str(httpserver.port)}) as receiver:
        asked = {"match": {"status": "failed"}, "for": "2s", "reason": "deploy", "by": "Ann"}
        assert post(receiver, "/api/silences", asked)[0] == 201
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        until(lambda: any(SILENCED in title for title in titles(httpserver)))
    assert [SILENCED in title for title in titles(httpserver)] == [True]


GOOD = {"match": {"status": "failed"}, "for": "2h", "reason": "deploy", "by": "Ann"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"match": {}}, "say what is silenced"),
        ({"match": {"status": "faild"}}, "there is no 'faild': did you mean 'failed'?"),
        ({"match": {"statu": "failed"}}, "unknown key 'statu': did you mean 'status'?"),
        ({"match": {"source": "asteroids"}}, "did you mean 'asteroid'?"),
        ({"match": None}, "match: says nothing: fill it in, or leave it out"),
        ({"for": "2 hours"}, "for: must be a duration like 90s, 15m, 2h or 1d"),
        ({"for": None}, "for or until: say one of them"),
        ({"until": "2030-01-01T00:00:00Z"}, "for or until: say one of them"),
        ({"for": None, "until": "2020-01-01T00:00:00Z"}, "would be over before it begins"),
        ({"for": None, "until": "tomorrow"}, "until: not an RFC 3339 timestamp"),
        ({"from": "soon"}, "from: not an RFC 3339 timestamp"),
        ({"from": "9999-01-01T00:00:00Z"}, "must be within 3650d"),
        ({"reason": ""}, "reason: must not be empty"),
        ({"reason": "\u202e"}, "must hold something that can be read"),
        ({"by": 3}, "by: must be a text"),
        ({"bye": "Ann"}, "unknown key 'bye': did you mean 'by'?"),
    ],
)  # fmt: skip
def test_a_silence_that_cannot_be_meant_is_refused_with_what_to_do(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    content = {k: v for k, v in {**GOOD, **change}.items() if v is not None or k == "match"}
    with live(tmp_path) as receiver:
        status, answer = post(receiver, "/api/silences", content)
        assert status == 422
        assert says in answer["detail"]
        assert receiver.ask("/api/silences")[1] == {"items": [], "next": None}


def test_the_same_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    with live(tmp_path) as receiver:
        asks(receiver, "inv-1")
        taken = run(tmp_path, "acknowledge", "asteroid", "inv-1", "--by", "Ann", PUBLIC=PUBLIC)
        assert (taken.returncode, b"Ann takes care of inv-1" in taken.stdout) == (0, True)
        shown = receiver.ask("/api/executions/asteroid/inv-1")[1]["execution"]
        assert shown["acknowledged"]["by"] == "Ann"
        for name, says in (("ann", b"Ann has taken care of inv-1 for"), ("Bob", b"over from Ann")):
            again = run(tmp_path, "acknowledge", "asteroid", "inv-1", "--by", name, PUBLIC=PUBLIC)
            assert (again.returncode, says in again.stdout) == (0, True)
        none = run(tmp_path, "acknowledge", "asteroid", "none", PUBLIC=PUBLIC)
        assert (none.returncode, b"no execution none" in none.stderr) == (1, True)
        add = ("silence", "add", "--match", "status=failed", "--match", "metadata.team=a",
               "--for", "2h", "--reason", "deploy", "--by", "Ann")  # fmt: skip
        made = run(tmp_path, *add, "--json", PUBLIC=PUBLIC)
        assert json.loads(made.stdout)["match"] == {
            "status": ["failed"],
            "metadata": {"team": ["a"]},
        }
        listed = run(tmp_path, "silence", "list", PUBLIC=PUBLIC)
        assert b"deploy" in listed.stdout
        assert run(tmp_path, "silence", "expire", "1", PUBLIC=PUBLIC).returncode == 0
        again = run(tmp_path, "silence", "expire", "1", PUBLIC=PUBLIC)
        assert (again.returncode, b"is over already" in again.stderr) == (1, True)
        wrong = run(tmp_path, *add[:-2], "--match", "statu=x", PUBLIC=PUBLIC)
        assert (wrong.returncode, b"did you mean 'status'?" in wrong.stderr) == (1, True)
        usage = run(tmp_path, "silence", "add", "--match", "status=failed", PUBLIC=PUBLIC)
        assert usage.returncode == 2


def test_explain_says_what_comes_later_and_what_is_silenced(tmp_path: Path) -> None:
    routes = ROUTES.replace(
        "  ops: console://",
        '  ops: {url: console://, quiet: {from: "22:00", to: "07:00", tz: UTC}}\n  boss: console://',
    ).replace(
        "match: {status: failed}, notify: [ops]}",
        "match: {status: awaiting_confirmation}, notify: [ops], remind: {every: 15m, at_most: 4},"
        " escalate: {after: 1h, notify: boss}, resolved: true, acknowledged: true,"
        " group: {by: [agent]}}\n"
        "  - {name: dead, stuck: {status: awaiting_confirmation, after: 2h}, notify: boss}",
    )
    (tmp_path / "routes.yaml").write_text(routes, "utf-8")
    body = client.asteroid_event("EXECUTION_AWAITING_CONFIRMATION", "x")
    ask = ("explain", "-", "--source", "asteroid")
    with live(tmp_path, routes) as receiver:
        shown = run(tmp_path, *ask, stdin=body, PUBLIC=PUBLIC).stdout.decode()
        # Longer than the quiet hours: at their end it would else be over, and silence nothing.
        silence = {**GOOD, "match": {"agent": "Inv*"}, "for": "24h"}
        assert post(receiver, "/api/silences", silence)[0] == 201
        silenced = run(tmp_path, *ask, stdin=body, PUBLIC=PUBLIC).stdout.decode()
    assert "silence    silenced by Ann until " in silenced
    for says in (
        "→ as one digest with others that agree in agent: after 30 s, then every 5 min at most",
        "→ reminds them every 15 min while it stays awaiting_confirmation, at most 4 times",
        "→ escalates to boss if it is still awaiting_confirmation after 1 h",
        "→ tells them who takes it", "→ tells them when it is no longer awaiting_confirmation",
        "22:00 to 07:00 UTC, every day",
        "route 'dead' tells boss once nothing was heard of it for 2 h",
        "route 'not accepted' does not match",
    ):  # fmt: skip
        assert says in shown, shown
    failed = client.asteroid_event("EXECUTION_FAILED", "x")
    done = run(tmp_path, "explain", "-", "--source", "asteroid", stdin=failed, PUBLIC=PUBLIC)
    assert "'dead' does not match: it is about executions that are stuck in" in done.stdout.decode()
