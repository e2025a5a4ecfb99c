"""Single services, through their real plugins against a stand-in that answers as they document."""

from __future__ import annotations

import base64
import gc
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from receiver.deliveries import Attempt, Message, Outcome, Severity
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import CUT, HANGS, Answer, Answering, Asked, StandIn, saying, standing_in

MESSAGE = Message("Invoice agent failed: the ledger refused", "It has ended.", None, Severity.INFO)
DELIVERED, FAILED, UNCERTAIN = Outcome.DELIVERED, Outcome.FAILED, Outcome.UNCERTAIN
_numbers = count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


def fresh(name: str, timeout: float = 10) -> Destination:
    """Make a destination whose plugin has sent nothing yet."""
    return Destination(f"answers-{next(_numbers)}", ADDRESSES[name], timeout=timeout)


def is_message(asked: Asked) -> bool:
    return asked.has_words("Invoice", "ledger")


def to_the_message(name: str, answer: Answer) -> Answering:
    """Accept what is asked around the message."""
    return lambda asked: answer if is_message(asked) else yes_of(name, asked)


def told(service: StandIn, name: str, answer: Answer) -> Attempt:
    service.answer(to_the_message(name, answer))
    return send(fresh(name), MESSAGE)


# The service, its answer of 200, whether it is for good, and its words.
NOES: list[tuple[str, object, bool, str]] = [
    ("ACS", {"value": [{"successful": False, "errorMessage": "Not a number"}]}, False,
     "Not a number"),
    ("AfricasTalking", {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}, True,
     "InvalidSenderId"),
    ("BulkSMS", [{"status": {"type": "FAILED", "subtype": "NO_CREDITS"}}], False, "NO_CREDITS"),
    ("BulkVS", {"Results": [{"Status": "FAILED"}]}, False, "FAILED"),
    ("BurstSMS", {"error": {"code": "AUTH_FAILED", "description": "No such key"}}, True,
     "No such key"),
    ("Clickatell", {"messages": [{"accepted": False, "error": {"description": "Opted out"}}]},
     False, "Opted out"),
    ("ClickSend", {"data": {"messages": [{"status": "INVALID_RECIPIENT"}]}}, True,
     "INVALID_RECIPIENT"),
    ("CM", {"errorCode": 101, "details": "No account"}, False, "No account"),
    ("DingTalk", {"errcode": 310000, "errmsg": "keywords not in content"}, True,
     "keywords not in content"),
    ("DingTalk", {"errcode": 130101, "errmsg": "exceed 20 per minute"}, False,
     "exceed 20 per minute"),
    ("Exotel", {"SMSMessage": {"Status": "failed", "DetailedStatus": "FAILED_DND"}}, False,
     "FAILED_DND"),
    ("Feishu", {"code": 19024, "msg": "Key Words Not Found"}, True, "Key Words Not Found"),
    ("Join", {"success": False, "errorMessage": "No device"}, False, "No device"),
    ("Kook", {"code": 40000, "message": "No channel"}, False, "No channel"),
    ("Lark", {"code": 19001, "msg": "param invalid"}, True, "param invalid"),
    ("Lark", {"code": 11232, "msg": "frequency limited"}, False, "frequency limited"),
    ("MSG91", {"type": "error", "message": "No template"}, False, "No template"),
    ("Notifiarr", {"result": "error", "details": "No channel"}, False, "No channel"),
    ("OneSignal", {"id": "", "errors": ["All included players are not subscribed"]}, False,
     "All included players are not subscribed"),
    ("Pushjet", {"error": {"id": 2, "message": "No such secret"}}, False, "No such secret"),
    ("PushMe", "no such key", False, "no such key"),
    ("PushDeer", {"code": 80501, "error": "No key"}, False, "No key"),
    ("Pushover", {"status": 0, "errors": ["no such user"]}, False, "no such user"),
    ("ServerChan", {"code": 40001, "message": "no key"}, False, "no key"),
    ("Seven", "900", True, "900"),
    ("SMSManager", "ERROR|101", True, "ERROR|101"),
    ("SMTP2Go", {"data": {"succeeded": 0, "failures": ["b@x is blocked"]}}, False,
     "b@x is blocked"),
    ("SparkPost", {"results": {"total_accepted_recipients": 0}}, False, "HTTP 200 OK"),
    ("Spugpush", {"code": 404, "msg": "no template"}, False, "no template"),
    ("Synology", {"success": False, "error": {"code": 407, "errors": "no token"}}, False,
     "no token"),
    ("TechulusPush", {"success": False, "message": "No devices"}, False, "No devices"),
    ("Telegram", {"ok": False, "description": "chat gone"}, False, "chat gone"),
    ("Telesign", {"status": {"code": 230, "description": "Message blocked"}}, True,
     "Message blocked"),
    ("Telnyx", {"data": {"to": [{"status": "sending_failed"}],
                         "errors": [{"code": "40001", "title": "Not routable"}]}}, False,
     "Not routable"),
    ("Twilio", {"status": "failed", "error_message": "Unreachable"}, False, "Unreachable"),
    ("Viber", {"status": 6, "status_message": "notSubscribed"}, True, "notSubscribed"),
    ("Vonage", {"messages": [{"status": "2", "error-text": "Missing to"}]}, True, "Missing to"),
    ("WeChat", {"errcode": 60011, "errmsg": "no privilege"}, True, "no privilege"),
    ("WeComBot", {"errcode": 93000, "errmsg": "invalid webhook url"}, True,
     "invalid webhook url"),
    ("WeComBot", {"errcode": 45009, "errmsg": "freq out of limit"}, False, "freq out of limit"),
    ("Workflows", "Webhook message delivery failed with error: HTTP error 429", False,
     "delivery failed"),
    ("XBMC", {"jsonrpc": "2.0", "error": {"code": -32602, "message": "Invalid params."}}, False,
     "Invalid params."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answer", "permanent", "words"), NOES)
def test_a_no_in_a_200_is_failed_with_its_words(
    name: str, answer: object, permanent: bool, words: str, service: StandIn
) -> None:
    attempt = told(service, name, saying(answer))
    assert (attempt.outcome, attempt.permanent) == (FAILED, permanent)
    assert words in attempt.detail


@pytest.mark.parametrize("name", ["WeComBot", "Telegram", "Pushover", "Zulip", "Viber"])
def test_an_answer_without_what_a_service_always_says_is_uncertain(
    name: str, service: StandIn
) -> None:
    for answer in (Answer(200), saying("null")):
        attempt = told(service, name, answer)
        assert (attempt.outcome, attempt.permanent) == (UNCERTAIN, False)
        assert "without the yes or no that the service says in every answer" in attempt.detail


def test_a_portal_is_known_by_whatever_page_it_shows(service: StandIn) -> None:
    for page in (b"\xef\xbb\xbf<!DOCTYPE html>", b"<head><title>Sign in</title>", b"<center>"):
        attempt = told(service, "PagerDuty", Answer(200, page, {"Content-Type": "text/html"}))
        assert attempt.outcome is FAILED
        assert "a login or a proxy" in attempt.detail
    log = Answer(200, b'<ul class="logs"><li>Sent</li></ul>', {"Content-Type": "text/html"})
    assert told(service, "AppriseAPI", log).outcome is DELIVERED


@pytest.mark.parametrize(
    ("name", "answer", "wait"),
    [
        ("GitHub", saying({"message": "You have exceeded a limit"}, 403, Retry_After="30"), 30),
        ("JSON", saying({"error": "busy"}, 413, Retry_After="12.5"), 12.5),
        ("SparkPost", saying({"errors": [{"message": "Exceed Sending Limit"}]}, 420), None),
        ("WhatsApp", saying({"error": {"code": 131056, "message": "pair"}}, 400), None),
        ("Instagram", saying({"error": {"code": 2, "is_transient": True}}, 400), None),
        ("JSON", saying({"error": "Please try again in 250ms"}, 400), 0.25),
    ],
)  # fmt: skip
def test_what_is_refused_for_now_is_tried_again_when_the_service_says(
    name: str, answer: Answer, wait: float | None, service: StandIn
) -> None:
    attempt = told(service, name, answer)
    assert (attempt.outcome, attempt.permanent, attempt.retry_after) == (FAILED, False, wait)


@pytest.mark.parametrize("name", ["Opsgenie", "Jira"])
def test_a_message_for_which_a_plugin_makes_no_request_is_not_delivered(
    name: str, service: StandIn
) -> None:
    service.answer(lambda asked: yes_of(name, asked))
    attempt = send(fresh(name), MESSAGE)
    assert (attempt.outcome is DELIVERED) is bool(service.asked)


@pytest.mark.parametrize("name", ["Emby", "Jellyfin"])
def test_a_player_that_nobody_watches_has_shown_nothing(name: str, service: StandIn) -> None:
    nobody = saying([])
    service.answer(lambda asked: nobody if "Sessions" in asked.path else yes_of(name, asked))
    attempt = send(fresh(name), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (FAILED, False)
    assert "no more than a login or a look-up" in attempt.detail


@pytest.mark.parametrize("name", ["RocketChat", "Emby", "Jellyfin"])
def test_the_answer_to_the_message_counts_and_not_that_of_the_logout(
    name: str, service: StandIn
) -> None:
    assert told(service, name, CUT).outcome is UNCERTAIN
    refused = told(service, name, saying({"error": "no such room"}, 400))
    assert (refused.outcome, refused.permanent) == (FAILED, True)
    assert refused.detail == "HTTP 400 Bad Request: no such room"
    later = told(service, name, saying({}, 429, Retry_After="9"))
    assert (later.outcome, later.permanent, later.retry_after) == (FAILED, False, 9)


@pytest.mark.parametrize("answer", [Answer(500), CUT, HANGS])
def test_a_logout_that_fails_leaves_a_delivered_message_delivered(
    answer: Answer, service: StandIn
) -> None:
    service.answer(lambda asked: answer if asked.path.endswith("logout")
                   else yes_of("RocketChat", asked))  # fmt: skip
    assert send(fresh("RocketChat", 0.5 if answer.hangs else 10), MESSAGE).outcome is DELIVERED


# Those that log in or look up first: so many requests come before the message.
WITH_LOGIN = [
    "BlueSky", "Emby", "KakaoTalk", "Matrix", "Office365", "Reddit", "RingCentral", "RocketChat",
    "SendPulse", "Twist", "WeChat",
]  # fmt: skip


@pytest.mark.parametrize("answer", [CUT, HANGS])
@pytest.mark.parametrize("name", WITH_LOGIN)
def test_a_login_that_is_cut_has_sent_no_message(
    name: str, answer: Answer, service: StandIn
) -> None:
    service.answer(answer)
    attempt = send(fresh(name, 1 if answer.hangs else 10), MESSAGE)
    assert service.asked
    assert not any(is_message(asked) for asked in service.asked)
    assert (attempt.outcome, attempt.permanent) == (FAILED, False)


@pytest.mark.parametrize("name", WITH_LOGIN)
def test_a_login_that_is_refused_is_failed_with_its_words(name: str, service: StandIn) -> None:
    service.answer(saying({"error": "no such user"}, 403))
    attempt = send(fresh(name), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert "HTTP 403 Forbidden" in attempt.detail


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Matrix", saying({"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown token"}, 401)),
        ("Office365", saying({"error": {"code": "InvalidAuthenticationToken"}}, 401)),
        ("WeChat", saying({"errcode": 42001, "errmsg": "access_token expired"})),
        ("BlueSky", saying({"error": "ExpiredToken", "message": "Token has expired"}, 400)),
        ("SendPulse", saying({"message": "unauthorized"}, 401)),
    ],
)  # fmt: skip
def test_an_ended_session_is_mended_by_a_new_login_once(
    name: str, answer: Answer, service: StandIn
) -> None:
    destination = fresh(name)
    service.answer(lambda asked: yes_of(name, asked))
    assert send(destination, MESSAGE).outcome is DELIVERED

    ended = [True]

    def once(asked: Asked) -> Answer:
        return answer if is_message(asked) and ended and ended.pop() else yes_of(name, asked)

    service.answer(once)
    assert send(destination, MESSAGE).outcome is DELIVERED
    assert [is_message(asked) for asked in service.asked].count(True) == 2
    assert not all(is_message(asked) for asked in service.asked)

    def anew(asked: Asked) -> Answer:
        """Refuse every message, and begin another session at each login."""
        if is_message(asked):
            return answer
        yes = yes_of(name, asked)
        token = b"a-token-%d" % next(_numbers)
        return replace(yes, body=yes.body.replace(b"a-token-of-the-stand-in", token))

    service.answer(anew)
    attempt = send(destination, MESSAGE)
    assert attempt.outcome is FAILED
    assert [is_message(asked) for asked in service.asked].count(True) == 2


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Reddit", saying({"message": "Unauthorized", "error": 401}, 401)),
        ("Twist", saying({"error_code": 200, "error_string": "Invalid token"}, 403)),
        ("Twist", saying({"error_code": 120, "error_string": "You are not logged in"}, 403)),
        ("SendPulse", saying({"message": "unauthorized"}, 401)),
    ],
)
def test_a_plugin_that_tries_again_by_itself_is_let_in_with_a_new_session(
    name: str, answer: Answer, service: StandIn
) -> None:
    destination = fresh(name)
    sessions = count(1)
    ended: list[str] = []
    used: list[str] = []

    def by_session(asked: Asked) -> Answer:
        login = asked.headers.get("authorization", "")
        if is_message(asked):
            used.append(login)
            return answer if login in ended else yes_of(name, asked)
        if "access_token" in asked.path or "users/login" in asked.path:
            token = f"session-{next(sessions)}"
            words = {"token": token, "access_token": token, "expires_in": 3600}
            return saying({**words, "default_workspace": 1})
        if asked.path.endswith("channels/get"):
            return saying([{"id": 7, "name": "general", "workspace_id": 1}])
        return yes_of(name, asked)

    service.answer(by_session)
    assert send(destination, MESSAGE).outcome is DELIVERED
    ended.append(used[-1])
    assert send(destination, MESSAGE).outcome is DELIVERED
    assert used[-1] not in ended
    asked_before = len(used)
    assert send(destination, MESSAGE).outcome is DELIVERED
    assert len(used) == asked_before + 1


