"""HTTP server: uvicorn with our limits on connections, signal handling and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from receiver.config.settings import Settings
from receiver.errors import ConfigurationError, ReceiverError, StorageUnavailable
from receiver.web.server.connection_h11 import H11Connection
from receiver.web.server.limits import MAX_HEAD, Bounds

log = logging.getLogger("receiver")


# The time in which connections that were just accepted become ours (seconds): a turn of the loop.
ACCEPTED_WITHIN = 0.02


class Server(uvicorn.Server):
    """A uvicorn server that drains on SIGTERM and SIGINT and then ends with exit code 0.

    `is_reload_asked` says whether a reload was asked for since the rules were read. `is_passed`
    says that whoever passed the socket on keeps it for a successor: while this server drains, new
    connections wait there instead of being answered 503.
    """

    def __init__(
        self,
        app: Starlette,
        settings: Settings,
        is_reload_asked: Callable[[], bool] = lambda: False,
        *,
        is_passed: bool = False,
    ) -> None:
        self._app = app.state
        self._is_passed = is_passed
        self._is_reload_asked = is_reload_asked
        self.settled = threading.Event()  # it serves, or failed to start
        bounds = Bounds(
            head=settings.headers_timeout,
            body=settings.body_timeout,
            limit=settings.max_connections,
            refused=app.state.refusals.connection,
        )
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=functools.partial(_protocol(settings.http), bounds=bounds),  # type: ignore[arg-type]
                h11_max_incomplete_event_size=MAX_HEAD,
                # One setting chooses both uvloop and the faster parser.
                loop="uvloop" if settings.http == "httptools" else "asyncio",
                log_config=None,
                access_log=False,  # we log each webhook; a second line would cost a quarter
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # takes parts, too
                # Half-sent bodies must not delay the end.
                timeout_graceful_shutdown=3,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets)
            if self._is_reload_asked():
                self._reload_beside()
        finally:
            self.settled.set()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; a failure of the storage ends the server, too."""
        return await super().on_tick(counter) or bool(self._app.failure)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals like uvicorn, but do not raise them again: the exit code must be 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._handle_reload)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain before the end: finish the calls in progress and answer 503 to new webhooks."""
        if self._app.endpoint.draining:
            super().handle_exit(sig, frame)  # a second signal ends the waiting
            return
        self._app.endpoint.draining = True
        log.info("serve.stopping signal=%s", signal.Signals(sig).name)
        if self._is_passed and self.started:
            self._loop.call_soon_threadsafe(self._leave_to_successor)
        threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _leave_to_successor(self) -> None:
        """Accept no more connections: the socket's other owner keeps them."""
        for server in self.servers:
            for each in server.sockets:
                self._loop.remove_reader(each)
        # A closed server drops what it has just accepted, so that is taken first.
        self._loop.call_later(ACCEPTED_WITHIN, self._close_servers)

    def _close_servers(self) -> None:
        for each in self.servers:
            each.close()

    def _drain(self) -> None:
        try:
            self._app.drain()
        finally:
            self.should_exit = True

    def _handle_reload(self, sig: int, frame: FrameType | None) -> None:
        self._reload_beside()

    def _reload_beside(self) -> None:
        threading.Thread(target=self._reload, name="reload", daemon=True).start()

    def _reload(self) -> None:
        result = "not loaded: the old rules stay"
        with contextlib.suppress(ConfigurationError):  # it is in the log already
            self._app.in_force.reload()
            result = "loaded"
        self._app.reloaded(result)


def check_parser(settings: Settings) -> None:
    """Raise ConfigurationError if the chosen HTTP parser is not installed."""
    missing = [name for name in ("httptools", "uvloop") if find_spec(name) is None]
    if settings.http == "httptools" and missing:
        raise ConfigurationError(
            [f"RECEIVER_HTTP: {missing[0]} is not installed. Install the extra `fast`, or use h11."]
        )


def _protocol(http: str) -> Any:
    if http == "h11":
        return H11Connection
    from receiver.web.server.connection_httptools import FastConnection

    return FastConnection


def bind(settings: Settings) -> socket.socket:
    """Open the listening socket; raise ConfigurationError if the address is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only if the protocol is named; with it on, the
    # second write of an answer waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            [
                f"RECEIVER_HOST, RECEIVER_PORT: cannot listen on {settings.host} port"
                f" {settings.port} ({error.strerror}). Choose another port, or stop what uses it."
            ]
        ) from error
    return listening


def serve(
    app: Starlette,
    settings: Settings,
    listening: socket.socket,
    is_reload_asked: Callable[[], bool],
    *,
    is_passed: bool = False,
) -> None:
    """Serve until a signal comes; return after the shutdown. It reloads first if asked to.

    `is_passed`: the socket comes from another process, which keeps it for a successor.
    """
    port = listening.getsockname()[1]
    log.info("serve.started address=http://%s:%d", settings.host, port)
    # The committer asks for the interpreter's lock once a batch: 5 ms would be a long wait.
    sys.setswitchinterval(0.0003)
    # The present objects stay for good, so the collector need not visit them again and again. Nor
    # need it run after every 700 new objects, which are a dozen webhooks.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    server = Server(app, settings, is_reload_asked, is_passed=is_passed)
    server.run(sockets=[listening])
    if not server.started:
        raise ReceiverError("It could not start: the reason is in the log above.")
    if app.state.failure:
        raise StorageUnavailable(
            f"{app.state.failure}. Look at the disk and at the system's log; the next start checks"
            " the file."
        )
    log.info("serve.stopped")


@contextlib.contextmanager
def serving(app: Starlette, settings: Settings, listening: socket.socket) -> Iterator[str]:
    """Serve in a thread while the context lasts; yield the base URL."""
    server = Server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        server.settled.wait()
        yield f"http://{settings.host}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
