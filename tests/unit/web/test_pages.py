"""Parts of the pages without a server: sessions, attempts, the gate, drawings, glances."""

from __future__ import annotations

import threading
import time
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import Request
from starlette.responses import Response

from receiver.config.rules import Rules
from receiver.config.settings import load_settings
from receiver.deliveries import MessageContext
from receiver.destinations.destination import Destination
from receiver.errors import ConfigurationError
from receiver.events import Status, Verdict
from receiver.messages.unapplied import unapplied_title
from receiver.messages.wording import sort_words
from receiver.routing.quiet_hours import QuietHours
from receiver.routing.routes import Escalation, Route, Stuck
from receiver.store.records import Happened, Waited
from receiver.times import SECOND
from receiver.web.guard import Guard
from receiver.web.pages import charts
from receiver.web.pages.diagram import HEIGHT, WIDTH, Step, draw
from receiver.web.pages.gate import Gate, own_path
from receiver.web.pages.glance import FIRST_PATIENCE, OLD, PATIENCE, Glance, Seen
from receiver.web.pages.parts import Parts
from receiver.web.pages.rendering import Renderer, shown
from receiver.web.pages.route_words import quiet_hours
from receiver.web.pages.session import LASTS, MAX_ADDRESSES, Attempts, Sessions, Visitor
from receiver.web.pages.views import may_be_taken
from receiver.web.pages.words import STATUSES, VERDICTS, joint, plain

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def test_a_session_ends_by_time_by_sign_out_and_by_another_token() -> None:
    sessions = Sessions("a token")
    cookie = sessions.begin(1_000)
    assert sessions.is_open(cookie, 1_000)
    assert sessions.is_open(cookie, 1_000 + LASTS - 1)
    assert not sessions.is_open(cookie, 1_000 + LASTS)
    assert Sessions("a token").is_open(cookie, 1_000)
    assert not Sessions("another").is_open(cookie, 1_000)
    sessions.end(cookie, 1_000)
    assert not sessions.is_open(cookie, 1_000)


def test_ended_sessions_are_forgotten_once_they_would_be_over() -> None:
    sessions = Sessions("a token")
    for now in (0, LASTS + 1):
        sessions.end(sessions.begin(now), now)
        sessions.end("rubbish", now)
    assert len(sessions._ended) == 1


def test_an_address_waits_after_five_wrong_tokens_and_no_other_does() -> None:
    attempts = Attempts()
    for second in range(5):
        assert attempts.wait("10.0.0.1", second) == 0.0
        attempts.note("10.0.0.1", second)
    assert attempts.wait("10.0.0.1", 10.0) == 50.0
    assert attempts.wait("10.0.0.2", 10.0) == 0.0
    assert attempts.wait("10.0.0.1", 60.0) == 0.0
    # One connection has all addresses of a network of IPv6.
    for n in range(5):
        attempts.note(f"2001:db8::{n}", 100.0)
    assert attempts.wait("2001:db8::ffff", 100.0) > 0
    assert attempts.wait("2001:db8:0:1::1", 100.0) == 0.0
    for n in range(2 * MAX_ADDRESSES):
        attempts.note(f"a{n}", 100.0)
    assert len(attempts._wrong) == MAX_ADDRESSES


