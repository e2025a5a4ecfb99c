"""A sender whose plugin for JSON does what the title of a message says, for tests."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import time
from typing import Any

from apprise.plugins.custom_json import NotifyJSON

from receiver.destinations.sender.__main__ import main

_plugin: Any = NotifyJSON
_send = _plugin.send
_MOST_DESCRIPTORS = 64


def _say_everywhere(words: bytes) -> None:
    """Write to every socket of this process."""
    for number in range(3, _MOST_DESCRIPTORS):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as each:
            each.send(words)


def _misbehave(self: Any, body: str, title: str = "", **more: Any) -> Any:
    match title:
        case "hang":
            while True:
                time.sleep(60)
        case "late":
            time.sleep(1.2)  # longer than its deadline and the time in which a cut call ends
            return False
        case "spin":
            re.match("(a+)+$", "a" * 60 + "b")  # no other thread of this process runs meanwhile
        case "die":
            os._exit(1)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "garbage" | "flood":
            _say_everywhere(b"\0\0\0\5[[[[[" if title == "garbage" else b"\xff" * 5)
            time.sleep(60)
        case "memory":
            raise MemoryError
        case "descriptors":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        case "threads":
            raise RuntimeError("can't start new thread")
        case "mistake":
            raise ValueError(title)
        case "who":
            self.logger.warning("pid %d", os.getpid())
            return False
    return _send(self, body, title=title, **more)


if __name__ == "__main__":
    _plugin.send = _misbehave
    main()
