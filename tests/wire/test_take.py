"""A message's link over real HTTP: who opens it, what it shows, what it changes and what never."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver.cli import client
from receiver.links import LASTS, Ticket, mark_of, sign
from receiver.times import SECOND
from receiver.web.pages.take import MOST_WRONG
from tests.support.live import Live, live, until
from tests.support.visited import LINK, NAME, QUESTION, ROUTES, TOKEN, Shown, Visit

PUBLIC = "https://hooks.example.org"
KEY = "a-key-of-the-links-0123456789"
_URL = re.compile(r"^Take it(?: over)?: (\S+)$", re.M)


def send(receiver: Live, event: str, execution: str, seconds: int = 0, **more: Any) -> None:
    """Let an event come in that happened so many seconds after the first ones."""
    at = client.now_whole() - 600 * SECOND + seconds * SECOND
    status, _ = receiver.post(
        client.asteroid_event(f"EXECUTION_{event}", execution, occurred_at=at, **more)
    )
    assert status == 202


def waits(receiver: Live, execution: str, **more: Any) -> str:
    """Let an execution wait for a confirmation; return the path of the link that was sent."""
    send(receiver, "STARTED", execution, 1)
    more = {"payload": {"reason": "About to pay 4,200 EUR"}, **more}
    send(receiver, "AWAITING_CONFIRMATION", execution, 2, **more)
    return link_of(receiver, execution)


def link_of(receiver: Live, execution: str, kind: str = "notice") -> str:
    """Return the path of the link in the newest message of a kind that was sent."""
    found: list[str] = []

    def is_sent() -> bool:
        items, _ = receiver.store.deliveries({"execution_id": execution, "kind": kind}, 50, None)
        found[:] = [
            url[1]
            for each in items
            if each["state"] == "sent" and (url := _URL.search(each["body"]))
        ]
        return bool(found)

    until(is_sent)
    assert found[0].startswith(PUBLIC)
    return found[0].removeprefix(PUBLIC)


def taker(receiver: Live, execution: str) -> str | None:
    story = receiver.store.execution("asteroid", execution)
    assert story is not None
    taken = story["execution"]["acknowledged"]
    return None if taken is None else str(taken["by"])


def form_of(shown: Shown) -> dict[str, str]:
    """Return the hidden fields of the form on a page."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.text))


def press(visit: Visit, path: str, **fields: str) -> Shown:
    """Open a link and press its button."""
    return visit.post(path, {**form_of(visit.get(path)), **fields})


