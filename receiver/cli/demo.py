"""`receiver demo`: a scripted sender with a throw-away key against a real server.

Everything in it is real: HTTP on loopback, RSA signatures, the SQLite store, the rules, the
dispatch. Only the destination is the console.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from receiver.cli import client
from receiver.config import routes_file
from receiver.config.settings import load_settings
from receiver.sources import signing
from receiver.sources.formats import asteroid
from receiver.sources.verification import Verification
from receiver.store import opening
from receiver.store.contract import Store
from receiver.times import SECOND
from receiver.web import app, json_views
from receiver.web.server import server

ROUTES = """\
sources:
  asteroid:
    verify:
      scheme: rsa-sha256
      keys: ["${DEMO_PUBLIC_KEY}"]
      secret_header: {name: X-Receiver-Secret, value: "${DEMO_SECRET}"}
destinations:
  ops: console://
  approvers: console://
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: [approvers]
  - name: failures
    match: {status: failed}
    notify: [ops]
  - name: completed without success
    match: {status: completed, outcome: "!success"}
    notify: [ops]
  - name: not accepted
    match: {verdict: [rejected, quarantined]}
    notify: [ops]
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Webhook of the script; `seconds` is its time after the script's start."""

    description: str
    event: str
    execution: str
    seconds: int
    payload: dict[str, Any]
    event_id: str = ""
    forged: bool = False


def script(run: str) -> list[Step]:
    """Return the webhooks in their order of arrival. `run` makes their ids unique."""
    invoice = f"invoice-{run}"
    report = f"report-{run}"
    question = {"reason": "About to pay 4,200 EUR to a new supplier"}
    broken = {"reason": "The supplier's portal refused the log-in three times"}
    return [
        Step("it starts", asteroid.STARTED, invoice, 0, {}, f"{run}-1"),
        Step("it waits for people", asteroid.AWAITING_CONFIRMATION, invoice, 20, question),
        Step("the start, sent again", asteroid.STARTED, invoice, 0, {}, f"{run}-1"),
        Step("a resume, come late", asteroid.RESUMED, invoice, 10, {}),
        Step("it fails", asteroid.FAILED, invoice, 40, broken),
        Step("a resume after the end", asteroid.RESUMED, invoice, 50, {}),
        Step("signed by somebody else", asteroid.FAILED, report, 30, {}, forged=True),
        Step("another one starts", asteroid.STARTED, report, 30, {}),
        Step("a user pauses it", asteroid.PAUSED, report, 35, {"paused_by": "user"}),
        Step("its end, come too early", asteroid.COMPLETED, report, 45, {"outcome": "failure"}),
        Step("the resume in between", asteroid.RESUMED, report, 40, {}),
    ]


def run(*, stay: bool, port: int) -> None:
    """Serve on a throw-away database, send the script, print the outcome of each webhook.

    With `stay` it serves until Ctrl-C, so that people can explore the API. `port` 0 stands for any
    free port.
    """
    private, public = signing.generate("rsa-sha256")
    with tempfile.TemporaryDirectory(prefix="receiver-demo-") as folder:
        routes = Path(folder, "routes.yaml")
        routes.write_text(ROUTES, encoding="utf-8")
        environ = {"DEMO_PUBLIC_KEY": public, "DEMO_SECRET": os.urandom(16).hex()}
        rules = routes_file.load(str(routes), environ)
        settings = load_settings({"RECEIVER_PORT": str(port)} if port else {})
        if not port:
            settings = settings.model_copy(update={"port": 0})
        store = opening.open_to_serve(f"sqlite:///{Path(folder, 'demo.db')}")
        try:
            application = app.build(settings, rules, store)
            listening = server.bind(settings)
        except BaseException:
            store.close()
            raise
        with server.serving(application, settings, listening) as url:
            _send_script(url, rules.sources["asteroid"].verification, private, store)
            if stay:
                _stay_up(url)


def _send_script(url: str, verification: Verification, private: str, store: Store) -> None:
    foreign_key = signing.generate("rsa-sha256")[0]
    start = client.now_whole() - 60 * SECOND
    steps = script(os.urandom(3).hex())
    click.echo(
        f"Serving on {url}, with a throw-away key and database.\n\n"
        "Webhooks sent, and messages as they go out:\n"
    )
    for step in steps:
        body = client.asteroid_event(
            step.event,
            step.execution,
            event_id=step.event_id,
            occurred_at=start + step.seconds * SECOND,
            payload=step.payload,
        )
        key = foreign_key if step.forged else private
        status, answer = client.post(f"{url}/webhooks/asteroid", body, verification, key)
        outcome = f"{answer['verdict']} ({answer['reason']})" if "verdict" in answer else "refused"
        click.echo(f"  {step.description:<24} HTTP {status}  {outcome}")
    _wait_until(lambda: not _count_unsent(store), seconds=20)
    _print_report(store, dict.fromkeys(step.execution for step in steps))


def _count_unsent(store: Store) -> int:
    states = store.ledger()["deliveries"]
    return int(states.get("waiting", 0)) + int(states.get("sending", 0))


def _wait_until(is_done: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_done() and time.monotonic() < end:
        time.sleep(0.05)


def _print_report(store: Store, executions: dict[str, None]) -> None:
    click.echo("\nWhat is known now:\n")
    for execution_id in executions:
        story = store.execution("asteroid", execution_id)
        if story is None:
            continue
        click.echo(f"  {execution_id}: {story['execution']['status']}")
        for event in json_views.known(story, None, 0)["events"]:
            verdict = ", then ".join(f"{s['verdict']} ({s['reason']})" for s in event["steps"])
            click.echo(f"    {event['occurred_at']}  {event['event']:<32} {verdict}")
        for delivery in story["deliveries"]:
            reason = f" ({delivery['reason']})" if delivery["reason"] else ""
            state = f"{delivery['destination']}: {delivery['state']}{reason}"
            click.echo(f"    message {delivery['id']} to {state}")
    ledger = store.ledger()
    verdicts = ", ".join(f"{n} {name}" for name, n in sorted(ledger["verdicts"].items()))
    click.echo(
        f"\nLedger: {ledger['accepted']} accepted = {verdicts}; {ledger['owed']} messages owed;"
        f" imbalance {ledger['imbalance']}."
    )


def _stay_up(url: str) -> None:
    try:
        click.echo(
            f"\nStill serving. Look around in a browser: {url}/\nOr:\n  curl {url}/api/executions\n"
            f"  curl '{url}/api/executions?category=terminal'\n"
            f"  curl {url}/api/ledger\nCtrl-C ends it and throws everything away."
        )
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("\nEnded.")
