"""Process: a sender as the receiver sees it, from its start to its end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import receiver
from receiver import __version__
from receiver.destinations.destination import Destination
from receiver.destinations.sender import wire
from receiver.destinations.sender.connection import Connection, SenderGone, set_timeout

# The time in which a new process has to be ready (seconds).
STARTS_WITHIN = 30.0
# This process lacks something then, and not the other one.
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS}
# A reply of a process that does not import what it needs may be so long.
_LONGEST_HELLO = 4_096


class SenderOutOfReach(Exception):
    """A lack of this process, which keeps it from making a connection. Its text says of what."""


class SenderNotStarted(Exception):
    """The end of a process before it was ready. Its text says why, without any secret."""


def launch(control: int, life: int) -> subprocess.Popen[bytes]:
    """Start the program of a sender with its ends of the control socket and of the pipe."""
    # What only the receiver needs is none of a plugin's business.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    top = str(Path(receiver.__file__).parents[1])
    # Without the folder in which the receiver happens to run, unless the program stands there.
    alone = ["-P"] if sys.flags.safe_path or top in sys.path[1:] else []
    command = [sys.executable, *alone, "-m", "receiver.destinations.sender"]
    return subprocess.Popen(  # noqa: S603  (our own program)
        [*command, str(control), str(life)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(control, life),
        env=environ,
    )


class Work:
    """Requests in progress. It is the context of each of them."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._none_left = threading.Condition(self._counting)
        self._number = 0

    def __enter__(self) -> None:
        with self._counting:
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._counting:
            self._number -= 1
            if not self._number:
                self._none_left.notify_all()

    def await_end(self, within: float) -> None:
        """Wait until none is left, at most so many seconds."""
        with self._counting:
            self._none_left.wait_for(lambda: not self._number, within)


class SenderProcess:
    """A process that sends. It ends with the receiver: its control socket closes.

    `is_current`: it takes new requests; `has_answered`: it has made an attempt. `cause` says why
    it was ended from here. `working` is the context of a request in progress.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._passing = set[Connection]()
        self._control, theirs = socket.socketpair()
        life, self._life = os.pipe()
        try:
            with theirs:
                self._process = launch(theirs.fileno(), life)
        except OSError:
            self.close()
            raise
        finally:
            os.close(life)
        self.pid = self._process.pid
        self.is_current = True
        self.has_answered = False
        self.cause = ""
        self.working = Work()

    def await_ready(self) -> None:
        """Wait until it is ready; SenderNotStarted if it ends, or is not within half a minute."""
        set_timeout(self._control, socket.SO_RCVTIMEO, STARTS_WITHIN)
        try:
            head = self._control.recv(wire.HEAD, socket.MSG_WAITALL)
            length = wire.length_of(head, _LONGEST_HELLO)
            text = self._control.recv(length, socket.MSG_WAITALL) if len(head) == wire.HEAD else b""
            hello = wire.parsed(text) if text else {}
        except BlockingIOError:
            raise SenderNotStarted(f"it is not ready after {STARTS_WITHIN:g} s") from None
        except (OSError, wire.GarbledFrame):
            raise SenderNotStarted("it says what no sender says") from None
        if not isinstance(hello, dict) or "version" not in hello:
            words = hello.get("error") if isinstance(hello, dict) else None
            raise SenderNotStarted(str(words) if words else f"it ended ({self._end(5.0)})")
        if hello["version"] != __version__:
            raise SenderNotStarted(
                f"the program on disk is version {hello['version']}, and this process is"
                f" {__version__}: restart it"
            )
        set_timeout(self._control, socket.SO_RCVTIMEO, 0)

    def await_end(self) -> None:
        """Wait until it ends, or until `retire` or `kill` is called."""
        with contextlib.suppress(OSError):
            if self._control.recv(1):
                self.kill("garbled")  # a sender says nothing there

    def connect(self, destination: Destination, within: float) -> Connection:
        """Make a connection for a destination; SenderGone if it does not take it.

        SenderOutOfReach if this process cannot make one.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise SenderOutOfReach(os.strerror(error.errno or 0).lower()) from None
        connection = Connection(ours)
        with self._changing:
            self._passing.add(connection)
        try:
            with theirs:
                socket.send_fds(self._control, [b"C"], [theirs.fileno()])
                # The other end has to be taken before it is closed here, or macOS may lose it.
                connection.expect_begun(within)
            connection.tell(wire.from_destination(destination))
        except OSError as error:
            connection.close()
            if error.errno in _LACKS:
                raise SenderOutOfReach(os.strerror(error.errno).lower()) from None
            raise SenderGone(has_begun=False) from None
        except (SenderGone, wire.GarbledFrame):
            connection.close()
            raise
        finally:
            with self._changing:
                self._passing.discard(connection)
        return connection

    def retire(self, cause: str, within: float) -> None:
        """Take no new requests, and end when those in progress have ended, or after `within` s."""
        if not self._leave(cause):
            return
        threading.Thread(target=self._finish, args=(within,), name="sender", daemon=True).start()

    def kill(self, cause: str) -> None:
        """End it at once, even if it is stopped."""
        self._leave(cause)
        with contextlib.suppress(OSError):
            self._process.kill()

    def end(self, within: float) -> str:
        """Let it end as with the receiver; wait for that, and return in words how it ended."""
        self.is_current = False
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        return self._end(within)

    def close(self) -> None:
        """Close what is open of a process that has ended."""
        self._control.close()
        os.close(self._life)
        # Who passes a connection to it holds the other end, too, and would not see its end.
        with self._changing:
            for connection in self._passing:
                connection.end()

    def _leave(self, cause: str) -> bool:
        with self._changing:
            if not self.is_current:
                return False
            self.is_current = False
            self.cause = self.cause or cause
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RD)  # this wakes `await_end`
        return True

    def _finish(self, within: float) -> None:
        self.working.await_end(within)
        self._process.kill()
        self._end(5.0)
        self.close()

    def _end(self, within: float) -> str:
        """Wait for its end, and hasten it after some seconds; return in words how it ended."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"
