"""Access to a provider's API: where it is, when it is asked, and what people may do through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from receiver.times import SECOND

# The longest wait for an answer (seconds).
MAX_TIMEOUT = 120.0


class Act(StrEnum):
    """Something that a person may ask the provider to do with an execution."""

    RESUME = "resume"
    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """The way to a provider's API: its address, and the key in a header.

    `timeout` is seconds for one answer, `rate` the most requests a second.
    """

    base_url: str
    key: str = field(repr=False)
    header: str
    timeout: float = 10.0
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """When the provider is asked. Times are nanoseconds.

    Each `every`, for executions of which nothing was heard for `quiet_for`; each `discover`, for
    executions that nobody has told us of.
    """

    every: int
    quiet_for: int
    discover: int


def problems(access: ApiAccess) -> Iterator[str]:
    """Yield what is wrong with the way to an API, never with its key in the words."""
    try:
        parts = urlsplit(access.base_url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not access.base_url.isascii() or not access.base_url.isprintable():
        yield "base_url: write it like https://api.example.com"
    elif parts.username is not None or parts.query or parts.fragment:
        yield "base_url: no login, question mark or # in it; the key has a header of its own"
    if not access.key.isascii() or not access.key.isprintable() or " " in access.key:
        yield "key: holds characters that no header takes"
    if not access.header.replace("-", "").replace("_", "").isalnum() or not access.header.isascii():
        yield "header: write the name of a header, like X-Api-Key"
    if not 0.1 <= access.timeout <= MAX_TIMEOUT:
        yield f"timeout: from 100ms to {MAX_TIMEOUT} s"


def in_the_clear(access: ApiAccess) -> bool:
    """Return whether others on the way can read the key."""
    parts = urlsplit(access.base_url)
    host = parts.hostname or ""
    is_here = host in ("localhost", "::1") or host.startswith("127.")
    return parts.scheme == "http" and not is_here


def timing_problems(reconciliation: Reconciliation) -> Iterator[str]:
    """Yield what is wrong with the times at which a provider is asked."""
    for name in ("every", "quiet_for", "discover"):
        if getattr(reconciliation, name) < SECOND:
            yield f"{name}: at least 1s"
