"""One message to one destination, through Apprise: the only file that knows it.

`console://` is a destination of ours: it prints. Everything else is whatever Apprise speaks, as
long as it goes over the network to one target and reads no file of this machine.
What went wrong is told in one readable line; the URL and every secret in it never are.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import deadline
from receiver.destinations.apprise import probes, sessions
from receiver.destinations.apprise.recorder import AttemptRecorder, throttle
from receiver.destinations.deadline import End
from receiver.destinations.destination import Destination
from receiver.destinations.outcome import CallRecord, classify
from receiver.destinations.redaction import redact

CONSOLE = "console"
# Destinations of these kinds are told from others by their rate: people read them.
MAIL_KINDS = {"mailto", "mailtos"}
SLOW_KINDS = {"slack", *MAIL_KINDS}
# There is no mail with that id; mail programs show what answers it together all the same.
CONVERSATION = ("In-Reply-To", "References")
# These act on this machine: its screen, its log, its files, its programs.
LOCAL_KINDS = {
    "syslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "blink1", "file",
    "deltachat", "deltachats", "vapid",
}  # fmt: skip
# Options that make Apprise read a file.
FILE_OPTIONS = {"attach", "include", "keyfile", "pgpkey", "pgpprv", "pgppub", "subfile"}


def problems(destination: Destination) -> list[str]:
    """What makes the destination unusable; never shows its URL."""
    if not destination.url.strip():
        return ["its URL is empty: give an Apprise URL, or console://"]
    if _kind(destination) == CONSOLE:
        return []
    made = _make(destination)
    return [made] if isinstance(made, str) else []


def warnings(destination: Destination) -> list[str]:
    """What works but may surprise."""
    if _kind(destination) == "mailto" and urlsplit(destination.url).password:
        return [
            f"destination {destination.name} may send its password in the clear: use mailtos://"
        ]
    return []


def rate(destination: Destination) -> float:
    """Messages per second: what routes.yaml says, or 1 for Slack and e-mail and 10 for others."""
    if destination.rate is not None:
        return destination.rate
    return 1.0 if _kind(destination) in SLOW_KINDS else 10.0


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, for at most `destination.timeout` seconds and one more. Never raises.

    Only in a thread that may be left (deadline.left_to) it raises GivenUp instead, if at all.
    """
    started = time.monotonic()
    if _kind(destination) == CONSOLE:
        _print(destination, message)
        return _timed(Attempt(Outcome.DELIVERED, ""), started)
    ear = AttemptRecorder(destination.timeout)

    def judged(end: End, tried: _Tried | None) -> Attempt:
        return _timed(_judged(destination, ear.heard, end, tried), started)

    return deadline.call_watched(
        destination,
        destination.timeout,
        lambda: _try(destination, message, ear),
        ear.cut,
        judged,
        sessions.rest,
    )


def rest() -> None:
    """To be called now and then by a thread that sends, when it has nothing to send."""
    sessions.rest()


def _timed(attempt: Attempt, started: float) -> Attempt:
    return replace(attempt, duration_ms=int((time.monotonic() - started) * 1000))


def _kind(destination: Destination) -> str:
    url = destination.url.strip()
    # Apprise takes Slack's own address, too.
    if url.startswith("https://hooks.slack.com/"):
        return "slack"
    return url.partition(":")[0].lower()


_printing = threading.Lock()


def _print(destination: Destination, message: Message) -> None:
    lines = [f"┌ to {destination.name}: {message.title}"]
    lines += [f"│ {line}" for line in message.body.splitlines()]
    with _printing:
        sys.stdout.write("\n".join([*lines, "└"]) + "\n")
        sys.stdout.flush()


@dataclass(slots=True)
class _Tried:
    """What one call of Apprise came to. `problem`: why there was nothing to call."""

    done: bool = False
    problem: str = ""
    targets: int = 1


def _judged(destination: Destination, heard: CallRecord, end: End, tried: _Tried | None) -> Attempt:
    if end is End.NOT_MADE:
        detail = f"{deadline.MOST_HANGING} earlier attempts still hang: none is made until one ends"
        return Attempt(Outcome.FAILED, detail)
    if tried is not None and tried.problem:
        return Attempt(Outcome.FAILED, tried.problem, permanent=True)
    late = end is not End.DONE
    tried = tried or _Tried()
    attempt = classify(
        heard, done=tried.done, late=late, targets=tried.targets, timeout=destination.timeout
    )
    if not attempt.detail:
        return attempt
    return replace(attempt, detail=redact(destination.url, attempt.detail))


_mine = threading.local()


