"""Carriers: what is known of services that send text messages, in the form of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from receiver.destinations.apprise.vendors import Vendor, these

CARRIERS: Mapping[str, Vendor] = {
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
        lasting=these("401 402 403 404 405 406 407 409 InvalidSenderId"),
        passing=these("500 501 502"),
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
        lasting=these("AUTH_FAILED AUTH_FAILED_NO_DATA FIELD_EMPTY FIELD_INVALID KEY_EXPIRED"
                       " LEDGER_ERROR NO_ACCESS RECIPIENTS_ERROR"),
        passing=these("OVER_LIMIT"),
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
        lasting=these("INVALID_RECIPIENT INVALID_SENDER_ID COUNTRY_NOT_ENABLED MISSING_REQUIRED_"
                       "FIELDS INVALID_CREDENTIALS INSUFFICIENT_CREDIT MISSING_CREDENTIALS"),
    ),
    "cm": Vendor(
        "CM.com, Business Messaging API: response and error codes",
        yes={"messages.*.messageErrorCode": (0,), "errorCode": (0,)},
        words=("messages.*.messageDetails", "details"),
    ),
    "exotel": Vendor(
        "Exotel, SMS API: send SMS", no={"SMSMessage.Status": ("failed", "failed-dnd")},
        words=("SMSMessage.DetailedStatus", "RestException.Message"),
    ),
    "fortysixelks": Vendor("46elks, API: Send SMS, status", no={"status": ("failed",)}),
    "freemobile": Vendor(
        "Free Mobile, Notifications par SMS: only its statuses; 402 is too many in a short time",
        early=frozenset({402}), pages=True,
    ),
    "infobip": Vendor(
        "Infobip, Response status and error codes",
        no={"messages.*.status.groupName": ("REJECTED", "UNDELIVERABLE", "EXPIRED")},
        words=("messages.*.status.description", "requestError.serviceException.text"),
    ),
    "kavenegar": Vendor(
        "Kavenegar, REST API: return status", yes={"return.status": (200,)},
        words=("return.message",), always=True,
    ),
    "messagebird": Vendor(
        "MessageBird, SMS messaging: the message object",
        no={"recipients.items.*.status": ("delivery_failed",)}, words=("errors.*.description",),
    ),
    "mobilemessage": Vendor(
        "Mobile Message, API: send messages", yes={"results.*.status": ("success",)},
        words=("results.*.error", "error"),
    ),
    "seven": Vendor(
        "seven, SMS API: return values", yes={"success": ("100", 100), "messages.*.success":
                                              (True,)},
        no_text=r"^(?!100\b)[0-9]{3}\b", words=("messages.*.error_text", "success"),
        codes=("success", "messages.*.error"),
        lasting=these("201 202 301 304 305 306 307 308 401 402 500 900 901 902 903"),
        passing=these("600 801 802"),
    ),
    "smsmanager": Vendor(
        "SMSmanager, HTTP API: answers", no_text=r"^ERROR", passing=these("901 999"),
        lasting=these("101 102 103 104 105 109 201 202 203 204 205"),
    ),
    "telesign": Vendor(
        "Telesign, SMS API: all status and error codes",
        no={"status.code": (207, 210, 211, 220, 221, 222, 230, 231, 500, 501)},
        words=("status.description", "errors.*.description"), codes=("status.code",),
        lasting=these("211 220 222 230 231 501"), passing=these("210 221"),
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
    "voipms": Vendor(
        "VoIP.ms, API: sendSMS, list of errors", yes={"status": ("success",)},
        words=("message", "status"), codes=("status",), passing=these("limit_reached"),
        lasting=these("api_not_enabled invalid_credentials invalid_did invalid_dst invalid_sms"
                       " ip_not_enabled missing_credentials sms_toolong"), always=True,
    ),
    "vonage": Vendor(
        "Vonage, SMS API: Troubleshooting, error codes", yes={"messages.*.status": ("0", 0)},
        words=("messages.*.error-text",), codes=("messages.*.status",),
        lasting=these("2 3 4 6 7 8 9 11 12 14 15 22 23 29 33"), passing=these("1 5"),
        always=True,
    ),
}  # fmt: skip
