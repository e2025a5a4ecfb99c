"""Acting at a provider, against a stand-in of its API: each door, and what goes wrong."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from receiver.cli.client import asteroid_event
from tests.support.commands import run
from tests.support.live import PUBLIC, Live, live, until
from tests.support.provider import KEY, StandIn, standing_in
from tests.support.visited import Shown, Visit
from tests.wire.test_reconcile import now, sent, status, story

PUBLIC_URL = "https://hooks.example.org"
ALL = "act: [resume, cancel, pause]"
ROUTES = """\
sources:
  asteroid:
    verify: {{scheme: rsa-sha256, keys: ["${{PUBLIC}}"]}}
    api: {{base_url: "{url}", key: "${{API_KEY}}", timeout: 1s}}
    {acts}
destinations:
  approvers: console://
  ops: console://
routes:
  - {{name: waits, match: {{category: [awaiting, paused]}}, notify: [approvers], act: true}}
  - {{name: told, match: {{category: [awaiting, paused]}}, notify: [ops]}}
  - {{name: ends, match: {{category: terminal}}, notify: [ops]}}
"""
HOSTILE = "<script>window.hacked = 1</script>\u202e\r\nX-Injected: 1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, Live]]:
    """A receiver that may do everything, for many tests."""
    folder = tmp_path_factory.mktemp("acting")
    with standing_in() as made, receiver(folder, made) as running:
        yield made, running


@pytest.fixture
def provider(served: tuple[StandIn, Live]) -> StandIn:
    served[0].fault = lambda method, path: None
    served[0].requests.clear()
    return served[0]


@pytest.fixture
def running(served: tuple[StandIn, Live]) -> Live:
    return served[1]


@contextmanager
def receiver(folder: Path, provider: StandIn, acts: str = ALL, **settings: str) -> Iterator[Live]:
    routes = ROUTES.format(url=provider.url, acts=acts)
    with live(folder, routes, {"API_KEY": KEY}, public_url=PUBLIC_URL, **settings) as made:
        yield made


def waits(provider: StandIn, running: Live, name: str) -> None:
    """Let an execution wait for a confirmation, with its webhooks."""
    provider.moves(name, "running", now(60))
    provider.moves(name, "awaiting_confirmation", now(30))
    running.post(asteroid_event("EXECUTION_STARTED", name, occurred_at=now(60)))
    running.post(asteroid_event("EXECUTION_AWAITING_CONFIRMATION", name, occurred_at=now(30)))


def wish(running: Live, name: str, act: str = "resume", **more: str) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"act": act, "by": "Ann", **more}).encode()
    path = f"/api/executions/asteroid/{name}/act"
    code, content, _ = running.ask(path, method="POST", body=body)
    return code, content


def link(running: Live, name: str, destination: str = "approvers") -> str:
    """Return the path of the link in the message to a destination."""
    found: list[str] = []

    def is_sent() -> bool:
        asked = {"execution_id": name, "destination": destination}
        items, _ = running.store.deliveries(asked, 50, None)
        bodies = [each["body"] for each in items if each["state"] == "sent"]
        found[:] = re.findall(r"^Take it: \S+(/take/\S+)$", "\n".join(bodies), re.M)
        return bool(found)

    until(is_sent)
    return found[0]


def resume(visit: Visit, path: str, name: str = "Ann", **fields: str) -> Shown:
    """Open a link and press the button that resumes, and the one that confirms it."""
    page = visit.get(path)
    token = re.search(r'name="form" value="([^"]*)"', page.text)
    form = {"form": token[1] if token else "", "act": "resume", "name": name, **fields}
    return visit.post(path, form)


def acts_of(running: Live, name: str) -> list[str]:
    return [each["text"] for each in story(running, name)["acts"]]


def test_an_approver_resumes_from_the_link_of_a_message_with_one_request(
    provider: StandIn, running: Live
) -> None:
    waits(provider, running, "walk")
    path, visit = link(running, "walk"), Visit(running)
    shown = visit.get(path)
    assert "Yes, resume it" in shown.text
    assert "I take it" in shown.text
    assert provider.asked("POST") == []
    done = resume(visit, path, reason="I looked at the invoice")
    assert done.status == 200
    assert "Ann resumed walk. The provider now says running." in done.text
    assert provider.asked("POST") == ["/agents/v2/executions/walk/resume"]
    assert status(running, "walk") == "running"
    assert acts_of(running, "walk") == [
        "Ann resumed it from the link sent to approvers (I looked at the invoice)"
    ]
    late = asteroid_event("EXECUTION_RESUMED", "walk", occurred_at=now())
    assert running.post(late)[1]["verdict"] in ("duplicate", "stale")
    again = resume(visit, path)
    assert again.status in (403, 410)
    assert len(provider.asked("POST")) == 1
    page = visit.get("/executions/asteroid/walk")
    assert "Ann resumed it from the link sent to approvers" in page.text
    (entry,) = running.ask("/api/audit?act=resume&execution_id=walk")[1]["items"]
    assert (entry["who"], entry["door"], entry["result"]) == ("Ann", "link", "done")


def test_a_link_of_a_route_without_act_takes_and_does_not_resume(
    provider: StandIn, running: Live
) -> None:
    waits(provider, running, "told")
    path, visit = link(running, "told", "ops"), Visit(running)
    assert "resume it" not in visit.get(path).text
    assert resume(visit, path).status == 403
    assert provider.requests == []


def test_a_link_acts_on_its_own_wait_alone(provider: StandIn, running: Live) -> None:
    waits(provider, running, "twice")
    path, visit = link(running, "twice"), Visit(running)
    provider.moves("twice", "running", now(20))
    provider.moves("twice", "awaiting_confirmation", now(10))
    shown = resume(visit, path)
    assert shown.status == 409
    assert "It moved on" in shown.text
    assert provider.asked("POST") == []
    assert len([e for e in story(running, "twice")["events"] if "polled" in e["flags"]]) == 2


def test_with_act_unset_no_request_but_questions_leaves_by_any_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API, the page, the link, commands, the timer that asks, and asking by hand."""
    asks = "reconcile: {every: 1s, quiet_for: 1s}"
    with standing_in() as provider, receiver(tmp_path, provider, acts=asks) as running:
        waits(provider, running, "x")
        visit, path = Visit(running), link(running, "x")
        about = {"source": "asteroid", "execution_id": "x", "name": "Ann"}
        for act in ("resume", "cancel", "pause"):
            code, content = wish(running, "x", act)
            assert code == 403
            assert "does not allow" in content["detail"]
            assert visit.post("/act/provider", {**about, "act": act}).status == 403
            assert resume(visit, path, act=act).status == 403
            done = run(tmp_path, "act", act, "x", "--by", "Ann", API_KEY=KEY, PUBLIC=PUBLIC)
            assert done.returncode == 1
            assert b"does not allow" in done.stderr
        for words in (("reconcile",), ("reconcile", "--execution", "x"), ("doctor",)):
            done = run(tmp_path, *words, API_KEY=KEY, PUBLIC=PUBLIC)
            assert done.returncode == 0, done
        until(lambda: provider.asked(part="/x/activities"))
        assert "/act/provider" not in visit.get("/executions/asteroid/x").text
        assert {method for _, method, _ in provider.requests} == {"GET"}
        assert acts_of(running, "x") == []


