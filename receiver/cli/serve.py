"""Commands that serve: the server itself, and the demo."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping
from contextlib import closing

import click

from receiver import __version__, logs
from receiver.cli.configuration import (
    check_configuration,
    load_configuration,
    read_configuration,
    spool_of,
)
from receiver.config.settings import Settings, load_settings
from receiver.destinations import sending as here
from receiver.destinations.sender.pool import Senders
from receiver.destinations.sending import Sending
from receiver.errors import ReceiverError, StorageAway
from receiver.store import opening
from receiver.web.server.passed import passed_socket

log = logging.getLogger("receiver")


_host = click.option("--host", help="The address to listen on, instead of RECEIVER_HOST.")
_port = click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to listen on, instead of RECEIVER_PORT."
)


@click.command()
@click.option("--no-dispatch", is_flag=True, help="Take webhooks, send nothing.")
@_host
@_port
def serve(no_dispatch: bool, host: str | None, port: int | None) -> None:
    """Take webhooks and send messages, until SIGTERM or Ctrl-C."""
    _serve(host, port, dispatch=not no_dispatch)


@click.command()
@_host
@_port
def work(host: str | None, port: int | None) -> None:
    """Send messages and take no webhooks, beside others that serve the same PostgreSQL.

    It listens for /healthz, /readyz, /metrics and the API.
    """
    _serve(host, port, receive=False)


def _serve(
    host: str | None, port: int | None, *, dispatch: bool = True, receive: bool = True
) -> None:
    asked = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: asked.set())  # the rules are read from here on
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: os._exit(0))  # no webhook is accepted yet
    os.umask(0o077)  # the database holds the bodies of webhooks
    passed = passed_socket(load_settings(os.environ), os.environ)
    if passed is not None:
        # Whether other machines can reach it depends on where it really listens.
        host, port = passed.getsockname()[:2]
    instead = {
        name: str(value)
        for name, value in (("RECEIVER_HOST", host), ("RECEIVER_PORT", port))
        if value is not None
    }
    senders = load_settings({**os.environ, **instead}).senders
    with closing(Senders(senders) if senders else here) as sending:
        _serve_with(
            sending, instead, dispatch=dispatch, receive=receive, passed=passed, asked=asked
        )


def _serve_with(
    sending: Sending, instead: Mapping[str, str], *, dispatch: bool, receive: bool,
    passed: socket.socket | None, asked: threading.Event,
) -> None:  # fmt: skip
    """Serve with a way of sending, which also checks the destinations."""
    settings, rules = read_configuration(instead)
    sending.expect(rules.destinations.values())
    # What sends starts meanwhile.
    from receiver.web import app
    from receiver.web.server import server

    settings, rules = check_configuration(settings, rules, instead=instead, sending=sending)
    if not receive and not opening.is_shared(settings.database_url):
        raise ReceiverError(
            "One process serves a file, and takes its webhooks, too: use `receiver serve`, or set"
            " RECEIVER_DATABASE_URL to a PostgreSQL that several serve."
        )
    logs.configure(settings.log_format, settings.log_level)
    log.info("rules.read digest=%s", rules.digest())
    for warning in rules.warnings:
        log.warning("config %s", warning)
    for destination in rules.destinations.values():
        place = sending.leads_to(destination)
        log.info("destination.leads_to destination=%s place=%r", destination.name, place)
    server.check_parser(settings)
    listening = server.bind(settings) if passed is None else passed
    # A spool takes webhooks for a database that is away, from the start on.
    may_be_away = receive and any(source.spool for source in rules.sources.values())
    _log_database(settings, may_be_away=may_be_away)
    store = opening.open_to_serve(
        settings.database_url, backlog=settings.backlog, may_be_away=may_be_away
    )
    application = app.build(
        settings,
        rules,
        store,
        dispatch=dispatch,
        receive=receive,
        read=lambda: load_configuration(instead=instead, sending=sending)[1],
        spool=spool_of(settings),
        sending=sending,
    )
    server.serve(application, settings, listening, asked.is_set, is_passed=passed is not None)


def _log_database(settings: Settings, *, may_be_away: bool) -> None:
    """Log which schema a shared database has, and who serves it with another version."""
    try:
        schema = opening.schema_of(settings.database_url)
    except StorageAway:
        if may_be_away:
            return  # the store tells of it
        raise
    if schema is None:
        return
    log.log(logging.INFO if schema.found == schema.ours else logging.WARNING, schema.text())
    for node in schema.nodes:
        if node.version != __version__:
            log.warning("node.other_version node=%s version=%s", node.name, node.version)


@click.command(name="demo")
@click.option("--exit", "leave", is_flag=True, help="End after the script instead of staying up.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
def demo_(leave: bool, port: int) -> None:
    """Show the whole walk: a scripted sender against a real server, nothing to set up."""
    from receiver.cli import demo

    logs.configure("text", "error")
    demo.run(stay=not leave, port=port)


COMMANDS = (serve, work, demo_)
