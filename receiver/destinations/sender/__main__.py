"""The process of a sender: `python -m receiver.destinations.sender FD`, which the receiver starts.

It ends when the receiver closes its end of that socket or dies, and by no signal that both get: the
receiver finishes what is being sent, and then ends it.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Set the signals before anything else: to import Apprise takes a while."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    from receiver.destinations.sender.child import serve

    serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
