"""Commands of the sender's side: make a key, sign and post a test event."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from receiver.cli import client
from receiver.cli.configuration import load_configuration, source_named
from receiver.errors import ReceiverError
from receiver.sources import signing


@click.command()
@click.option("--source", required=True, help="A source of routes.yaml: its scheme and format.")
@click.option("--event", required=True, help="EXECUTION_FAILED …; for format plain a status.")
@click.option("--execution", required=True, metavar="ID", help="The execution's id.")
@click.option(
    "--key", type=click.File("r"), required=True, help="File with the private key or the secret."
)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The receiver.")
@click.option("--reason", help="The provider's reason in the event.")
@click.option("--event-id", default="", help="Default: a new one.")
def send(
    source: str, event: str, execution: str, key: Any, url: str, reason: str | None, event_id: str
) -> None:
    """Sign and post a test event, as the source's sender would."""
    _, rules = load_configuration(destinations=False)
    sender = source_named(rules, source)
    body = client.sample(sender.format, event, execution, event_id=event_id, reason=reason)
    address = f"{url.rstrip('/')}/webhooks/{sender.name}"
    try:
        status, answer = client.post(address, body, sender.verification, key.read().strip())
    except ValueError as error:
        raise ReceiverError(f"--key: {error}") from error
    click.echo(f"HTTP {status}\n{json.dumps(answer, indent=2)}")
    if status >= 300:
        sys.exit(1)


@click.command()
@click.option(
    "--scheme",
    type=click.Choice(["rsa-sha256", "standard-webhooks", "hmac-sha256", "token"]),
    default="rsa-sha256",
    show_default=True,
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


COMMANDS = (send, keygen)
