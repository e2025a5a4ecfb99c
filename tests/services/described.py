"""Services as data: where each is, how it says yes and no, and what must not arrive there.

A row is a service. Its answers are those of its documentation (`source`); nobody asked the service
itself. To add a service is to add a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.support.standin import Answer, saying


class Case(StrEnum):
    """What a service does with a message."""

    YES = "yes"
    REFUSES = "refuses"  # for good
    WAITS = "waits"  # it is too early
    SAYS_NO = "says no"  # in an answer that looks like a yes


@dataclass(frozen=True)
class Refusal:
    """An answer that is no yes: what comes of it, and the service's words that people read."""

    answer: Any
    words: str = ""
    permanent: bool = True
    wait: float | None = None


@dataclass(frozen=True)
class Service:
    """A service. `plugin` is the name under which tests.support.plugins has its other answers.

    `lacks` is its address without a part that it needs, and `says` what `check` says of that.
    `secrets` stand in the address. `pings` is a pattern of what would notify people there, beyond
    what does so everywhere. `breaks` is a pattern of what is a new line there. `limit` is the
    number of characters (or, with `in_bytes`, of bytes) that it takes of a text; 0: no limit is
    documented. The answers are those of HTTP, or lines of SMTP (`is_mail`), where the address has
    `{port}` in it.
    """

    name: str
    plugin: str
    address: str
    source: str
    yes: Any
    refuses: Refusal
    waits: Refusal | None
    says_no: Refusal | None
    lacks: str
    says: str
    secrets: tuple[str, ...]
    pings: str = ""
    breaks: str = "\n"
    limit: int = 0
    in_bytes: bool = False
    is_sms: bool = False
    is_mail: bool = False

    def answer(self, case: Case) -> Any:
        """Return what it answers to the message."""
        if case is Case.YES:
            return self.yes
        found = self.refusal(case)
        assert found is not None
        return found.answer

    def refusal(self, case: Case) -> Refusal | None:
        """Return the refusal of a case; None if the service has none."""
        cases: Mapping[Case, Refusal | None] = {
            Case.REFUSES: self.refuses,
            Case.WAITS: self.waits,
            Case.SAYS_NO: self.says_no,
        }
        return cases[case]


def passing(answer: Any, words: str = "", wait: float | None = None) -> Refusal:
    """Make a refusal that a later message may not get."""
    return Refusal(answer, words, permanent=False, wait=wait)


_SLACK_PINGS = r"<!(?:channel|here|everyone|subteam)|<@[UW]"
_AWS = '<ErrorResponse xmlns="http://{}.amazonaws.com/doc/"><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>'
_GRAPH_SECRET = "Xq7Kd~canary-secret-of-the-app"


def _aws(service: str, code: str, words: str, status: int = 400) -> Answer:
    return saying(_AWS.format(service, code, words), status)


