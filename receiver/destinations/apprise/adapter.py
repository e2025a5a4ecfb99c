"""Adapter for Apprise, which sends to many services. Only this file imports it.

A URL is accepted if it leads over the network to one target and reads no file of this machine.
A failed attempt gives its reason in one readable line, without the URL and its secrets.
"""

from __future__ import annotations

import difflib
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import addresses, deadline
from receiver.destinations.apprise import catalogue, comparison, kept, probes, sessions, vendors
from receiver.destinations.apprise.exchanges import MessageWords
from receiver.destinations.apprise.places import place_of
from receiver.destinations.apprise.recorder import (
    AttemptRecorder,
    record_throttle,
    said_by_apprise,
)
from receiver.destinations.deadline import CallEnd
from receiver.destinations.destination import MAIL_KINDS, Destination
from receiver.destinations.outcome import classify
from receiver.destinations.redaction import redact

# No mail has this id, but mail programs still group all mails that answer it.
CONVERSATION = ("In-Reply-To", "References")
AUTOMATIC = {"Auto-Submitted": "auto-generated"}
# These act on this machine: its screen, its log, its files, its programs.
LOCAL_KINDS = {
    "syslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "blink1", "file",
    "deltachat", "deltachats", "vapid",
}  # fmt: skip
# Options that make Apprise read a file.
FILE_OPTIONS = {"attach", "include", "keyfile", "pgpkey", "pgpprv", "pgppub", "subfile"}
_NOT_UNDERSTOOD = (
    "its URL is not one that Apprise understands: compare it with the service's page in Apprise's"
    f" documentation; {addresses.SIGNS}"
)


def problems(destination: Destination) -> list[str]:
    """Return the mistakes that make the destination unusable, without its URL."""
    client = _client(destination)
    return [client] if isinstance(client, str) else []


def warnings(destination: Destination) -> list[str]:
    """Return settings that work but may surprise."""
    if destination.kind == "mailto" and urlsplit(destination.url).password:
        return [
            f"destination {destination.name} may send its password in the clear: use mailtos://"
        ]
    return []


def leads_to(destination: Destination) -> str:
    """Say in one line where its messages go, without any secret; see `sending.leads_to`."""
    client = _client(destination)
    return destination.kind if isinstance(client, str) else place_of(destination.url, client[0])


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, by the destination's deadline; see `sending.send`."""
    started = time.monotonic()
    recorder = AttemptRecorder(destination.timeout, MessageWords(message.title, message.body))

    def attempt_of(end: CallEnd, result: _NotifyResult | None) -> Attempt:
        attempt = _attempt(destination, recorder, end, result)
        return replace(attempt, duration_ms=int((time.monotonic() - started) * 1000))

    return deadline.call_watched(
        destination,
        destination.timeout,
        lambda: _notify(destination, message, recorder),
        recorder.cut,
        attempt_of,
        sessions.rest,
    )


def rest() -> None:
    """Close the connections that this thread keeps, if it has not used them for a second."""
    sessions.rest()


@dataclass(slots=True)
class _NotifyResult:
    """The result of one call: whether Apprise reports success, and the number of targets.

    `problem` is the reason if there was nothing to call.
    """

    done: bool = False
    problem: str = ""
    targets: int = 1


def _attempt(
    destination: Destination, recorder: AttemptRecorder, end: CallEnd, result: _NotifyResult | None
) -> Attempt:
    """Return the outcome of the attempt. `result` is None if the call did not come back."""
    if end is CallEnd.NOT_MADE:
        detail = f"{deadline.MOST_HANGING} earlier attempts still hang: none is made until one ends"
        return Attempt(Outcome.FAILED, detail)
    if result is not None and result.problem:
        return Attempt(Outcome.FAILED, result.problem, permanent=True)
    late = end is not CallEnd.DONE
    result = result or _NotifyResult()
    attempt = classify(
        recorder.record,
        done=result.done,
        late=late,
        targets=result.targets,
        timeout=destination.timeout,
    )
    if not attempt.detail:
        return attempt
    detail = redact(destination.url, attempt.detail, recorder.secrets())
    return replace(attempt, detail=detail)


_this_thread = threading.local()


def _notify(destination: Destination, message: Message, recorder: AttemptRecorder) -> _NotifyResult:
    """Call Apprise in a thread of the destination, which keeps its client for the next call."""
    with recorder:
        try:
            was_kept = getattr(_this_thread, "client", None) is not None
            result = _notify_once(destination, message, recorder)
            is_dropped = was_kept and _this_thread.client is None
            if is_dropped and _this_thread.logs_in and kept.is_logged_out(recorder.record):
                # The service has ended the session that the client kept: this one logs in again.
                result = _notify_once(destination, message, recorder)
            return result
        except BaseException as error:
            # No error of a plugin may end the thread; the line reports it.
            recorder.record.warnings.append(f"{type(error).__name__}: {error}")
            return _NotifyResult()


