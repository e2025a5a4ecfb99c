"""The answer table over raw sockets, on both parsers: nothing sent makes it lie, leak or stop."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from receiver.cli import client
from receiver.config import routes_file
from receiver.config.settings import load_settings
from receiver.errors import ConfigurationError
from receiver.sources import keys, signing, verification
from receiver.store.sqlite.connection import connect
from receiver.times import SECOND, format_time
from tests.support.live import PRIVATE, PUBLIC, Live, live
from tests.support.raw import Answer, ask, chunked, request, wire

SECRET = "a-secret-of-sixteen-bytes-or-more"
WHSEC = signing.generate("standard-webhooks")[0]
OTHER = signing.generate("rsa-sha256")[0]
ROUTES = f"""\
sources:
  asteroid: {{verify: {{scheme: rsa-sha256, keys: ["${{PUBLIC}}"]}}}}
  proven:
    agents: [agent-1]
    verify:
      scheme: rsa-sha256
      keys: ["${{PUBLIC}}"]
      secret_header: {{name: X-Receiver-Secret, value: {SECRET}}}
  standard: {{format: plain, verify: {{scheme: standard-webhooks, keys: ["{WHSEC}"]}}}}
  github: {{format: plain, verify: {{scheme: hmac-sha256, header: X-Hub, keys: ["{SECRET}"]}}}}
  token: {{format: plain, verify: {{scheme: token, header: X-Token, keys: ["{SECRET}"]}}}}
  keyless: {{verify: {{scheme: rsa-sha256}}}}