def test_a_source_allows_what_it_lists_and_no_more(tmp_path: Path) -> None:
    with standing_in() as provider, receiver(tmp_path, provider, acts="act: [cancel]") as running:
        waits(provider, running, "x")
        assert wish(running, "x", "resume")[0] == 403
        assert resume(Visit(running), link(running, "x")).status == 403
        assert wish(running, "x", "cancel")[0] == 200
        assert provider.asked("POST") == ["/agents/v2/executions/x/cancel"]
        until(lambda: [t for t in sent(running, "x") if "cancelled" in t])
        late = asteroid_event("EXECUTION_CANCELLED", "x", occurred_at=now(),
                              details={"reason": "user_requested"})  # fmt: skip
        assert running.post(late)[1]["verdict"] == "duplicate"
        assert len([t for t in sent(running, "x") if "cancelled" in t]) == 1
        assert running.ask("/api/ledger")[1]["imbalance"] == 0


def test_of_two_people_at_once_one_acts_and_the_other_is_told(
    provider: StandIn, running: Live
) -> None:
    waits(provider, running, "both")
    together = threading.Barrier(2)

    def press(who: str) -> tuple[int, dict[str, Any]]:
        together.wait()
        return wish(running, "both", by=who)

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(press, ("Ann", "Bob")), key=lambda answer: answer[0])
    assert [code for code, _ in answers] == [200, 409]
    assert "both is running" in answers[1][1]["detail"]
    assert len(provider.asked("POST")) == 1
    assert len(acts_of(running, "both")) == 1


