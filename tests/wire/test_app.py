"""The answer table over real HTTP: each case its status, each refusal without a trace."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.sources import signing
from receiver.store.sqlite.connection import connect
from receiver.times import SECOND, format_time
from tests.support.live import PRIVATE, ROUTES, Live, live
from tests.support.raw import ask, request


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path) as running:
        yield running


def signed(receiver: Live, body: bytes) -> dict[str, str]:
    return dict(signing.sign(receiver.verification, PRIVATE, body, message_id="m", now=0))


def post(receiver: Live, body: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    given = {"Content-Type": "application/json", **signed(receiver, body)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    status, content, _ = receiver.ask("/webhooks/asteroid", method="POST", headers=given, body=body)
    return status, content


def nothing_stored(receiver: Live) -> bool:
    return bool(receiver.store.ledger()["accepted"] == 0)


def test_a_missing_wrong_or_malformed_signature_is_401_always_the_same_and_leaves_no_trace(
    receiver: Live, tmp_path: Path
) -> None:
    body = client.asteroid_event("EXECUTION_FAILED", "x")
    right = signed(receiver, body)["X-Asteroid-Signature"]
    answers = [
        receiver.ask("/webhooks/asteroid", method="POST", headers=headers, body=body)[:2]
        for headers in (
            {},
            {"X-Asteroid-Signature": ""},
            {"X-Asteroid-Signature": "%%%"},
            {"X-Asteroid-Signature": right[:-8]},
            {"X-Asteroid-Signature": signed(receiver, body + b" ")["X-Asteroid-Signature"]},
        )
    ]
    assert {status for status, _ in answers} == {401}
    assert len({json.dumps(content) for _, content in answers}) == 1
    assert nothing_stored(receiver)
    database = connect(tmp_path / "receiver.db", read_only=True)
    assert database.execute("SELECT count(*) FROM event").fetchone() == (0,)
    database.close()


def test_an_unknown_source_is_404_before_anything_else(receiver: Live) -> None:
    assert receiver.ask("/webhooks/nobody", method="PUT")[0] == 404
    assert receiver.ask("/webhooks/asteroid/", method="POST", body=b"{}")[0] == 404


def test_another_method_is_405(receiver: Live) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        status, _, headers = receiver.ask("/webhooks/asteroid", method=method)
        assert (status, headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/json; charset=UTF-8"}, 202),
        ({"Content_Type": "application/cloudevents+json; v=1"}, 202),
        ({"Content_Type": ""}, 202),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/json; charset=latin-1"}, 415),
        ({"Content_Encoding": "identity"}, 202),
        ({"Content_Encoding": "gzip"}, 415),
    ],
)
def test_only_json_without_a_coding_is_taken(
    receiver: Live, headers: dict[str, str], status: int
) -> None:
    body = client.asteroid_event("EXECUTION_STARTED", "x")
    assert post(receiver, body, **headers)[0] == status


def test_malformed_json_is_400_and_a_wrong_shape_422_and_both_are_kept(
    receiver: Live, tmp_path: Path
) -> None:
    assert post(receiver, b'{"event_id": ')[0] == 400
    status, content = post(receiver, b'{"event_id": "1", "type": "execution"}')
    assert status == 422
    assert "info" in str(content["detail"])
    database = connect(tmp_path / "receiver.db", read_only=True)
    rows = database.execute("SELECT reason, body FROM event ORDER BY seq").fetchall()
    database.close()
    assert rows == [
        ("malformed", b'{"event_id": '),
        ("malformed", b'{"event_id": "1", "type": "execution"}'),
    ]
    assert receiver.store.ledger()["imbalance"] == 0


def test_an_unwrapped_result_is_quarantined_and_answered_200(receiver: Live) -> None:
    status, content = post(receiver, b'{"total": 12}')
    assert (status, content["verdict"], content["reason"]) == (200, "quarantined", "no_envelope")


def test_a_body_over_the_limit_is_413_with_or_without_its_length(receiver: Live) -> None:
    assert post(receiver, b" " * 262_145)[0] == 413
    assert post(receiver, b'{"a": "' + b"x" * 200_000 + b'"}')[0] == 200


def test_storage_that_cannot_commit_is_503_and_the_repeat_is_applied(
    receiver: Live, tmp_path: Path
) -> None:
    other = connect(tmp_path / "receiver.db")
    other.execute("BEGIN IMMEDIATE")
    body = client.asteroid_event("EXECUTION_STARTED", "x", event_id="1")
    status, content = post(receiver, body)
    assert (status, content["title"]) == (503, "Service Unavailable")
    assert receiver.ask("/readyz")[0] == 503
    other.execute("ROLLBACK")
    other.close()
    status, content = post(receiver, body)
    assert (status, content["verdict"]) == (202, "applied")


def test_every_refusal_is_a_problem_document(receiver: Live) -> None:
    for path, method in (("/webhooks/no", "POST"), ("/webhooks/asteroid", "GET"), ("/no", "GET"),
                         ("/api/executions/a/b", "GET"), ("/api/ledger", "POST")):  # fmt: skip
        status, content, headers = receiver.ask(path, method=method)
        assert headers["Content-Type"] == "application/problem+json"
        assert (content["status"], content["type"]) == (status, "about:blank")
        assert content["detail"]


def test_an_event_from_the_future_moves_nothing(receiver: Live) -> None:
    at = client.now_whole() + 3600 * SECOND
    body = client.asteroid_event("EXECUTION_STARTED", "x", occurred_at=at)
    status, content = post(receiver, body)
    assert (status, content["reason"]) == (200, "future")
    assert receiver.ask("/api/executions/asteroid/x")[0] == 404


def test_an_agent_that_is_not_on_the_list_is_401_and_leaves_no_trace(tmp_path: Path) -> None:
    listed = ROUTES.replace("    verify:", "    agents: [agent-7]\n    verify:", 1)
    with live(tmp_path, listed) as receiver:
        other = client.asteroid_event("EXECUTION_STARTED", "x", agent_id="agent-8")
        assert post(receiver, other)[0] == 401
        assert nothing_stored(receiver)
        own = client.asteroid_event("EXECUTION_STARTED", "x", agent_id="agent-7")
        assert post(receiver, own)[0] == 202


def test_a_source_may_answer_409_to_what_it_rejects(tmp_path: Path) -> None:
    with live(
        tmp_path, ROUTES.replace("    verify:", "    rejected_status: 409\n    verify:")
    ) as r:
        start = client.now_whole()
        assert r.post(client.asteroid_event("EXECUTION_FAILED", "x", occurred_at=start))[0] == 202
        after = client.asteroid_event("EXECUTION_RESUMED", "x", occurred_at=start + SECOND)
        status, answer = r.post(after)
        assert (status, answer["verdict"]) == (409, "rejected")


def test_plain_events_are_judged_by_the_same_lifecycle(tmp_path: Path) -> None:
    routes = """\