def test_who_needs_no_login_is_asked_once(service: StandIn) -> None:
    destination = fresh("JSON")
    for answer in (Answer(200), Answer(401)):
        service.answer(answer)
        send(destination, MESSAGE)
        assert len(service.asked) == 1


AWS_THROTTLES = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded"
    "</Message></Error></ErrorResponse>"
)


@pytest.mark.parametrize(
    ("name", "answer", "status", "permanent", "detail"),
    [
        ("SNS", AWS_THROTTLES, 400, False, "HTTP 400 Bad Request: Throttling Rate exceeded"),
        ("SES", AWS_THROTTLES, 400, False, "HTTP 400 Bad Request: Throttling Rate exceeded"),
        ("SNS", "<R><Error><Code>InvalidParameter</Code><Message>No number</Message></Error></R>",
         400, True, "HTTP 400 Bad Request: InvalidParameter No number"),
        ("AWSWhatsApp", {"__type": "ThrottlingException", "message": "slowly"}, 400, False,
         "HTTP 400 Bad Request: slowly"),
        ("GitHub", {"message": "You have exceeded a secondary rate limit."}, 403, False,
         "HTTP 403 Forbidden: You have exceeded a secondary rate limit."),
        ("Pushover", {"status": 0, "user": "invalid", "errors": ["user identifier is not valid"]},
         400, True, "HTTP 400 Bad Request: user identifier is not valid"),
        ("Workflows", {"error": {"code": "X", "message": "The workflow is off"}}, 400, True,
         "HTTP 400 Bad Request: The workflow is off"),
        ("GoogleChat", {"error": {"code": 404, "message": "Space gone", "status": "NOT_FOUND"}},
         404, True, "HTTP 404 Not Found: Space gone"),
        ("Office365", {"error": {"code": "ErrorX", "message": "No such mailbox"}}, 404, True,
         "HTTP 404 Not Found: No such mailbox"),
        ("Zulip", {"result": "error", "msg": "Stream does not exist", "code": "X"}, 400, True,
         "HTTP 400 Bad Request: Stream does not exist"),
        ("PagerDuty", {"status": "invalid event", "message": "Event object is invalid",
                       "errors": ["no routing key"]}, 400, True,
         "HTTP 400 Bad Request: Event object is invalid no routing key"),
        ("Prowl", '<prowl><error code="401">Unknown key</error></prowl>', 401, True,
         "HTTP 401 Unauthorized: Unknown key"),
        ("NextcloudTalk", {"ocs": {"meta": {"status": "failure", "message": "No room"}}}, 404,
         True, "HTTP 404 Not Found: No room"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_the_words_of_the_service(
    name: str, answer: object, status: int, permanent: bool, detail: str, service: StandIn
) -> None:
    attempt = told(service, name, saying(answer, status))
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (FAILED, permanent, detail)


@pytest.mark.parametrize(
    ("name", "answer", "status", "detail"),
    [
        ("FreeMobile", "", 402, "HTTP 402 Payment Required"),
        ("Prowl", '<prowl><error code="406">Too many calls</error></prowl>', 406,
         "HTTP 406 Not Acceptable: Too many calls"),
        ("SparkPost", {"errors": [{"message": "Exceed Sending Limit (hourly)"}]}, 420,
         "HTTP 420: Exceed Sending Limit (hourly)"),
    ],
)  # fmt: skip
def test_a_status_that_asks_for_patience_at_this_service_alone_is_tried_again(
    name: str, answer: object, status: int, detail: str, service: StandIn
) -> None:
    attempt = told(service, name, saying(answer, status))
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (FAILED, False, detail)


def test_apprise_api_may_have_told_some_and_says_if_it_knows_nobody(service: StandIn) -> None:
    words = "One or more notification could not be sent"
    attempt = told(service, "AppriseAPI", saying({"error": words, "details": []}, 424))
    assert (attempt.outcome, attempt.permanent) == (UNCERTAIN, False)
    assert attempt.detail == (f"HTTP 424 Failed Dependency: {words}. A part of it may have arrived")
    attempt = told(service, "AppriseAPI", Answer(204))
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert attempt.detail.startswith("HTTP 204 No Content: the server has no configuration of this")
    attempt = told(service, "AppriseAPI", saying({"error": "Bad request"}, 400))
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)


@pytest.mark.parametrize(
    ("name", "answer", "wait"),
    [
        ("Telegram", saying({"ok": False, "error_code": 429, "description": "Too Many Requests",
                             "parameters": {"retry_after": 35}}, 429), 35),
        ("Discord", saying({"message": "You are being rate limited.", "retry_after": 6.5}, 429),
         6.5),
        ("Matrix", saying({"errcode": "M_LIMIT_EXCEEDED", "error": "x", "retry_after_ms": 4000},
                          429), 4),
        ("Zulip", saying({"result": "error", "msg": "x", "retry-after": 28.7}, 429), 28.7),
        ("SendGrid", saying({"errors": [{"message": "x"}]}, 429, X_RateLimit_Reset="12"), 12),
        ("LFGAlarm", saying({"error": "x", "retryAfterSeconds": 90}, 429), 90),
    ],
)  # fmt: skip
def test_a_wait_in_the_body_is_obeyed(
    name: str, answer: Answer, wait: float, service: StandIn
) -> None:
    if name == "LFGAlarm":
        service.answer(answer)
        attempt = send(fresh(name), MESSAGE)
    else:
        attempt = told(service, name, answer)
    assert (attempt.outcome, attempt.permanent) == (FAILED, False)
    assert attempt.retry_after == pytest.approx(wait)


def _echo(asked: Asked) -> str:
    """Return what a careless service may show: whole headers, their parts, and the login."""
    sent = [value for name, value in asked.headers.items() if name not in ("host", "user-agent")]
    secret = [value for value in sent if len(value) > 20 and "/" not in value[:12]]
    login = secret[0].split()[-1] if secret else ""
    try:
        plain = base64.b64decode(login, validate=True).decode()
    except ValueError:
        plain = ""
    return " ".join([*secret, login, login.rstrip("="), plain])


@pytest.mark.parametrize(
    "name", [name for name in ADDRESSES if name not in ("Nextcloud", "Telegram")]
)
def test_an_echo_of_what_was_sent_shows_no_login(name: str, service: StandIn) -> None:
    echoes: list[str] = []

    def answering(asked: Asked) -> Answer:
        echoes.append(_echo(asked))
        return saying({"error": f"refused: {echoes[-1]}"}, 400)

    service.answer(lambda a: answering(a) if is_message(a) else yes_of(name, a))
    detail = send(fresh(name), MESSAGE).detail
    for word in {word for echo in echoes for word in echo.split() if len(word) > 12}:
        assert word not in detail


@pytest.mark.parametrize("name", ["Emby", "Jellyfin", "Matrix", "RingCentral", "Twist"])
def test_a_plugin_that_is_thrown_away_asks_for_nothing(name: str, service: StandIn) -> None:
    destination = fresh(name)
    service.answer(lambda asked: yes_of(name, asked))
    assert send(destination, MESSAGE).outcome is DELIVERED
    service.answer(to_the_message(name, Answer(403)))
    assert send(destination, MESSAGE).permanent
    service.answer(Answer(500))
    gc.collect()
    assert service.asked == []
