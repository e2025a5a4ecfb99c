"""A listening socket that is passed on: by systemd (LISTEN_FDS), or by number (RECEIVER_FD).

Whoever passes it keeps it open while the server restarts: connections wait in its queue, and none
is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from receiver.config.settings import Settings
from receiver.errors import ConfigurationError

# The number of the first socket that systemd passes on: after the three standard streams.
FIRST = 3


def passed_socket(settings: Settings, environ: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that was passed on; None if there is none.

    ConfigurationError if what was passed on is no listening TCP socket, or more than one.
    """
    number = settings.fd
    if number is None and environ.get("LISTEN_PID") == str(os.getpid()):
        count = environ.get("LISTEN_FDS", "")
        if count != "1":
            raise ConfigurationError(
                [f"LISTEN_FDS: {count or 'no'} sockets were passed on. One is listened on: leave"
                 " one ListenStream= in receiver.socket."]
            )  # fmt: skip
        number = FIRST
    if number is None:
        return None
    try:
        passed = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigurationError([_not_usable(number, str(error.strerror))]) from error
    # A child would keep the port open after the end.
    passed.set_inheritable(False)
    is_inet = passed.family in (socket.AF_INET, socket.AF_INET6)
    is_listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not is_inet or passed.type != socket.SOCK_STREAM or not is_listening:
        passed.detach()
        raise ConfigurationError([_not_usable(number, "it is no TCP socket that listens")])
    return passed


def _not_usable(number: int, why: str) -> str:
    return (
        f"RECEIVER_FD: descriptor {number} cannot be listened on: {why}. Pass a TCP socket that"
        " listens, or leave it out: RECEIVER_HOST and RECEIVER_PORT then say where."
    )