def _try(destination: Destination, message: Message, ear: AttemptRecorder) -> _Tried:
    """In the thread that makes this destination's attempts, which keeps its Apprise object."""
    with ear as heard:
        try:
            made = getattr(_mine, "made", None) or _make(destination)
            if isinstance(made, str):
                return _Tried(problem=made)
            _mine.made = made
            heard.elsewhere = not _by_http_or_smtp(made[0])
            text = _apprise.NotifyFormat.TEXT
            if _kind(destination) in MAIL_KINDS:
                _converse(made[0], message.thread)
            done = made.notify(body=message.body, title=message.title, body_format=text)
            return _Tried(bool(done), "", len(made[0]))
        except BaseException as error:
            # Whatever a plugin does wrong must not end the thread; the line says what it was.
            heard.said.append(f"{type(error).__name__}: {error}")
            return _Tried()


def _converse(plugin: Any, thread: str | None) -> None:
    """Let the next e-mail stand in its conversation: all of one answer the same id."""
    others = {k: v for k, v in plugin.headers.items() if k not in CONVERSATION}
    plugin.headers = others | (dict.fromkeys(CONVERSATION, thread) if thread else {})


def _by_http_or_smtp(plugin: Any) -> bool:
    modules = [sys.modules[kind.__module__] for kind in type(plugin).__mro__]
    return any(hasattr(module, "requests") or hasattr(module, "smtplib") for module in modules)


_importing = threading.Lock()
_apprise: Any = None
_enabled: set[str] = set()


def _library() -> Any:
    """Apprise, imported when it is first needed (160 ms), once."""
    global _apprise
    with _importing:
        if _apprise is None:
            import apprise
            import requests

            probes.install(requests)
            _apprise = apprise
        return _apprise


def _make(destination: Destination) -> Any:
    """The destination's Apprise object, or what is wrong with its URL."""
    apprise, url = _library(), destination.url.strip()
    if (urls := len(apprise.utils.parse.parse_urls(url))) > 1:
        return f"it holds {urls} URLs: make a destination of each"
    parsed = apprise.plugins.url_to_dict(url)
    kind = str(parsed.get("schema", "")) if parsed else _kind(destination)
    if kind in LOCAL_KINDS:
        return f"{kind}:// acts on this machine, not on another: give a service of the network"
    if not parsed:
        return _NOT_UNDERSTOOD
    options = parsed.get("qsd") or {}
    if reads := sorted(FILE_OPTIONS & set(options)):
        return f"its option {reads[0]}= reads a local file: leave it out"
    if apprise.utils.parse.parse_bool(options.get("optional"), False):
        return "its option optional= would show a failure as delivered: leave it out"
    if str(options.get("format", "")).lower() == "markdown":
        return "its option format=markdown would let the text of an event act: leave it out"
    _enable(kind)
    # No pool, no throttle, no retries, no redirects of its own: those are ours to decide.
    asset = apprise.AppriseAsset(service_timeout=0, http_redirects=False)
    made = apprise.Apprise(asset=asset)
    if not made.add(url) or len(made) != 1:
        return _NOT_UNDERSTOOD
    _settle(made[0], destination, options)
    return _shortcoming(made[0]) or made


_NOT_UNDERSTOOD = (
    "its URL is not one that Apprise understands: compare it with the service's page in Apprise's"
    " documentation"
)


def _enable(kind: str) -> None:
    """Of all that Apprise speaks, only what the destinations use is switched on."""
    with _importing:
        if kind not in _enabled:
            _enabled.add(kind)
            _apprise.NotificationManager().enable_only(*_enabled)


def _shortcoming(plugin: Any) -> str:
    if any(isinstance(value, _apprise.AppriseAttachment) and len(value)
           for value in vars(plugin).values()):  # fmt: skip
        return "one of its options (such as template=) reads a file: leave it out"
    if len(plugin) > 1:
        return (
            f"it names {len(plugin)} targets, and a repeat for one would go to all of them: make a"
            " destination of each"
        )
    return ""


def _settle(plugin: Any, destination: Destination, options: Any) -> None:
    plugin.request_rate_per_sec = 0
    plugin.retry = 0
    # Each result names its URL, which we never show; to write it anew took a tenth of an attempt.
    plugin.url = lru_cache(maxsize=8)(plugin.url)
    plugin.redirects = False
    # Longer than the attempt may take, so that the deadline decides; but an address that takes no
    # connection is left for the next one of the same name.
    plugin.socket_connect_timeout = min(destination.timeout + 1, 10.0)
    plugin.socket_read_timeout = destination.timeout + 1
    plugin.throttle = throttle
    if "overflow" not in options:
        # What a service takes no more of is cut; else it would refuse the whole message.
        plugin.overflow_mode = _apprise.OverflowMode.TRUNCATE
