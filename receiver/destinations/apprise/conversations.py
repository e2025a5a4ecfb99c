"""Conversations: e-mails of one episode stand in one, and each says that a program sent it.

All mails of a conversation answer the same id. No mail has this id, but mail programs still group
all mails that answer it. A program that answers mails by itself, such as an out-of-office note,
answers none with the mark of a program (RFC 3834).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

_CONVERSATION = ("In-Reply-To", "References")
_AUTOMATIC = {"Auto-Submitted": "auto-generated"}
_OURS = {name.lower() for name in (*_CONVERSATION, *_AUTOMATIC)}
# Services whose plugins send their `headers` as those of the mail, as the plugin for SMTP does.
_BY_PLUGIN = {"NotifyMailgun", "NotifySMTP2Go", "NotifySparkPost"}
# Services that take none, or whose plugins have no way. Their readers may join mails by subject.
_WITHOUT = {
    "NotifyACS", "NotifyGroundmail", "NotifyMailerSend", "NotifyOffice365", "NotifySendPulse",
    "NotifySES",
}  # fmt: skip

_Arguments = dict[str, Any]


def _as_object(name: str) -> Callable[[dict[str, str]], dict[str, Any]]:
    return lambda headers: {name: headers}


def _as_list(headers: dict[str, str]) -> dict[str, Any]:
    return {"Headers": [{"Name": name, "Value": value} for name, value in headers.items()]}


# Services that take headers, and their plugins know nothing of it → their member of the request.
# From their references: Brevo "Send a transactional email", Postmark "Send a single email", Resend
# "Send Email", SendGrid "Mail Send".
_BY_REQUEST: Mapping[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "NotifyBrevo": _as_object("headers"),
    "NotifyPostmark": _as_list,
    "NotifyResend": _as_object("headers"),
    "NotifySendGrid": _as_object("headers"),
}


def is_mail(plugin: Any) -> bool:
    """Return whether people read the plugin's messages as e-mails."""
    kind = type(plugin).__name__
    return hasattr(plugin, "smtp_host") or kind in _BY_PLUGIN | _BY_REQUEST.keys() | _WITHOUT


def join(plugin: Any, thread: str | None, change: Callable[[_Arguments], None]) -> Callable[
    [_Arguments], None
]:  # fmt: skip
    """Let the next mail of the plugin join its conversation; return what to change in requests.

    `change` is what is to be changed anyway.
    """
    headers = {**_AUTOMATIC, **(dict.fromkeys(_CONVERSATION, thread) if thread else {})}
    kind = type(plugin).__name__
    if hasattr(plugin, "smtp_host") or kind in _BY_PLUGIN:
        others = {k: v for k, v in plugin.headers.items() if k.strip().lower() not in _OURS}
        plugin.headers = others | headers
    if (member := _BY_REQUEST.get(kind)) is None:
        return change
    return lambda request: _add(request, member(headers))


def _add(request: _Arguments, members: dict[str, Any]) -> None:
    if isinstance(data := request.get("data"), str | bytes):
        request["data"] = json.dumps({**json.loads(data), **members})
