"""What is asked for again and again is answered 304 as long as it is the same."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from receiver.cli import client
from tests.support.live import Live, live
from tests.support.visited import ROUTES, TOKEN, Visit

BEARER = {"Authorization": f"Bearer {TOKEN}"}
POLLED = (
    "/api/executions", "/api/events?limit=1", "/api/deliveries", "/api/executions/asteroid/one",
    "/api/events/1", "/api/silences", "/api/ledger", "/api/hints",
)  # fmt: skip


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with a token and one execution."""
    with live(tmp_path_factory.mktemp("unchanged"), ROUTES, api_token=TOKEN) as served:
        served.post(client.asteroid_event("EXECUTION_STARTED", "one"))
        yield served


def ask(receiver: Live, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(receiver.url + path, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, body, found = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, body, found = error.code, error.read(), error.headers
    return status, body, {name.lower(): value for name, value in found.items()}


@pytest.mark.parametrize("path", POLLED)
def test_the_same_answer_is_304_and_another_one_comes_whole(receiver: Live, path: str) -> None:
    status, body, headers = ask(receiver, path, **BEARER)
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert "Authorization" in headers["vary"]
    for tag in (headers["etag"], f"W/{headers['etag']}", f'"other", {headers["etag"]}'):
        again = ask(receiver, path, If_None_Match=tag, **BEARER)
        assert (again[0], again[1], again[2]["etag"]) == (304, b"", headers["etag"]), tag
    for tag in ('"other"', headers["etag"].strip('"'), "", "W/"):
        assert ask(receiver, path, If_None_Match=tag, **BEARER)[:2] == (200, body), tag


def test_news_change_what_they_are_about(receiver: Live) -> None:
    before = ask(receiver, "/api/executions", **BEARER)[2]["etag"]
    receiver.post(client.asteroid_event("EXECUTION_STARTED", "two"))
    status, body, headers = ask(receiver, "/api/executions", If_None_Match=before, **BEARER)
    assert (status, b'"two"' in body) == (200, True)
    assert headers["etag"] != before


def test_who_may_not_see_it_is_not_told_that_it_is_the_same(receiver: Live) -> None:
    for path in POLLED:
        tag = ask(receiver, path, **BEARER)[2]["etag"]
        status, _, headers = ask(receiver, path, If_None_Match=tag)
        assert (status, "etag" in headers) == (401, False)
        assert ask(receiver, path, If_None_Match=tag, Authorization="Bearer no")[0] == 401
    visit = Visit(receiver)
    visit.sign_in()
    tag = visit.get("/ledger").headers["etag"]
    stranger = Visit(receiver).get("/ledger", If_None_Match=tag)
    assert (stranger.status, stranger.headers["location"]) == (303, "/login?next=/ledger")
    assert Visit(receiver).get("/ledger", If_None_Match=tag, HX_Request="true").status == 401


def test_errors_and_changes_have_no_tag(receiver: Live) -> None:
    for path in ("/api/executions/asteroid/nobody", "/api/events?limit=0"):
        assert "etag" not in ask(receiver, path, If_None_Match='"x"', **BEARER)[2]


def test_the_part_that_refreshes_itself_sends_the_tag_of_its_page(receiver: Live) -> None:
    visit = Visit(receiver)
    visit.sign_in()
    for path in ("/ledger", "/"):
        visit.get(path)  # what takes long is read for the first time

        def look(known: str = "", path: str = path) -> tuple[int, str, str]:
            shown = visit.get(path, HX_Request="true", If_None_Match=known)
            told = re.search(r"""hx-headers='\{"If-None-Match": "\\"([^\\]+)\\""\}'""", shown.text)
            return shown.status, shown.headers["etag"], f'"{told[1]}"' if told else ""

        seen = {look()[1:] for _ in range(2)}
        assert all(tag == told for tag, told in seen)
        # Moments grow older, so another second may be another page: one of these is the same.
        answers = []
        for _ in range(20):
            answers.append(look(look()[1])[0])
            if answers[-1] == 304:
                break
        assert answers[-1] == 304, path


def test_a_notice_is_shown_once_though_the_page_is_the_same(receiver: Live) -> None:
    visit = Visit(receiver)
    visit.sign_in(name="Ann")
    tag = visit.get("/silences").headers["etag"]
    visit.cookies["receiver_notice"] = "Kept."
    shown = visit.get("/silences", If_None_Match=tag)
    assert (shown.status, "Kept." in shown.text) == (200, True)