def test_while_an_effect_does_not_show_nobody_asks_for_it_again_and_a_cancel_wins(
    provider: StandIn, running: Live
) -> None:
    provider.moves("slow", "running", now(60))
    running.post(asteroid_event("EXECUTION_STARTED", "slow", occurred_at=now(60)))
    provider.fault = lambda method, path: (200, {}, b"") if method == "POST" else None
    code, content = wish(running, "slow", "pause")
    assert (code, content["outcome"]) == (200, "done")
    assert "The effect comes as an update." in content["text"]
    code, content = wish(running, "slow", "pause", by="Bob")
    assert code == 409
    assert "Ann paused it a moment ago" in content["detail"]
    assert wish(running, "slow", "cancel", by="Bob")[0] == 200
    code, content = wish(running, "slow", "pause")
    assert code == 409
    assert "Bob cancelled it a moment ago" in content["detail"]
    assert [path.rpartition("/")[2] for path in provider.asked("POST")] == ["pause", "cancel"]


@pytest.mark.parametrize(
    ("at", "act", "code", "says"),
    [
        ("completed", "cancel", 409, "has ended: it is completed"),
        ("cancelled", "pause", 409, "has ended: it is cancelled"),
        ("running", "resume", 409, "is running: only what is paused or waits"),
        ("paused", "pause", 409, "is paused: only what runs"),
        ("queued", "resume", 409, "is queued: only what is paused or waits"),
    ],
)
def test_what_does_not_fit_is_left_alone_and_what_is_true_is_learnt(
    provider: StandIn, running: Live, at: str, act: str, code: int, says: str
) -> None:
    name = f"{act}-{at}"
    provider.moves(name, "running", now(60))
    provider.moves(name, at, now(30))
    running.post(asteroid_event("EXECUTION_STARTED", name, occurred_at=now(60)))
    answered, content = wish(running, name, act)
    assert answered == code
    assert says in content["detail"]
    assert status(running, name) == ("running" if at == "queued" else at)
    assert provider.asked("POST") == []


BUSY = (429, {"Retry-After": "7"}, b"{}")


