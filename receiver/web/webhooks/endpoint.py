"""Endpoint `POST /webhooks/{source}`, which is open to everybody.

It is a plain ASGI callable: Starlette's request and response objects would cost as much as
verification and storage. It checks in this order: source, method, media type and coding, size and
time, signature, JSON, shape, agent. An answer says only whether to send the webhook again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from receiver.config.live_rules import LiveRules
from receiver.errors import (
    MalformedBody,
    Overloaded,
    StorageLost,
    StorageUnavailable,
    TooManyWebhooks,
    UnreadableWebhook,
    UntrustedWebhook,
)
from receiver.events import Event, Status, Verdict
from receiver.intake.receive import Intake, Receipt, VerifiedWebhook
from receiver.metrics import Counters
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.web.problem import problem, try_later
from receiver.web.webhooks.access_log import AccessLog
from receiver.web.webhooks.batch import WebhookBatcher
from receiver.web.webhooks.refusals import Refusals
from receiver.web.webhooks.spool import Spooling

log = logging.getLogger("receiver.intake")

UNTRUSTED = (
    "This webhook is not proven to come from the source. Check its signature, its keys in"
    " routes.yaml and, if one is set, its secret header and agent."
)

# The causes of refusals, by status; those of 401 are in errors.UntrustedWebhook.
_CAUSES = {
    400: "not_json",
    404: "unknown_source",
    405: "method",
    413: "too_large",
    415: "media_type",
    422: "not_envelope",
    429: "rate",
}

# The most bytes of bodies in memory, arriving or waiting for their commit; beyond it 503.
MAX_HELD = 64 * 2**20


class WebhookEndpoint:
    """The endpoint for the webhooks of all sources.

    `max_body` is bytes, `rate` is the most proven webhooks a second for sources without a rate of
    their own. If it is not open, it takes none. With `spooling` it takes them while the database is
    away, where a source wants it.
    """

    def __init__(
        self,
        store: Store,
        in_force: LiveRules[Intake],
        *,
        max_body: int,
        rate: float,
        counters: Counters,
        refusals: Refusals,
        is_open: bool = True,
        spooling: Spooling | None = None,
    ) -> None:
        self._in_force = in_force
        self.batcher = WebhookBatcher(store, in_force, rate, spooling)
        self._max_body = max_body
        self._counters = counters
        self._refusals = refusals
        self._access_log = AccessLog()
        self._bytes_held = 0
        self.draining = False
        self._is_open = is_open
        # Monotonic seconds: when the database did not take a webhook, and when it was away.
        self.not_stored_at = self.lost_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self._in_force.rules.sources.get(scope["path_params"]["source"])
        try:
            response = await self._respond(source, scope, receive)
        except asyncio.CancelledError:
            # The server ends and has waited long enough; the sender will send the webhook again.
            response = try_later("Shutting down. Send it again.")
        except Exception:
            # The one broad handler of webhooks: no code above it would answer.
            log.exception("webhook.failed source=%s", source.name if source else None)
            response = try_later("An error of ours. It is in the log.")
        if response is None:
            return  # the client is gone
        status = response[0] if isinstance(response, tuple) else response.status_code
        name = source.name if source else ""
        self._counters.answered(name, status)
        if status in _CAUSES:
            self._refusals.request(_CAUSES[status], scope["path"], name)
        if isinstance(response, tuple):
            await _send_answer(send, *response)
        else:
            await response(scope, receive, send)

    async def _respond(
        self, source: Source | None, scope: Scope, receive: Receive
    ) -> Response | tuple[int, bytes] | None:
        if source is None:
            return problem(404, "There is no such source. Check the webhook's address.")
        if scope["method"] != "POST":
            return problem(405, "Webhooks are sent with POST.", {"Allow": "POST"})
        if self.draining:
            return try_later("Shutting down. Send it again.")
        if not self._is_open:
            return problem(404, "This process takes no webhooks: send them to `receiver serve`.")
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        refusal = _header_problem(headers, self._max_body)
        if refusal is not None:
            return refusal
        body = await self._read_body(receive)
        if not isinstance(body, bytes):
            return body
        if self._is_full(len(body)):
            return try_later("Too much is waiting. Send it again.", 1)
        self._bytes_held += len(body)
        try:
            return await self._receive(source, headers, body)
        except UntrustedWebhook as untrusted:
            self._refusals.webhook(source.name, untrusted.cause)
            return problem(401, UNTRUSTED)
        except TooManyWebhooks as too_many:
            retry = {"Retry-After": str(math.ceil(too_many.wait))}
            return problem(429, "More than this source's rate. Send it again later.", retry)
        except Overloaded:
            return try_later("Too much is waiting. Send it again.", 1)
        except StorageUnavailable as error:
            return self._answer_not_stored(source, error)
        finally:
            self._bytes_held -= len(body)

    def _answer_not_stored(self, source: Source, error: StorageUnavailable) -> Response:
        if isinstance(error, StorageLost):
            self.lost_at = time.monotonic()
        else:
            self.not_stored_at = time.monotonic()
        log.error("webhook.not_stored source=%s error=%s", source.name, error)
        return try_later("It could not be stored. Send it again.")

    async def _read_body(self, receive: Receive) -> bytes | Response | None:
        """Return the whole body, or the problem with it, or None if the connection ends early.

        The connection has the deadline, see `server.limits`.
        """
        message = await receive()  # usually it has the whole body
        if not message.get("more_body") and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            return body if len(body) <= self._max_body else _too_large(self._max_body)
        return await self._read_long_body(message, receive)

    async def _read_long_body(self, message: Message, receive: Receive) -> bytes | Response | None:
        parts: list[bytes] = []
        size = 0
        try:
            while message["type"] == "http.request":
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._bytes_held += len(parts[-1])
                if size > self._max_body:
                    return _too_large(self._max_body)
                if self._is_full(0):
                    return try_later("Too much is waiting. Send it again.", 1)
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._bytes_held -= size
        return None

    def _is_full(self, more: int) -> bool:
        return self._bytes_held + more > MAX_HELD

    async def _receive(
        self, source: Source, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Response | tuple[int, bytes]:
        began = time.perf_counter()
        try:
            receipt, key = await self.batcher.take(source, headers, body)
        except UnreadableWebhook as unreadable:
            return await self._quarantine(source, body, unreadable)
        if isinstance(receipt, VerifiedWebhook):
            _log_spooled(source, receipt)
            return 202, _spooled_body(receipt)
        judgement = receipt.judgement
        label = source.verification.label(key)
        self._counters.judged(source.name, judgement.verdict, judgement.reason, label, time.time())
        self._counters.took("intake", source.name, time.perf_counter() - began)
        self._access_log.add(source.name, receipt)
        return _answer_status(source, receipt), _answer_body(receipt)

    async def _quarantine(
        self, source: Source, body: bytes, unreadable: UnreadableWebhook
    ) -> Response:
        await self.batcher.quarantine(source, body, str(unreadable))
        log.warning("webhook.malformed source=%s detail=%s", source.name, unreadable)
        return problem(400 if isinstance(unreadable, MalformedBody) else 422, str(unreadable))


def _header_problem(headers: Iterable[tuple[bytes, bytes]], max_body: int) -> Response | None:
    """Return the problem with the media type, the coding or the announced size, or None."""
    for name, value in headers:
        if name == b"content-type" and not _is_json(value):
            return problem(415, "Send JSON, with Content-Type: application/json.")
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return problem(415, "Send the body without a Content-Encoding.")
        if name == b"content-length" and value.isdigit() and int(value[:20]) > max_body:
            return _too_large(max_body)
    return None


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    kind, *parameters = content_type.lower().split(b";")
    kind = kind.strip()
    charsets = [p.split(b"=", 1)[1] for p in parameters if p.strip().startswith(b"charset=")]
    return (kind in (b"", b"application/json", b"text/json") or kind.endswith(b"+json")) and all(
        charset.strip(b' "') in (b"utf-8", b"utf8") for charset in charsets
    )


def _too_large(max_body: int) -> Response:
    # No `Connection: close`: closing while the rest of the body arrives would lose the answer.
    return problem(413, f"The body may have {max_body} bytes.")


def _answer_status(source: Source, receipt: Receipt) -> int:
    verdict = receipt.judgement.verdict
    if verdict in (Verdict.APPLIED, Verdict.HELD):
        return 202
    return source.rejected_status if verdict is Verdict.REJECTED else 200


def _answer_body(receipt: Receipt) -> bytes:
    judgement = receipt.judgement
    return _body_of(judgement.verdict, judgement.reason, receipt.event, receipt.execution_status)


def _spooled_body(webhook: VerifiedWebhook) -> bytes:
    """Return the answer to a webhook that is on disk and has no verdict yet."""
    return _body_of("spooled", "database_away", webhook.event, None)


def _body_of(verdict: str, reason: str, event: Event | None, after: Status | None) -> bytes:
    event = event or Event("", "", "", None, None, None)
    content = {
        "verdict": verdict,
        "reason": reason,
        "event_id": event.event_id or None,
        "execution_id": event.execution_id,
        "status": event.status or event.unknown_status,
        "execution_status": after,
    }
    return json.dumps(content).encode()


def _log_spooled(source: Source, webhook: VerifiedWebhook) -> None:
    event = webhook.event
    log.info(
        "webhook.spooled source=%s event_id=%r execution_id=%r",
        source.name,
        event.event_id if event else None,
        event.execution_id if event else None,
    )


async def _send_answer(send: Send, status: int, body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
