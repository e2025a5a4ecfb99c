"""Adapter for Apprise, which sends to many services: attempts, and their outcomes.

A failed attempt gives its reason in one readable line, without the URL and its secrets.
"""

from __future__ import annotations

import codecs
import threading
import time
from dataclasses import dataclass, replace

from receiver.deliveries import Attempt, Message, Outcome, Severity
from receiver.destinations import deadline
from receiver.destinations.apprise import checks, clients, kept, sessions
from receiver.destinations.apprise.exchanges import MessageWords
from receiver.destinations.apprise.places import place_of
from receiver.destinations.apprise.plugin import KnownPlugin
from receiver.destinations.apprise.recorder import AttemptRecorder, is_lack
from receiver.destinations.apprise.series import Series
from receiver.destinations.deadline import CallEnd
from receiver.destinations.destination import Destination
from receiver.destinations.outcome import classify
from receiver.destinations.redaction import redact

_REHEARSED = Message("Rehearsal", "Nobody gets this.", severity=Severity.WARNING)
# Those that are else imported with the first message or failure.
_CODECS = ("utf-16", "utf-16-le", "idna", "latin-1")


def prepare() -> None:
    """Import Apprise, which takes a while, and what may not be found once descriptors are few."""
    clients.library()
    for codec in _CODECS:
        codecs.lookup(codec)


def problems(destination: Destination) -> list[str]:
    """Return the mistakes that make the destination unusable, without its URL."""
    client = clients.client(destination)
    if isinstance(client, str):
        return [client]
    known = KnownPlugin(client, destination)
    written = known.fitter.written(_REHEARSED.title, _REHEARSED.body)
    reason = checks.rehearse(known.plugin, destination.url, lambda: known.send(_REHEARSED, written))
    return [] if reason is None else [f"nothing could be sent to it: {reason}"]


def warnings(destination: Destination) -> list[str]:
    """Return settings that work but may surprise."""
    client = clients.client(destination)
    return [] if isinstance(client, str) else list(checks.surprises(destination, client[0]))


def leads_to(destination: Destination) -> str:
    """Say in one line where its messages go, without any secret; see `sending.leads_to`."""
    client = clients.client(destination)
    return destination.kind if isinstance(client, str) else place_of(destination.url, client[0])


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, by the destination's deadline; see `sending.send`.

    A list may become several messages: it is delivered if all of them are.
    """
    started = time.monotonic()
    series = Series(destination, message)
    while True:
        left = destination.timeout - (_since(started) if series.sent else 0)
        attempt = _send_next(destination, series, left)
        if attempt.outcome is not Outcome.DELIVERED or series.is_over:
            break
        series.rest(destination.timeout - _since(started))
    return replace(attempt, duration_ms=int(_since(started) * 1000))


def _since(started: float) -> float:
    return time.monotonic() - started


def _send_next(destination: Destination, series: Series, left: float) -> Attempt:
    """Send the next message of a series within the seconds that are left."""
    timeout = max(left, 0.001)
    recorder = AttemptRecorder(timeout)

    def attempt_of(end: CallEnd, result: _NotifyResult | None) -> Attempt:
        attempt = _attempt(destination, recorder, end, result)
        if attempt.outcome is Outcome.DELIVERED:
            series.accept()
        return series.judged(attempt)

    return deadline.call_watched(
        destination,
        timeout,
        lambda: _notify(destination, series, recorder),
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


def _notify(destination: Destination, series: Series, recorder: AttemptRecorder) -> _NotifyResult:
    """Call the plugin in a thread of the destination, which keeps it for the next call."""
    with recorder:
        try:
            was_kept = getattr(_this_thread, "plugin", None) is not None
            result = _notify_once(destination, series, recorder)
            is_dropped = was_kept and _this_thread.plugin is None
            if is_dropped and _this_thread.logs_in and kept.is_logged_out(recorder.record):
                # The service has ended the session that the plugin kept: this one logs in again.
                result = _notify_once(destination, series, recorder)
            return result
        except BaseException as error:
            # No error of a plugin may end the thread; the line reports it.
            recorder.record.lacking = is_lack(error)
            recorder.record.warnings.append(f"{type(error).__name__}: {error}")
            return _NotifyResult()


def _notify_once(
    destination: Destination, series: Series, recorder: AttemptRecorder
) -> _NotifyResult:
    known: KnownPlugin | None = getattr(_this_thread, "plugin", None)
    if known is None:
        if isinstance(client := clients.client(destination), str):
            return _NotifyResult(problem=client)
        known = _this_thread.plugin = KnownPlugin(client, destination)
    record = recorder.record
    recorder.vendor = known.vendor
    record.untraced = known.is_untraced
    message = _for_readers(known, series.message)
    part = series.next(message, known.fitter.room)
    recorder.words = MessageWords(part.title, part.text)
    done = known.send(message, known.fitter.written(part.title, part.text))
    around = any(not each.may_be_own for each in record.exchanges)
    _this_thread.logs_in = around or getattr(_this_thread, "logs_in", False)
    if not done and kept.is_outdated(record):
        _this_thread.plugin = None
    return _NotifyResult(done, "", known.targets)


def _for_readers(known: KnownPlugin, message: Message) -> Message:
    """Return the message with the title and the text that readers of this kind get."""
    if not known.is_mail:
        return message
    title, body = message.as_mail()
    return replace(message, title=title, body=body)