@contextmanager
def guarded(folder: Path, **settings: str) -> Iterator[Live]:
    named = {"api_token": TOKEN, "public_url": PUBLIC, "link_key": KEY, **settings}
    with live(folder, ROUTES, None, **named) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose API has a token and whose pages want a login."""
    with guarded(tmp_path_factory.mktemp("take")) as served:
        yield served


def test_a_link_opens_without_a_login_and_says_what_waits_since_when_and_who_was_told(
    receiver: Live,
) -> None:
    path = waits(receiver, "shown")
    assert len(PUBLIC + path) <= 120
    shown = Visit(receiver).get(path)
    assert shown.status == 200
    for words in (
        "waits for confirmation", "About to pay 4,200 EUR", " min ago", "approvers", "shown",
        'href="https://platform.asteroid.ai/', "I take it", "UTC",
    ):  # fmt: skip
        assert words in shown.text, words
    assert shown.headers["x-robots-tag"].startswith("noindex")
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "script-src 'none'" in shown.headers["content-security-policy"]
    assert "<script" not in shown.text


def test_looking_changes_nothing_however_often_and_by_whom(receiver: Live) -> None:
    path = waits(receiver, "previewed")
    before = receiver.store.execution("asteroid", "previewed")
    for agent in ("Slackbot-LinkExpanding 1.0", "Mozilla/5.0"):
        assert Visit(receiver).get(path, User_Agent=agent).status == 200
        assert Visit(receiver)._ask("HEAD", path, None, {"User-Agent": agent}).status == 200
    for method in ("PUT", "DELETE", "PATCH"):
        assert Visit(receiver)._ask(method, path, None, {}).status == 405
    assert receiver.store.execution("asteroid", "previewed") == before


def test_the_button_takes_it_as_the_command_does_and_the_name_is_asked_once(receiver: Live) -> None:
    path = waits(receiver, "taken")
    visit = Visit(receiver)
    assert visit.get(path).text.count('name="name"') == 1
    shown = press(visit, path, name="Ann")
    assert (shown.status, shown.headers["location"]) == (303, path.rpartition("/")[2])
    assert taker(receiver, "taken") == "Ann"
    for cookie in shown.cookies:
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "samesite=lax", "path=/take"} <= parts
    after = visit.get(path)
    assert after.status == 200
    assert "You take care of it" in after.text
    assert "<form" not in after.text
    until(lambda: receiver.store.deliveries({"kind": "acknowledged"}, 9, None)[0])
    reminders, _ = receiver.store.deliveries({"execution_id": "taken", "kind": "reminder"}, 9, None)
    assert {(each["state"], each["reason"]) for each in reminders} == {
        ("superseded", "acknowledged by Ann")
    }
    second = waits(receiver, "taken-next")
    known = visit.get(second)
    assert "You are Ann" in known.text
    assert press(visit, second, name="Ann").status == 303
    assert taker(receiver, "taken-next") == "Ann"
    again = visit.post(second, {**form_of(known), "name": "ANN"})  # a second tap
    assert again.status == 303
    assert taker(receiver, "taken-next") == "Ann"


def test_a_name_is_needed_and_cleaned(receiver: Live) -> None:
    path = waits(receiver, "named")
    visit = Visit(receiver)
    for name in ("", "   ", "\u202e\u2066"):
        shown = press(visit, path, name=name)
        assert shown.status == 422
        assert "Write your name" in shown.text
        assert "<form" in shown.text
    assert taker(receiver, "named") is None
    press(visit, path, name="Ann \u202e<b>" + "x" * 500)
    assert len(taker(receiver, "named") or "") == 80
    assert "<b>" not in visit.get(path).text


def test_what_another_has_taken_is_taken_over_only_by_a_second_button(receiver: Live) -> None:
    path = waits(receiver, "others")
    ann, bob, eve = Visit(receiver), Visit(receiver), Visit(receiver)
    seen_before = form_of(bob.get(path))
    press(ann, path, name="Ann")
    raced = bob.post(path, {**seen_before, "name": "Bob"})  # his page showed that nobody has it
    assert raced.status == 409
    assert taker(receiver, "others") == "Ann"
    assert "<strong>Ann</strong> takes care of it, since" in raced.text
    assert "Take it over from Ann" in raced.text
    assert "You are Bob" in raced.text  # he has written his name already
    shown = bob.get(path)
    assert (shown.status, "You are Bob" in shown.text) == (200, True)
    seen_by_eve = form_of(eve.get(path))
    assert press(bob, path, name="Bob").status == 303
    assert taker(receiver, "others") == "Bob"
    late = eve.post(path, {**seen_by_eve, "name": "Eve"})  # it is no longer Ann's
    assert late.status == 409
    assert "Take it over from Bob" in late.text
    assert taker(receiver, "others") == "Bob"
    assert "before that Ann had it" in ann.get(path).text


def test_what_moved_on_says_what_it_is_now_and_takes_nothing(receiver: Live) -> None:
    path = waits(receiver, "over")
    visit = Visit(receiver)
    form = {**form_of(visit.get(path)), "name": "Ann"}
    send(receiver, "RESUMED", "over", 30)
    for shown in (visit.get(path), visit.post(path, form)):
        assert shown.status == 410
        assert "moved on" in shown.text
        assert "Decide there" not in shown.text  # there is nothing to decide any more
        assert "<strong>running</strong>, since" in shown.text
        assert "<form" not in shown.text
    send(receiver, "AWAITING_CONFIRMATION", "over", 60, payload={"reason": "Another question"})
    shown = visit.get(path)
    assert shown.status == 410
    assert "That is a new wait" in shown.text
    assert "Another question" not in shown.text
    assert visit.post(path, form).status == 410
    assert taker(receiver, "over") is None
    send(receiver, "FAILED", "over", 90)
    assert "<strong>failed</strong>" in visit.get(path).text


def test_forged_cut_expired_and_other_keys_each_get_a_sentence_and_no_detail(
    receiver: Live, tmp_path: Path
) -> None:
    path = waits(receiver, "secret-execution")
    token = path.rpartition("/")[2]
    items, _ = receiver.store.deliveries({"execution_id": "secret-execution"}, 9, None)
    (number,) = [each["id"] for each in items if each["kind"] == "notice"]
    mark = mark_of("asteroid", "secret-execution", 2, "approvers")
    now, key = time.time_ns(), KEY.encode()
    ends = (now + LASTS) // SECOND
    other = mark_of("asteroid", "another", 2, "approvers")
    cases = {
        token[:-1]: (404, "not one of ours as it stands"),
        token + "0": (404, "not one of ours as it stands"),
        token[:-1] + ("0" if token[-1] != "0" else "1"): (404, "not one of ours as it stands"),
        "x": (404, "not one of ours as it stands"),
        "%00%0a": (404, "not one of ours as it stands"),
        "z" * 42: (404, "not one of ours as it stands"),
        sign(b"another-key-0123456789", Ticket(number, mark, ends)): (
            404,
            "not in use here. If it still waits,",
        ),
        sign(key, Ticket(number, mark, now // SECOND - 1)): (
            410,
            "works for 7 days. If it still waits,",
        ),
        sign(key, Ticket(number + 1000, mark, ends)): (410, "ended long ago"),
        sign(key, Ticket(number, other, ends)): (410, "ended long ago"),
        sign(key, Ticket(number, mark, ends)): (200, "About to pay"),
    }
    visit = Visit(receiver)
    for each, (status, words) in cases.items():
        shown = visit.get(f"/take/{each}")
        assert (shown.status, words in shown.text) == (status, True), each
        if status != 200:
            assert "secret-execution" not in shown.text
            assert "Invoice" not in shown.text
            assert "<form" not in shown.text
            assert visit.post(f"/take/{each}", {"name": "Ann"}).status == status
    assert taker(receiver, "secret-execution") is None
    assert visit.get("/take/").status == 404
    assert visit.get(f"{path}/more").status == 404


def test_forms_from_elsewhere_and_forms_that_were_never_shown_take_nothing(receiver: Live) -> None:
    path = waits(receiver, "elsewhere")
    visit = Visit(receiver)
    form = {**form_of(visit.get(path)), "name": "Eve"}
    for headers in (
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.hooks.example.org", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": f"{receiver.url}1"},  # another port
    ):
        shown = visit._ask(
            "POST", path, "&".join(f"{name}={text}" for name, text in form.items()),
            {"Content-Type": "application/x-www-form-urlencoded", **headers},
        )  # fmt: skip
        assert shown.status == 403, headers
    stranger = Visit(receiver)
    forged = form["form"].partition(".")[0] + "." + "0" * 32
    for given in ({"name": "Eve"}, {**form, "form": "0" * 32}, {**form, "form": forged},
                  {**form, "form": ""}):  # fmt: skip
        shown = stranger.post(path, given)
        assert shown.status == 403
        assert "press the button again" in shown.text
    other = waits(receiver, "elsewhere-2")
    assert visit.post(other, form).status == 403  # the form of another link
    assert stranger.post(other, form).status == 403
    stranger.get(path)
    assert stranger.post(path, form).status == 403  # the form of another browser
    assert visit.post(path, form, Content_Type="application/json").status == 415
    assert taker(receiver, "elsewhere") is taker(receiver, "elsewhere-2") is None
    # Old browsers say neither, and a page without a referrer says `null`.
    shown = visit.post(path, form, Origin="null")
    assert shown.status == 303
    assert taker(receiver, "elsewhere") == "Eve"


def test_nothing_else_opens_with_a_link_or_with_its_cookies(receiver: Live) -> None:
    path = waits(receiver, "alone")
    visit = Visit(receiver)
    press(visit, path, name="Ann")
    for address in ("/", "/executions/asteroid/alone", "/audit", "/api/executions", "/metrics"):
        status = visit.get(address).status
        assert status in (303, 401, 404), address
    token = path.rpartition("/")[2]
    bearer = {"Authorization": f"Bearer {token}"}
    assert receiver.ask("/api/executions", headers=bearer)[0] == 401
    linked = re.findall(r'(?:href|src|action)="([^"]*)"', visit.get(path).text)
    own = [each for each in linked if not each.startswith("https://platform.asteroid.ai/")]
    assert [each for each in own if each and not each.startswith("../static/")] == []


@pytest.mark.parametrize("prefix", ["", "/hooks", "/a/b"])
def test_it_works_behind_a_proxy_under_a_path_whether_it_strips_that_or_not(
    tmp_path: Path, prefix: str
) -> None:
    public = f"https://hooks.example.org{prefix}"
    with guarded(tmp_path, public_url=f"{public}/") as receiver:
        whole = waits(receiver, "behind")
        assert whole.startswith(f"{prefix}/take/")
        stripped = whole.removeprefix(prefix)
        for n, path in enumerate((whole, stripped)):
            visit = Visit(receiver)
            shown = visit.get(path, Host="hooks.example.org")
            assert shown.status == 200
            assert visit.get(f"{path.rpartition('/take/')[0]}/static/pages.css").status == 200
            answer = visit.post(
                path, {**form_of(shown), "name": f"Ann {n}"}, Host="hooks.example.org",
                Origin="https://hooks.example.org",
            )  # fmt: skip
            assert (answer.status, answer.headers["location"]) == (303, path.rpartition("/")[2])
            assert taker(receiver, "behind") == f"Ann {n}"
            for cookie in [*shown.cookies, *answer.cookies]:
                assert f"Path={prefix}/take" in cookie
                assert "Secure" in cookie
        assert Visit(receiver).get(whole, Host="evil.example").status == 421
        assert Visit(receiver).get(whole, Host="HOOKS.example.org:443").status == 200


def test_whoever_guesses_is_told_to_wait_and_real_links_go_on_working(tmp_path: Path) -> None:
    with guarded(tmp_path) as receiver:
        path = waits(receiver, "guessed")
        visit = Visit(receiver)
        seen = [visit.get(f"/take/{'A' * 41}{n % 10}").status for n in range(MOST_WRONG + 2)]
        assert seen == [404] * MOST_WRONG + [429] * 2
        shown = visit.get(f"/take/{'A' * 42}")
        assert 0 < int(shown.headers["retry-after"]) <= 60
        assert visit.get(path).status == 200
        assert press(visit, path, name="Ann").status == 303


def test_a_hostile_name_link_and_a_large_detail_are_only_text(tmp_path: Path) -> None:
    with guarded(tmp_path) as receiver:
        payload = {"paused_by": "agent", "question": QUESTION, "reason": NAME, "x": "y" * 200_000}
        send(receiver, "STARTED", "hostile", 1, agent_name=NAME)
        send(receiver, "PAUSED", "hostile", 2, agent_name=NAME, payload=payload)
        path = link_of(receiver, "hostile")
        text = Visit(receiver).get(path).text
        assert "Which centre? (Berlin / Ulm)" in text
        assert "Hostile &lt;script&gt;" in text
        assert len(text) < 20_000
        for bad in ("<script", "<img", "\u202e", LINK, 'onerror="window'):
            assert bad not in text


def test_the_key_is_made_once_and_links_survive_a_restart_and_a_change_of_key(
    tmp_path: Path,
) -> None:
    with live(tmp_path, ROUTES, public_url=PUBLIC) as receiver:
        path = waits(receiver, "kept")
    new, old = "new-key-0123456789", "old-key-0123456789"
    with live(tmp_path, ROUTES, public_url=PUBLIC, link_key=old) as receiver:
        by_old = waits(receiver, "rotated")
        assert [Visit(receiver).get(each).status for each in (path, by_old)] == [404, 200]
    with live(tmp_path, ROUTES, public_url=PUBLIC, link_key=f"{new} {old}") as receiver:
        assert press(Visit(receiver), by_old, name="Ann").status == 303
    with live(tmp_path, ROUTES, public_url=PUBLIC) as receiver:  # the one that is kept
        assert [Visit(receiver).get(each).status for each in (path, by_old)] == [200, 404]


def test_without_an_address_no_message_has_a_link(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES) as receiver:
        send(receiver, "STARTED", "plain", 1)
        send(receiver, "AWAITING_CONFIRMATION", "plain", 2)
        until(lambda: receiver.store.deliveries({"state": "sent"}, 9, None)[0])
        items, _ = receiver.store.deliveries({"execution_id": "plain"}, 9, None)
        assert not any("/take/" in (each["body"] or "") for each in items)


def test_without_cookies_it_is_taken_too_and_the_name_is_asked_each_time(
    receiver: Live,
) -> None:
    path = waits(receiver, "no-cookies")
    nameless = {**form_of(Visit(receiver).get(path)), "name": " "}
    assert Visit(receiver).post(path, nameless).status == 422
    shown = Visit(receiver).post(path, {**nameless, "name": "Dora"})
    assert shown.status == 200
    assert "You take care of it" in shown.text
    assert taker(receiver, "no-cookies") == "Dora"
    after = Visit(receiver).get(path)
    assert "<strong>Dora</strong> takes care of it" in after.text
    assert 'name="name"' in after.text
    over = {**form_of(after), "name": "Eve"}
    assert over["over"] == "Dora"
    assert "You take care of it" in Visit(receiver).post(path, over).text
    send(receiver, "AWAITING_CONFIRMATION", "no-cookies", 30)
    send(receiver, "RESUMED", "no-cookies", 40)
    shown = Visit(receiver).post(path, over)
    assert shown.status == 410
    assert "press the button" not in shown.text


def test_whom_a_proxy_names_takes_without_cookies_only_by_a_form_from_here(
    tmp_path: Path,
) -> None:
    with guarded(tmp_path, user_header="X-User", trusted_proxies="127.0.0.0/8") as served:
        path = waits(served, "named")
        form = form_of(Visit(served).get(path, X_User="Ann"))
        for site in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": ""}):
            assert Visit(served).post(path, form, X_User="Ann", **site).status == 403
        assert taker(served, "named") is None
        assert Visit(served).post(path, form, X_User="Ann").status == 200
        assert taker(served, "named") == "Ann"


def test_a_sign_too_many_opens_the_page_or_a_plain_one(receiver: Live) -> None:
    path = waits(receiver, "slash")
    visit = Visit(receiver)
    assert visit.get(f"{path}/").headers["location"] == f"../{path.rpartition('/')[2]}"
    for wrong in ("/take/", f"{path}/x", f"{path}."):
        shown = visit.get(wrong)
        assert shown.status == 404
        assert "It is not one of ours as it stands." in shown.text
        assert shown.headers["content-type"].startswith("text/html")


def test_a_name_leads_nowhere(receiver: Live) -> None:
    path = waits(receiver, "linked-name")
    done = press(Visit(receiver), path, name="Ann https://evil.example www.evil.example mailto:a")
    assert done.status == 303, done.text
    name = taker(receiver, "linked-name")
    assert name == "Ann https：//evil.example www．evil.example mailto：a"