def _notify_once(
    destination: Destination, message: Message, recorder: AttemptRecorder
) -> _NotifyResult:
    client = getattr(_this_thread, "client", None) or _client(destination)
    if isinstance(client, str):
        return _NotifyResult(problem=client)
    _this_thread.client = client
    plugin, record = client[0], recorder.record
    kept.make_ready(plugin)
    name = vendors.name_of(type(plugin))
    recorder.vendor = catalogue.VENDORS.get(name, vendors.UNKNOWN)
    record.untraced = name in vendors.WITHOUT_REQUESTS
    if destination.kind in MAIL_KINDS:
        _set_headers(plugin, message.thread)
    done = client.notify(
        body=message.body,
        title=message.title,
        notify_type=_apprise.NotifyType(message.severity.value),
        body_format=_apprise.NotifyFormat.TEXT,
    )
    around = any(not each.may_be_own for each in record.exchanges)
    _this_thread.logs_in = around or getattr(_this_thread, "logs_in", False)
    if not done and kept.is_outdated(record):
        _this_thread.client = None
    return _NotifyResult(bool(done), "", len(plugin))


def _set_headers(plugin: Any, thread: str | None) -> None:
    """Mark the next e-mail as sent by a program, and make it join its conversation.

    All mails of a conversation answer the same id. A program that answers mails by itself, such as
    an out-of-office note, answers none with this mark (RFC 3834).
    """
    ours = {**AUTOMATIC, **(dict.fromkeys(CONVERSATION, thread) if thread else {})}
    names = {name.lower() for name in (*AUTOMATIC, *CONVERSATION)}
    others = {k: v for k, v in plugin.headers.items() if k.strip().lower() not in names}
    plugin.headers = others | ours


_importing = threading.Lock()
_apprise: Any = None
_enabled: set[str] = set()


def _library() -> Any:
    """Import Apprise at the first call only (160 ms) and return it."""
    global _apprise
    with _importing:
        if _apprise is None:
            import apprise
            import requests

            probes.install(requests)
            _apprise = apprise
        return _apprise


def _client(destination: Destination) -> Any:
    """Make the destination's Apprise object, or describe the mistake in its URL."""
    apprise = _library()
    url = destination.url.strip()
    if "://" in url and (urls := len(apprise.utils.parse.parse_urls(url))) > 1:
        return f"it holds {urls} URLs: make a destination of each"
    if mistake := addresses.mistake(url):
        return mistake
    parsed = apprise.plugins.url_to_dict(url)
    kind = str(parsed.get("schema", "")) if parsed else destination.kind
    if kind in LOCAL_KINDS:
        return f"{kind}:// acts on this machine, not on another: give a service of the network"
    if not parsed:
        return _not_understood(url)
    options = parsed.get("qsd") or {}
    if problem := _option_problem(options):
        return problem
    _enable(kind)
    # No pool, throttle, retries or redirects of its own: the receiver decides about these.
    asset = apprise.AppriseAsset(service_timeout=0, http_redirects=False)
    client = apprise.Apprise(asset=asset)
    with said_by_apprise() as said:
        is_added = client.add(url)
    if not is_added or len(client) != 1:
        return _not_understood(url)
    problem = _plugin_problem(client[0]) or comparison.problem(url, parsed, client[0], said)
    _configure(client[0], destination, options)
    return problem or client


def _not_understood(url: str) -> str:
    """Say that Apprise does not take the URL, with the nearest kind if there is a near one."""
    scheme = url.partition("://")[0].lower()
    schemes = _apprise.NotificationManager().schemas()
    near = difflib.get_close_matches(scheme, schemes, 1, 0.75) if scheme not in schemes else []
    if hint := addresses.web_hint(url):
        return hint
    if near:
        return f"Apprise has no such kind: did you mean {near[0]}://?"
    return _NOT_UNDERSTOOD


def _option_problem(options: Any) -> str:
    """Describe the mistake in the options after the URL's question mark; empty if none."""
    if file_options := sorted(FILE_OPTIONS & set(options)):
        return f"its option {file_options[0]}= reads a local file: leave it out"
    if _apprise.utils.parse.parse_bool(options.get("optional"), False):
        return "its option optional= would show a failure as delivered: leave it out"
    if str(options.get("format", "")).lower() == "markdown":
        return "its option format=markdown would let the text of an event act: leave it out"
    return ""


def _plugin_problem(plugin: Any) -> str:
    """Describe the reason against the plugin that the URL makes; empty if none."""
    if any(isinstance(value, _apprise.AppriseAttachment) and len(value)
           for value in vars(plugin).values()):  # fmt: skip
        return "one of its options (such as template=) reads a file: leave it out"
    if len(plugin) > 1:
        return (
            f"it names {len(plugin)} targets, and a repeat for one would go to all of them: make a"
            " destination of each"
        )
    return ""


def _enable(kind: str) -> None:
    """Enable only those services of Apprise that the destinations use."""
    with _importing:
        if kind not in _enabled:
            _enabled.add(kind)
            _apprise.NotificationManager().enable_only(*_enabled)


def _configure(plugin: Any, destination: Destination, options: Any) -> None:
    """Switch off the plugin's own pace, repeats and deadlines: the receiver decides about them."""
    plugin.request_rate_per_sec = 0
    plugin.retry = 0
    # Each result writes out its URL, which we never show: that took a tenth of an attempt.
    plugin.url = lru_cache(maxsize=8)(plugin.url)
    plugin.redirects = False
    # Longer than the attempt may take, so that the deadline decides; but an address that takes no
    # connection is left for the next one of the same name.
    plugin.socket_connect_timeout = min(destination.timeout + 1, 10.0)
    plugin.socket_read_timeout = destination.timeout + 1
    plugin.throttle = record_throttle
    if "overflow" not in options:
        # A text beyond the service's limit is cut; else the service would refuse the whole message.
        plugin.overflow_mode = _apprise.OverflowMode.TRUNCATE