def request(
    path: str = "/", method: str = "GET", client: str = "127.0.0.1", **headers: str
) -> Request:
    given = {"host": "localhost:8000", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Request({
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "scheme": "http", "server": ("127.0.0.1", 8000),
        "client": (client, 1), "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    })  # fmt: skip


def gate(**environ: str) -> Gate:
    settings = load_settings({f"RECEIVER_{name}": value for name, value in environ.items()})
    return Gate(settings, Guard(settings), Renderer(UTC))


def status_of(admitted: Visitor | Response) -> int:
    return admitted.status_code if isinstance(admitted, Response) else 200


@pytest.mark.parametrize(
    ("environ", "asked", "status"),
    [
        ({}, {}, 200),
        ({}, {"host": "evil.example"}, 421),
        ({"PUBLIC_URL": "https://own.example"}, {"host": "own.example"}, 403),
        ({}, {"x_forwarded_for": "10.0.0.9"}, 403),
        ({"HOST": "0.0.0.0"}, {}, 403),
        ({"HOST": "0.0.0.0", "API_TOKEN": "t" * 16}, {}, 303),
        ({"HOST": "0.0.0.0", "API_TOKEN": "t" * 16}, {"host": "evil.example"}, 421),
        ({"HOST": "0.0.0.0", "API_TOKEN": "t" * 16}, {"authorization": "Bearer " + "t" * 16}, 200),
        ({"HOST": "0.0.0.0", "USER_HEADER": "X-User", "TRUSTED_PROXIES": "10.0.0.1"},
         {"client": "10.0.0.1", "x_user": "Ann"}, 200),
        ({"HOST": "0.0.0.0", "USER_HEADER": "X-User", "TRUSTED_PROXIES": "10.0.0.1"},
         {"client": "10.0.0.2", "x_user": "Ann"}, 401),
        ({"USER_HEADER": "X-User", "TRUSTED_PROXIES": "10.0.0.1"}, {"client": "127.0.0.1"}, 401),
        ({"API_TOKEN": "t" * 16, "USER_HEADER": "X-User", "TRUSTED_PROXIES": "10.0.0.1"},
         {"client": "10.0.0.1"}, 303),
    ],
    ids=["loopback", "other name", "public name", "passed on", "open to all", "token",
         "token, other name", "bearer", "proxy", "no proxy", "loopback past the proxy",
         "proxy without a name"],
)  # fmt: skip
def test_the_gate_lets_in_whom_the_settings_say(
    environ: dict[str, str], asked: dict[str, str], status: int
) -> None:
    assert status_of(gate(**environ).admit(request(**asked))) == status


def test_a_name_that_comes_twice_is_nobody_s() -> None:
    twice = request(client="10.0.0.1", x_user="Ann")
    twice.scope["headers"].append((b"x-user", b"Bob"))
    admitted = gate(USER_HEADER="X-User", TRUSTED_PROXIES="10.0.0.1").admit(twice)
    assert status_of(admitted) == 401


@pytest.mark.parametrize(
    "environ",
    [
        {"RECEIVER_USER_HEADER": "X-User"},
        {"RECEIVER_USER_HEADER": "X User", "RECEIVER_TRUSTED_PROXIES": "10.0.0.1"},
        {"RECEIVER_TRUSTED_PROXIES": "proxy.example"},
        {"RECEIVER_TRUSTED_PROXIES": "10.0.0.0/99"},
    ],
    ids=["no proxies", "no header", "a name", "no network"],
)  # fmt: skip
def test_settings_of_a_proxy_that_make_no_sense_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load_settings(environ)


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "", "/a b", "/é",
     "/x\r\nSet-Cookie: a=b", "/login", "/login?next=/login"],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(path: str) -> None:
    assert own_path(path) == "/"


def test_after_signing_in_somebody_is_where_they_wanted_to_be() -> None:
    assert own_path("/events?verdict=held&after=7") == "/events?verdict=held&after=7"


def test_a_text_is_shown_without_signs_that_hide_others_and_cut() -> None:
    assert shown("a\u202eb\x00c\nd") == "a�b�c\nd"
    assert shown("x" * 5_000).startswith("x" * 4_000 + "…")
    assert (shown(None), shown(7)) == ("", "7")


def steps(*statuses: Status) -> list[Step]:
    return [Step(status, n * SECOND) for n, status in enumerate(statuses)]


def test_the_path_of_an_execution_is_drawn_over_the_table() -> None:
    path = steps(Status.RUNNING, Status.PAUSED, Status.RUNNING, Status.PAUSED, Status.CANCELLED)
    drawing = draw(path)
    taken = sorted(arrow.times for arrow in drawing.arrows if arrow.times)
    assert taken == [1, 1, 2]
    assert all(arrow.is_legal for arrow in drawing.arrows)
    boxes = {box.label: box for box in drawing.boxes}
    assert (boxes["paused by a person"].times, boxes["paused by a person"].last_at) == (
        2,
        3 * SECOND,
    )
    assert [box.label for box in drawing.boxes if box.is_present] == ["cancelled"]
    assert not boxes["completed"].times
    assert [box.lines for box in drawing.boxes if len(box.lines) > 1] == [
        ["waits for", "confirmation"]
    ]
    for box in drawing.boxes:
        assert " ".join(box.lines) in STATUSES.values()
        assert 0 <= box.x <= WIDTH - drawing.box_width
        assert 0 <= box.y <= HEIGHT - drawing.box_height


def test_a_move_over_a_gap_is_drawn_and_is_none_of_the_table() -> None:
    drawing = draw(steps(Status.PAUSED, Status.COMPLETED))
    assert [arrow.is_legal for arrow in drawing.arrows if arrow.times] == [False]
    few = frozenset({Status.PAUSED, Status.COMPLETED})
    contracted = draw(steps(Status.PAUSED, Status.COMPLETED), few)
    assert [arrow.is_legal for arrow in contracted.arrows if arrow.times] == [True]


def test_without_steps_only_the_table_is_drawn() -> None:
    drawing = draw([])
    assert not any(arrow.times for arrow in drawing.arrows)
    assert not any(box.is_present for box in drawing.boxes)


def test_a_second_wait_after_the_first_draws_no_arrow_from_a_box_to_itself() -> None:
    drawing = draw(steps(Status.AWAITING_CONFIRMATION, Status.AWAITING_CONFIRMATION))
    assert not any(arrow.times for arrow in drawing.arrows)


def test_the_last_day_stacks_what_counted_failed_and_did_not_count() -> None:
    now = 1_700_000_000 * SECOND
    since = charts.hours_begin(now)
    assert since % HOUR == 0
    assert since + 23 * HOUR <= now < since + 24 * HOUR
    happened = [
        Happened(0, "applied", "running", 3), Happened(0, "applied", "failed", 1),
        Happened(23, "rejected", "running", 2), Happened(24, "applied", "running", 9),
    ]  # fmt: skip
    chart = charts.last_day(happened, since)
    assert [bar.sort for bar in chart.bars] == ["counted", "failed", "other"]
    assert chart.summary == "4 updates counted, 1 failure among them; 2 did not count"
    assert chart.top == "4 an hour"
    assert [row.values for row in chart.rows] == [("3", "1", "0"), ("0", "0", "2")]
    many = charts.last_day([Happened(0, "applied", "running", 2_500_000)], since)
    assert many.summary.startswith("2,500,000 updates counted")
    assert (many.top, many.rows[0].values) == ("2,500,000 an hour", ("2,500,000", "0", "0"))
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= chart.width
        assert bar.y > 0
        assert bar.y + bar.height <= chart.height


def test_waits_are_drawn_by_the_days_of_the_people() -> None:
    zone = ZoneInfo("Europe/Berlin")
    since = charts.day_begins(1_700_000_000 * SECOND, zone, 6)
    assert (since // SECOND + 3600) % 86_400 == 0
    chart = charts.waits([Waited(6, 4, 2 * MINUTE, 8 * MINUTE)], since, zone)
    assert [bar.sort for bar in chart.bars] == ["counted", "other"]
    assert [row.values for row in chart.rows] == [("4", "2 min", "8 min")]
    assert charts.waits([], since).summary == "no confirmation was answered"
    assert charts.last_day([], since).bars == ()
    assert charts.last_day([], since).summary == "no update came"


def test_hours_that_are_over_are_read_once_and_later_ones_again() -> None:
    events = [0, 1, 59, 61, 130]  # minutes
    minute, begins = 60 * SECOND, []

    def read(since: int, length: int) -> list[Happened]:
        begins.append(since // minute)
        return [
            Happened((at * minute - since) // length, "applied", "running", 1)
            for at in events
            if at * minute >= since
        ]

    hours = Parts(read, charts.HOUR)

    def shown(begin: int, now: int) -> list[int]:
        return [each.part for each in hours.since(begin * minute, now * minute)]

    assert shown(0, 131) == [0, 0, 0, 1, 2]
    events.append(139)
    assert shown(0, 140) == [0, 0, 0, 1, 2, 2]
    # An hour is read again until what was held in it is judged; one that is gone is forgotten.
    assert shown(60, 181) == [0, 1, 1]
    assert shown(60, 185) == shown(60, 186) == [0, 1, 1]
    # After a clock was set back, or of other hours, nothing is known.
    assert shown(60, 100) == [0, 1, 1]
    assert shown(30, 186) == [0, 0, 1, 1]
    assert begins == [0, 120, 120, 120, 180, 60, 30]
    hours, begins[:] = Parts(read, charts.HOUR, pieces=6), []
    assert [shown(0, now) for now in (131, 140, 141)] == [[0, 0, 0, 1, 2, 2]] * 3
    assert begins == [0, 120, 130]


def test_a_glance_shows_what_it_saw_last_while_it_looks_again() -> None:
    may_end = threading.Event()
    answers = iter([1, 2, 3])

    def read() -> int:
        answer = next(answers)
        if answer == 2:
            may_end.wait(10)
        return answer

    glance = Glance(read)
    seen = glance.look()
    assert seen is not None
    assert seen.value == 1
    glance._rests_until = 0.0
    seen = glance.look()
    assert seen is not None
    assert seen.value == 1
    glance.forget()  # what is on its way is old news, too
    seen = glance.look()
    may_end.set()
    assert seen is not None
    assert seen.value == 3


def test_a_request_waits_for_quick_reads_and_the_first_one_for_news() -> None:
    may_end = threading.Event()
    glance = Glance(lambda: may_end.wait(10))
    glance.begin()
    assert glance._patience() == FIRST_PATIENCE  # there is nothing to show
    assert glance._patience() == PATIENCE  # the others do not wait as long
    may_end.set()
    while glance.look() is None:
        pass
    for took, patience in ((PATIENCE / 2, PATIENCE), (PATIENCE * 2, 0.0)):
        glance._took = took
        assert glance._patience() == patience
    may_end.clear()
    glance._seen = Seen(True, time.time_ns() - int((OLD + 1) * SECOND))
    glance._rests_until = 0.0
    glance.begin()
    assert [glance._patience() for _ in range(2)] == [FIRST_PATIENCE, 0.0]
    may_end.set()


def test_several_glances_read_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=10)
    glances = [Glance(together.wait), Glance(together.wait)]
    for glance in glances:
        glance.begin()
    seen = [glance.look() for glance in glances]
    assert {each.value for each in seen if each} == {0, 1}


def test_a_request_waits_for_several_glances_no_longer_than_for_one() -> None:
    waits: list[float | None] = []

    class Unending(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    glance = Glance(lambda: 1)
    glance._done = Unending()  # a read is under way
    for waited in (0.0, PATIENCE / 2, PATIENCE, PATIENCE * 2):
        assert glance.look(waited) is None
    assert waits == [PATIENCE, PATIENCE / 2]


@pytest.mark.parametrize(
    ("verdict", "reason", "word"),
    [
        (Verdict.REJECTED, "terminal", "does not count"),
        (Verdict.REJECTED, "illegal", "does not count"),
        (Verdict.STALE, "older", "too late to count"),
        (Verdict.IGNORED, "unknown_event", "says nothing about the status"),
        (Verdict.DUPLICATE, "event_id", "seen before"),
        (Verdict.QUARANTINED, "malformed", "cannot be used"),
    ],
)
def test_messages_and_pages_say_the_same_of_an_update_that_did_not_count(
    verdict: Verdict, reason: str, word: str
) -> None:
    assert word in VERDICTS[verdict]
    facts = MessageContext("s", verdict, reason, 0, status=Status.RUNNING)
    assert unapplied_title(facts).endswith(word)
    if verdict in (Verdict.REJECTED, Verdict.STALE):
        assert sort_words(verdict, 1).endswith(word)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_read_that_breaks_is_followed_by_another() -> None:
    threads: list[threading.Thread] = []

    def read() -> int:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise ValueError("a fault of ours")
        return 2

    glance = Glance(read)
    assert glance.look() is None
    threads[0].join()
    glance._rests_until = 0.0
    seen = glance.look()
    assert seen is not None
    assert seen.value == 2


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no longer awaiting_confirmation: now running",
         "it was no longer waiting for confirmation: by then it was running"),
        ("no longer paused: now paused again; quiet hours had kept this back",
         "it was no longer paused: by then it was paused again; quiet hours had kept this back"),
        ("no longer held: now rejected (gap)", "no longer held: now rejected (gap)"),
        ("verdict is stale, not applied", "it does not ask for late updates (verdict: stale)"),
        ("verdict is applied, not rejected, quarantined",
         "it tells only of what was rejected or quarantined, and this counts"),
        ("verdict is stale, not rejected, quarantined",
         "it tells only of what was rejected or quarantined, and this was stale"),
        ("status is failed, not paused_by_agent", "status is failed, not waiting for an answer"),
        ("agent is a-1 / paused_by_agents, not x", "agent is a-1 / paused_by_agents, not x"),
        (None, ""),
    ],
)  # fmt: skip
def test_reasons_are_plain_words(reason: str | None, words: str) -> None:
    assert plain(reason) == words


def test_a_wait_ends_at_a_moment_or_lasts_until_then() -> None:
    assert joint("ops fails, next try") == joint("reminder 2") == " at"
    assert joint("quiet hours") == joint("gathers") == " until"


NIGHT = QuietHours(frozenset(range(7)), 22 * 60, 7 * 60, ZoneInfo("UTC"))
NOON = QuietHours(frozenset({4}), 12 * 60, 13 * 60, ZoneInfo("UTC"))


def test_the_quiet_hours_of_a_destination_name_the_routes_that_change_them() -> None:
    routes = (
        Route("plain", (), ("ops",)),
        Route("urgent", (), ("ops", "pager"), urgent=True),
        Route("noon", (), (), escalate=(Escalation(SECOND, ("ops", "pager")),), quiet=NOON),
    )
    destinations = {"ops": Destination("ops", "", quiet=NIGHT), "pager": Destination("pager", "")}
    rules = Rules("routes.yaml", {}, destinations, routes)
    assert quiet_hours("ops", rules) == (
        "quiet hours: 22:00 to 07:00 UTC, every day", "route urgent passes through them",
        "by route noon also quiet: 12:00 to 13:00 UTC, fri",
    )  # fmt: skip
    assert quiet_hours("pager", rules) == ("by route noon quiet: 12:00 to 13:00 UTC, fri",)


@pytest.mark.parametrize(
    ("category", "delivery", "may"),
    [
        ("awaiting", {}, True),
        ("paused", {}, True),
        ("processing", {}, False),
        ("processing", {"kind": "notice", "route": "begins"}, False),
        ("processing", {"kind": "notice", "route": "stuck"}, True),
        ("processing", {"kind": "notice", "route": "stuck", "state": "waiting"}, False),
        ("processing", {"kind": "reminder", "route": "begins", "state": "waiting"}, True),
        ("processing", {"kind": "reminder", "route": "begins", "state": "superseded"}, False),
        ("processing", {"kind": "reminder", "route": "begins", "event_seq": 1}, False),
    ],
)
def test_what_people_look_after_may_be_taken(
    category: str, delivery: dict[str, object], may: bool
) -> None:
    stuck = Route("stuck", (), ("ops",), stuck=Stuck((Status.RUNNING,), SECOND))
    rules = Rules("routes.yaml", {}, {}, (Route("begins", (), ("ops",)), stuck))
    story = {
        "execution": {"category": category, "acknowledged": None},
        "events": [{"seq": n, "verdict": verdict} for n, verdict in
                   ((1, "applied"), (2, "applied"), (3, "stale"))],
        "deliveries": [{"event_seq": 2, "state": "sent", **delivery}] if delivery else [],
    }  # fmt: skip
    assert may_be_taken(story, rules) == may
