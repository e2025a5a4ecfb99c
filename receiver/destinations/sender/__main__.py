"""The process of a sender: `python -m receiver.destinations.sender SOCKET PIPE`.

The receiver starts it. It ends when the receiver closes its ends of these descriptors or dies, and
by no signal that both get: the receiver finishes what is being sent, and then ends it.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Set the signals before anything else: to import Apprise takes a while."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    from receiver.destinations.sender.child import serve

    serve(*map(int, sys.argv[1:3]))


if __name__ == "__main__":
    main()
