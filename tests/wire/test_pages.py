"""The pages over real HTTP: who gets in, what a form changes, what no page ever does."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from receiver.cli import client
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import SqliteStore
from receiver.times import format_time
from receiver.web import paging
from receiver.web.pages import glance, lists, views
from receiver.web.pages.rendering import POLICY, STATIC
from tests.support.live import Live, live, until
from tests.support.visited import ADDRESSES, LINK, NAME, ROUTES, TOKEN, Visit, sow, sown


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An open server on loopback, with a small store."""
    with sown(tmp_path_factory.mktemp("small")) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with a token, without anything in it."""
    with live(tmp_path_factory.mktemp("guarded"), ROUTES, api_token=TOKEN) as receiver:
        yield receiver


def forms_of(receiver: Live) -> list[str]:
    """The addresses that take a form."""
    return [
        route.path
        for route in receiver.app.routes
        if isinstance(route, Route)
        and not route.include_in_schema
        and "POST" in (route.methods or ())
    ]


def test_every_page_is_shown_and_says_that_nothing_else_may_be_loaded(small: Live) -> None:
    visit = Visit(small)
    for address in (*ADDRESSES, "/events/99999", "/executions/asteroid/nobody"):
        shown = visit.get(address)
        assert shown.status == (200 if address in ADDRESSES else 404), address
        assert shown.headers["content-security-policy"] == POLICY
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|\sstyle=|<script(?! src=)|\son[a-z]+=\"", shown.text), address
        assert set(re.findall(r'(?:src|href|action)="(https?:[^"/]*//[^/"]*)', shown.text)) <= {
            "https://platform.asteroid.ai"
        }


def test_no_page_needs_the_right_to_write(small: Live) -> None:
    assert isinstance(small.store, SqliteStore)
    writer = connect(small.store._path)
    writer.execute("BEGIN IMMEDIATE")  # from here on every write has to wait
    try:
        assert {Visit(small).get(address).status for address in ADDRESSES} == {200}
        assert Visit(small).get("/login").status == 303
    finally:
        writer.execute("ROLLBACK")
        writer.close()


def test_a_hostile_name_link_and_a_large_detail_are_only_text(small: Live) -> None:
    for address in ("/", "/executions", "/executions/asteroid/bad", "/deliveries"):
        text = Visit(small).get(address).text
        assert "<script>" not in text
        assert "<img" not in text
        assert "\u202e" not in text
        assert "Hostile &lt;script&gt;" in text
        assert len(text) < 150_000
    assert NAME not in Visit(small).get("/executions/asteroid/bad").text


def test_a_link_that_is_none_of_the_web_is_not_offered(tmp_path: Path) -> None:
    plain = """\
sources:
  s: {format: plain, verify: {scheme: token, header: X-Token, keys: [a-token-of-16-bytes]}}
