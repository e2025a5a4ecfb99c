"""Catalogue: what is known of single services, one entry for each, with the page that says it.

An entry is named like the module of Apprise that speaks to the service.
"""

from __future__ import annotations

from collections.abc import Mapping

from receiver.destinations.apprise.carriers import CARRIERS
from receiver.destinations.apprise.vendors import Vendor, these

_AWS_PASSING = these(
    "Throttling ThrottlingException Throttled RequestThrottled RequestThrottledException"
    " TooManyRequestsException KMSThrottling ServiceUnavailable InternalFailure InternalError"
    " RequestTimeout"
)
# Of the Graph API: too many calls of an app, of a user, of a page, of any; a service that is away.
_GRAPH_PASSING = these("2 4 17 32 341 613 1200 True")
_ANY_FORM = Vendor("the URL may rename or leave out what is sent", own=".", pages=True)

VENDORS: Mapping[str, Vendor] = {
    **CARRIERS,
    "apprise_api": Vendor(
        "Apprise API, README: notify, response codes; its log is a list in HTML", words=("error",),
        partial=frozenset({424}), own_pages=r"<(?:ul|ol|li)\b",
        nothing={204: "the server has no configuration of this name: add one there, or mend the"
                      " name in the URL"},
    ),
    "awswhatsapp": Vendor(
        "AWS End User Messaging Social, API: Common errors", words=("message", "Message"),
        codes=("__type", "Code"), passing=_AWS_PASSING,
    ),
    "bark": Vendor(
        "Bark server, API v2: CommonResp", yes={"code": (200,)}, words=("message",), always=True,
    ),
    "bluesky": Vendor(
        "AT Protocol, XRPC: error responses", words=("message",), codes=("error",),
        ended=these("ExpiredToken InvalidToken"), passing=these("RateLimitExceeded"),
    ),
    "custom_form": _ANY_FORM,
    "custom_json": _ANY_FORM,
    "custom_xml": _ANY_FORM,
    "dingtalk": Vendor(
        "DingTalk, Custom robot access, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=these("300001 300005 310000 400013 400101 400102 400105 400106 430101 430102"
                       " 430103 430104 460101"),
        passing=these("-1 130101 410100"), always=True,
    ),
    "discord": Vendor("Discord, Reference: JSON error codes; Rate limits", words=("message",)),
    "enigma2": Vendor(
        "OpenWebif, API: message", no={"e2state": ("False", "false")}, words=("e2statetext",),
    ),
    "fcm": Vendor(
        "Firebase Cloud Messaging: Send API errors, and the legacy HTTP protocol",
        yes={"failure": (0,)}, words=("results.*.error", "error.message"),
        codes=("results.*.error", "error.status"),
        lasting=these("NotRegistered InvalidRegistration MismatchSenderId MissingRegistration"
                       " InvalidParameters MessageTooBig UNREGISTERED"),
        passing=these("Unavailable InternalServerError DeviceMessageRateExceeded"
                       " TopicsMessageRateExceeded UNAVAILABLE QUOTA_EXCEEDED INTERNAL"),
    ),
    "feishu": Vendor(
        "Feishu, Custom bot usage guide: error codes",
        yes={"code": (0,), "StatusCode": (0,)}, words=("msg", "StatusMessage"), codes=("code",),
        lasting=these("9499 19001 19002 19021 19022 19024"), passing=these("11232"), always=True,
    ),
    "google_chat": Vendor(
        "Google Chat API: Errors, and google.rpc.Code", words=("error.message",),
        codes=("error.status",), passing=these("RESOURCE_EXHAUSTED UNAVAILABLE"),
    ),
    "instagram": Vendor(
        "Instagram Platform, Send API, and Graph API: Handle errors", words=("error.message",),
        codes=("error.code", "error.is_transient"), passing=_GRAPH_PASSING,
    ),
    "kook": Vendor(
        "KOOK, HTTP API: common response", yes={"code": (0,)}, words=("message",), always=True,
    ),
    "lark": Vendor(
        "Lark, Custom bot usage guide: error codes",
        yes={"code": (0,), "StatusCode": (0,)}, words=("msg", "StatusMessage"), codes=("code",),
        lasting=these("9499 19001 19002 19021 19022 19024"), passing=these("11232"), always=True,
    ),
    "matrix": Vendor(
        "Matrix specification, Client-Server API: Standard error response",
        words=("error",), codes=("errcode",), passing=these("M_LIMIT_EXCEEDED"),
        own="/send/",
    ),
    "nextcloudtalk": Vendor(
        "Nextcloud, OCS APIs: testing requests, status codes",
        no={"ocs.meta.status": ("failure",)}, words=("ocs.meta.message",),
    ),
    "office365": Vendor(
        "Microsoft Graph: error responses and resource types", words=("error.message",),
        codes=("error.code",), passing=these("ErrorServerBusy MailboxConcurrency"),
    ),
    "onebot": Vendor(
        "OneBot 11, API: response", yes={"retcode": (0, 1), "status": ("ok", "async")},
        words=("wording", "message", "msg"), always=True,
    ),
    "prowl": Vendor(
        "Prowl, Public API: return codes; 406 is too many in an hour", early=frozenset({406}),
        words=("error",),
    ),
    "pushdeer": Vendor(
        "PushDeer, API: message/push", yes={"code": (0,)}, words=("error",), always=True,
    ),
    "pushme": Vendor("PushMe, API: answer", no_text=r"^(?!success\b).", always=True),
    "pushover": Vendor(
        "Pushover, Message API: Response format", yes={"status": (1,)}, words=("errors.*",),
        always=True,
    ),
    "pushplus": Vendor(
        "PushPlus, API: response codes", yes={"code": (200,)}, words=("msg",), codes=("code",),
        lasting=these("903 905"), always=True,
    ),
    "pushsafer": Vendor(
        "Pushsafer, API: response", yes={"status": (1,)}, words=("error",), always=True,
    ),
    "reddit": Vendor(
        "Reddit, API: submit", no={"success": (False,)}, words=("json.errors.*.*", "message"),
        codes=("json.errors.*.*",), passing=these("RATELIMIT"),
        lasting=these("SUBREDDIT_NOEXIST SUBREDDIT_NOTALLOWED USER_REQUIRED NO_SELFS"),
    ),
    "serverchan": Vendor(
        "ServerChan, Turbo API: answer", yes={"code": (0,), "errno": (0,)},
        words=("message", "errmsg"), always=True,
    ),
    "ses": Vendor(
        "Amazon SES, API reference: Common errors", words=("Code", "Message", "message"),
        codes=("Code", "__type"), passing=_AWS_PASSING,
    ),
    "simplepush": Vendor(
        "Simplepush, API: send", yes={"status": ("OK",)}, words=("message",), own="/send",
    ),
    "slack": Vendor(
        "Slack, chat.postMessage and Incoming webhooks: errors", words=("error",),
        codes=("error",), passing=these("ratelimited rate_limited"),
    ),
    "smtp2go": Vendor(
        "SMTP2GO, API: email/send", no={"data.succeeded": (0,)},
        words=("data.failures.*", "data.error"), codes=("data.error_code",),
    ),
    "sns": Vendor(
        "Amazon SNS, API reference: Common errors, Publish", words=("Code", "Message"),
        codes=("Code",), passing=_AWS_PASSING,
    ),
    "sparkpost": Vendor(
        "SparkPost, API: Transmissions; 420 is a limit of an hour or a day",
        no={"results.total_accepted_recipients": (0,)},
        words=("errors.*.message", "errors.*.description"), early=frozenset({420}),
    ),
    "spugpush": Vendor("Spug push assistant: answer", yes={"code": (200, 0)}, words=("msg",)),
    "telegram": Vendor(
        "Telegram, Bot API: Making requests, ResponseParameters", yes={"ok": (True,)},
        words=("description",), always=True,
    ),
    "twist": Vendor(
        "Twist, API v3: errors", words=("error_string",), codes=("error_code",),
        ended=these("120 200"),
    ),
    "viber": Vendor(
        "Viber, REST Bot API: error codes", yes={"status": (0,)}, words=("status_message",),
        codes=("status",), lasting=these("1 2 3 4 5 6 7 8 9 10 11 13"), passing=these("12"),
        always=True,
    ),
    "webexteams": Vendor(
        "Webex, REST API basics: error responses", words=("message", "errors.*.description"),
    ),
    "wecombot": Vendor(
        "WeCom, Group robot configuration, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=these("40001 40008 40058 44004 45002 93000 93004 93008"),
        passing=these("-1 45009 45033"), always=True,
    ),
    "wechat": Vendor(
        "WeCom, Send application messages, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=these("40001 40003 40008 40013 40056 44004 48002 60011 81013 301002"),
        passing=these("-1 45009 45033"), ended=these("40014 42001"), always=True,
    ),
    "whatsapp": Vendor(
        "WhatsApp Cloud API: error codes, and Graph API: Handle errors", words=("error.message",),
        codes=("error.code", "error.is_transient"),
        passing=_GRAPH_PASSING | these("80007 130429 131016 131048 131056 133004"),
    ),
    "workflows": Vendor(
        "Microsoft Teams, Create and send messages: rate limiting for connectors",
        no_text=r"(?i)delivery failed|endpoint returned http error", words=("error.message",),
        passing=these("429"),
    ),
    "wpush": Vendor("WPush, API v1: send", yes={"code": (0,)}, words=("message",), always=True),
    "wxpusher": Vendor("WxPusher, API: send", yes={"code": (1000,)}, words=("msg",), always=True),
    "zulip": Vendor(
        "Zulip, REST API: error handling", yes={"result": ("success",)}, words=("msg",),
        codes=("code",), passing=these("RATE_LIMIT_HIT"), always=True,
    ),
}  # fmt: skip
