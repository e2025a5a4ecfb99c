"""Asking a provider what is true, against a stand-in of its API on loopback."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.client import asteroid_event
from receiver.intake.reconcile import source_asker
from receiver.times import SECOND
from tests.support.commands import run
from tests.support.live import PUBLIC, Live, live, until
from tests.support.provider import KEY, StandIn, standing_in
from tests.support.visited import Visit

ROUTES = """\
sources:
  asteroid:
    verify: {{scheme: rsa-sha256, keys: ["${{PUBLIC}}"]}}
    gap_timeout: 4s
    api: {{base_url: "{url}", key: "${{API_KEY}}", timeout: 2s, rate: {rate}}}
    reconcile: {{every: 1s, quiet_for: {quiet_for}, discover: {discover}}}
destinations:
  ops: console://
  other: console://
routes:
  - {{name: waits, match: {{category: [awaiting, paused]}}, notify: [ops]}}
  - {{name: ends, match: {{category: terminal}}, notify: [ops]}}
  - {{name: refused, match: {{verdict: rejected}}, notify: [ops]}}
  - {{name: alarms, match: {{alarm: true}}, notify: [other]}}
"""


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with standing_in() as made:
        yield made


@contextmanager
def receiver(
    folder: Path, provider: StandIn, *, rate: str = "200/s", quiet_for: str = "1s",
    discover: str = "1h", key: str = KEY, **settings: str,
) -> Iterator[Live]:  # fmt: skip
    routes = ROUTES.format(url=provider.url, rate=rate, quiet_for=quiet_for, discover=discover)
    with live(folder, routes, {"API_KEY": key}, **settings) as running:
        yield running


def now(seconds: float = 0.0) -> int:
    """Return the present whole second, or one before it."""
    return (time.time_ns() // SECOND - int(seconds)) * SECOND


def story(running: Live, execution_id: str) -> dict[str, Any]:
    status, content, _ = running.ask(f"/api/executions/asteroid/{execution_id}")
    return content if status == 200 else {}


def status(running: Live, execution_id: str) -> str | None:
    found = story(running, execution_id).get("execution", {})
    return str(found["status"]) if found else None


def sent(running: Live, execution_id: str) -> list[str]:
    return [
        delivery["title"]
        for delivery in story(running, execution_id)["deliveries"]
        if delivery["state"] == "sent"
    ]


def test_a_lost_end_is_learnt_by_asking_and_told_once(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "failed", now(30), reason="The page did not load")
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: status(running, "x-1") == "failed")
        until(lambda: sent(running, "x-1"))
        found = story(running, "x-1")
        assert [event["verdict"] for event in found["events"]] == ["applied", "applied"]
        assert found["events"][1]["flags"] == ["polled"]
        (delivery,) = found["deliveries"]
        assert delivery["title"] == "Invoice agent failed: The page did not load"
        assert "We learnt of this by asking; no webhook came." in delivery["body"]
        late = asteroid_event("EXECUTION_FAILED", "x-1", occurred_at=now(30), reason="More words")
        assert running.post(late)[1]["verdict"] == "duplicate"
        assert running.ask("/api/ledger")[1]["imbalance"] == 0
    assert set(provider.asked()) == {
        "/agents/v2/executions?phase=active&pageSize=100&sort=created_at:asc",
        "/agents/v2/executions/x-1",
        "/agents/v2/executions/x-1/activities?order=desc&limit=200",
    }


def test_a_webhook_that_follows_what_was_learnt_is_no_second_message(
    tmp_path: Path, provider: StandIn
) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "awaiting_confirmation", now(30) + 700_000_000, reason="Pay 4 EUR?")
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: status(running, "x-1") == "awaiting_confirmation")
        until(lambda: sent(running, "x-1"))
        late = asteroid_event("EXECUTION_AWAITING_CONFIRMATION", "x-1", occurred_at=now(30))
        answer = running.post(late)[1]
        assert (answer["verdict"], answer["reason"]) == ("duplicate", "same_change")
        provider.moves("x-1", "running", now(10))
        provider.moves("x-1", "awaiting_confirmation", now(5), reason="Pay 5 EUR?")
        until(lambda: len(sent(running, "x-1")) == 2)
        assert "Pay 5 EUR?" in sent(running, "x-1")[1]
        assert running.ask("/api/ledger")[1]["imbalance"] == 0


def test_a_gap_is_asked_about_before_it_is_rejected(tmp_path: Path, provider: StandIn) -> None:
    for seconds, each in ((90, "running"), (60, "paused"), (40, "running"), (20, "completed")):
        provider.moves("x-1", each, now(seconds))
    with receiver(tmp_path, provider, quiet_for="1h") as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(90)))
        running.post(asteroid_event("EXECUTION_PAUSED", "x-1", occurred_at=now(60),
                                    details={"paused_by": "user"}))  # fmt: skip
        end = asteroid_event("EXECUTION_COMPLETED", "x-1", occurred_at=now(20),
                             details={"outcome": "success"})  # fmt: skip
        assert running.post(end)[1]["verdict"] == "held"
        until(lambda: status(running, "x-1") == "completed")
        events = story(running, "x-1")["events"]
        assert [(e["status"], e["verdict"]) for e in events if e["verdict"] == "rejected"] == []
        assert story(running, "x-1")["execution"]["gap"] is False
        until(lambda: [t for t in sent(running, "x-1") if "completed" in t])
        assert len([t for t in sent(running, "x-1") if "completed" in t]) == 1


def test_executions_that_nobody_told_us_of_are_found_page_by_page(
    tmp_path: Path, provider: StandIn
) -> None:
    provider.largest_page = 10  # fewer than were asked for
    for number in range(23):
        provider.moves(f"x-{number}", "running", now(600 - number))
    provider.moves("x-7", "paused_by_agent", now(5), reason="Which one?")
    provider.moves("gone", "running", now(700))
    provider.moves("gone", "completed", now(600))
    with receiver(tmp_path, provider, rate="2000/s") as running:
        until(lambda: status(running, "x-7") == "paused_by_agent")
        until(lambda: all(status(running, f"x-{n}") for n in (0, 9, 10, 22)))
        until(lambda: len(provider.asked(part="phase=active")) >= 4)
        assert status(running, "gone") is None
    # The first one, then all from the end.
    pages = [re.findall(r"&page=(\d)", path) for path in provider.asked(part="phase=active")]
    assert pages == [[], ["3"], ["2"], ["1"]]


@pytest.mark.parametrize("first_page", [0, 1])
def test_a_list_that_shifts_while_it_is_read_loses_none_that_stays(
    tmp_path: Path, provider: StandIn, first_page: int
) -> None:
    """Nobody says from where the provider counts its pages, or what is behind the last one."""
    provider.largest_page, provider.first_page = 5, first_page
    provider.ends_at_last_page = True
    for number in range(20):
        provider.moves(f"x-{number}", "running", now(600 - number))

    def shifts(method: str, path: str) -> None:
        listed = len(provider.asked(part="phase=active"))
        if "phase=active" in path and listed in (2, 3, 4):
            ending = {2: range(6), 3: range(6, 8), 4: range(8, 9)}[listed]
            for number in ending:  # the first time, there is no last page any more
                provider.moves(f"x-{number}", "completed", now(10))
            provider.moves(f"new-{listed}", "running", now(5))

    provider.fault = shifts
    with receiver(tmp_path, provider, rate="2000/s", quiet_for="1h") as running:
        until(lambda: len(provider.asked(part="phase=active")) >= 5)
        until(lambda: all(status(running, f"x-{n}") for n in range(9, 20)))


def test_a_key_that_is_revoked_half_way_stops_the_questions_and_loses_nothing(
    tmp_path: Path, provider: StandIn
) -> None:
    for number in range(12):
        provider.moves(f"x-{number}", "running", now(60))
        provider.moves(f"x-{number}", "failed", now(20))

    def revoked(method: str, path: str) -> None:
        if len(provider.requests) == 9:
            provider.key = "another"

    provider.fault = revoked
    with receiver(tmp_path, provider) as running:
        for number in range(12):
            body = asteroid_event("EXECUTION_STARTED", f"x-{number}", occurred_at=now(60))
            running.post(body)
        until(lambda: running.ask("/api/deliveries?kind=alarm")[1]["items"])
        asked = len(provider.requests)
        assert asked <= 11  # the one that was refused, and the list that tells why
        provider.fault, provider.key = lambda method, path: None, "the-next-key-0123456789"
        routes = tmp_path / "routes.yaml"
        routes.write_text(routes.read_text().replace("${API_KEY}", provider.key))
        running.in_force.reload()
        until(lambda: all(status(running, f"x-{number}") == "failed" for number in range(12)))
        ends, _ = running.store.deliveries({"destination": "ops"}, 200, None)
        assert len(ends) == 12
        assert running.ask("/api/ledger")[1]["imbalance"] == 0


def test_of_two_sources_with_one_key_one_gets_what_no_webhook_told_of(
    tmp_path: Path, provider: StandIn
) -> None:
    routes = ROUTES.format(url=provider.url, rate="200/s", quiet_for="1s", discover="1s")
    _, first, rest = routes.partition("  asteroid:\n")
    source, end, others = rest.partition("destinations:")
    with live(tmp_path, f"sources:\n{first}{source}  other:\n{source}{end}{others}",
              {"API_KEY": KEY}) as running:  # fmt: skip
        body = asteroid_event("EXECUTION_STARTED", "told", occurred_at=now(60))
        running.post(body, source="other")
        for name in ("told", "untold"):
            provider.moves(name, "running", now(60))
            provider.moves(name, "awaiting_confirmation", now(30))
        until(lambda: status(running, "untold"))
        until(lambda: len(provider.asked(part="phase=")) >= 6)
        items, _ = running.store.executions({}, 50, None)
        found = sorted((each["source"], each["execution_id"]) for each in items)
        assert found == [("asteroid", "untold"), ("other", "told")]


def test_the_kind_of_a_pause_is_asked_for_at_once(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "paused_by_agent", now(30))
    provider.moves("x-2", "running", now(60))
    provider.moves("x-2", "paused", now(30))
    with receiver(tmp_path, provider, quiet_for="1h") as running:
        for each in ("x-1", "x-2"):
            running.post(asteroid_event("EXECUTION_STARTED", each, occurred_at=now(60)))
            running.post(asteroid_event("EXECUTION_PAUSED", each, occurred_at=now(30)))
        until(lambda: status(running, "x-1") == "paused_by_agent")
        until(lambda: provider.asked(part="x-2"))
        asked = len(provider.asked(part="x-2"))
        until(lambda: len(provider.asked(part="x-1")) >= 1)
        assert status(running, "x-2") == "paused"
        assert len(provider.asked(part="x-2")) <= asked + 2


def test_a_key_that_is_refused_stops_the_questions_and_raises_an_alarm(
    tmp_path: Path, provider: StandIn
) -> None:
    wrong = "wrong-key-canary-0123456789"
    with receiver(tmp_path, provider, key=wrong, log_level="debug") as running:

        def alarms() -> list[str]:
            found = running.ask("/api/deliveries?kind=alarm")[1]["items"]
            return [each["title"] for each in found if each["state"] == "sent"]

        until(alarms)
        assert alarms() == ["asteroid: its provider refuses our key"]
        asked = len(provider.requests)
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        metrics = running.ask("/readyz")[1]
        assert len(provider.requests) == asked == 1
        assert wrong not in str(metrics)
        routes = tmp_path / "routes.yaml"
        routes.write_text(routes.read_text().replace("${API_KEY}", KEY))
        running.in_force.reload()
        until(lambda: len(alarms()) == 2)
        assert alarms()[0] == "asteroid: its provider answers us again"


def test_many_changes_without_webhooks_raise_an_alarm(tmp_path: Path, provider: StandIn) -> None:
    for each in range(4):
        provider.moves(f"x-{each}", "running", now(60))
        provider.moves(f"x-{each}", "completed", now(20), outcome="success")
    with receiver(tmp_path, provider) as running:
        for each in range(4):
            body = asteroid_event("EXECUTION_STARTED", f"x-{each}", occurred_at=now(60))
            running.post(body)
        until(lambda: running.ask("/api/deliveries?kind=alarm")[1]["items"])
        (delivery,) = running.ask("/api/deliveries?kind=alarm")[1]["items"]
        until(lambda: running.ask("/api/deliveries?kind=alarm")[1]["items"][0]["title"])
        (delivery,) = running.ask("/api/deliveries?kind=alarm")[1]["items"]
        assert delivery["title"] == "asteroid: webhooks seem to be off"
        assert "4 changes since" in delivery["body"]


@pytest.mark.parametrize(
    "fault",
    [
        (200, {}, b"not JSON"),
        (200, {}, b"[" * 100_000),
        (200, {}, b'{"id": "another", "status": "failed"}'),
        (200, {}, b'{"id": "x-1", "status": "queued"}'),
        (200, {}, b'{"id": "x-1"}'),
        (500, {}, b"oops"),
        (301, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
        (404, {}, b"{}"),
        (400, {}, b"{}"),
    ],
    ids=lambda fault: f"{fault[0]}-{len(fault[2])}",
)
def test_an_answer_that_says_nothing_changes_nothing(
    tmp_path: Path, provider: StandIn, fault: tuple[int, dict[str, str], bytes]
) -> None:
    provider.moves("x-1", "running", now(60))
    provider.fault = lambda method, path: fault
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: provider.requests)
        assert status(running, "x-1") == "running"
        assert len(story(running, "x-1")["events"]) == 1
        assert running.ask("/readyz")[0] == 200


def test_a_pause_that_the_provider_asks_for_is_kept(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "failed", now(20))
    asked: list[str] = []

    def busy_at_first(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        asked.append(path)
        return (429, {"Retry-After": "2"}, b"{}") if len(asked) == 1 else None

    provider.fault = busy_at_first
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: status(running, "x-1") == "failed")
    times = [at for at, _, _ in provider.requests]
    assert times[1] - times[0] >= 2.0


def test_the_rate_is_kept_over_all_questions(tmp_path: Path, provider: StandIn) -> None:
    for each in range(40):
        provider.moves(f"x-{each}", "running", now(60))
    with receiver(tmp_path, provider, rate="10/s") as running:
        until(lambda: len(provider.requests) >= 25)
        del running
    times = [at for at, _, _ in provider.requests]
    for first, later in zip(times, times[15:], strict=False):
        assert later - first >= 0.4  # ten at once, then ten a second


def test_the_provider_s_clock_counts(tmp_path: Path, provider: StandIn) -> None:
    """Ours is 100 s behind: what is learnt must not be dated before the webhook that came."""
    provider.clock_ahead = 100.0
    provider.has_activities = False
    ahead = 100
    provider.moves("x-1", "running", now(60 - ahead))
    provider.moves("x-1", "paused", now(30 - ahead))
    with receiver(tmp_path, provider, discover="1s") as running:
        until(lambda: status(running, "x-1") == "paused")
        resumed = asteroid_event("EXECUTION_RESUMED", "x-1", occurred_at=now(-ahead) + 5 * SECOND)
        assert running.post(resumed)[1]["verdict"] == "applied"


def test_without_a_key_or_reconcile_nobody_is_asked(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    with receiver(tmp_path, provider, key="") as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: running.ask("/readyz")[0] == 200)
        assert provider.requests == []


def only(part: str, answer: tuple[int, dict[str, str], bytes]) -> Any:
    """A fault of the addresses that have this part."""
    return lambda method, path: answer if part in path else None


@pytest.mark.parametrize("code", [404, 500, 403])
def test_a_list_that_fails_stops_no_questions(tmp_path: Path, provider: StandIn, code: int) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "failed", now(20))
    if code != 403:  # the key is good for executions, so it is no refused key
        provider.fault = only("phase=", (code, {}, b"{}"))
    else:
        provider.fault = only("/foreign", (code, {}, b"{}"))
        provider.moves("foreign", "running", now(50))
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "foreign", occurred_at=now(60)))
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: status(running, "x-1") == "failed")
        assert running.ask("/api/deliveries?kind=alarm")[1]["items"] == []
    assert len(provider.asked(part="phase=")) <= 4


def test_a_held_event_is_asked_about_again_after_a_failure(
    tmp_path: Path, provider: StandIn
) -> None:
    for seconds, each in ((90, "running"), (60, "paused"), (40, "running"), (20, "completed")):
        provider.moves("x-1", each, now(seconds))
    failed: list[str] = []

    def once(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if "/x-1" not in path or failed:
            return None
        failed.append(path)
        return 503, {"Retry-After": "1"}, b"{}"

    provider.fault = once
    with receiver(tmp_path, provider, quiet_for="1h") as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(90)))
        running.post(asteroid_event("EXECUTION_PAUSED", "x-1", occurred_at=now(60),
                                    details={"paused_by": "user"}))  # fmt: skip
        end = asteroid_event("EXECUTION_COMPLETED", "x-1", occurred_at=now(20))
        assert running.post(end)[1]["verdict"] == "held"
        until(lambda: status(running, "x-1") == "completed")
        assert failed
        assert "rejected" not in [e["verdict"] for e in story(running, "x-1")["events"]]


def test_a_slow_provider_delays_no_other(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "failed", now(20))
    let_go = threading.Event()

    def hangs(method: str, path: str) -> None:
        let_go.wait(20)

    with standing_in() as slow:
        slow.fault = hangs
        routes = ROUTES.format(url=provider.url, rate="200/s", quiet_for="1s", discover="1h")
        _, first, rest = routes.partition("  asteroid:\n")
        source, end, others = rest.partition("destinations:")
        other = "  other:\n" + source.replace(provider.url, slow.url)
        with live(tmp_path, f"sources:\n{first}{source}{other}{end}{others}",
                  {"API_KEY": KEY}) as running:  # fmt: skip
            running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
            until(lambda: status(running, "x-1") == "failed")
            let_go.set()


def test_an_answer_older_than_the_last_webhook_is_no_news(
    tmp_path: Path, provider: StandIn
) -> None:
    provider.moves("x-1", "running", now(600))
    provider.moves("x-1", "awaiting_confirmation", now(300))
    with receiver(tmp_path, provider) as running:
        for name, seconds in (("STARTED", 600), ("AWAITING_CONFIRMATION", 300), ("RESUMED", 10)):
            running.post(asteroid_event(f"EXECUTION_{name}", "x-1", occurred_at=now(seconds)))
        until(lambda: len(provider.asked(part="/x-1/activities")) >= 2)
        assert status(running, "x-1") == "running"
        assert len(story(running, "x-1")["events"]) == 3


def test_what_was_listed_is_asked_about_also_after_a_reload(
    tmp_path: Path, provider: StandIn
) -> None:
    for number in range(12):
        provider.moves(f"x-{number}", "awaiting_confirmation", now(60))
    with receiver(tmp_path, provider, rate="6/s") as running:
        until(lambda: provider.asked(part="/x-"))
        running.in_force.reload()
        until(lambda: all(status(running, f"x-{number}") for number in range(12)))


def test_the_provider_s_clock_ahead_delays_no_question(tmp_path: Path, provider: StandIn) -> None:
    provider.clock_ahead = 200.0
    provider.moves("x-1", "running", now(-190))
    provider.moves("x-1", "failed", now(-195))
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(-190)))
        until(lambda: status(running, "x-1") == "failed")


GONE = """\
  - {{name: reminded, match: {{status: awaiting_confirmation}}, notify: [other],
     remind: {{every: 1h}}, escalate: [{{after: 2h, notify: [ops]}}]}}