SERVICES: tuple[Service, ...] = (
    Service(
        "Slack (webhook)", "Slack", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "Slack, Sending messages using incoming webhooks; Rate limits",
        yes=saying("ok"),
        refuses=Refusal(saying("channel_is_archived", 410), "channel_is_archived"),
        waits=passing(saying("rate_limited", 429, Retry_After="30"), "rate_limited", 30),
        says_no=Refusal(saying("no_service"), "no_service"),
        lacks="slack://T1JJ3T3L2/A1BRTD4JD", says="An invalid Slack",
        secrets=("TIiajkdnlazkcOXrIdevi7FQ",), pings=_SLACK_PINGS, limit=40_000,
    ),
    Service(
        "Slack (bot)", "SlackBot",
        "slack://xoxb-1234567890-1234567890-4ddbc191d40ee098cbaae6f3/+C0123456789",
        "Slack, chat.postMessage: errors; Rate limits",
        yes=saying({"ok": True, "channel": "C0123456789", "ts": "1503435956.000247"}),
        refuses=Refusal(saying({"ok": False, "error": "not_in_channel"}), "not_in_channel"),
        waits=passing(saying({"ok": False, "error": "ratelimited"}, 429, Retry_After="30"),
                      "ratelimited", 30),
        says_no=passing(saying({"ok": False, "error": "fatal_error"}), "fatal_error"),
        lacks="slack://xoxb-1234567890-1234567890-4ddbc191d40ee098cbaae6f3/C0123456789",
        says="write +C0123456789",
        secrets=("xoxb-1234567890-1234567890-4ddbc191d40ee098cbaae6f3",),
        pings=_SLACK_PINGS, limit=40_000,
    ),
    Service(
        "Discord", "Discord", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "Discord, Execute webhook; Rate limits; JSON error codes",
        yes=Answer(204),
        refuses=Refusal(saying({"message": "Unknown Webhook", "code": 10015}, 404),
                        "Unknown Webhook"),
        waits=passing(
            saying({"message": "You are being rate limited.", "retry_after": 64.57,
                    "global": False}, 429), "You are being rate limited.", 64.57),
        says_no=None,
        lacks="discord://4174216298", says="Webhook Token",
        secrets=("JHMHI8qBe7bk2ZwO5U711o3dV_js",),
        pings=r"@everyone|@here|<@[&!]?\d", limit=2_000,
    ),
    Service(
        "Microsoft Teams (Workflows)", "Workflows",
        "workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944438d68119179a10a64"
        "/aKQ0yQDmW5Ir7HbPqgSoqOAxcxcHIvEcZbSwJ3qoOLo",
        "Microsoft, Post with Teams webhooks in Power Automate; Azure Logic Apps: limits, errors",
        yes=Answer(202),
        refuses=Refusal(
            saying({"error": {"code": "WorkflowTriggerIsNotEnabled",
                              "message": "The workflow is disabled."}}, 400),
            "The workflow is disabled."),
        waits=passing(
            saying({"error": {"code": "WorkflowRunActionsThrottled",
                              "message": "The number of actions exceeded the limit."}},
                   429, Retry_After="60"), "exceeded the limit", 60),
        says_no=passing(
            saying("Webhook message delivery failed with error: Microsoft Teams endpoint returned"
                   " HTTP error 429 with ContextId tcid=0"), "endpoint returned HTTP error 429"),
        lacks="workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944438d68119179a10a64",
        says="Signature",
        secrets=("aKQ0yQDmW5Ir7HbPqgSoqOAxcxcHIvEcZbSwJ3qoOLo", "643e69f83c8944438d68119179a10a64"),
        pings=r"<at\b", breaks=r"\n\n|  \n|\\\n", limit=28_000, in_bytes=True,
    ),
    Service(
        "Google Chat", "GoogleChat",
        "gchat://AAAAcanarySp/AIzaSyDdI0hCZtE6vySjMm-WEfRq3CPzqKqqsHI/m3Yk0dh8JvWcanary",
        "Google Chat API, spaces.messages.create; google.rpc.Status, RetryInfo",
        yes=saying({"name": "spaces/AAAAcanarySp/messages/B.B", "text": "x"}),
        refuses=Refusal(
            saying({"error": {"code": 404, "message": "Space does not exist.",
                              "status": "NOT_FOUND"}}, 404), "Space does not exist."),
        waits=passing(
            saying({"error": {
                "code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                             "retryDelay": "38.5s"}]}}, 429), "Quota exceeded.", 38.5),
        says_no=None,
        lacks="gchat://AAAAcanarySp/AIzaSyDdI0hCZtE6vySjMm-WEfRq3CPzqKqqsHI", says="Token",
        secrets=("AIzaSyDdI0hCZtE6vySjMm-WEfRq3CPzqKqqsHI", "m3Yk0dh8JvWcanary"),
        pings=r"<users/", limit=32_000, in_bytes=True,
    ),
    Service(
        "Telegram", "Telegram", "tgram://123456789:AAFcanary_hijklmnopqrstuv/-1001234567",
        "Telegram, Bot API: Making requests, ResponseParameters, sendMessage",
        yes=saying({"ok": True, "result": {"message_id": 7, "chat": {"id": 1}}}),
        refuses=Refusal(
            saying({"ok": False, "error_code": 403,
                    "description": "Forbidden: bot was kicked from the group chat"}, 403),
            "bot was kicked from the group chat"),
        waits=passing(
            saying({"ok": False, "error_code": 429,
                    "description": "Too Many Requests: retry after 35",
                    "parameters": {"retry_after": 35}}, 429), "retry after 35", 35),
        says_no=None,
        lacks="tgram://123456789:AAFcanary_hijklmnopqrstuv", says="names no chat",
        secrets=("AAFcanary_hijklmnopqrstuv", "123456789:AAFcanary_hijklmnopqrstuv"),
        pings=r"(?<!\w)@\w|tg://", limit=4_096,
    ),
    Service(
        "Mattermost", "Mattermost",
        "mmosts://chat.example.org/xo8fy5kkxp8p3qtcanaryabcde?image=no",
        "Mattermost, Incoming webhooks; API errors; Rate limit headers",
        yes=saying("ok"),
        refuses=Refusal(
            saying({"id": "web.incoming_webhook.invalid.app_error", "message": "Invalid webhook.",
                    "detailed_error": "", "request_id": "r1", "status_code": 400}, 400),
            "Invalid webhook."),
        waits=passing(saying("limit exceeded\n", 429, X_Ratelimit_Reset="7"),
                      "limit exceeded", 7),
        says_no=None,
        lacks="mmosts://chat.example.org", says="Token",
        secrets=("xo8fy5kkxp8p3qtcanaryabcde",),
        pings=r"(?<!\w)@(?:all|channel|here|\w)", limit=16_383,
    ),
    Service(
        "Rocket.Chat (login)", "RocketChat",
        "rockets://receiver:canary-word-7@chat.example.org/%23ops",
        "Rocket.Chat, REST API: chat.postMessage; Rate limiting",
        yes=saying({"ts": 1481748965123, "channel": "ops", "message": {}, "success": True}),
        refuses=Refusal(
            saying({"success": False, "error": "[invalid-channel]",
                    "errorType": "invalid-channel"}, 400), "invalid-channel"),
        waits=passing(
            saying({"success": False, "error": "Error, too many requests. Please slow down. You"
                    " must wait 35 seconds before trying this endpoint again."}, 429),
            "You must wait 35 seconds", 35),
        says_no=Refusal(saying({"success": False, "error": "error-not-allowed"}),
                        "error-not-allowed", permanent=False),
        lacks="rockets://receiver:canary-word-7@chat.example.org", says="room",
        secrets=("canary-word-7",),
        pings=r"(?<!\w)@\w", limit=5_000,
    ),
    Service(
        "Matrix (login)", "Matrix",
        "matrixs://receiver:canary-word-8@matrix.example.org/!ops:matrix.example.org",
        "Matrix specification, Client-Server API: send, standard error response, rate limiting",
        yes=saying({"event_id": "$YUwRidLecu:example.com"}),
        refuses=Refusal(
            saying({"errcode": "M_FORBIDDEN", "error": "User not in room"}, 403),
            "User not in room"),
        waits=passing(
            saying({"errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests",
                    "retry_after_ms": 4500}, 429), "Too many requests", 4.5),
        says_no=None,
        lacks="matrixs://receiver:canary-word-8@matrix.example.org", says="names no room",
        secrets=("canary-word-8",),
        pings=r"(?<!\w)@(?:room|\w+:)", limit=60_000, in_bytes=True,
    ),
    Service(
        "Matrix (access token)", "Matrix",
        "matrixs://syt_canary_TokenOfTheBot@matrix.example.org/!ops:matrix.example.org",
        "Matrix specification, Client-Server API: client authentication",
        yes=saying({"event_id": "$YUwRidLecu:example.com"}),
        refuses=Refusal(
            saying({"errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed."}, 401),
            "Invalid access token passed."),
        waits=passing(
            saying({"errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests"}, 429,
                   Retry_After="9"), "Too many requests", 9),
        says_no=None,
        lacks="matrixs://syt_canary_TokenOfTheBot@matrix.example.org", says="",
        secrets=("syt_canary_TokenOfTheBot",),
        pings=r"(?<!\w)@(?:room|\w+:)", limit=60_000, in_bytes=True,
    ),
    Service(
        "Zulip", "Zulip", "zulip://ops-bot@example/a0X1canary4Zy7Lk9QmN2bVcXsDfGhJk/ops",
        "Zulip, REST API: Send a message; Error handling; Rate limiting",
        yes=saying({"id": 42, "msg": "", "result": "success"}),
        refuses=Refusal(
            saying({"code": "STREAM_DOES_NOT_EXIST", "msg": "Channel 'ops' does not exist",
                    "result": "error", "stream": "ops"}, 400), "Channel"),
        waits=passing(
            saying({"code": "RATE_LIMIT_HIT", "msg": "API usage exceeded rate limit",
                    "result": "error", "retry-after": 28.706807374954224}, 429),
            "API usage exceeded rate limit", 28.7),
        says_no=passing(saying({"msg": "Channel is archived", "result": "error"}),
                        "Channel is archived"),
        lacks="zulip://ops-bot@example", says="token",
        secrets=("a0X1canary4Zy7Lk9QmN2bVcXsDfGhJk",),
        pings=r"@_?\*\*", limit=10_000,
    ),
    Service(
        "Webex (bot)", "WebexTeams",
        "wxteams://NmQ0ZGM2ZjctYjZkNC00ZGM2LTk2YjctNGRjNmQ2YzVkcanary/Y2lzY29zcGFyazovL3VzL1JPT00",
        "Webex, REST API basics; Messages",
        yes=saying({"id": "Y2lzY29zcGFyazovL3VzL01FU1NBR0U"}),
        refuses=Refusal(
            saying({"message": "The requested resource could not be found.",
                    "errors": [{"description": "The room is gone."}], "trackingId": "R_1"}, 404),
            "The room is gone."),
        waits=passing(
            saying({"message": "Too many requests", "trackingId": "R_2"}, 429, Retry_After="60"),
            "Too many requests", 60),
        says_no=None,
        lacks="wxteams://NmQ0ZGM2ZjctYjZkNC00ZGM2LTk2YjctNGRjNmQ2YzVkcanary",
        says="no room IDs",
        secrets=("NmQ0ZGM2ZjctYjZkNC00ZGM2LTk2YjctNGRjNmQ2YzVkcanary",),
        pings=r"<@", breaks=r"\n\n|  \n|\\\n|<br ?/?>", limit=7_439, in_bytes=True,
    ),
    Service(
        "Lark", "Lark", "lark://0f1e2d3c-canary-4b5a-6978-8796a5b4c3d2",
        "Lark, Custom bot usage guide: error codes",
        yes=saying({"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {},
                    "msg": "success"}),
        refuses=Refusal(
            saying({"code": 9499, "msg": "Bad Request", "data": {}}, 400), "Bad Request"),
        waits=passing(saying({"code": 11232, "msg": "frequency limited psm"}),
                      "frequency limited"),
        says_no=Refusal(
            saying({"code": 19001, "msg": "param invalid: incoming webhook access token invalid",
                    "data": {}}), "incoming webhook access token invalid"),
        lacks="lark://", says="",
        secrets=("0f1e2d3c-canary-4b5a-6978-8796a5b4c3d2",),
        pings=r"<at\b", limit=20_000, in_bytes=True,
    ),
    Service(
        "Feishu", "Feishu", "feishu://7a6b5c4d-canary-3e2f-1a0b-9c8d7e6f5a4b",
        "Feishu, Custom bot usage guide: error codes",
        yes=saying({"StatusCode": 0, "StatusMessage": "success", "code": 0, "msg": "success"}),
        refuses=Refusal(saying({"code": 19024, "msg": "Key Words Not Found"}),
                        "Key Words Not Found"),
        waits=passing(saying({"code": 11232, "msg": "frequency limited"}), "frequency limited"),
        says_no=Refusal(
            saying({"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}),
            "sign match fail"),
        lacks="feishu://", says="",
        secrets=("7a6b5c4d-canary-3e2f-1a0b-9c8d7e6f5a4b",),
        pings=r"<at\b", limit=20_000, in_bytes=True,
    ),
    Service(
        "DingTalk", "DingTalk",
        "dingtalk://SECcanary7a6b5c4d3e2f@9c8d7e6f5a4b3c2d1e0f9a8bcanary/",
        "DingTalk, Custom robot access; Global error codes",
        yes=saying({"errcode": 0, "errmsg": "ok"}),
        refuses=Refusal(saying({"errcode": 300005, "errmsg": "token is not exist"}),
                        "token is not exist"),
        waits=passing(
            saying({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}),
            "send too fast"),
        says_no=Refusal(
            saying({"errcode": 310000, "errmsg": "keywords not in content"}),
            "keywords not in content"),
        lacks="dingtalk://", says="",
        secrets=("9c8d7e6f5a4b3c2d1e0f9a8bcanary", "SECcanary7a6b5c4d3e2f"),
        pings=r"(?<!\w)@(?:all|\d)", limit=20_000, in_bytes=True,
    ),
    Service(
        "WeCom (group robot)", "WeComBot", "wecombot://693a91f6-7xxx-4bc4-97a0-canary2777aa",
        "WeCom, Group robot configuration; Global error codes",
        yes=saying({"errcode": 0, "errmsg": "ok"}),
        refuses=Refusal(
            saying({"errcode": 93000, "errmsg": "invalid webhook url, hint: [17]"}),
            "invalid webhook url"),
        waits=passing(saying({"errcode": 45009, "errmsg": "api freq out of limit"}),
                      "api freq out of limit"),
        says_no=Refusal(saying({"errcode": 40008, "errmsg": "invalid message type"}),
                        "invalid message type"),
        lacks="wecombot://", says="",
        secrets=("693a91f6-7xxx-4bc4-97a0-canary2777aa",),
        pings=r"<@|(?<!\w)@all", limit=2_048, in_bytes=True,
    ),
    Service(
        "LINE", "Line", "line://canaryChannelAccessTokenOfLine0123456789/Ufffffffff0123456789",
        "LINE, Messaging API: Send push message; Error responses",
        yes=saying({"sentMessages": [{"id": "461230966842064897", "quoteToken": "IStG5h1Tz7b"}]}),
        refuses=Refusal(
            saying({"message": "The property, 'to', in the request body is invalid",
                    "details": []}, 400), "The property, 'to'"),
        waits=passing(saying({"message": "You have reached your monthly limit."}, 429),
                      "You have reached your monthly limit."),
        says_no=None,
        lacks="line://canaryChannelAccessTokenOfLine0123456789", says="names nobody to send to",
        secrets=("canaryChannelAccessTokenOfLine0123456789",),
        limit=5_000,
    ),
    Service(
        "PagerDuty", "PagerDuty", "pagerduty://R0canary0123456789abcdef0123456@apikeycanary01",
        "PagerDuty, Events API v2: Send an event; response codes and retry logic",
        yes=saying({"status": "success", "message": "Event processed", "dedup_key": "k"}, 202),
        refuses=Refusal(
            saying({"status": "invalid event", "message": "Event object is invalid",
                    "errors": ["Length of 'routing_key' is incorrect (should be 32 characters)"]},
                   400), "Length of 'routing_key' is incorrect"),
        waits=passing(
            saying({"status": "throttle exceeded",
                    "message": "Requests for this service are arriving too quickly."}, 429),
            "arriving too quickly"),
        says_no=None,
        lacks="pagerduty://R0canary0123456789abcdef0123456", says="",
        secrets=("R0canary0123456789abcdef0123456", "apikeycanary01"),
        limit=1_024,
    ),
    Service(
        "Opsgenie", "Opsgenie", "opsgenie://8418d193-2dab-4490-b331-canary46d7",
        "Opsgenie, Alert API: Create alert; API rate limiting",
        yes=saying({"result": "Request will be processed", "took": 0.302, "requestId": "r1"}, 202),
        refuses=Refusal(
            saying({"message": "Request body is not processable. Please check the errors.",
                    "errors": {"message": "Message can not be empty"}, "requestId": "r2"}, 422),
            "Request body is not processable."),
        waits=passing(
            saying({"message": "You are making too many requests!", "requestId": "r3"}, 429,
                   X_RateLimit_State="THROTTLED", X_RateLimit_Period_In_Sec="60"),
            "You are making too many requests!", 60),
        says_no=None,
        lacks="opsgenie://", says="",
        secrets=("8418d193-2dab-4490-b331-canary46d7",),
        limit=15_000,
    ),
    Service(
        "Splunk On-Call", "Splunk", "splunk://database@4b6f0f5d-canary-4e0c-9a2b-4a4a4a4a4a4a",
        "Splunk On-Call, REST endpoint integration guide",
        yes=saying({"result": "success", "entity_id": "e"}),
        refuses=Refusal(saying({"result": "failure", "message": "Unknown API key"}, 404),
                        "Unknown API key"),
        waits=passing(saying({"result": "failure", "message": "Too many alerts"}, 429),
                      "Too many alerts"),
        says_no=passing(saying({"result": "failure", "message": "No such routing key"}),
                        "No such routing key"),
        lacks="splunk://4b6f0f5d-canary-4e0c-9a2b-4a4a4a4a4a4a", says="Routing",
        secrets=("4b6f0f5d-canary-4e0c-9a2b-4a4a4a4a4a4a",),
        limit=20_480,
    ),
    Service(
        "Pushover", "Pushover",
        "pover://uQiRzpo4DXghDmr9QzzfQu27cmVcanary@azGDORePK8gMaC0QOYAMyEEuzJcanary",
        "Pushover, Message API: Being friendly to our API, Limitations",
        yes=saying({"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"}),
        refuses=Refusal(
            saying({"user": "invalid", "errors": ["user identifier is invalid"], "status": 0,
                    "request": "r"}, 400), "user identifier is invalid"),
        waits=passing(
            saying({"errors": ["message limit reached"], "status": 0, "request": "r"}, 429,
                   X_Limit_App_Remaining="0", X_Limit_App_Reset="in 500"),
            "message limit reached", 500),
        says_no=passing(saying({"errors": ["device name is not valid"], "status": 0}),
                        "device name is not valid"),
        lacks="pover://azGDORePK8gMaC0QOYAMyEEuzJcanary", says="",
        secrets=("uQiRzpo4DXghDmr9QzzfQu27cmVcanary", "azGDORePK8gMaC0QOYAMyEEuzJcanary"),
        limit=1_024,
    ),
    Service(
        "ntfy", "Ntfy", "ntfys://receiver:canary-word-9@ntfy.example.org/ops-canary-topic",
        "ntfy, Publishing: limitations, authentication; its errors",
        yes=saying({"id": "sPs71M8A2T", "time": 1, "event": "message", "topic": "t"}),
        refuses=Refusal(
            saying({"code": 40301, "http": 403, "error": "forbidden",
                    "link": "https://ntfy.sh/docs/publish/#authentication"}, 403), "forbidden"),
        waits=passing(
            saying({"code": 42901, "http": 429, "error": "limit reached: too many requests",
                    "link": "https://ntfy.sh/docs/publish/#limitations"}, 429),
            "limit reached: too many requests"),
        says_no=None,
        lacks="ntfys://ntfy.example.org", says="names no topic",
        secrets=("canary-word-9", "ops-canary-topic"),
        limit=4_096, in_bytes=True,
    ),
    Service(
        "Gotify", "Gotify", "gotifys://gotify.example.org/AbCcanaryT0ken9",
        "Gotify, REST API: createMessage, Error",
        yes=saying({"id": 25, "appid": 5, "message": "x", "title": "x", "priority": 5}),
        refuses=Refusal(
            saying({"error": "Unauthorized", "errorCode": 401, "errorDescription":
                    "you need to provide a valid access token"}, 401),
            "you need to provide a valid access token"),
        waits=passing(Answer(429, b"slow down", {"Retry-After": "5", "Content-Type": "text/plain"}),
                      "slow down", 5),
        says_no=None,
        lacks="gotifys://gotify.example.org", says="Token",
        secrets=("AbCcanaryT0ken9",),
    ),
    Service(
        "Pushbullet", "PushBullet", "pbul://o.canary0123456789abcdefghijklmn/%23ops",
        "Pushbullet, API: Errors, Ratelimiting",
        yes=saying({"active": True, "iden": "ujpah72o0sjAoRtnM0jc", "type": "note"}),
        refuses=Refusal(
            saying({"error": {"code": "invalid_access_token", "type": "invalid_request",
                              "message": "Access token is missing or invalid."}}, 401),
            "Access token is missing or invalid."),
        waits=passing(
            saying({"error": {"message": "Too many requests."}}, 429,
                   X_Ratelimit_Remaining="0", X_Ratelimit_Reset="in 300"),
            "Too many requests.", 300),
        says_no=None,
        lacks="pbul://", says="",
        secrets=("o.canary0123456789abcdefghijklmn",),
    ),
    Service(
        "Twilio", "Twilio",
        "twilio://AC0ff1ce0123456789abcdef0123456789:dec0de10123456789abcdef0123456789@15551234567/15557654321",
        "Twilio, Message resource; error and warning dictionary",
        yes=saying({"sid": "SM1", "status": "queued", "error_code": None, "error_message": None},
                   201),
        refuses=Refusal(
            saying({"code": 21211, "message": "The 'To' number is not a valid phone number.",
                    "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}, 400),
            "is not a valid phone number."),
        waits=passing(saying({"code": 20429, "message": "Too Many Requests", "status": 429}, 429),
                      "Too Many Requests"),
        says_no=passing(
            saying({"sid": "SM2", "status": "failed", "error_code": 30005,
                    "error_message": "Unknown destination handset"}, 201),
            "Unknown destination handset"),
        lacks="twilio://AC0ff1ce0123456789abcdef0123456789@15551234567/15557654321", says="",
        secrets=("AC0ff1ce0123456789abcdef0123456789", "dec0de10123456789abcdef0123456789"),
        limit=1_600, is_sms=True,
    ),
    Service(
        "Vonage", "Vonage", "vonage://canary12:canarysecret345@15551234567/15557654321",
        "Vonage, SMS API: Send an SMS, Troubleshooting",
        yes=saying({"message-count": "1", "messages": [{"status": "0", "message-id": "m"}]}),
        refuses=Refusal(
            saying({"message-count": "1", "messages": [
                {"status": "4", "error-text": "Bad Credentials"}]}), "Bad Credentials"),
        waits=passing(
            saying({"messages": [{"status": "1", "error-text": "Throughput Rate Exceeded"}]}),
            "Throughput Rate Exceeded"),
        says_no=Refusal(
            saying({"messages": [{"status": "29", "error-text": "Non-Whitelisted Destination"}]}),
            "Non-Whitelisted Destination"),
        lacks="vonage://canary12@15551234567/15557654321", says="",
        secrets=("canary12", "canarysecret345"),
        limit=1_600, is_sms=True,
    ),
    Service(
        "Amazon SNS", "SNS",
        "sns://AKIAcanary0123456789/bu1dHSdO22pfaaVycanarywmNsdjfjoxgh/us-east-1/15557654321",
        "Amazon SNS, API reference: Publish, Common errors",
        yes=saying("<PublishResponse><PublishResult><MessageId>567910cd</MessageId></PublishResult>"
                   "</PublishResponse>"),
        refuses=Refusal(
            _aws("sns", "InvalidClientTokenId", "The security token is invalid.", 403),
            "The security token is invalid."),
        waits=passing(_aws("sns", "Throttling", "Rate exceeded"), "Rate exceeded"),
        says_no=None,
        lacks="sns://AKIAcanary0123456789/bu1dHSdO22pfaaVycanarywmNsdjfjoxgh/us-east-1",
        says="names nobody to send to",
        secrets=("bu1dHSdO22pfaaVycanarywmNsdjfjoxgh", "AKIAcanary0123456789"),
        limit=1_600, in_bytes=True, is_sms=True,
    ),
    Service(
        "Amazon SES", "SES",
        "ses://ann@example.org/AKIAcanary0123456789/bu1dHSdO22pfaaVycanarywmNsdjfjoxgh/us-east-1"
        "/bob@example.org",
        "Amazon SES, API reference: SendRawEmail, Common errors",
        yes=saying("<SendRawEmailResponse><SendRawEmailResult><MessageId>000001271b15238a"
                   "</MessageId></SendRawEmailResult></SendRawEmailResponse>"),
        refuses=Refusal(
            _aws("ses", "MessageRejected", "Email address is not verified."),
            "Email address is not verified."),
        waits=passing(_aws("ses", "Throttling", "Maximum sending rate exceeded."),
                      "Maximum sending rate exceeded."),
        says_no=None,
        lacks="ses://ann@example.org/AKIAcanary0123456789", says="",
        secrets=("bu1dHSdO22pfaaVycanarywmNsdjfjoxgh", "AKIAcanary0123456789"),
        breaks=r"<br ?/?>|\n",
    ),
    Service(
        "SendGrid", "SendGrid",
        "sendgrid://SG.canaryKey-0123456789abcdef:ann@example.org/bob@example.org",
        "Twilio SendGrid, v3 API: Mail Send, Errors, Rate limits",
        yes=Answer(202),
        refuses=Refusal(
            saying({"errors": [{"message": "The provided authorization grant is invalid, expired,"
                                " or revoked", "field": None, "help": None}]}, 401),
            "The provided authorization grant is invalid"),
        waits=passing(
            saying({"errors": [{"field": None, "message": "too many requests"}]}, 429,
                   X_RateLimit_Reset="in 40"), "too many requests", 40),
        says_no=None,
        lacks="sendgrid://SG.canaryKey-0123456789abcdef", says="",
        secrets=("SG.canaryKey-0123456789abcdef",),
        breaks=r"<br ?/?>|\n",
    ),
    Service(
        "Mailgun", "Mailgun",
        "mailgun://receiver@mg.example.org/canarykey0123456789abcdef-1234/bob@example.org",
        "Mailgun, API: Messages, Errors, Rate limits",
        yes=saying({"id": "<20111114174239@mg.example.org>", "message": "Queued. Thank you."}),
        refuses=Refusal(
            saying({"message": "'to' parameter is not a valid address."}, 400),
            "'to' parameter is not a valid address."),
        waits=passing(
            saying({"message": "Domain mg.example.org is not allowed to send: recipient limit"
                    " exceeded. Try again after 31 mins."}, 403), "Try again after 31 mins", 1_860),
        says_no=None,
        lacks="mailgun://receiver@mg.example.org", says="",
        secrets=("canarykey0123456789abcdef-1234",),
        breaks=r"<br ?/?>|\n",
    ),
    Service(
        "Office 365", "Office365",
        "azure://ann@example.org/0a1b2c3d-tenant/12345678-1234-1234-1234-123456789012"
        f"/{_GRAPH_SECRET.replace('~', '%7E')}/bob@example.org",
        "Microsoft Graph, user: sendMail; error responses; throttling guidance",
        yes=Answer(202),
        refuses=Refusal(
            saying({"error": {"code": "ErrorInvalidUser",
                              "message": "The requested user is invalid."}}, 404),
            "The requested user is invalid."),
        waits=passing(
            saying({"error": {"code": "ApplicationThrottled", "message": "Application is over its"
                              " MailboxConcurrency limit."}}, 429, Retry_After="10"),
            "MailboxConcurrency", 10),
        says_no=None,
        lacks="azure://ann@example.org/0a1b2c3d-tenant", says="",
        secrets=(_GRAPH_SECRET,),
        breaks=r"<br ?/?>|\n",
    ),
    Service(
        "Signal (signal-cli-rest-api)", "SignalAPI",
        "signals://receiver:canary-word-6@signal.example.org/15551234567/15557654321",
        "signal-cli REST API: /v2/send",
        yes=saying({"timestamp": "1600000000000"}, 201),
        refuses=Refusal(saying({"error": "Invalid account (phone number)"}, 400),
                        "Invalid account (phone number)"),
        waits=passing(
            saying({"error": "Failed to send message due to rate limiting.",
                    "challenge_tokens": ["t-1"]}, 429),
            "Failed to send message due to rate limiting."),
        says_no=None,
        lacks="signals://receiver:canary-word-6@signal.example.org", says="",
        secrets=("canary-word-6",),
    ),
    Service(
        "E-mail (SMTP)", "", "mailto://receiver:canary-word-4@127.0.0.1:{port}"
        "?from=receiver@example.org&to=team@example.org",
        "RFC 5321, Simple Mail Transfer Protocol: reply codes",
        yes="250 2.0.0 queued",
        refuses=Refusal("550 5.1.1 no such user here", "no such user here"),
        waits=passing("451 4.7.1 greylisted, try again later", "greylisted"),
        says_no=None,
        lacks="mailto://receiver:canary-word-4@127.0.0.1?from=receiver@example.org&to=team",
        says="no address",
        secrets=("canary-word-4",), is_mail=True,
    ),
    Service(
        "json://, jsons:// (any hook)", "JSON",
        "jsons://receiver:canary-word-5@hook.example.org/canary-path?+X-Token=canary-header-1",
        "Apprise, Custom JSON notifications",
        yes=Answer(204),
        refuses=Refusal(saying({"error": "no such hook"}, 404), "no such hook"),
        waits=passing(Answer(503, b"", {"Retry-After": "12"}), "", 12),
        says_no=passing(saying({"ok": False, "error": "queue is closed"}), "queue is closed"),
        lacks="jsons://", says="",
        secrets=("canary-word-5", "canary-path", "canary-header-1"),
    ),
)  # fmt: skip