destinations: {{ops: "console://"}}
routes: [{{name: not accepted, match: {{verdict: [rejected, quarantined]}}, notify: [ops]}}]
"""


class Target:
    """A server of the module, and the rows that it has stored."""

    def __init__(self, running: Live, folder: Path) -> None:
        self.live, self.folder = running, folder
        self.port = int(running.url.rpartition(":")[2])

    def rows(self) -> int:
        """Return the rows of everything that a webhook could write, without alarms about many."""
        database = connect(self.folder / "receiver.db", read_only=True)
        try:
            tables = ("event", "execution", "delivery WHERE alarm IS NULL", "history")
            return sum(database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables)
        finally:
            database.close()

    def post(self, body: bytes, headers: Any = None, source: str = "asteroid") -> Answer:
        """Post a body; signed with the right key unless headers are given."""
        fields = signed(body) if headers is None else headers
        return ask(self.port, request(body, fields, path=f"/webhooks/{source}"))


@pytest.fixture(scope="module", params=["h11", "httptools"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    if request.param == "httptools":
        pytest.importorskip("httptools")
    folder = tmp_path_factory.mktemp("hostile")
    heard: list[logging.LogRecord] = []
    ears = logging.Handler(logging.ERROR)
    ears.emit = heard.append  # type: ignore[method-assign,assignment]
    logging.getLogger().addHandler(ears)
    try:
        with live(
            folder, ROUTES, http=request.param, body_timeout="0.6", headers_timeout="0.6"
        ) as running:
            yield Target(running, folder)
    finally:
        logging.getLogger().removeHandler(ears)
    # Whatever was sent: no error, no traceback.
    assert [record.getMessage() for record in heard] == []


HOW = verification.Verification("rsa-sha256")


def signed(body: bytes, private: str = PRIVATE) -> list[tuple[str, str]]:
    return signing.sign(HOW, private, body, message_id="", now=0)


def event(**fields: Any) -> dict[str, Any]:
    """Return the content of a good event, to be spoilt."""
    body = client.asteroid_event("EXECUTION_STARTED", f"x-{time.time_ns()}")
    content = json.loads(body)
    assert isinstance(content, dict)
    return {**content, **fields}


def fresh() -> bytes:
    return json.dumps(event()).encode()


SIGNATURE = signed(b"another body")[0][1]
RAW = base64.b64decode(SIGNATURE)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("X-Asteroid-Signature", "")],
        [("X-Asteroid-Signature", " ")],
        [("X-Asteroid-Signature", "%%%")],
        [("X-Asteroid-Signature", "ß" * 20)],
        [("X-Asteroid-Signature", "\udcff\udcfe")],
        [("X-Asteroid-Signature", "A" * 10_000)],
        [("X-Asteroid-Signature", SIGNATURE[:-4])],
        [("X-Asteroid-Signature", SIGNATURE.rstrip("="))],
        [("X-Asteroid-Signature", RAW.hex())],
        [("X-Asteroid-Signature", base64.urlsafe_b64encode(RAW).decode())],
        [("X-Asteroid-Signature", base64.b64encode(RAW[:-1]).decode())],
        [("X-Asteroid-Signature", base64.b64encode(RAW + b"\0").decode())],
        [("X-Asteroid-Signature", base64.b64encode(b"\xff" * 256).decode())],
        [("X-Asteroid-Signature", base64.b64encode(b"\0" * 256).decode())],
        [("X-Asteroid-Signature", f"sha256={SIGNATURE}")],
        [("X-Asteroid-Signature", f"{SIGNATURE},{SIGNATURE}")],
        [("X-Asteroid-Signature", f"{SIGNATURE} {SIGNATURE}")],
        [("Signature", SIGNATURE)],
        [("X_Asteroid_Signature", SIGNATURE)],
    ],
)
def test_a_signature_that_is_not_the_body_s_is_401_and_leaves_no_trace(
    target: Target, fields: list[tuple[str, str]]
) -> None:
    before = target.rows()
    # The right one stands beside it, so that only its form can be what is wrong.
    body = b"another body" if fields else fresh()
    answer = target.post(body, fields)
    # A byte that no header may hold is the parser's to refuse.
    assert answer.status in ((400, 401) if "\udcff" in str(fields) else (401,))
    assert target.rows() == before


def test_a_repeated_signature_is_a_wrong_one_whichever_comes_first(target: Target) -> None:
    body, before = fresh(), target.rows()
    right = signed(body)[0]
    for fields in ([right, right], [right, (right[0], "AAAA")], [(right[0], "AAAA"), right],
                   [right, (right[0].upper(), right[1])], [right, (right[0], "")]):  # fmt: skip
        assert target.post(body, fields).status == 401
    assert target.rows() == before


def test_a_foreign_key_and_another_algorithm_prove_nothing(target: Target) -> None:
    body, before = fresh(), target.rows()
    public = PUBLIC.encode()
    confused = [
        signed(body, OTHER)[0][1],
        # The public key, known to all, taken for a shared secret.
        base64.b64encode(hmac.digest(public, body, "sha256")).decode(),
        hmac.new(public, body, "sha256").hexdigest(),
        base64.b64encode(hashlib.sha256(body).digest()).decode(),
        base64.b64encode(b"\0\1" + b"\xff" * 202 + b"\0" + hashlib.sha256(body).digest()).decode(),
        "none",
    ]
    for text in confused:
        assert target.post(body, [("X-Asteroid-Signature", text)]).status == 401
    assert target.post(body, [("X-Hub", f"sha256={confused[2]}")], "github").status == 401
    assert target.post(body, signed(body), "keyless").status == 401
    assert target.post(body, signed(body), "github").status == 401
    assert target.rows() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1] + b" ",
        lambda body: body[:50] + bytes([body[50] ^ 1]) + body[51:],
        lambda body: body + b"\n",
        lambda body: b" " + body,
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: json.dumps(json.loads(body), indent=1).encode(),
        lambda body: json.dumps(json.loads(body), sort_keys=True).encode(),
        lambda body: body.decode().encode("utf-16"),
        gzip.compress,
        lambda body: body[:-1],
        lambda body: b"",
        lambda body: body * 2,
    ],
)
def test_another_body_under_a_captured_signature_is_401(target: Target, change: Any) -> None:
    body, before = fresh(), target.rows()
    assert target.post(change(body), signed(body)).status == 401
    assert target.rows() == before


def test_every_401_is_the_same_to_the_byte(target: Target) -> None:
    body = fresh()
    secret = ("X-Receiver-Secret", SECRET)
    other_agent = client.asteroid_event("EXECUTION_STARTED", "x", agent_id="agent-2")
    answers = [
        target.post(body, []),
        target.post(body, [("X-Asteroid-Signature", "%")]),
        target.post(body, signed(body, OTHER)),
        target.post(body, signed(body), "keyless"),
        target.post(body, signed(body), "proven"),
        target.post(body, [*signed(body), ("X-Receiver-Secret", "wrong")], "proven"),
        target.post(body, [*signed(body), secret, secret], "proven"),
        target.post(other_agent, [*signed(other_agent), secret], "proven"),
        target.post(body, [("X-Token", "x")], "token"),
        target.post(b"nonsense", []),
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert len({tuple(h for h in a.headers.items() if h[0] != "date") for a in answers}) == 1
    assert target.post(body, [*signed(body), secret], "proven").status == 202


NOW = int(time.time())
STANDARD = verification.Verification(
    "standard-webhooks", (keys.parse_key("standard-webhooks", WHSEC),)
)


@pytest.mark.parametrize(
    "timestamp",
    ["0", "1", str(NOW - 3600), str(NOW + 3600), f"{NOW}.5", f"-{NOW}", f"+{NOW}", f" {NOW}x",
     "1e9", "0x65", "9" * 19, "9" * 400, "", "١٧٠٠٠٠٠٠٠٠", "２０２６", "NaN", f"{NOW}, {NOW}",
     "2026-01-15T10:30:00Z"],
    ids=map(str, count()),  # some are about the present time
)  # fmt: skip
def test_a_signed_time_in_a_header_is_plain_digits_within_the_tolerance(
    target: Target, timestamp: str
) -> None:
    before = target.rows()
    body = client.plain_event("running", "x")
    headers = dict(signing.sign(STANDARD, WHSEC, body, message_id="m", now=NOW))
    # Signed over this very timestamp: only the time itself is wrong.
    mac = hmac.digest(base64.b64decode(WHSEC[6:]), f"m.{timestamp}.".encode() + body, "sha256")
    headers["webhook-timestamp"] = timestamp
    headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode()}"
    assert target.post(body, list(headers.items()), "standard").status == 401
    assert target.rows() == before


@pytest.mark.parametrize(
    ("timestamp", "status", "verdict"),
    [
        ("0001-01-01T00:00:00Z", 200, "stale"),
        ("0001-01-01T00:00:00+23:59", 200, "stale"),
        ("0000-12-31T23:59:59Z", 200, "stale"),
        ("9999-12-31T23:59:59Z", 200, "quarantined"),
        ("9999-12-31T23:59:59-23:59", 200, "quarantined"),
        ("1970-01-01T00:00:00Z", 200, "stale"),
        ("2026-01-15T10:30:00", 422, None),
        ("2026-01-15", 422, None),
        ("2026-13-45T10:30:00Z", 422, None),
        ("2026-02-30T10:30:00Z", 422, None),
        ("2026-01-15T25:30:00Z", 422, None),
        ("2026-01-15T10:30:00+99:99", 422, None),
        ("-2026-01-15T10:30:00Z", 422, None),
        ("٢٠٢٦-01-15T10:30:00Z", 422, None),
        ("2026-01-15T10:30:00." + "9" * 10_000 + "Z", 422, None),
        ("", 422, None),
        (1_768_473_000, 422, None),
        (None, 422, None),
        (["2026-01-15T10:30:00Z"], 422, None),
    ],
)
def test_an_event_s_time_is_an_instant_or_the_event_is_malformed(
    target: Target, timestamp: Any, status: int, verdict: str | None
) -> None:
    answer = target.post(json.dumps(event(timestamp=timestamp)).encode())
    assert (answer.status, answer.content.get("verdict")) == (status, verdict)


GOOD_INFO = b'"info":{"event":"EXECUTION_STARTED","execution_id":"x"}'
DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"nonsense",
        b'{"event_id":"1","event_id":"2",' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":{"a":1,"a":1},' + GOOD_INFO + b"}",
        b'{"event_id":"1","\\u0061":1,"a":1,' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":NaN,' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":Infinity,' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":-Infinity,' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":01,' + GOOD_INFO + b"}",
        b'{"event_id":"1","x":0x1,' + GOOD_INFO + b"}",
        b"{'event_id':'1'}",
        b'{"event_id":"1",' + GOOD_INFO + b",}",
        b'{"event_id":"1",' + GOOD_INFO + b"} trailing",
        b'{"event_id":"1",' + GOOD_INFO + b'}{"event_id":"2"}',
        b'{"event_id":"1",' + GOOD_INFO + b"}\0",
        b'{"event_id":"\0",' + GOOD_INFO + b"}",
        b'{"event_id":"\xff\xfe",' + GOOD_INFO + b"}",
        b'{"event_id":"\xed\xa0\x80",' + GOOD_INFO + b"}",
        b'{"event_id":"\xc0\xaf",' + GOOD_INFO + b"}",
        b'\xef\xbb\xbf{"event_id":"1",' + GOOD_INFO + b"}",
        b'{"event_id":"1",' + GOOD_INFO + b"}" + b"\xff",
        b'{"event_id":"1","x":' + b"[" * DEEP + b"]" * DEEP + b"," + GOOD_INFO + b"}",
        b'{"event_id":"1","x":' + b"[" * DEEP,
        b'{"a":' * 40_000,
        b"[" * 65 + b"]" * 65,
        '{"event_id":"1"}'.encode("utf-16"),
        '{"event_id":"1"}'.encode("utf-32"),
        b'{"event_id":"\\ud8',
        b'{"event_id":"1\n2",' + GOOD_INFO + b"}",
        b"/* x */ {}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_json_as_every_parser_agrees_on_it_is_400(target: Target, body: bytes) -> None:
    answer = target.post(body)
    assert (answer.status, answer.content["status"]) == (400, 400)
    # It says where, and nothing of what stood there.
    assert "event_id" not in answer.content["detail"]


@pytest.mark.parametrize(
    "body", [b"null", b"true", b"1", b'"x"', b"[]", b"[1,2]", b"{}", b'{"total":12}', b"1e999"]
)
def test_json_without_an_envelope_is_kept_in_quarantine(target: Target, body: bytes) -> None:
    answer = target.post(body)
    assert answer.status == 200
    assert (answer.content["verdict"], answer.content["reason"]) == ("quarantined", "no_envelope")


@pytest.mark.parametrize("number", ["1e999999", "-1e999999", "9" * 5000, "1" + "0" * 60_000,
                                    "0." + "1" * 50_000, "1e-999999", "-0"])  # fmt: skip
def test_a_huge_number_is_carried_and_never_computed_with(target: Target, number: str) -> None:
    body = json.dumps(event(type="execution")).replace(
        '"payload": {}', f'"payload": {{"result": {number}, "outcome": {number}}},'
        f' "metadata": {{"n": {number}}}'
    )  # fmt: skip
    answer = target.post(body.encode())
    assert (answer.status, answer.content["verdict"]) == (202, "applied")
    path = f"/api/executions/asteroid/{answer.content['execution_id']}"
    assert ask(target.port, request(method="GET", path=path)).status == 200


def spoilt(**info: Any) -> bytes:
    content = event()
    content["info"] |= info
    return json.dumps(content).encode()


FORGED_LINE = "x\n2026-01-01T00:00:00.000Z info receiver.intake webhook.received source=asteroid"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(event(event_id=None)).encode(),
        json.dumps(event(event_id=7)).encode(),
        json.dumps(event(event_id=["1"])).encode(),
        json.dumps(event(event_id={"$ne": 1})).encode(),
        json.dumps(event(event_id="")).encode(),
        json.dumps(event(event_id="   ")).encode(),
        json.dumps(event(event_id="x" * 201)).encode(),
        json.dumps(event(event_id="x" * 10_240)).encode(),
        json.dumps(event(event_id="a\0b")).encode(),
        json.dumps(event(event_id="a\u2028b")).encode(),
        json.dumps(event(event_id="a\x85b")).encode(),
        json.dumps(event(event_id="a\x1b[2Jb")).encode(),
        json.dumps(event(event_id="\ud800")).encode(),
        json.dumps(event(event_id=FORGED_LINE)).encode(),
        json.dumps({k: v for k, v in event().items() if k != "event_id"}).encode(),
        json.dumps({k: v for k, v in event().items() if k != "type"}).encode(),
        json.dumps({k: v for k, v in event().items() if k != "info"}).encode(),
        json.dumps({k: v for k, v in event().items() if k != "timestamp"}).encode(),
        json.dumps(event(type=None)).encode(),
        json.dumps(event(type=["execution"])).encode(),
        json.dumps(event(info=None)).encode(),
        json.dumps(event(info=[])).encode(),
        json.dumps(event(info="x")).encode(),
        spoilt(event=None),
        spoilt(event={}),
        spoilt(execution_id=None),
        spoilt(execution_id=1),
        spoilt(execution_id=""),
        spoilt(execution_id="x" * 10_240),
        spoilt(execution_id="\udfff"),
        spoilt(execution_id=FORGED_LINE),
    ],
    ids=map(str, count()),  # the bodies have ids of chance
)
def test_a_required_field_that_is_missing_mistyped_or_no_text_is_422(
    target: Target, body: bytes
) -> None:
    answer = target.post(body)
    assert (answer.status, answer.content["status"]) == (422, 422)
    assert "x" * 100 not in answer.content["detail"]
    assert target.live.store.ledger()["imbalance"] == 0


@pytest.mark.parametrize(
    "name", ["a/b", "../../etc/passwd", "a b", "a%2Fb", "ä€𝄞", "'; DROP TABLE event;--", "{{7*7}}",
             "<script>", "x" * 200, "\u202egnp", "%s%n", "?x=1#y", "..", "https://evil.example"]
)  # fmt: skip
def test_an_odd_id_is_kept_as_it_is_and_found_again(target: Target, name: str) -> None:
    answer = target.post(spoilt(execution_id=name))
    assert (answer.status, answer.content["execution_id"]) == (202, name)
    path = "/api/executions/asteroid/" + "".join(f"%{byte:02X}" for byte in name.encode())
    answer = ask(target.port, request(method="GET", path=path))
    assert (answer.status, answer.content["execution"]["execution_id"]) == (200, name)


@pytest.mark.parametrize("optional", [None, 7, [], {}, "x" * 10_240, "\ud800", "a\0b", True, ""])
def test_an_optional_field_of_any_kind_loses_no_event(target: Target, optional: Any) -> None:
    spoil = dict.fromkeys(
        ("agent_id", "agent_name", "execution_url", "metadata", "payload"), optional
    )
    answer = target.post(spoilt(**spoil))
    assert (answer.status, answer.content["verdict"]) == (202, "applied")


def test_a_replay_is_a_duplicate_and_later_too_old_even_if_its_id_was_forgotten(
    target: Target,
) -> None:
    body = fresh()
    captured = request(body, signed(body))
    assert ask(target.port, captured).status == 202
    again = ask(target.port, captured)
    assert (again.status, again.content["verdict"]) == (200, "duplicate")
    # What was kept for as long as events are kept is forgotten; the signature still verifies.
    old = json.loads(body)
    old["event_id"] = "forgotten"
    old["timestamp"] = format_time(time.time_ns() - 15 * 24 * 3600 * SECOND)
    replayed = json.dumps(old).encode()
    before = target.rows()
    answer = target.post(replayed)
    assert (answer.status, answer.content["reason"]) == (200, "too_old")
    assert target.rows() == before + 1  # the history has it; the execution has not moved
    path = f"/api/executions/asteroid/{old['info']['execution_id']}"
    assert ask(target.port, request(method="GET", path=path)).content["execution"]["status"] == (
        "running"
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("Content-Type", "application/json")], 202),
        ([("Content-Type", "application/json;charset=utf-8")], 202),
        ([("Content-Type", 'Application/JSON; Charset="UTF-8"')], 202),
        ([("Content-Type", "application/problem+json")], 202),
        ([("Content-Type", "")], 202),
        ([("Content-Type", "text/plain")], 415),
        ([("Content-Type", "application/x-www-form-urlencoded")], 415),
        ([("Content-Type", "multipart/form-data; boundary=x")], 415),
        ([("Content-Type", "application/json; charset=utf-16")], 415),
        ([("Content-Type", "application/json"), ("Content-Type", "text/xml")], 415),
        ([("Content-Type", "application/jsonx")], 415),
        ([("Content-Type", "x" * 5000)], 415),
        ([("Content-Encoding", "gzip")], 415),
        ([("Content-Encoding", "identity, gzip")], 415),
        ([("Content-Encoding", "br")], 415),
        ([("Content-Encoding", "identity"), ("Content-Encoding", "deflate")], 415),
        ([("Content-Encoding", "identity")], 202),
    ],
)
def test_only_json_without_a_coding_is_read(
    target: Target, fields: list[tuple[str, str]], status: int
) -> None:
    body = fresh()
    assert target.post(body, [*signed(body), *fields]).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/webhooks/asteroid", 202),
        ("/webhooks/asteroid?source=proven", 202),
        ("/webhooks/%61steroid", 202),
        ("/webhooks/asteroid/", 404),
        ("/webhooks/asteroid%2F", 404),
        ("/webhooks/asteroid%00", 404),
        ("/webhooks/Asteroid", 404),
        ("/webhooks/../webhooks/asteroid", 404),
        ("/webhooks/./asteroid", 404),
        ("//webhooks/asteroid", 404),
        ("/webhooks//asteroid", 404),
        ("/webhooks/%252561steroid", 404),
        ("/webhooks/%", 404),
        ("/webhooks/%ff%fe", 404),
        ("/webhooks/" + "a" * 8_000, 404),
        ("/webhooks/" + "a" * 20_000, 431),
        ("/webhooks/" + "a" * 200_000, 431),
        ("/webhooks/asteroid#x", 400),
        ("http://localhost/webhooks/asteroid", 400),
        ("webhooks/asteroid", 400),
        ("/webhooks/\0", 400),
        ("/webhooks/asteroid\tx", 400),
        ("/webhooks/ä", 400),
        ("*", 404),
    ],
)
def test_a_path_is_taken_as_it_stands(target: Target, path: str, status: int) -> None:
    body = fresh()
    answer = ask(target.port, request(body, signed(body), path=path))
    assert answer.status == status
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_a_webhook_is_posted(target: Target, method: str) -> None:
    body = fresh()
    is_head = method == "HEAD"
    answer = ask(target.port, request(body, signed(body), method=method), head=is_head)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert bool(answer.body) != is_head
    assert ask(target.port, request(method=method, path="/webhooks/no"), head=is_head).status == 404
    assert ask(target.port, request(body, method="brew")).status in (400, 405)


@pytest.mark.parametrize(
    "path",
    ["/api/executions?limit=" + "9" * 5000, "/api/executions?after=-1", "/api/executions?limit=١",
     "/api/executions?limit=1_0", "/api/executions?limit=1&limit=", "/api/executions?limit=%00"],
)  # fmt: skip
def test_a_number_in_a_query_is_plain_digits(target: Target, path: str) -> None:
    path = "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    assert ask(target.port, request(method="GET", path=path)).status == 400


@pytest.mark.parametrize(
    "path",
    ["/api/executions/asteroid/%00", "/api/executions/%ff/%ff", "/api/executions/a/" + "b" * 9000,
     "/api/executions/asteroid/%ED%A0%80", "/api/none", "/.env", "/wp-login.php", "/healthz/"],
)  # fmt: skip
def test_what_is_not_there_is_404(target: Target, path: str) -> None:
    assert ask(target.port, request(method="GET", path=path)).status == 404
    redeliver = f"/api/deliveries/{'9' * 5000}/redeliver"
    assert ask(target.port, request(path=redeliver)).status == 404
    assert ask(target.port, request(path="/api/deliveries/-1/redeliver")).status == 404


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=%ff", "q='", "q=%25_%25", "q=" + "a" * 8000, "agent=%ED%A0%80",
     "source=" + "%F0%9F%92%A9" * 600],
)  # fmt: skip
def test_a_search_for_anything_finds_nothing_and_breaks_nothing(target: Target, query: str) -> None:
    answer = ask(target.port, request(method="GET", path=f"/api/executions?{query}"))
    assert answer.status == 200
    assert ask(target.port, request(method="GET", path="/api/executions?x=1")).status == 400


@pytest.mark.parametrize("query", ["status=x", "category=%00", "state=" + "%F0%9F%92%A9" * 600])
def test_a_search_for_no_word_of_ours_says_which_there_are(target: Target, query: str) -> None:
    page = "deliveries" if query.startswith("state") else "executions"
    answer = ask(target.port, request(method="GET", path=f"/api/{page}?{query}"))
    assert answer.status == 400
    assert b" is one of " in answer.body


BOMBS = {
    "laughs": "a: &a [x,x,x]\n" + "".join(f"{c}: &{c} [*a,*a,*a]\n" for c in "bcdefgh"),
    "merges": "a: &a {x: 1}\nb: {<<: *a}\n",
    "depth": "a: " + "[" * 100_000,
    "depth of lines": "".join("  " * n + "a:\n" for n in range(400)),
    "size": "a: " + "x" * 2_000_000,
    "code": "a: !!python/object/apply:os.system [id]\n",
    "key": "? " + "x" * 5_000 + "\n: 1\n",
    "number": "a: " + "9" * 500_000,
    "time": "a: 2026-99-99T99:99:99Z\n",
    "documents": "a: 1\n---\n" * 5_000,
    "variables": "a: " + "${" * 100_000,
    "nothing": "\0",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_routes_file_that_is_a_bomb_is_an_error_at_once(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "routes.yaml").write_text(bomb)
    began = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        routes_file.load(str(tmp_path / "routes.yaml"), {})
    assert time.process_time() - began < 3
    assert sum(map(len, caught.value.problems)) < 20_000


def test_an_environment_of_anything_is_settings_or_an_error_without_its_values() -> None:
    for name, value in (
        ("RECEIVER_", "canary"), ("RECEIVER_PORT_FILE", "canary"), ("RECEIVER_\n", "canary"),
        ("RECEIVER_MODEL_CONFIG", "canary"), ("RECEIVER_DATABASE_PATH", "canary"),
        ("RECEIVER_PORT", "canary"), ("RECEIVER_PORT", "9" * 5_000), ("RECEIVER_RATE", "nan"),
        ("RECEIVER_BODY_TIMEOUT", "inf"), ("RECEIVER_MAX_BODY", "-1"),
        ("RECEIVER_HTTP", "h\0canary"),
        ("RECEIVER_API_TOKEN_FILE", "/dev/null/canary"), ("RECEIVER_DATABASE_URL", "canary"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError) as caught:
            load_settings({name: value})
        assert "canary" not in str(caught.value)


def test_after_all_of_it_the_server_still_does_its_work_and_its_books_balance(
    target: Target,
) -> None:
    assert target.post(fresh()).status == 202
    assert ask(target.port, request(method="GET", path="/readyz")).status == 200
    assert target.live.store.ledger()["imbalance"] == 0
    body = fresh()
    with wire(target.port) as connection:
        connection.send(request(b"", [*signed(body), ("Transfer-Encoding", "chunked")],
                                length=False), chunked(body))  # fmt: skip
        assert connection.answer().status == 202