@pytest.mark.parametrize(
    ("method", "fault", "code", "says"),
    [
        ("GET", (401, {}, b"{}"), 503, "refuses the key"),
        ("GET", (404, {}, b"{}"), 404, "does not know"),
        ("GET", BUSY, 503, "busy"),
        ("GET", (500, {}, b"{}"), 503, "HTTP 500"),
        ("GET", (200, {}, b"garbage"), 503, "no JSON"),
        ("POST", (401, {}, b"{}"), 503, "refuses the key"),
        ("POST", (404, {}, b"{}"), 404, "does not know"),
        ("POST", (400, {}, b'{"message": "' + KEY.encode() + b'"}'), 409, "refuses that"),
        ("POST", BUSY, 503, "busy"),
        ("POST", (302, {"Location": "http://127.0.0.1:9/"}, b""), 202, "may have happened"),
        ("POST", (500, {}, b"oops"), 202, "may have happened"),
        ("POST", (200, {}, b"garbage"), 200, "Ann cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_provider_that_fails_is_told_in_our_words_and_asked_for_the_act_once(
    provider: StandIn, running: Live, method: str, fault: Any, code: int, says: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    name = re.sub(r"\W+", "-", request.node.callspec.id)
    provider.moves(name, "running", now(60))
    provider.fault = lambda how, path: fault if how == method else None
    answered, content = wish(running, name, "cancel")
    text = content.get("text") or content["detail"]
    assert answered == code
    assert says in text
    assert KEY not in json.dumps(content)
    assert len(provider.asked("POST")) == (method == "POST")


def test_no_answer_to_a_request_that_left_may_have_happened_and_is_asked_about(
    provider: StandIn, running: Live
) -> None:
    waits(provider, running, "late")
    hung = threading.Event()

    def hang(method: str, path: str) -> None:
        if method == "POST":
            provider.moves("late", "running")
            hung.wait(5)

    provider.fault = hang
    code, content = wish(running, "late")
    hung.set()
    assert (code, content["outcome"]) == (202, "uncertain")
    assert "it may have happened. The provider now says running." in content["text"]
    assert status(running, "late") == "running"
    assert len(provider.asked("POST")) == 1
    (text,) = acts_of(running, "late")
    assert text == "Ann tried to resume it through the API: it may have happened"


def test_a_hostile_reason_or_name_is_shown_as_text_and_stays_here(
    provider: StandIn, running: Live
) -> None:
    waits(provider, running, "hostile")
    form = {"source": "asteroid", "execution_id": "hostile", "act": "resume", "name": HOSTILE,
            "reason": HOSTILE}  # fmt: skip
    visit = Visit(running)
    shown = visit.get("/executions/asteroid/hostile")
    assert "Yes, resume it" in shown.text
    assert "Yes, pause it" not in shown.text
    done = visit.post("/act/provider", form)
    assert done.status == 303
    assert "x-injected" not in done.headers
    for path in ("/executions/asteroid/hostile", "/audit"):
        page = visit.get(path).text
        assert "<script>window" not in page
        assert "&lt;script&gt;window" in page
        assert "\u202e" not in page
    assert provider.asked("POST") == ["/agents/v2/executions/hostile/resume"]
    text = json.dumps([story(running, "hostile"), running.ask("/api/audit")[1]])
    assert KEY not in text


@pytest.mark.parametrize(
    "content",
    [None, [], {"act": "resume"}, {"act": "delete", "by": "Ann"}, {"act": "resume", "by": " "},
     {"act": "resume", "by": 7}, {"act": "resume", "by": "Ann", "reason": 7},
     {"act": ["resume"], "by": "Ann"}, {"act": "resume", "by": "Ann", "more": ""}],
    ids=range(9),
)  # fmt: skip
def test_a_document_that_asks_for_no_act_is_refused(
    provider: StandIn, running: Live, content: Any
) -> None:
    body = json.dumps(content).encode()
    path = "/api/executions/asteroid/x/act"
    code, answer, _ = running.ask(path, method="POST", body=body)
    assert code == 422
    assert "resume, cancel, pause" in answer["detail"]
    assert wish(running, "x")[0] == 404
    assert running.ask("/api/executions/nobody/x/act", method="POST", body=body)[0] == 404
    assert provider.asked("POST") == []


def test_a_command_acts_and_says_what_is_true(tmp_path: Path) -> None:
    def command(*arguments: str) -> CompletedProcess[bytes]:
        return run(tmp_path, *arguments, API_KEY=KEY, PUBLIC=PUBLIC)

    with standing_in() as provider, receiver(tmp_path, provider) as running:
        waits(provider, running, "x")
        given = ("act", "resume", "x", "--source", "asteroid", "--by", "Ann", "--reason", "fine")
        done = command(*given)
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"Ann resumed x. The provider now says running.\n"
        again = command(*given)
        assert again.returncode == 1
        assert b"x is running: only what is paused or waits can be resumed" in again.stderr
        shown = command("executions", "show", "x")
        assert b"Ann resumed it by a command (fine)" in shown.stdout
        assert len(provider.asked("POST")) == 1
        assert KEY.encode() not in done.stdout + again.stderr + shown.stdout
