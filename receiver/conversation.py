"""E-mails about one episode stand in one conversation: each answers the same id.

There is no mail with that id; mail programs show what answers it together all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

_joined = threading.local()


def join(plugin: Any, thread: str | None) -> None:
    """Let what this thread sends next with Apprise's e-mail plugin stand in a conversation."""
    if not isinstance(plugin.headers, _Headers):
        plugin.headers = _Headers(dict(plugin.headers))
    _joined.thread = thread


class _Headers(Mapping[str, str]):
    """An e-mail's own headers, as the thread that sends it has them: many may use one plugin."""

    def __init__(self, always: Mapping[str, str]) -> None:
        self._always = always

    def _now(self) -> dict[str, str]:
        thread = getattr(_joined, "thread", None)
        conversation = {"In-Reply-To": thread, "References": thread} if thread else {}
        return {**self._always, **conversation}

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())