"""
    with live(tmp_path, plain) as receiver:
        for n, link in enumerate((LINK, "data:text/html,x", "//evil.example/x", "https://a@b/")):
            event = {
                "event_id": f"e{n}", "execution_id": f"x{n}", "status": "awaiting_confirmation",
                "occurred_at": format_time(time.time_ns()), "execution_url": link,
            }  # fmt: skip
            status, _, _ = receiver.ask(
                "/webhooks/s", method="POST", headers={"X-Token": "a-token-of-16-bytes"},
                body=json.dumps(event).encode(),
            )  # fmt: skip
            assert status == 202
            pages = [Visit(receiver).get(path).text for path in (f"/executions/s/x{n}", "/")]
            assert "none that is safe to open" in pages[0]
            for page in pages:
                assert link not in re.findall(r'href="([^"]*)"', page)


def test_without_a_session_each_page_asks_for_the_token_and_no_form_is_taken(
    guarded: Live,
) -> None:
    visit = Visit(guarded)
    for address in ADDRESSES:
        shown = visit.get(address)
        assert shown.status == 303, address
        assert shown.headers["location"].startswith("/login")
    forms = forms_of(guarded)
    assert len(forms) >= 9
    for address in set(forms) - {"/login", "/logout", "/take/{token}"}:
        assert visit.post(address, {"id": "1", "destination": "ops"}).status == 401
    assert visit.get("/", HX_Request="true").headers["hx-redirect"] == "/login"
    assert visit.get("/static/pages.css").status == 200
    assert visit.get("/static/../session.py").status == 404


def test_the_token_begins_a_session_that_lasts_until_somebody_signs_out(guarded: Live) -> None:
    visit = Visit(guarded)
    shown = visit.sign_in(name="Ann")
    assert (shown.status, shown.headers["location"]) == (303, "/")
    (session,) = [line for line in shown.cookies if line.startswith("receiver_session=")]
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in session.split(";")}
    assert TOKEN not in session
    assert "Secure" not in session
    assert visit.get("/").status == 200
    stolen = Visit(guarded, dict(visit.cookies))
    assert stolen.get("/").status == 200
    assert visit.post("/logout").headers["location"] == "/login"
    assert visit.get("/").status == 303
    assert stolen.get("/").status == 303


def test_a_cookie_of_another_hand_opens_nothing(guarded: Live) -> None:
    visit = Visit(guarded)
    visit.sign_in()
    cookie = visit.cookies["receiver_session"]
    ends, chance, signature = cookie.split(".")
    for forged in (
        f"{int(ends) + 99}.{chance}.{signature}",
        f"{ends}.{chance}.",
        f"{ends}.{chance}.{'0' * 64}",
        f"{ends}.{chance}é.{signature}",
        cookie + "0",
        "x",
        "..",
        "9" * 300,
        "",
    ):
        other = Visit(guarded, {"receiver_session": forged})
        assert other.get("/").status == 303, forged


def test_after_five_wrong_tokens_even_the_right_one_has_to_wait(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES, api_token=TOKEN) as receiver:
        visit = Visit(receiver)
        for guess in ("", "a", TOKEN[:-1], TOKEN + "x", "é"):
            shown = visit.sign_in(guess)
            assert (shown.status, guess in ("", "a") or guess not in shown.text) == (401, True)
        shown = visit.sign_in(TOKEN)
        assert shown.status == 429
        assert 1 <= int(shown.headers["retry-after"]) <= 60
        assert visit.get("/").status == 303
        # Whoever has the token needs no session.
        assert visit.get("/", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_page_elsewhere_cannot_use_a_form_nor_another_name_of_this_server(
    small: Live, guarded: Live
) -> None:
    signed_in = Visit(guarded)
    signed_in.sign_in()
    port = small.url.rpartition(":")[2]
    for visit in (Visit(small), signed_in):
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "http://127.0.0.1.evil.example"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ):
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            shown = visit.post("/act/take", {"source": "asteroid"}, **given)
            assert shown.status == 403, headers
        for host in ("evil.example", f"evil.example:{port}", ""):
            assert visit.get("/", Host=host).status in (400, 421)
            assert visit.post("/login", {}, Host=host).status in (400, 403, 421)


def test_behind_https_the_cookies_are_for_https_alone(tmp_path: Path) -> None:
    with live(
        tmp_path, ROUTES, api_token=TOKEN, public_url="https://hooks.example.org",
        trusted_proxies="127.0.0.1",
    ) as receiver:  # fmt: skip
        for headers in (
            {"Host": "hooks.example.org", "Origin": "https://hooks.example.org"},
            {"X-Forwarded-Proto": "https"},
        ):
            shown = Visit(receiver).sign_in(name="Ann", **headers)
            assert (shown.status, len(shown.cookies)) == (303, 2)
            assert all("Secure" in line for line in shown.cookies)


def test_a_trusted_proxy_says_who_somebody_is_and_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    (tmp_path / "other").mkdir()
    with live(
        tmp_path / "trusted", ROUTES, user_header="X-User", trusted_proxies="127.0.0.0/8"
    ) as receiver:
        visit = Visit(receiver)
        assert "Ann" in visit.get("/", **{"X-User": "Ann"}).text
        for refused in (visit.get("/"), visit.get("/", **{"X-User": ""})):
            assert refused.status == 401
            assert "RECEIVER_USER_HEADER" in refused.text
    with live(
        tmp_path / "other", ROUTES, api_token=TOKEN, user_header="X-User",
        trusted_proxies="10.0.0.0/8",
    ) as receiver:  # fmt: skip
        assert Visit(receiver).get("/", **{"X-User": "Ann"}).status == 303


def test_forms_do_what_the_api_does_and_say_so_once(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES) as receiver:
        sow(receiver)
        until(lambda: receiver.store.ledger()["deliveries"].get("dead"))
        visit = Visit(receiver)
        about = {"source": "asteroid", "execution_id": "pay"}
        assert visit.post("/act/take", {**about, "name": " "}).status == 422
        taken = visit.post("/act/take", {**about, "name": "Ann"})
        assert taken.headers["location"] == "/executions/asteroid/pay"
        page = visit.get("/executions/asteroid/pay").text
        assert "Ann takes care of pay" in page
        assert "<strong>Ann</strong> takes care of it" in visit.get("/executions/asteroid/pay").text
        assert "Ann takes care of pay" not in visit.get("/executions/asteroid/pay").text
        story = receiver.store.execution("asteroid", "pay")
        assert story is not None
        assert story["execution"]["acknowledged"]["by"] == "Ann"
        ended = visit.post("/act/take", {**about, "execution_id": "invoice-s", "name": "Ann"})
        assert ended.status == 303
        assert "It has ended" in visit.get("/").text
        (dead,) = receiver.store.deliveries({"state": "dead"}, 2, None)[0]
        assert visit.post("/act/redeliver", {"id": str(dead["id"])}).status == 303
        assert receiver.store.deliveries({"destination": "pager"}, 9, None)[0][0]["attempts"]
        assert visit.post("/act/redeliver-all", {"destination": "pager"}).status == 303
        silence = {"agent": "Test *", "for": "2h", "reason": "deploy", "name": "Ann",
                   "other": "metadata.team=billing\nstatus=failed"}  # fmt: skip
        assert visit.post("/act/silence", silence).status == 303
        (stored,) = receiver.store.silences({}, 9, None)[0]
        assert stored["match"] == {
            "agent": ["Test *"], "metadata.team": ["billing"], "status": ["failed"]
        }  # fmt: skip
        again = visit.post("/act/silence", {**silence, "for": "tomorrow"})
        assert (again.status, "deploy" in again.text) == (422, True)
        assert visit.post("/act/end-silence", {"id": str(stored["id"])}).status == 303
        assert "is over now" in visit.get("/silences").text
        assert visit.post("/act/test", {"destination": "pager"}).status == 303
        assert "failed" in visit.get("/").text
        for path, form in (
            ("/act/redeliver", {"id": "999"}), ("/act/redeliver-all", {"destination": "x"}),
            ("/act/test", {}), ("/act/end-silence", {"id": "x"}),
            ("/act/take", {**about, "execution_id": "nobody", "name": "Ann"}),
        ):  # fmt: skip
            assert visit.post(path, form).status == 404, path


def test_it_says_where_a_written_event_would_go_and_stores_nothing(small: Live) -> None:
    before = small.store.ledger()["accepted"]
    body = client.asteroid_event("EXECUTION_FAILED", "never-seen").decode()
    shown = Visit(small).post("/routes", {"source": "asteroid", "body": body})
    assert shown.status == 200
    assert "Messages, if nothing else happens" in shown.text
    assert "status is failed, not waiting for confirmation" in shown.text
    for wrong in (
        "",
        "{",
        "null",
        "[" * 500,
        '{"event_id": 7}',
        "\ud800".encode("utf-8", "replace").decode(),
    ):
        assert Visit(small).post("/routes", {"source": "asteroid", "body": wrong}).status == 200
    assert Visit(small).post("/routes", {"source": "x", "body": body}).status == 400
    assert small.store.ledger()["accepted"] == before


def test_what_is_not_counted_yet_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "FIRST_PATIENCE", 0.0)
    with live(tmp_path, ROUTES) as receiver:
        sow(receiver)
        shown = [Visit(receiver).get(address) for address in ("/", "/ledger")]
        assert [each.status for each in shown] == [200, 200]
        until(lambda: "About to pay" in Visit(receiver).get("/").text)
        until(lambda: "Everything adds up" in Visit(receiver).get("/ledger").text)


def test_when_the_storage_fails_a_page_says_so_and_what_to_do(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES) as receiver:
        receiver.store.close()
        for shown in (
            Visit(receiver).get("/executions"),
            Visit(receiver).get("/"),
            Visit(receiver).post("/act/redeliver", {"id": "1"}),
        ):
            assert shown.status == 503
            assert "The storage does not answer" in shown.text
            assert shown.headers["retry-after"] == "5"


def test_a_form_that_is_none_or_too_large_is_refused(small: Live) -> None:
    visit = Visit(small)
    assert visit.post("/routes", {"body": "x" * 1_100_000}).status == 413
    refused = visit.post("/act/take", {}, **{"Content-Type": "application/json"})
    assert (refused.status, "This takes a form" in refused.text) == (415, True)
    refused = visit.post("/act/take", {str(n): "1" for n in range(99)})
    assert (refused.status, "At most 1,000,000 bytes and 50 fields" in refused.text) == (413, True)


def test_behind_the_last_page_of_a_list_there_is_nothing_older(small: Live) -> None:
    for name in ("executions", "events", "deliveries", "audit", "silences"):
        shown = Visit(small).get(f"/{name}?after=0").text
        assert "Nothing older." in shown, name
        assert "none yet" not in shown
        assert "anything yet" not in shown


def test_the_ledger_says_of_when_its_numbers_are(small: Live) -> None:
    until(lambda: "Everything adds up" in Visit(small).get("/ledger").text)
    assert (
        "the numbers may be some seconds older than this page" in Visit(small).get("/ledger").text
    )


def test_lists_are_filtered_and_paged(small: Live) -> None:
    visit = Visit(small)
    assert "invoice-s" in visit.get("/executions?q=invoice").text
    assert "invoice-s" not in (other := visit.get("/executions?q=INVOICE").text)
    assert "upper and lower case count" in other
    assert "report-s" not in visit.get("/executions?q=invoice").text
    assert "No executions match" in visit.get("/executions?q=%3Cb%3E").text
    assert visit.get("/executions?status=maybe").status == 400
    assert visit.get("/events?after=x").status == 400
    assert "pager" in visit.get("/deliveries?state=dead").text
    quarantined = visit.get("/events?verdict=quarantined").text
    assert quarantined.count('href="/events/') == 1


def test_a_search_shows_how_far_it_came_and_goes_on_from_there(
    small: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SLICE", 1)
    monkeypatch.setattr(lists, "SEARCH_SECONDS", 0.0)
    visit = Visit(small)
    for address, end in (
        ("/executions?q=nobody", "No executions match"),
        ("/executions?status=cancelled", "No executions match"),
        ("/events?event=NONE", "No events match"),
        ("/deliveries?kind=reminder&destination=pager", "No messages match"),
    ):
        text, steps = visit.get(address).text, 0
        while further := re.search(r'<a href="([^"]*)" rel="next">Search further back', text):
            assert "Nothing found back to" in text
            assert end not in text
            # A script goes on by itself.
            assert f'hx-get="{further[1]}" hx-trigger="load"' in text
            text, steps = visit.get(html.unescape(further[1])).text, steps + 1
        assert steps > 1
        assert end in text
    # The one whose id it is comes first, however far it is; what follows is searched for.
    (*_, first) = small.store.executions({}, 99, None)[0]
    text = visit.get(f"/executions?q={first['execution_id']}").text
    assert f'/asteroid/{first["execution_id"]}"' in text
    assert "The first has this whole id; others were looked for back to" in text
    assert "hx-trigger" not in text
    # No page further back shows it again.
    while further := re.search(r'<a href="([^"]*)" rel="next">Search further back', text):
        text = visit.get(html.unescape(further[1])).text
        assert f'/asteroid/{first["execution_id"]}"' not in text


def test_the_api_searches_on_until_a_page_is_full_or_time_is_up(
    small: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SLICE", 1)
    (*_, first) = small.store.executions({}, 99, None)[0]
    asked = f"/api/executions?q={first['execution_id']}&limit=1"
    page = small.ask(asked)[1]
    assert [each["execution_id"] for each in page["items"]] == [first["execution_id"]]
    assert paging.searching(small.store.executions, 0.0)({"q": "nobody"}, 1, None) != ([], None)


def test_what_another_has_taken_is_taken_over_only_by_the_button_that_names_them(
    tmp_path: Path,
) -> None:
    with live(tmp_path, ROUTES) as receiver:
        for event in ("STARTED", "AWAITING_CONFIRMATION"):
            receiver.post(client.asteroid_event(f"EXECUTION_{event}", "pay"))
        ann, bob = Visit(receiver), Visit(receiver)
        path = "/executions/asteroid/pay"

        def form(visit: Visit) -> dict[str, str]:
            text = visit.get(path).text
            return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))

        def taken_by() -> str:
            story = receiver.store.execution("asteroid", "pay")
            assert story is not None
            return str((story["execution"]["acknowledged"] or {}).get("by"))

        stale = form(bob)
        assert stale["version"]
        ann.post("/act/take", {**form(ann), "name": "Ann"})
        for late in (stale, {"source": "asteroid", "execution_id": "pay"}):
            assert bob.post("/act/take", {**late, "name": "Bob"}).status == 303
            assert "Nothing has changed: Ann has taken care of pay" in bob.get(path).text
            assert taken_by() == "Ann"
        assert "Take it over from Ann" in bob.get(path).text
        assert "Take it over" not in ann.get(path).text
        bob.post("/act/take", {**form(bob), "name": "Bob"})
        assert taken_by() == "Bob"
        shown = form(ann)
        receiver.post(client.asteroid_event("EXECUTION_RESUMED", "pay"))
        ann.post("/act/take", {**shown, "name": "Ann"})
        assert "Nothing has changed: it moved on meanwhile" in ann.get(path).text
        assert taken_by() == "None"


def test_a_long_question_is_shown_whole(tmp_path: Path) -> None:
    ask = "word " * 300 + "the end of it"
    with live(tmp_path, ROUTES) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_STARTED", "long"))
        receiver.post(client.asteroid_event(
            "EXECUTION_AWAITING_CONFIRMATION", "long", payload={"reason": ask}
        ))  # fmt: skip
        for path in ("/", "/executions/asteroid/long"):
            assert "the end of it" in Visit(receiver).get(path).text
    css = (STATIC / "pages.css").read_text("utf-8")
    assert "max-height" not in re.findall(r"^\.text \{.*$", css, re.M)[0]
    assert css.index("pre code { white-space: inherit; }") > css.index("code { overflow-wrap")


def test_an_execution_that_there_is_not_leads_to_what_was_set_aside(small: Live) -> None:
    shown = Visit(small).get("/executions/asteroid/n%26o")
    assert shown.status == 404
    assert "It may have been set aside: <a href" in shown.text
    (address,) = re.findall(r'href="(/events[?][^"]*)"', shown.text)
    assert address == "/events?verdict=quarantined&amp;source=asteroid&amp;execution_id=n%26o"
    assert Visit(small).get(html.unescape(address)).status == 200


def test_routes_says_statuses_as_the_other_pages_do(small: Live) -> None:
    shown = Visit(small).get("/routes").text
    assert "<dd>status is waiting for confirmation or waiting for an answer</dd>" in shown


def test_a_console_is_said_to_print_only(small: Live) -> None:
    now = Visit(small).get("/").text
    assert "prints on the server's console only" in now
    assert "works, last" not in now
    assert "Told: approvers (printed only)." in now
    story = Visit(small).get("/executions/asteroid/pay").text
    assert "<strong>Nobody was told</strong> but who reads the server's console." in story
    listed = Visit(small).get("/deliveries?state=sent").text
    assert "nobody but who reads the server&#39;s console has it" in listed
    for shown in (story, listed):
        assert '<mark class="badge over">printed</mark>' in shown
        assert '<mark class="badge good">sent</mark>' not in shown
    assert 'value="printed"' not in listed  # no state that could be chosen


def test_what_quiet_hours_keep_back_is_counted(tmp_path: Path) -> None:
    now = time.gmtime()
    begin, end = (f"{(now.tm_hour + n) % 24:02}:00" for n in (0, 2))
    quiet = f'{{from: "{begin}", to: "{end}", tz: UTC}}'
    rules = f"""\
