"""The command `receiver`, also as `python -m receiver`: signals first, then the command line."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line. To import a server takes a while, and signals come before that."""
    if "serve" in sys.argv:
        # Nothing is accepted yet, so there is nothing to reload and nothing to finish.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for each in (signal.SIGTERM, signal.SIGINT):
            # At any point of an import: an exception could be caught there.
            signal.signal(each, lambda *_: os._exit(0))
    from receiver.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