sources:
  other:
    format: plain
    verify: {scheme: token, header: X-Token, keys: [a-token-of-sixteen-bytes]}
"""
    with live(tmp_path, routes) as receiver:
        post_plain = [
            receiver.post(
                client.plain_event(status, "x", occurred_at=client.now_whole() - n * SECOND),
                source="other",
                private="a-token-of-sixteen-bytes",
            )
            for n, status in ((9, "starting"), (8, "running"), (7, "levitating"), (6, "completed"))
        ]
    assert [(code, answer["verdict"]) for code, answer in post_plain] == [
        (202, "applied"), (202, "applied"), (200, "quarantined"), (202, "applied"),
    ]  # fmt: skip


def test_the_api_wants_its_token_and_without_it_our_host(tmp_path: Path) -> None:
    token = "t" * 32
    with live(tmp_path, api_token=token, public_url="https://hooks.example.org") as receiver:
        given = {"Authorization": f"Bearer {token}"}
        assert receiver.ask("/api/ledger")[0] == 401
        assert receiver.ask("/api/ledger", headers={"Authorization": "Bearer no"})[0] == 401
        assert receiver.ask("/api/ledger", headers=given)[0] == 200
        own = {**given, "Host": "hooks.example.org"}
        assert receiver.ask("/api/ledger", headers=own)[0] == 200
        for path in ("/api/ledger", "/metrics", "/openapi.json"):
            for host in ("evil.example", "", "[::1"):
                foreign = {"Host": host}
                assert receiver.ask(path, headers=foreign)[0] == 421
                wrong = {**foreign, "Authorization": "Bearer no"}
                status, content, _ = receiver.ask(path, headers=wrong)
                assert (status, "RECEIVER_API_TOKEN" in content["detail"]) == (421, True)
        assert receiver.ask("/healthz", headers={"Host": "anything"})[0] == 200


@pytest.mark.parametrize("host", ["10.42.0.7:8000", "receiver.default.svc", "[fd00::7]:8000", "x"])
def test_who_brings_the_token_is_answered_under_any_host(tmp_path: Path, host: str) -> None:
    token = "t" * 32
    with live(tmp_path, host="0.0.0.0", api_token=token) as receiver:
        port = int(receiver.url.rpartition(":")[2])
        given = [("Host", host), ("Authorization", f"Bearer {token}")]
        for path in ("/metrics", "/api/ledger", "/openapi.json"):
            sent = request(method="GET", path=path, headers=given, length=False, host=False)
            assert ask(port, sent).status == 200

        def reload(*more: tuple[str, str]) -> int:
            return ask(port, request(b"", [*given, *more], path="/api/reload", host=False)).status

        assert reload() == 200
        # A page under that very Host is no page elsewhere.
        assert reload(("Origin", f"http://{host}")) == 200
        assert reload(("Origin", "https://evil.example")) == 403
        assert reload(("Sec-Fetch-Site", "cross-site")) == 403


def test_without_a_token_the_api_answers_on_loopback_only(tmp_path: Path) -> None:
    with live(tmp_path, host="0.0.0.0") as receiver:
        for headers in (
            {"Host": "localhost"},
            {"Host": "10.42.0.7:8000"},
            {"Host": "evil.example", "Authorization": "Bearer anything"},
        ):
            for path in ("/api/ledger", "/metrics"):
                status, content, _ = receiver.ask(path, headers=headers)
                assert status == 403
                assert "RECEIVER_API_TOKEN" in content["detail"]
        assert receiver.ask("/readyz")[0] == 200


def test_pages_of_the_api_are_bounded_and_say_what_they_take(receiver: Live) -> None:
    for number in range(3):
        receiver.post(client.asteroid_event("EXECUTION_STARTED", f"x/{number}"))
    first = receiver.ask("/api/executions?limit=2")[1]
    assert [item["execution_id"] for item in first["items"]] == ["x/2", "x/1"]
    rest = receiver.ask(f"/api/executions?limit=2&after={first['next']}")[1]
    assert [item["execution_id"] for item in rest["items"]] == ["x/0"]
    assert rest["next"] is None
    for query in ("limit=0", "limit=201", "limit=x", "after=x", f"after={2**63}", "nonsense=1"):
        assert receiver.ask(f"/api/executions?{query}")[0] == 400
    assert receiver.ask("/api/executions/asteroid/x%2F1")[0] == 200


def test_only_a_dead_delivery_can_be_redelivered(receiver: Live) -> None:
    assert receiver.ask("/api/deliveries/7/redeliver", method="POST")[0] == 404
    assert receiver.ask(f"/api/deliveries/{2**63}/redeliver", method="POST")[0] == 404
    receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
    assert receiver.ask("/api/deliveries/1/redeliver", method="POST")[0] == 409


def test_health_and_readiness_are_open(receiver: Live) -> None:
    assert receiver.ask("/healthz")[:2] == (200, {"status": "alive"})
    status, ready, _ = receiver.ask("/readyz")
    assert (status, ready["status"], ready["alarms"], ready["spool"]) == (200, "ready", [], None)
    assert re.fullmatch("[0-9a-f]{12}", ready["rules"])
    assert set(ready) == {"status", "rules", "alarms", "spool"}


def test_times_are_compared_as_instants(receiver: Live) -> None:
    start = client.now_whole() - 100 * SECOND
    zoned = format_time(start).replace("Z", ".250+00:00")
    body = json.loads(client.asteroid_event("EXECUTION_STARTED", "x", event_id="a"))
    body["timestamp"] = zoned
    assert post(receiver, json.dumps(body).encode())[1]["verdict"] == "applied"
    earlier = client.asteroid_event("EXECUTION_PAUSED", "x", occurred_at=start)
    assert post(receiver, earlier)[1]["reason"] == "older"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/reload", "POST"), ("/api/deliveries/redeliver?destination=ops", "POST"),
     ("/api/deliveries/1/redeliver", "POST"), ("/api/silences/1", "DELETE"),
     ("/api/silences", "POST")],
)  # fmt: skip
def test_a_page_elsewhere_changes_nothing(
    receiver: Live, path: str, method: str, headers: dict[str, str]
) -> None:
    status, answer, _ = receiver.ask(path, method=method, headers=headers)
    assert (status, answer["detail"]) == (403, "A page elsewhere may not change anything here.")


def test_a_page_of_ours_and_programs_may_change_things(receiver: Live) -> None:
    for headers in ({}, {"Origin": receiver.url, "Sec-Fetch-Site": "same-origin"}):
        assert receiver.ask("/api/reload", method="POST", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "body",
    [b'{"for": "1s", "for": "9h"}', b'\xef\xbb\xbf{"for": "1s"}', b"{", b"[" * 5_000, b"NaN"],
)
def test_the_api_reads_json_as_strictly_as_the_door_of_webhooks(
    receiver: Live, body: bytes
) -> None:
    assert receiver.ask("/api/silences", method="POST", body=body)[0] == 400


def test_who_leaves_in_the_middle_of_a_document_leaves_no_traceback(
    receiver: Live, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(receiver.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /api/silences HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1_024):  # until the server has closed it, too
            continue
    assert receiver.ask("/healthz")[0] == 200  # and has gone on to something else
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