sources:
  asteroid: {{verify: {{scheme: rsa-sha256, keys: ["${{PUBLIC}}"]}}}}
destinations:
  night: {{url: "json://127.0.0.1:9/", quiet: {quiet}}}
routes:
  - {{name: failures, match: {{status: failed}}, notify: [night]}}
"""
    with live(tmp_path, rules) as receiver:
        for name in ("a", "b"):
            receiver.post(client.asteroid_event("EXECUTION_FAILED", name))

        def kept_back() -> int:
            stands = receiver.store.standings(time.time_ns()).get("night")
            return stands.quiet if stands else 0

        until(lambda: kept_back() == 2)
        # Near midnight the clock names the day, too.
        told = rf"; 2 wait, quiet hours until [^<]*{end}"
        assert re.search(told, Visit(receiver).get("/").text)
        until(lambda: 'waiting{destination="night"} 2' in Visit(receiver).get("/metrics").text)
        assert 'oldest_owed_seconds{destination="night"} 0' in Visit(receiver).get("/metrics").text


def test_the_words_of_forms_lists_and_numbers_are_those_of_people(small: Live) -> None:
    visit = Visit(small)
    wrong = visit.post("/act/silence", {"for": "soon", "reason": "x", "name": "Ann"}).text
    assert "Say what is silenced: choose a source" in wrong
    assert "For how long: " in wrong
    assert "`" not in visit.get("/help").text
    assert "<code>" in visit.get("/help").text
    until(lambda: "Everything adds up" in visit.get("/ledger").text)
    assert not re.search(r">(\w+) <small>\1</small>", visit.get("/ledger").text)  # said once
    for address in ADDRESSES:
        assert not re.search(r"\b1 (messages|times|events|updates)\b", visit.get(address).text)


def test_a_duplicate_says_why_nobody_was_told(small: Live) -> None:
    (known, *_) = small.store.events({"verdict": "duplicate"}, 5, None)[0]
    shown = Visit(small).get(f"/events/{known['seq']}").text
    assert "Nobody was told: it was known already." in shown


def test_an_address_that_there_is_not_is_a_page_for_a_browser_and_a_problem_for_a_program(
    small: Live, guarded: Live
) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for receiver in (small, guarded):
        shown = Visit(receiver).get("/executoins", **browser)
        assert (shown.status, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no such page" in shown.text
        assert '<a href="/">To the first page</a>' in shown.text
        assert "executoins" not in shown.text
        for path, headers in (("/executoins", {}), ("/api/executoins", browser),
                              ("/webhooks", {"Accept": "*/*"})):  # fmt: skip
            shown = Visit(receiver).get(path, **headers)
            assert (shown.status, shown.headers["content-type"]) == (
                404, "application/problem+json"
            )  # fmt: skip


def test_routes_says_where_each_destination_leads_and_no_secret(tmp_path: Path) -> None:
    secret = ROUTES.replace(
        "ops: console://", "ops: slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"
    )
    with live(tmp_path, secret) as receiver:
        text = Visit(receiver).get("/routes").text
    assert "TIiajkdnlazk" not in text
    assert re.search(r'id="destination-ops">ops</dt><dd>[^<]*#ops', text), text
    assert "JSON at 127.0.0.1:9" in text


def test_of_a_long_execution_the_newest_events_are_shown_and_the_rest_is_linked(
    small: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/executions/asteroid/report-s"
    whole = Visit(small).get(path).text
    monkeypatch.setattr(views, "MOST_EVENTS", 2)
    text = Visit(small).get(path).text
    assert "Left out here: the first" in text
    assert "Left out here" not in whole
    assert (text.count('id="event-'), whole.count('id="event-') > 3) == (2, True)
    assert re.search(r'<ol class="path" start="\d">', text)
    drawing = re.compile(r"<svg class=.diagram.*?</svg>", re.S)
    assert drawing.findall(text) == drawing.findall(whole)


def test_numbers_and_lists_read_as_people_write_them(small: Live) -> None:
    visit = Visit(small)
    dead = visit.get("/deliveries?state=dead").text
    assert "1 message to <strong>pager</strong> was given up." in dead
    assert ">Send it again<" in dead
    (given_up,) = small.store.deliveries({"state": "dead"}, 2, None)[0]
    assert given_up["title"][:7] == "Hostile"
    assert '<strong class="line">Hostile' in dead
    ledger = visit.get("/ledger").text
    assert ledger.count('<th scope="row">sent<') == 1
    assert "asteroid/malformed" not in visit.get("/").text
