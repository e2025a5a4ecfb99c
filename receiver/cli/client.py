"""Client of a receiver: makes, signs and posts test events, for `send`, `demo` and the tests."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from receiver.errors import ReceiverError
from receiver.sources import signing
from receiver.sources.formats import asteroid
from receiver.sources.formats.registry import FORMATS
from receiver.sources.verification import Verification
from receiver.times import SECOND


def sample(
    source_format: str,
    event: str,
    execution_id: str,
    *,
    event_id: str = "",
    occurred_at: int | None = None,
    **more: Any,
) -> bytes:
    """Make a test webhook's body; `occurred_at` is nanoseconds, now if None.

    `more` goes to the format's `sample`.
    """
    return _compact_json(
        FORMATS[source_format].sample(
            event,
            execution_id,
            event_id=event_id or str(uuid4()),
            occurred_at=time.time_ns() if occurred_at is None else occurred_at,
            **more,
        )
    )


def asteroid_event(
    event: str,
    execution_id: str,
    *,
    event_id: str = "",
    occurred_at: int | None = None,
    **more: Any,
) -> bytes:
    """Make a webhook body of Asteroid's V2; `more` goes to `asteroid.sample`."""
    return _compact_json(
        asteroid.sample(
            event,
            execution_id,
            event_id=event_id or str(uuid4()),
            occurred_at=time.time_ns() if occurred_at is None else occurred_at,
            **more,
        )
    )


def plain_event(status: str, execution_id: str, **more: Any) -> bytes:
    """Make a webhook body of the format `plain`; `more` goes to its `sample`."""
    return sample("plain", status, execution_id, **more)


def post(
    url: str, body: bytes, verification: Verification, private: str, *, now: float = 0.0
) -> tuple[int, dict[str, Any]]:
    """Sign a body like the source's sender and post it; return status and answer.

    `now` is Unix seconds for schemes that sign a time; 0 stands for the current time.
    """
    headers = signing.sign(
        verification, private, body, message_id=str(uuid4()), now=now or time.time()
    )
    return post_raw(url, body, dict(headers))


def post_raw(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Post a body with these headers; raise ReceiverError if there is no answer."""
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _answer_content(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _answer_content(error.read())
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ReceiverError(
            f"Nobody answers at {url} ({reason}). Is `receiver serve` running there?"
            " RECEIVER_HOST and RECEIVER_PORT, or --url, say where."
        ) from error


def now_whole() -> int:
    """Return the current second in nanoseconds: senders write whole seconds."""
    return time.time_ns() // SECOND * SECOND


def _compact_json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _answer_content(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
