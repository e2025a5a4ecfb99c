"""The audit over real HTTP: each act has its row, with who, which way and from where."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from receiver.audit import Act, Actor, Door, Entry
from receiver.dispatch.operators import note
from receiver.web.pages.gate import MOST_NOTED
from tests.support.live import Live
from tests.support.visited import TOKEN, Visit
from tests.wire.test_take import guarded, press, waits

BEARER = {"Authorization": f"Bearer {TOKEN}"}
SILENCE = {"match": {"status": "failed"}, "for": "2h", "reason": "a deploy", "by": "Ann"}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with guarded(tmp_path_factory.mktemp("audit"), trusted_proxies="127.0.0.0/8") as served:
        yield served


def rows(receiver: Live, **conditions: str) -> list[dict[str, Any]]:
    found, _ = receiver.store.audit(conditions, 200, None)
    return list(found)


def newest(receiver: Live) -> tuple[str, str, str, str, str]:
    row = rows(receiver)[0]
    about = row["execution_id"] or row["about"]
    return row["act"], row["who"], row["door"], about, row["result"]


def ask(receiver: Live, path: str, method: str = "POST", content: object = None) -> int:
    body = None if content is None else json.dumps(content).encode()
    headers = {**BEARER, "X-Forwarded-For": "203.0.113.7"}
    return receiver.ask(path, method=method, headers=headers, body=body)[0]


def test_each_act_through_the_api_has_its_row_with_the_address(receiver: Live) -> None:
    waits(receiver, "by-api")
    assert (
        ask(receiver, "/api/executions/asteroid/by-api/acknowledge", content={"by": "Ann"}) == 200
    )
    assert newest(receiver) == ("take", "Ann", "api", "by-api", "taken")
    assert (
        ask(receiver, "/api/executions/asteroid/by-api/acknowledge", content={"by": "Bob"}) == 200
    )
    assert newest(receiver) == ("take", "Bob", "api", "by-api", "taken over from Ann")
    assert ask(receiver, "/api/silences", content=SILENCE) == 201
    assert newest(receiver) == ("silence", "Ann", "api", "1", "a deploy")
    assert ask(receiver, "/api/silences/1", "DELETE") == 200
    assert newest(receiver) == ("end_silence", "", "api", "1", "ended")
    assert ask(receiver, "/api/destinations/ops/test") == 200
    assert newest(receiver) == ("test", "", "api", "ops", "delivered")
    assert ask(receiver, "/api/reload") == 200
    assert newest(receiver) == ("reload", "", "api", "", "loaded")
    assert {row["place"] for row in rows(receiver, door="api")} == {"203.0.113.7"}


def test_what_changes_nothing_has_no_row(receiver: Live) -> None:
    waits(receiver, "unchanged")
    path = "/api/executions/asteroid/unchanged/acknowledge"
    assert ask(receiver, path, content={"by": "Ann"}) == 200
    before = len(rows(receiver))
    assert ask(receiver, path, content={"by": "Ann"}) == 200  # she has it already
    assert ask(receiver, "/api/executions/asteroid/nobody/acknowledge", content={"by": "A"}) == 404
    assert ask(receiver, "/api/deliveries/1/redeliver") in (404, 409)
    assert ask(receiver, "/api/deliveries/redeliver?destination=ops") == 202
    assert ask(receiver, "/api/silences/99", "DELETE") == 404
    assert len(rows(receiver)) == before


def test_a_link_says_where_it_was_sent_and_a_page_who_is_signed_in(receiver: Live) -> None:
    path = waits(receiver, "by-link")
    press(Visit(receiver), path, name="Ann \u202e")
    (row,) = rows(receiver, execution_id="by-link")
    assert (row["who"], row["door"], row["act"]) == ("Ann", "link", "take")
    assert row["place"].startswith("sent to approvers, 127.0.0.1")
    visit = Visit(receiver)
    visit.sign_in("wrong-token")
    assert newest(receiver) == ("sign_in_refused", "", "page", "", "")
    visit.sign_in(name="Eve")
    assert newest(receiver) == ("sign_in", "Eve", "page", "", "")
    visit.post("/act/test", {"destination": "ops"})
    assert newest(receiver) == ("test", "Eve", "page", "ops", "delivered")
    visit.post("/act/silence", {"status": "failed", "for": "2h", "reason": "why", "name": "Eve"})
    assert newest(receiver)[:2] == ("silence", "Eve")
    number = newest(receiver)[3]
    visit.post("/act/end-silence", {"id": number})
    assert newest(receiver) == ("end_silence", "Eve", "page", number, "ended")
    visit.post("/logout")
    assert newest(receiver) == ("sign_out", "Eve", "page", "", "")
    assert TOKEN not in json.dumps(rows(receiver))
    assert path.rpartition("/")[2] not in json.dumps(rows(receiver))


def test_wrong_tokens_fill_it_no_further_than_a_bound(receiver: Live) -> None:
    for n in range(MOST_NOTED + 20):
        Visit(receiver).sign_in("wrong", X_Forwarded_For=f"198.51.100.{n}")
    assert len(rows(receiver, act="sign_in_refused")) <= MOST_NOTED


def test_it_is_listed_in_pages_and_filtered(receiver: Live) -> None:
    now = time.time_ns()
    entry = Entry(now, Act.RENAME, Actor("<b>Mallory</b>", Door.COMMAND), about="route a to b")
    receiver.store.write_now(note, entry)
    status, first, _ = receiver.ask("/api/audit?limit=2", headers=BEARER)
    assert status == 200
    assert first["items"][0]["act"] == "rename"
    assert first["items"][0]["at"].endswith("Z")
    _, second, _ = receiver.ask(f"/api/audit?limit=2&after={first['next']}", headers=BEARER)
    ids = [row["id"] for row in (*first["items"], *second["items"])]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 4
    _, taken, _ = receiver.ask("/api/audit?act=take&who=Ann", headers=BEARER)
    assert {(row["act"], row["who"]) for row in taken["items"]} == {("take", "Ann")}
    assert receiver.ask("/api/audit?act=dance", headers=BEARER)[0] == 400
    assert receiver.ask("/api/audit")[0] == 401
    visit = Visit(receiver)
    visit.sign_in(X_Forwarded_For="192.0.2.9")
    text = visit.get("/audit").text
    assert "&lt;b&gt;Mallory" in text
    assert "<b>Mallory" not in text
    assert "Mallory" not in visit.get("/audit?act=take").text


def test_a_reload_by_a_signal_is_written_down(receiver: Live) -> None:
    receiver.app.state.reloaded("loaded")  # what the handler of SIGHUP calls in the end
    assert newest(receiver) == ("reload", "", "signal", "", "loaded")
