"""Catalogue: what is known of single services, one entry for each, with the page that says it.

An entry is named like the module of Apprise that speaks to the service.
"""

from __future__ import annotations

from collections.abc import Mapping

from receiver.destinations.apprise.vendors import Vendor


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


_AWS_PASSING = _these(
    "Throttling ThrottlingException Throttled RequestThrottled RequestThrottledException"
    " TooManyRequestsException KMSThrottling ServiceUnavailable InternalFailure InternalError"
    " RequestTimeout"
)
# Of the Graph API: too many calls of an app, of a user, of a page, of any; a service that is away.
_GRAPH_PASSING = _these("2 4 17 32 341 613 1200 True")
_ANY_FORM = Vendor("the URL may rename or leave out what is sent", own=".", pages=True)

VENDORS: Mapping[str, Vendor] = {
    "acs": Vendor(
        "Azure Communication Services, REST API: SMS - Send",
        yes={"value.*.successful": (True,)}, words=("value.*.errorMessage", "error.message"),
    ),
    "africas_talking": Vendor(
        "Africa's Talking, SMS: bulk sending, status codes",
        yes={"SMSMessageData.Recipients.*.statusCode": (100, 101, 102)},
        needs=("SMSMessageData.Recipients.*",),
        words=("SMSMessageData.Recipients.*.status", "SMSMessageData.Message"),
        codes=("SMSMessageData.Recipients.*.statusCode", "SMSMessageData.Message"),
        lasting=_these("401 402 403 404 405 406 407 409 InvalidSenderId"),
        passing=_these("500 501 502"),
    ),
    "apprise_api": Vendor(
        "Apprise API, README: notify, whose log is a list in HTML", own_pages=r"<(?:ul|ol|li)\b",
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
        ended=_these("ExpiredToken InvalidToken"), passing=_these("RateLimitExceeded"),
    ),
    "bulksms": Vendor(
        "BulkSMS, JSON REST API: Message, status.type", no={"*.status.type": ("FAILED",)},
        words=("*.status.subtype", "detail", "title"),
    ),
    "bulkvs": Vendor(
        "BulkVS, REST API: messageSend", yes={"Results.*.Status": ("SUCCESS",)},
        words=("Results.*.Status", "Description"),
    ),
    "burstsms": Vendor(
        "Kudosity (Burst SMS), API: error codes", yes={"error.code": ("SUCCESS",)},
        words=("error.description",), codes=("error.code",),
        lasting=_these("AUTH_FAILED AUTH_FAILED_NO_DATA FIELD_EMPTY FIELD_INVALID KEY_EXPIRED"
                       " LEDGER_ERROR NO_ACCESS RECIPIENTS_ERROR"),
        passing=_these("OVER_LIMIT"),
    ),
    "clickatell": Vendor(
        "Clickatell, SMS platform API: send a message, message-level errors",
        yes={"messages.*.accepted": (True,)},
        words=("messages.*.error.description", "messages.*.error", "error.description",
               "errorDescription"),
    ),
    "clicksend": Vendor(
        "ClickSend, REST API v3: Send SMS, message status",
        yes={"data.messages.*.status": ("SUCCESS", "QUEUED"), "response_code": ("SUCCESS",)},
        words=("data.messages.*.status", "response_msg"), codes=("data.messages.*.status",),
        lasting=_these("INVALID_RECIPIENT INVALID_SENDER_ID COUNTRY_NOT_ENABLED MISSING_REQUIRED_"
                       "FIELDS INVALID_CREDENTIALS INSUFFICIENT_CREDIT MISSING_CREDENTIALS"),
    ),
    "cm": Vendor(
        "CM.com, Business Messaging API: response and error codes",
        yes={"messages.*.messageErrorCode": (0,), "errorCode": (0,)},
        words=("messages.*.messageDetails", "details"),
    ),
    "custom_form": _ANY_FORM,
    "custom_json": _ANY_FORM,
    "custom_xml": _ANY_FORM,
    "dingtalk": Vendor(
        "DingTalk, Custom robot access, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=_these("300001 300005 310000 400013 400101 400102 400105 400106 430101 430102"
                       " 430103 430104 460101"),
        passing=_these("-1 130101 410100"), always=True,
    ),
    "discord": Vendor("Discord, Reference: JSON error codes; Rate limits", words=("message",)),
    "enigma2": Vendor(
        "OpenWebif, API: message", no={"e2state": ("False", "false")}, words=("e2statetext",),
    ),
    "exotel": Vendor(
        "Exotel, SMS API: send SMS", no={"SMSMessage.Status": ("failed", "failed-dnd")},
        words=("SMSMessage.DetailedStatus", "RestException.Message"),
    ),
    "fcm": Vendor(
        "Firebase Cloud Messaging: Send API errors, and the legacy HTTP protocol",
        yes={"failure": (0,)}, words=("results.*.error", "error.message"),
        codes=("results.*.error", "error.status"),
        lasting=_these("NotRegistered InvalidRegistration MismatchSenderId MissingRegistration"
                       " InvalidParameters MessageTooBig UNREGISTERED"),
        passing=_these("Unavailable InternalServerError DeviceMessageRateExceeded"
                       " TopicsMessageRateExceeded UNAVAILABLE QUOTA_EXCEEDED INTERNAL"),
    ),
    "feishu": Vendor(
        "Feishu, Custom bot usage guide: error codes",
        yes={"code": (0,), "StatusCode": (0,)}, words=("msg", "StatusMessage"), codes=("code",),
        lasting=_these("9499 19001 19002 19021 19022 19024"), passing=_these("11232"), always=True,
    ),
    "fortysixelks": Vendor("46elks, API: Send SMS, status", no={"status": ("failed",)}),
    "freemobile": Vendor("Free Mobile, Notifications par SMS: only its statuses", pages=True),
    "google_chat": Vendor(
        "Google Chat API: Errors, and google.rpc.Code", words=("error.message",),
        codes=("error.status",), passing=_these("RESOURCE_EXHAUSTED UNAVAILABLE"),
    ),
    "infobip": Vendor(
        "Infobip, Response status and error codes",
        no={"messages.*.status.groupName": ("REJECTED", "UNDELIVERABLE", "EXPIRED")},
        words=("messages.*.status.description", "requestError.serviceException.text"),
    ),
    "instagram": Vendor(
        "Instagram Platform, Send API, and Graph API: Handle errors", words=("error.message",),
        codes=("error.code", "error.is_transient"), passing=_GRAPH_PASSING,
    ),
    "kavenegar": Vendor(
        "Kavenegar, REST API: return status", yes={"return.status": (200,)},
        words=("return.message",), always=True,
    ),
    "kook": Vendor(
        "KOOK, HTTP API: common response", yes={"code": (0,)}, words=("message",), always=True,
    ),
    "lark": Vendor(
        "Lark, Custom bot usage guide: error codes",
        yes={"code": (0,), "StatusCode": (0,)}, words=("msg", "StatusMessage"), codes=("code",),
        lasting=_these("9499 19001 19002 19021 19022 19024"), passing=_these("11232"), always=True,
    ),
    "matrix": Vendor(
        "Matrix specification, Client-Server API: Standard error response",
        words=("error",), codes=("errcode",), passing=_these("M_LIMIT_EXCEEDED"),
        own="/send/",
    ),
    "messagebird": Vendor(
        "MessageBird, SMS messaging: the message object",
        no={"recipients.items.*.status": ("delivery_failed",)}, words=("errors.*.description",),
    ),
    "mobilemessage": Vendor(
        "Mobile Message, API: send messages", yes={"results.*.status": ("success",)},
        words=("results.*.error", "error"),
    ),
    "nextcloudtalk": Vendor(
        "Nextcloud, OCS APIs: testing requests, status codes",
        no={"ocs.meta.status": ("failure",)}, words=("ocs.meta.message",),
    ),
    "office365": Vendor(
        "Microsoft Graph: error responses and resource types", words=("error.message",),
        codes=("error.code",), passing=_these("ErrorServerBusy MailboxConcurrency"),
    ),
    "onebot": Vendor(
        "OneBot 11, API: response", yes={"retcode": (0, 1), "status": ("ok", "async")},
        words=("wording", "message", "msg"), always=True,
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
        lasting=_these("903 905"), always=True,
    ),
    "pushsafer": Vendor(
        "Pushsafer, API: response", yes={"status": (1,)}, words=("error",), always=True,
    ),
    "reddit": Vendor(
        "Reddit, API: submit", no={"success": (False,)}, words=("json.errors.*.*", "message"),
        codes=("json.errors.*.*",), passing=_these("RATELIMIT"),
        lasting=_these("SUBREDDIT_NOEXIST SUBREDDIT_NOTALLOWED USER_REQUIRED NO_SELFS"),
    ),
    "serverchan": Vendor(
        "ServerChan, Turbo API: answer", yes={"code": (0,), "errno": (0,)},
        words=("message", "errmsg"), always=True,
    ),
    "ses": Vendor(
        "Amazon SES, API reference: Common errors", words=("Code", "Message", "message"),
        codes=("Code", "__type"), passing=_AWS_PASSING,
    ),
    "seven": Vendor(
        "seven, SMS API: return values", yes={"success": ("100", 100), "messages.*.success":
                                              (True,)},
        no_text=r"^(?!100\b)[0-9]{3}\b", words=("messages.*.error_text", "success"),
        codes=("success", "messages.*.error"),
        lasting=_these("201 202 301 304 305 306 307 308 401 402 500 900 901 902 903"),
        passing=_these("600 801 802"),
    ),
    "simplepush": Vendor(
        "Simplepush, API: send", yes={"status": ("OK",)}, words=("message",), own="/send",
    ),
    "slack": Vendor(
        "Slack, chat.postMessage and Incoming webhooks: errors", words=("error",),
        codes=("error",), passing=_these("ratelimited rate_limited"),
    ),
    "smsmanager": Vendor(
        "SMSmanager, HTTP API: answers", no_text=r"^ERROR", passing=_these("901 999"),
        lasting=_these("101 102 103 104 105 109 201 202 203 204 205"),
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
        "SparkPost, API: Transmissions", no={"results.total_accepted_recipients": (0,)},
        words=("errors.*.message", "errors.*.description"),
    ),
    "spugpush": Vendor("Spug push assistant: answer", yes={"code": (200, 0)}, words=("msg",)),
    "telegram": Vendor(
        "Telegram, Bot API: Making requests, ResponseParameters", yes={"ok": (True,)},
        words=("description",), always=True,
    ),
    "telesign": Vendor(
        "Telesign, SMS API: all status and error codes",
        no={"status.code": (207, 210, 211, 220, 221, 222, 230, 231, 500, 501)},
        words=("status.description", "errors.*.description"), codes=("status.code",),
        lasting=_these("211 220 222 230 231 501"), passing=_these("210 221"),
    ),
    "telnyx": Vendor(
        "Telnyx, API: send a message, status of each number",
        no={"data.to.*.status": ("sending_failed", "delivery_failed", "expired")},
        words=("data.errors.*.title", "data.errors.*.detail", "errors.*.title", "errors.*.detail",
               "data.to.*.status"),
    ),
    "twilio": Vendor(
        "Twilio, Message resource: status", words=("error_message", "message"),
        no={"status": ("failed", "undelivered", "canceled")},
    ),
    "viber": Vendor(
        "Viber, REST Bot API: error codes", yes={"status": (0,)}, words=("status_message",),
        codes=("status",), lasting=_these("1 2 3 4 5 6 7 8 9 10 11 13"), passing=_these("12"),
        always=True,
    ),
    "voipms": Vendor(
        "VoIP.ms, API: sendSMS, list of errors", yes={"status": ("success",)},
        words=("message", "status"), codes=("status",), passing=_these("limit_reached"),
        lasting=_these("api_not_enabled invalid_credentials invalid_did invalid_dst invalid_sms"
                       " ip_not_enabled missing_credentials sms_toolong"), always=True,
    ),
    "vonage": Vendor(
        "Vonage, SMS API: Troubleshooting, error codes", yes={"messages.*.status": ("0", 0)},
        words=("messages.*.error-text",), codes=("messages.*.status",),
        lasting=_these("2 3 4 6 7 8 9 11 12 14 15 22 23 29 33"), passing=_these("1 5"),
        always=True,
    ),
    "webexteams": Vendor(
        "Webex, REST API basics: error responses", words=("message", "errors.*.description"),
    ),
    "wecombot": Vendor(
        "WeCom, Group robot configuration, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=_these("40001 40008 40058 44004 45002 93000 93004 93008"),
        passing=_these("-1 45009 45033"), always=True,
    ),
    "wechat": Vendor(
        "WeCom, Send application messages, and Global error codes",
        yes={"errcode": (0,)}, words=("errmsg",), codes=("errcode",),
        lasting=_these("40001 40003 40008 40013 40056 44004 48002 60011 81013 301002"),
        passing=_these("-1 45009 45033"), ended=_these("40014 42001"), always=True,
    ),
    "whatsapp": Vendor(
        "WhatsApp Cloud API: error codes, and Graph API: Handle errors", words=("error.message",),
        codes=("error.code", "error.is_transient"),
        passing=_GRAPH_PASSING | _these("80007 130429 131016 131048 131056 133004"),
    ),
    "workflows": Vendor(
        "Microsoft Teams, Create and send messages: rate limiting for connectors",
        no_text=r"(?i)delivery failed|endpoint returned http error", words=("error.message",),
        passing=_these("429"),
    ),
    "wpush": Vendor("WPush, API v1: send", yes={"code": (0,)}, words=("message",), always=True),
    "wxpusher": Vendor("WxPusher, API: send", yes={"code": (1000,)}, words=("msg",), always=True),
    "zulip": Vendor(
        "Zulip, REST API: error handling", yes={"result": ("success",)}, words=("msg",),
        codes=("code",), passing=_these("RATE_LIMIT_HIT"), always=True,
    ),
}  # fmt: skip