"""


def test_what_its_provider_no_longer_knows_is_told_once_and_neither_reminded_nor_asked_of(
    tmp_path: Path, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_asker, "FIRST_PAUSE", 0.2)
    for name in ("known", "gone"):
        provider.moves(name, "running", now(60))
        provider.moves(name, "awaiting_confirmation", now(30))
    routes = ROUTES.format(url=provider.url, rate="200/s", quiet_for="1s", discover="1h")
    with live(tmp_path, routes + GONE.format(), {"API_KEY": KEY}) as running:
        until(lambda: status(running, "gone") == "awaiting_confirmation")
        until(lambda: len(sent(running, "gone")) == 2)
        provider.moves("gone", "completed", now(5))
        provider.delete("gone")
        until(lambda: len(sent(running, "gone")) == 4)
        found = story(running, "gone")
        told = [each for each in found["deliveries"] if each["kind"] == "acknowledged"]
        assert sorted(each["destination"] for each in told) == ["ops", "other"]
        ended = "Invoice agent: it has ended, its provider no longer knows it"
        assert {each["title"] for each in told} == {ended}
        assert "How it ended is not known" in told[0]["body"]
        nags = [d for d in found["deliveries"] if d["kind"] in ("reminder", "escalation")]
        assert {each["state"] for each in nags} == {"superseded"}
        shown = run(tmp_path, "executions", "show", "gone", API_KEY=KEY, PUBLIC=PUBLIC).stdout
        assert b"ended      unseen: its provider no longer knows it" in shown
        visit = Visit(running)
        for path in ("/", "/executions", "/executions/asteroid/gone"):
            assert "Its provider no longer knows it" in visit.get(path).text
        asked, known = len(provider.asked(part="/gone")), len(provider.asked(part="/known"))
        until(lambda: len(provider.asked(part="/known")) >= known + 2)
        assert len(provider.asked(part="/gone")) == asked
        # A webhook counts as ever.
        late = asteroid_event("EXECUTION_COMPLETED", "gone", occurred_at=now(5))
        assert running.post(late)[1]["verdict"] == "applied"
        assert running.ask("/api/ledger")[1]["imbalance"] == 0


def test_a_key_that_knows_none_of_our_executions_ends_none(
    tmp_path: Path, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_asker, "FIRST_PAUSE", 0.1)
    with receiver(tmp_path, provider) as running:
        for name in ("x-1", "x-2"):
            running.post(asteroid_event("EXECUTION_STARTED", name, occurred_at=now(60)))
        until(lambda: len(provider.asked(part="/x-1")) >= 4)
        until(lambda: len(provider.asked(part="/x-2")) >= 4)
        for name in ("x-1", "x-2"):
            assert story(running, name)["execution"]["acknowledged"] is None
