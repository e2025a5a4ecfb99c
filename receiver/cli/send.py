"""Commands from outside a server: post a test event, make a key for it, ask whether it is ready."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from receiver.cli import client
from receiver.cli.configuration import load_configuration, source_named
from receiver.cli.output import Word
from receiver.config.problems import near
from receiver.config.settings import Settings, load_settings
from receiver.errors import ReceiverError
from receiver.sources import signing
from receiver.sources.formats.registry import FORMATS, question_of

# How long a server may take to say whether it is ready: a container's check waits 5 s.
MOST_SECONDS = 4.0
# Seconds that `--wait` waits: a server that starts is there after one or two.
WAIT = 30.0
# What to do about a refusal. The server does not say which of the causes it was.
_HINTS = {
    401: "It is not proven: --key is not of a key pair that the server's source {source} has, its"
    " secret header has another value there (set the server's variables here, too), or it takes"
    " other agents only. The server's log says which.",
    404: "The server there has no source {source}: compare its routes.yaml, and --url.",
    421: "The server has another host name: set its RECEIVER_PUBLIC_URL, or say its address.",
    429: "That was more than the source's rate: wait a moment.",
    503: "The server starts, stops or cannot store anything: see `receiver doctor` and its log.",
}


@click.command()
@click.option("--source", required=True, help="A source of routes.yaml: its scheme and format.")
@click.option("--event", required=True, help="EXECUTION_FAILED …; for format plain a status.")
@click.option("--execution", required=True, metavar="ID", help="The execution's id.")
@click.option(
    "--key", type=click.File("r"), required=True, help="File with the private key or the secret."
)
@click.option("--url", help="The receiver. Default: where RECEIVER_HOST and RECEIVER_PORT say.")
@click.option("--event-id", default="", help="Default: a new one.")
@click.option("--agent", help="The agent's name.")
@click.option(
    "--metadata", multiple=True, metavar="KEY=VALUE", help="Of the execution. Repeat it for more."
)
@click.option("--reason", help="The provider's reason in the event.")
@click.option("--outcome", help="How it completed: success, failure or a word of your own.")
@click.option("--question", help="What the agent asks while it is paused.")
@click.option("--option", "answers", multiple=True, help="An answer to the question. Repeat it.")
@click.option("--paused-by", type=Word(["user", "agent"]), help="Who paused it.")
@click.option("--wait", is_flag=True, help="Wait up to 30 s for the server to be there.")
def send(
    source: str, event: str, execution: str, key: Any, url: str | None, event_id: str, wait: bool,
    agent: str | None, metadata: tuple[str, ...], answers: tuple[str, ...], **details: str | None,
) -> None:  # fmt: skip
    """Sign and post a test event, as the source's sender would."""
    settings, rules = load_configuration(destinations=False)
    sender = source_named(rules, source)
    named: dict[str, Any] = {} if agent is None else {"agent_name": agent}
    body = client.sample(
        sender.format,
        event,
        execution,
        event_id=event_id,
        details=_details(sender.format, event, details, answers),
        metadata=_metadata(metadata),
        **named,
    )
    path = f"/webhooks/{sender.name}"
    # Whoever copies the address from the provider's settings has the whole of it.
    base = (url or _own_address(settings)).rstrip("/").removesuffix(path)
    address = base + path
    if wait:
        client.wait_for(address, WAIT)
    try:
        status, answer = client.post(address, body, sender.verification, key.read().strip())
    except ValueError as error:
        raise ReceiverError(f"--key: {error}") from error
    click.echo(f"HTTP {status}\n{json.dumps(answer, indent=2)}")
    if status >= 300:
        hint = _HINTS.get(status, "")
        raise ReceiverError(hint.format(source=sender.name) or "See the server's log for why.")


def _details(
    source_format: str, event: str, given: Mapping[str, str | None], answers: Sequence[str]
) -> dict[str, Any]:
    """Return the members of the payload; a usage error for what the event cannot have."""
    known = FORMATS[source_format]
    if event not in known.ANNOUNCES:
        raise click.UsageError(f"--event: there is no {event!r}{near(event, known.ANNOUNCES)}")
    details: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    for name in details:
        if name not in known.DETAILS.get(event, ()):
            option = f"--{name.replace('_', '-')}"
            having = [other for other, names in known.DETAILS.items() if name in names]
            those = f"only {', '.join(having)}" if having else f"no event of format {source_format}"
            raise click.UsageError(f"{option}: {event} has none, {those} can.")
    if details.get("question") and details.get("paused_by") == "user":
        raise click.UsageError("--question: only an agent asks; leave out --paused-by user.")
    if answers and "question" not in details:
        raise click.UsageError("--option: say with --question what it is an answer to.")
    if "question" in details:
        details["question"] = question_of(details["question"], answers)
    return details


def _metadata(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for key, separator, _ in pairs:
        if not key or not separator:
            raise click.UsageError(f"--metadata: write it like team=payments, not {key!r}.")
    return {key: value for key, _, value in pairs}


def _own_address(settings: Settings) -> str:
    """Return the address at which a server with these settings answers on this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (asked, and not bound)
    host = everywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@click.command()
@click.option(
    "--scheme",
    type=click.Choice(["rsa-sha256", "standard-webhooks", "hmac-sha256", "token"]),
    default="rsa-sha256",
    show_default=True,
    help="How its webhooks are signed.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="receiver-test",
    show_default=True,
    help="Files to write: OUT.private.pem and OUT.public.pem, or OUT.secret.",
)
def keygen(scheme: str, out: Path) -> None:
    """Make a key for `receiver send` and for tests. Never overwrites a file."""
    private, public = signing.generate(scheme)
    files = {f"{out}.secret": private}
    if private != public:
        files = {f"{out}.private.pem": private, f"{out}.public.pem": public}
    for name, content in files.items():
        _write_key(name, content)
        click.echo(f"wrote {name}")


def _write_key(name: str, content: str) -> None:
    """Write a new file that only its owner may read, from the first moment."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ReceiverError(f"{name} exists. Choose another name with --out.") from None
    except OSError as error:
        raise ReceiverError(f"{name} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(content if content.endswith("\n") else content + "\n")


@click.command()
@click.option("--host", help="Where it listens, instead of RECEIVER_HOST.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Where it listens, instead of RECEIVER_PORT."
)
def healthcheck(host: str | None, port: int | None) -> None:
    """Ask the server of these settings whether it is ready: exit code 0 if so, else 1 and why.

    For containers and supervisors. It asks /readyz directly, past every proxy, and takes 4 s at
    most.
    """
    settings = load_settings(os.environ)
    host, port = host or settings.host, port or settings.port
    if problem := client.ask_readiness(host, port, timeout=MOST_SECONDS):
        raise ReceiverError(problem)
    click.echo("Ready.")


COMMANDS = (send, keygen, healthcheck)
