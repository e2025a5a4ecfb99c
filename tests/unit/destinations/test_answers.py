"""What a service says in an answer: yes or no, for how long, in which words."""

from __future__ import annotations

import json
import sys

import pytest

from receiver.destinations.apprise.answers import read
from receiver.destinations.apprise.catalogue import VENDORS
from receiver.destinations.apprise.vendors import UNKNOWN, WITHOUT_REQUESTS, Vendor, name_of
from tests.support.plugins import every_plugin

NOW = 1_800_000_000.0


def said(answer: object, name: str = "", status: int = 200, **headers: str) -> tuple[object, ...]:
    """Return what is read: the no, whether it is for good, the words."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    reading = read(status, named, text.encode(), VENDORS.get(name, UNKNOWN), NOW)
    return reading.says_no, reading.lasting, reading.words


# Of each service: an answer of 2xx that is a yes, one that is a no, whether it is for good, words.
DOCUMENTED: list[tuple[str, object, object, bool | None, str]] = [
    ("acs", {"value": [{"to": "+1", "httpStatusCode": 202, "successful": True}]},
     {"value": [{"to": "+1", "httpStatusCode": 400, "errorMessage": "Invalid To phone number",
                 "successful": False}]}, None, "Invalid To phone number"),
    ("africas_talking",
     {"SMSMessageData": {"Message": "Sent to 1/1",
                         "Recipients": [{"statusCode": 101, "status": "Success"}]}},
     {"SMSMessageData": {"Message": "Sent to 0/1",
                         "Recipients": [{"statusCode": 403, "status": "InvalidPhoneNumber"}]}},
     True, "InvalidPhoneNumber Sent to 0/1"),
    ("africas_talking",
     {"SMSMessageData": {"Message": "Sent to 1/1",
                         "Recipients": [{"statusCode": 100, "status": "Processed"}]}},
     {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}, True,
     "InvalidSenderId"),
    ("bark", {"code": 200, "message": "success"},
     {"code": 400, "message": "failed to get device token"}, None, "failed to get device token"),
    ("bulksms", [{"status": {"type": "ACCEPTED"}}],
     [{"status": {"type": "FAILED", "subtype": "INSUFFICIENT_CREDITS"}}], None,
     "INSUFFICIENT_CREDITS"),
    ("bulkvs", {"Results": [{"To": "1", "Status": "SUCCESS"}]},
     {"Results": [{"To": "1", "Status": "FAILED"}]}, None, "FAILED"),
    ("burstsms", {"error": {"code": "SUCCESS", "description": "OK"}},
     {"error": {"code": "OVER_LIMIT", "description": "Too many calls"}}, False, "Too many calls"),
    ("clickatell", {"messages": [{"accepted": True, "error": None}], "error": None},
     {"messages": [{"accepted": False, "error": {"code": 105, "description": "Bad number"}}]},
     True, "Bad number"),
    ("clicksend",
     {"response_code": "SUCCESS", "data": {"messages": [{"status": "SUCCESS"}]}},
     {"response_code": "SUCCESS", "data": {"messages": [{"status": "INVALID_RECIPIENT"}]}},
     True, "INVALID_RECIPIENT"),
    ("cm", {"errorCode": 0, "messages": [{"messageErrorCode": 0}]},
     {"errorCode": 201, "messages": [{"messageErrorCode": 304, "messageDetails": "Body is empty"}]},
     None, "Body is empty"),
    ("dingtalk", {"errcode": 0, "errmsg": "ok"},
     {"errcode": 310000, "errmsg": "keywords not in content"}, True, "keywords not in content"),
    ("dingtalk", {"errcode": 0, "errmsg": "ok"},
     {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, False,
     "send too fast, exceed 20 times per minute"),
    ("enigma2", "<e2simplexmlresult><e2state>True</e2state></e2simplexmlresult>",
     "<e2simplexmlresult><e2state>False</e2state><e2statetext>No such type</e2statetext>"
     "</e2simplexmlresult>", None, "No such type"),
    ("exotel", {"SMSMessage": {"Status": "queued"}},
     {"SMSMessage": {"Status": "failed-dnd", "DetailedStatus": "FAILED_DND"}}, None, "FAILED_DND"),
    ("fcm", {"success": 1, "failure": 0, "results": [{"message_id": "1"}]},
     {"success": 0, "failure": 1, "results": [{"error": "NotRegistered"}]}, True,
     "NotRegistered"),
    ("feishu", {"code": 0, "msg": "success"}, {"code": 11232, "msg": "frequency limited"}, False,
     "frequency limited"),
    ("fortysixelks", {"status": "created"}, {"status": "failed"}, None, ""),
    ("infobip", {"messages": [{"status": {"groupName": "PENDING"}}]},
     {"messages": [{"status": {"groupName": "REJECTED", "description": "Not enough credits"}}]},
     None, "Not enough credits"),
    ("kavenegar", {"return": {"status": 200}},
     {"return": {"status": 418, "message": "credit is low"}}, None, "credit is low"),
    ("kook", {"code": 0, "message": "ok"}, {"code": 40000, "message": "no such channel"}, None,
     "no such channel"),
    ("lark", {"StatusCode": 0, "StatusMessage": "success"},
     {"code": 19001, "msg": "param invalid: incoming webhook access token invalid"}, True,
     "param invalid: incoming webhook access token invalid"),
    ("mobilemessage", {"status": "complete", "results": [{"status": "success"}]},
     {"status": "complete", "results": [{"status": "error", "error": "Landline"}]}, None,
     "Landline"),
    ("nextcloudtalk", {"ocs": {"meta": {"status": "ok", "statuscode": 201}}},
     {"ocs": {"meta": {"status": "failure", "statuscode": 404, "message": "No room"}}}, None,
     "No room"),
    ("onebot", {"status": "async", "retcode": 1},
     {"status": "failed", "retcode": 100, "wording": "Not a friend"}, None, "Not a friend"),
    ("pushdeer", {"code": 0, "content": {"result": []}}, {"code": 80501, "error": "no key"}, None,
     "no key"),
    ("pushme", "success", "The key is unknown", None, "The key is unknown"),
    ("pushover", {"status": 1}, {"status": 0, "user": "invalid", "errors": ["no such user"]}, None,
     "no such user"),
    ("pushplus", {"code": 200}, {"code": 903, "msg": "no such token"}, True, "no such token"),
    ("pushsafer", {"status": 1, "success": "ok"}, {"status": 0, "error": "no key"}, None,
     "no key"),
    ("reddit", {"json": {"errors": [], "data": {}}},
     {"success": False, "json": {"errors": [["RATELIMIT", "you do that too much", "ratelimit"]]}},
     False, "RATELIMIT you do that too much"),
    ("serverchan", {"code": 0}, {"code": 40001, "message": "wrong key"}, True, "wrong key"),
    ("seven", "100", "900", True, "900"),
    ("seven", {"success": "100", "messages": [{"success": True}]},
     {"success": "301", "messages": [{"success": False, "error_text": "no recipient"}]}, True,
     "no recipient 301"),
    ("simplepush", {"status": "OK"}, {"status": "BadRequest", "message": "no key"}, None,
     "no key"),
    ("smsmanager", "OK|123|+420", "ERROR|101", True, "ERROR|101"),
    ("smtp2go", {"data": {"succeeded": 1, "failed": 0, "failures": []}},
     {"data": {"succeeded": 0, "failed": 1, "failures": ["a@b.org is blocked"]}}, None,
     "a@b.org is blocked"),
    ("sparkpost", {"results": {"total_accepted_recipients": 1}},
     {"results": {"total_accepted_recipients": 0, "total_rejected_recipients": 1}}, None, ""),
    ("spugpush", {"code": 200, "msg": "ok"}, {"code": 404, "msg": "no template"}, None,
     "no template"),
    ("telegram", {"ok": True, "result": {}}, {"ok": False, "description": "chat gone"}, None,
     "chat gone"),
    ("telesign", {"status": {"code": 290, "description": "Message in progress"}},
     {"status": {"code": 230, "description": "Message blocked by Telesign"}}, True,
     "Message blocked by Telesign"),
    ("telesign", {"status": {"code": 291, "description": "Queued by Telesign"}},
     {"status": {"code": 500, "description": "Transaction not attempted"},
      "errors": [{"code": -40008, "description": "Try again"}]}, None,
     "Transaction not attempted Try again"),
    ("telnyx", {"data": {"to": [{"status": "queued"}], "errors": []}},
     {"data": {"to": [{"status": "sending_failed"}],
               "errors": [{"code": "40001", "title": "Not routable"}]}}, None,
     "Not routable sending_failed"),
    ("twilio", {"status": "queued", "error_message": None, "error_code": None},
     {"status": "failed", "error_message": "Unreachable handset"}, None, "Unreachable handset"),
    ("viber", {"status": 0, "status_message": "ok"},
     {"status": 6, "status_message": "notSubscribed"}, True, "notSubscribed"),
    ("voipms", {"status": "success"}, {"status": "invalid_dst", "message": "Not a number"}, True,
     "Not a number invalid_dst"),
    ("vonage", {"messages": [{"status": "0"}]},
     {"messages": [{"status": "2", "error-text": "Missing to param"}]}, True, "Missing to param"),
    ("vonage", {"messages": [{"status": "0"}]},
     {"messages": [{"status": "1", "error-text": "Throughput exceeded"}]}, False,
     "Throughput exceeded"),
    ("wechat", {"errcode": 0}, {"errcode": 60011, "errmsg": "no privilege"}, True,
     "no privilege"),
    ("wecombot", {"errcode": 0, "errmsg": "ok"},
     {"errcode": 93000, "errmsg": "invalid webhook url"}, True, "invalid webhook url"),
    ("wecombot", {"errcode": 0, "errmsg": "ok"},
     {"errcode": 45009, "errmsg": "api freq out of limit"}, False, "api freq out of limit"),
    ("workflows", "1", "Webhook message delivery failed with error: Microsoft Teams endpoint"
     " returned HTTP error 429 with ContextId x", False,
     "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429"
     " with ContextId x"),
    ("wpush", {"code": 0}, {"code": 1001, "message": "wrong key"}, True, "wrong key"),
    ("wxpusher", {"code": 1000, "msg": "ok"}, {"code": 1001, "msg": "no such app"}, None,
     "no such app"),
    ("messagebird", {"recipients": {"items": [{"status": "sent"}]}},
     {"recipients": {"items": [{"status": "delivery_failed"}]}}, None, ""),
    ("zulip", {"result": "success", "msg": ""}, {"result": "error", "msg": "Stream is gone"}, None,
     "Stream is gone"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "yes", "no", "lasting", "words"), DOCUMENTED)
def test_a_no_in_a_2xx_is_read_as_the_service_documents_it(
    name: str, yes: object, no: object, lasting: bool | None, words: str
) -> None:
    assert said(yes, name)[0] is False
    assert said(no, name) == (True, lasting, words)


def _says_how_it_refuses(vendor: Vendor) -> bool:
    return bool(vendor.yes or vendor.no or vendor.needs or vendor.no_text)


def test_every_service_that_has_a_way_to_refuse_is_shown_above() -> None:
    ways = {name for name, vendor in VENDORS.items() if _says_how_it_refuses(vendor)}
    assert ways == {name for name, *_ in DOCUMENTED}


def test_every_entry_belongs_to_a_plugin_and_says_where_its_facts_come_from() -> None:
    modules = {name_of(plugin) for plugin in every_plugin()}
    assert VENDORS.keys() <= modules
    assert WITHOUT_REQUESTS.keys() <= modules
    assert all(vendor.source for vendor in VENDORS.values())


def test_what_needs_no_request_is_no_plugin_that_makes_some() -> None:
    asking = (p for p in every_plugin() if hasattr(sys.modules[p.__module__], "requests"))
    found = {name_of(plugin) for plugin in asking}
    # Nostr looks people up by HTTP, and sends on web sockets.
    assert WITHOUT_REQUESTS.keys() & found == {"nostr"}


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": False, "description": "x"}, {"success": False}, {"success": "false"},
        {"success": 0, "failure": 1}, {"error": "no such room"}, {"error": {"code": 7}},
        {"errors": ["a"]}, {"errcode": 7}, {"error_code": "E7"}, {"errorCode": 42},
        {"status": "error"}, {"result": "Failed"}, {"type": "error", "message": "x"},
        {"status": False}, {"code": 403, "message": "x"}, {"statusCode": 500},
        [{"success": False}], "<answer><status>failure</status></answer>",
    ],
)  # fmt: skip
def test_a_plain_no_of_any_service_is_one(answer: object) -> None:
    assert said(answer)[0] is True


@pytest.mark.parametrize(
    "answer",
    [
        "", "ok", "error", {}, [], {"ok": True}, {"success": True}, {"success": {}}, {"error": ""},
        {"error": None}, {"error": False}, {"error": "0"}, {"errors": []}, {"errors": None},
        {"errcode": 0}, {"error_code": None}, {"errorCode": "0"}, {"status": "queued"},
        {"status": 200}, {"status": "success", "code": 1000}, {"code": 0}, {"code": 201},
        {"type": "message"}, {"state": "open"}, {"result": {"error": "of another"}},
        [{"success": True}, {"success": False}], "<b>error</b>", "{broken",
        "[" * 5_000,
    ],
)  # fmt: skip
def test_what_may_be_a_yes_is_no_refusal(answer: object) -> None:
    assert said(answer)[0] is False


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("", {"errors": ["user is invalid", "b", "c"]}, "user is invalid b"),
        ("", {"error": {"code": "BadRequest", "message": "Invalid card"}}, "Invalid card"),
        ("", {"message": "Event is invalid", "errors": ["No routing_key"]},
         "Event is invalid No routing_key"),
        ("", {"errors": [{"message": "No recipient", "field": "to"}]}, "No recipient"),
        ("", {"errors": {"to": ["is not valid"]}}, "to: is not valid"),
        ("", {"result": "error", "msg": "Invalid API key"}, "Invalid API key"),
        ("", {"Message": "A", "Description": "B"}, "A B"),
        ("", {"token": "s3", "data": {"message": "deep"}}, ""),
        ("google_chat", {"error": {"code": 404, "message": "Space gone", "status": "NOT_FOUND"}},
         "Space gone"),
        ("office365", {"error": {"code": "ErrorX", "message": "Mailbox is full"}},
         "Mailbox is full"),
        ("sns", "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code>"
         "<Message>PhoneNumber is not valid</Message></Error></ErrorResponse>",
         "InvalidParameter PhoneNumber is not valid"),
        ("prowl", '<prowl><error code="401">Invalid API key(s)</error></prowl>',
         "Invalid API key(s)"),
        ("webexteams", {"message": "Not found", "errors": [{"description": "No such room"}]},
         "Not found No such room"),
        ("sparkpost", {"errors": [{"message": "Invalid", "description": "no domain"}]},
         "Invalid no domain"),
    ],
)  # fmt: skip
def test_the_words_of_a_refusal_are_found(name: str, answer: object, words: str) -> None:
    assert said(answer, name, 400)[2] == words


@pytest.mark.parametrize(
    ("name", "answer", "lasting"),
    [
        ("ses", "<R><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></R>",
         False),
        ("sns", "<R><Error><Code>InvalidParameter</Code><Message>x</Message></Error></R>", None),
        ("awswhatsapp", {"__type": "ThrottlingException", "message": "slow"}, False),
        ("", {"message": "You have exceeded a secondary rate limit"}, False),
        ("", {"error": "Too Many Requests"}, False), ("", {"error": "message limit"}, None),
        ("google_chat", {"error": {"status": "RESOURCE_EXHAUSTED", "message": "x"}}, False),
        ("zulip", {"result": "error", "code": "RATE_LIMIT_HIT", "msg": "API usage"}, False),
        ("whatsapp", {"error": {"code": 130429, "message": "Cloud API message throughput"}}, False),
        ("whatsapp", {"error": {"code": 131056, "message": "pair"}}, False),
        ("whatsapp", {"error": {"code": 80007, "message": "calls"}}, False),
        ("whatsapp", {"error": {"code": 131026, "message": "Undeliverable"}}, None),
        ("whatsapp", {"error": {"code": 131000, "message": "x", "is_transient": True}}, False),
        ("whatsapp", {"error": {"code": 131000, "message": "x", "is_transient": False}}, None),
        ("instagram", {"error": {"code": 613, "message": "calls"}}, False),
        ("instagram", {"error": {"code": 4, "message": "x"}}, False),
        ("instagram", {"error": {"code": 100, "message": "No such person"}}, None),
        ("", {"error": "(#4) Application request limit reached"}, False),
        ("", {"error": "Please retry your request later"}, False),
        ("", {"error": "try sending it later"}, False),
        ("", {"error": "too many API calls"}, False),
        ("", {"error": "too many recipients"}, None),
        ("feishu", {"code": 9499, "msg": "too many request"}, False),
        ("lark", {"code": 9499, "msg": "too many request"}, False),
        ("lark", {"code": 9499, "msg": "Bad Request"}, True),
    ],
)  # fmt: skip
def test_what_is_only_too_early_is_not_for_good(
    name: str, answer: object, lasting: bool | None
) -> None:
    assert said(answer, name, 400)[1] is lasting


@pytest.mark.parametrize(
    ("answer", "headers", "wait"),
    [
        ({"ok": False, "parameters": {"retry_after": 35}}, {}, 35.0),
        ({"message": "You are being rate limited.", "retry_after": 64.57}, {}, 64.57),
        ({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2000}, {}, 2.0),
        ({"code": "RATE_LIMIT_HIT", "retry-after": 28.7}, {}, 28.7),
        ({"retryAfterSeconds": "9"}, {}, 9.0),
        ({}, {"X-RateLimit-Reset-After": "7.5"}, 7.5),
        ({}, {"X-RateLimit-Reset": str(int(NOW) + 90)}, 90.0),
        ({}, {"X-RateLimit-Reset": str(int(NOW) - 90)}, 0.0),
        ({}, {"RateLimit-Reset": "12"}, 12.0), ({}, {"X-RateLimit-Reset": "soon"}, None),
        ({}, {"X-RateLimit-Reset": str((int(NOW) + 90) * 1000)}, 90.0),
        ({}, {"X-RateLimit-Reset": "2027-01-15T08:01:30.000Z"}, 90.0),
        ({}, {"X-RateLimit-Reset": "2027-01-15T08:01:30"}, 90.0),
        ({}, {"X-RateLimit-Reset": "9999-99-99"}, None),
        ({}, {"X-Limit-App-Reset": str(int(NOW) + 7)}, 7.0),
        ({}, {"X-RateLimit-Period-In-Sec": "60"}, 60.0),
        ({"error": {"details": [{"@type": "RetryInfo", "retryDelay": "38.5s"}]}}, {}, 38.5),
        ({"error": "You must wait 35 seconds before trying again."}, {}, 35.0),
        ({"message": "Try again after 31 mins."}, {}, 1860.0),
        ({"message": "retry in 2 h"}, {}, 7200.0), ({"message": "wait for 3 messages"}, {}, None),
        ({"message": "Retry later: 5 secrets were seen"}, {}, None),
        ({"retry_after": -5}, {}, None), ({"retry_after": True}, {}, None),
        ({"retry_after": 10**11}, {}, 999_999.0), ({"retry_after": 10**40}, {}, None),
        ({"error": "Please try again in 250ms."}, {}, 0.25),
        ({"error": "try again in 1.5 seconds"}, {}, 1.5),
        ({"error": "try again in 6m45.5s"}, {}, 405.5),
        ({"error": "wait 1 hour and 2 minutes"}, {}, 3720.0),
        ({"error": "retry after 20 milliseconds"}, {}, 0.02),
        ({"error": "retry in 2 months"}, {}, None),
        ({"retryDelay": "250ms"}, {}, 0.25), ({"retry_after": "1m30s"}, {}, 90.0),
        ({"retry_after": "soon, in 5 s"}, {}, None), ({"retry_after": ""}, {}, None),
        ({}, {"X-RateLimit-Reset": "6m0s"}, 360.0),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_a_wait_may_stand_in_the_body_or_in_other_headers(
    answer: object, headers: dict[str, str], wait: float | None
) -> None:
    content = json.dumps(answer).encode()
    assert read(429, headers, content, UNKNOWN, NOW).wait == wait
    if not headers:
        assert read(200, headers, b'{"ok": true, "retry_after": 35}', UNKNOWN, NOW).wait is None


def test_the_status_of_sparkpost_for_too_early_is_read_as_such() -> None:
    words = b'{"errors": [{"message": "Exceed Sending Limit (daily), retry in 90 s"}]}'
    assert read(420, {}, words, VENDORS["sparkpost"], NOW).wait == 90.0


@pytest.mark.parametrize("status", [400, 403])
def test_a_wait_beside_words_that_say_too_early_counts_whatever_the_status_is(status: int) -> None:
    reset = {"X-RateLimit-Reset": str(int(NOW) + 90)}
    early = b'{"message": "You have exceeded a secondary rate limit"}'
    assert read(status, reset, early, UNKNOWN, NOW).wait == 90.0
    assert read(status, reset, b'{"message": "No such room"}', UNKNOWN, NOW).wait is None


@pytest.mark.parametrize(
    "page",
    [
        "<!DOCTYPE html><html><body>Log in</body></html>", "\n<html lang='en'>", "<HTML>",
        '<?xml version="1.0"?><!doctype html>', "<!-- a portal -->\n<html>",
        "\ufeff<!DOCTYPE html><html>", "\ufeff \n<html>", "<head><title>Sign in</title></head>",
        "<meta http-equiv=refresh content='0;url=x'>", "<script>location='x'</script>",
        "<title>Sign in</title>", "<body>",
    ],
)  # fmt: skip
def test_a_web_page_is_no_answer_of_a_service(page: str) -> None:
    for name in ("", "zulip", "mattermost"):
        refused, lasting, words = said(page, name)
        assert (refused, lasting) == (True, None)
        assert "does a login or a proxy stand before it?" in str(words)
    assert said(page, "custom_json")[0] is False


@pytest.mark.parametrize(
    "page", ["<h1>Sign in</h1>", "<!-- x -->", "<div>", "<center>", "\ufeff<p>"]
)
def test_what_is_markup_and_says_that_it_is_html_is_a_page_too(page: str) -> None:
    for kind in ("text/html", "Text/HTML; charset=utf-8"):
        assert said(page, "pagerduty", Content_Type=kind)[0] is True
    assert said(page, "pagerduty")[0] is False
    for yes in ("ok", "", " ", '<?xml version="1.0"?><prowl><success code="200"/></prowl>'):
        assert said(yes, Content_Type="text/html")[0] is False


def test_a_page_in_utf_16_is_one() -> None:
    for coding in ("utf-16", "utf-16-le"):
        assert read(200, {}, "<html>".encode(coding)).says_no


def test_the_list_that_an_apprise_server_makes_of_its_log_is_its_yes() -> None:
    log = '<ul class="logs">\n<li class="log_info">Sent</li></ul>'
    assert said(log, "apprise_api", Content_Type="text/html")[0] is False
    assert said("<html>", "apprise_api", Content_Type="text/html")[0] is True
    assert said(log, Content_Type="text/html")[0] is True


def test_a_no_in_xml_that_calls_itself_xhtml_is_read() -> None:
    no = "<?xml version='1.0'?><e2simplexmlresult><e2state>False</e2state></e2simplexmlresult>"
    assert said(no, "enigma2", Content_Type="application/xhtml+xml; charset=UTF-8")[0] is True


@pytest.mark.parametrize(
    "answer", ["", " ", "null", "ok", "{}", "[]", '{"other": 0}', '{"errcode": 0, "errm']
)
def test_an_answer_without_what_a_service_always_says_is_unclear(answer: str) -> None:
    for name in ("wecombot", "telegram", "pushover", "zulip", "lark"):
        unclear = read(200, {}, answer.encode(), VENDORS[name])
        assert (unclear.says_no, unclear.unclear) == (False, True)
    for name in ("", "slack", "discord", "ntfy", "fcm"):
        assert not read(200, {}, answer.encode(), VENDORS.get(name, UNKNOWN)).unclear


def test_what_a_service_always_says_is_clear() -> None:
    always = {name for name, vendor in VENDORS.items() if vendor.always}
    for name, yes, no, *_ in DOCUMENTED:
        for answer in (yes, no):
            text = answer if isinstance(answer, str) else json.dumps(answer)
            assert not read(200, {}, text.encode(), VENDORS[name]).unclear
    assert always <= {name for name, *_ in DOCUMENTED}
    assert {name for name in always if not VENDORS[name].yes} == {"pushme"}
    assert read(200, {}, b"", VENDORS["pushme"]).unclear


def test_the_end_of_a_session_is_known_by_its_status_or_its_code() -> None:
    assert read(401, {}, b"{}").ended
    assert not read(403, {}, b"{}").ended
    assert read(200, {}, b'{"errcode": 42001, "errmsg": "expired"}', VENDORS["wechat"]).ended
    assert read(400, {}, b'{"error": "ExpiredToken"}', VENDORS["bluesky"]).ended
