"""Twenty-odd secrets are planted, everything that can be read is read, and none is found."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apprise.plugins.custom_json import NotifyJSON
from click.testing import CliRunner

from receiver import logs
from receiver.cli import client
from receiver.cli.main import cli
from receiver.sources import signing
from receiver.sources.verification import Verification
from receiver.store.sqlite.connection import connect
from tests.support.commands import TOP, run
from tests.support.live import free_port, live, until

NAMES = [
    "api-token", "hmac-key", "old-hmac-key", "stripe-key", "token-key", "secret-header",
    "json-user",
    "json-password", "json-path", "json-query", "json-header", "form-password", "xml-password",
    "mail-user", "mail-password", "slack-a", "slack-b", "slack-c", "discord-id", "discord-token",
    "telegram-token", "whsec", "database-password",
]  # fmt: skip
CANARY = {name: f"canary{number:02d}{name.replace('-', '')}x9" for number, name in enumerate(NAMES)}
CANARY["whsec"] = b64encode(CANARY["whsec"].encode()).decode()
# What Slack, Discord and Telegram take for their parts.
CANARY |= {
    "slack-a": "TCANARY7A1", "slack-b": "BCANARY7B2", "slack-c": "canary7c3canary7c3canary",
    "discord-id": "700700700700700700", "discord-token": "canary7d4" * 7,
    "telegram-token": "707707707:canary7e5_canary7e5_canary7e5-cana",
}  # fmt: skip
ROUTES = """\
sources:
  hub:
    format: plain
    verify:
      scheme: hmac-sha256
      header: X-Hub
      keys: [{key: "${HMAC_KEY}", label: new}, "${OLD_HMAC_KEY}"]
      secret_header: {name: X-Secret, value: "${SECRET_HEADER}"}
  stripe: {verify: {scheme: hmac-sha256, header: X-S, layout: stripe, keys: ["${STRIPE_KEY}"]}}
  token: {format: plain, verify: {scheme: token, header: X-Token, keys: ["${TOKEN_KEY}"]}}
  standard: {verify: {scheme: standard-webhooks, keys: ["whsec_${WHSEC}"]}}
destinations:
  json: "json://${JSON_USER}:${JSON_PASSWORD}@127.0.0.1:${PORT}/${JSON_PATH}?-k=${JSON_QUERY}\
&+X-Key=${JSON_HEADER}"
  form: "form://u:${FORM_PASSWORD}@127.0.0.1:${PORT}/"
  xml: "xml://u:${XML_PASSWORD}@127.0.0.1:${PORT}/"
  mail: "mailto://${MAIL_USER}:${MAIL_PASSWORD}@127.0.0.1:${PORT}?from=a@example.org&to=b@example.org"
  slack: "slack://${SLACK_A}/${SLACK_B}/${SLACK_C}/#ops"
  discord: "discord://${DISCORD_ID}/${DISCORD_TOKEN}"
  telegram: "tgram://${TELEGRAM_TOKEN}/12315544"
routes:
  - {name: failures, match: {status: failed}, notify: [json, form, xml, mail]}
  - {name: never, match: {status: failed, agent: nobody}, notify: [slack, discord, telegram]}
  - {name: not accepted, match: {verdict: [rejected, quarantined]}, notify: [json]}
"""
PATHS = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/api/executions", "/api/deliveries",
         "/api/executions/hub/x", "/api/ledger", "/api/nothing", "/webhooks/hub"]  # fmt: skip


def found(text: str | bytes) -> list[str]:
    """The names of the canaries in a text."""
    content = text if isinstance(text, str) else text.decode("utf-8", "replace")
    return [name for name, canary in CANARY.items() if canary.lower() in content.lower()]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Half of the secrets in the environment, half in files."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    chosen = {"PORT": str(free_port())}  # nobody listens there: every attempt fails
    for number, (name, canary) in enumerate(CANARY.items()):
        if name in ("api-token", "database-password"):
            continue
        variable = name.upper().replace("-", "_")
        if number % 2:
            chosen[variable] = canary
        else:
            (tmp_path / name).write_text(canary + "\n")
            chosen[f"{variable}_FILE"] = str(tmp_path / name)
    (tmp_path / "api-token").write_text(CANARY["api-token"] + "\n")
    chosen["RECEIVER_API_TOKEN_FILE"] = str(tmp_path / "api-token")
    return chosen


def verification() -> Verification:
    return Verification(
        "hmac-sha256", header="X-Hub", secret_header=("X-Secret", CANARY["secret-header"])
    )


def read_all(url: str) -> Iterator[bytes]:
    """Every answer of every address, with the token, with none and with a wrong one."""
    for path in PATHS:
        for given in (f"Bearer {CANARY['api-token']}", "Bearer wrong", ""):
            request = urllib.request.Request(url + path, headers={"Authorization": given})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    yield str(answer.headers).encode() + answer.read()
            except urllib.error.HTTPError as error:
                yield str(error.headers).encode() + error.read()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_a_server_says_holds_a_secret_at_any_log_level(
    tmp_path: Path, environ: dict[str, str], log_format: str
) -> None:
    port = free_port()
    settings = {**os.environ, **environ, "PYTHONPATH": str(TOP), "RECEIVER_PORT": str(port),
                "RECEIVER_LOG_FORMAT": log_format, "RECEIVER_LOG_LEVEL": "debug"}  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve"],
            cwd=tmp_path, env=settings, stdout=log, stderr=log,
        )  # fmt: skip
    url, how = f"http://127.0.0.1:{port}", verification()
    try:
        until(lambda: b"serve.started" in (tmp_path / "log").read_bytes())
        until(lambda: _is_up(url))
        answers = []
        for key in ("hmac-key", "old-hmac-key"):
            body = client.plain_event("failed", "x")
            answers.append(client.post(f"{url}/webhooks/hub", body, how, CANARY[key]))
        answers.append(client.post_raw(f"{url}/webhooks/hub", b"{}", {"X-Hub": "sha256=00"}))
        token = {"X-Token": CANARY["token-key"]}
        answers.append(client.post_raw(f"{url}/webhooks/token", b"{", token))
        answers.append(
            client.post_raw(f"{url}/webhooks/token/", b"{}", {"X-Token": CANARY["token-key"]})
        )
        assert [status for status, _ in answers] == [202, 200, 401, 400, 404]
        until(lambda: (tmp_path / "log").read_bytes().count(b"delivery.attempted") >= 4)
        said = b"".join([json.dumps(answers).encode(), *read_all(url)])
        other = connect(tmp_path / "receiver.db")  # the storage fails for a while
        other.execute("BEGIN IMMEDIATE")
        failed = client.post(f"{url}/webhooks/hub", client.plain_event("failed", "y"), how,
                             CANARY["hmac-key"])  # fmt: skip
        other.execute("ROLLBACK")
        other.close()
        assert failed[0] == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.wait()
    written = (tmp_path / "log").read_bytes()
    assert b"webhook.untrusted" in written
    assert b"webhook.not_stored" in written
    assert found(said + json.dumps(failed).encode()) == []
    assert found(written) == []


def _is_up(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200)
    except OSError:
        return False


def test_no_command_prints_a_secret(tmp_path: Path, environ: dict[str, str]) -> None:
    with live(tmp_path, ROUTES, _filled(environ)) as target:
        how = target.verification
        body = client.plain_event("failed", "x")
        client.post(f"{target.url}/webhooks/hub", body, how, CANARY["hmac-key"])
        until(lambda: target.store.deliveries({}, 10, None)[0][0]["attempts"])
    (tmp_path / "event.json").write_bytes(body)
    (tmp_path / "key").write_text(CANARY["hmac-key"])
    nobody = f"http://127.0.0.1:{free_port()}"
    said = b""
    for arguments in (
        ("check",),
        ("explain", "event.json", "--source", "hub"),
        ("explain", "event.json", "--source", "hub", "--json"),
        ("executions", "--json"),
        ("deliveries",),
        ("deliveries", "--json"),
        ("redeliver", "1"),
        ("send", "--source", "hub", "--event", "failed", "--execution", "x", "--key", "key",
         "--url", nobody),
    ):  # fmt: skip
        done = run(tmp_path, *arguments, stdin=b"", **environ)
        said += done.stdout + done.stderr
    assert b"7 destinations" in said
    assert found(said) == []


def _filled(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("RECEIVER_")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hmac-sha256, header: X-S", "rsa-sha256, header: X-S"),
        ("keys: [{key:", "keys: [{kee:"),
        ("label: new", "label: [new]"),
        ("keys: [\"${TOKEN_KEY}\"]", "keys: [[\"${TOKEN_KEY}\"]]"),
        ("name: X-Secret, value:", "name: X-Secret, valeu:"),
        ("whsec_${WHSEC}", "whsk_${WHSEC}"),
        ("whsec_${WHSEC}", "whpk_${WHSEC}"),
        ("  telegram: \"tgram://", "  telegram: \"tgrm://"),
        ("discord: \"discord://${DISCORD_ID}", "discord: \"discord://"),
        ("form: \"form://u:${FORM_PASSWORD}@127.0.0.1:${PORT}/\"",
         "form: {url: [\"form://u:${FORM_PASSWORD}@127.0.0.1/\"]}"),
        ("form: \"form://u:${FORM_PASSWORD}@127.0.0.1:${PORT}/\"",
         "form: {url: \"form://u:${FORM_PASSWORD}@127.0.0.1/\", rate: \"${FORM_PASSWORD}\"}"),
        ("{name: never,", "{name: never, title: \"{{ ${TOKEN_KEY} }}\","),
        ("status: failed, agent: nobody", "status: \"${TOKEN_KEY}\""),
        ("notify: [slack, discord, telegram]", "notify: [\"${SLACK_C}\"]"),
        ("sources:", "sources: ${TOKEN_KEY}\nx:"),
    ],
)  # fmt: skip
def test_a_secret_in_the_wrong_place_is_not_shown_by_the_error(
    tmp_path: Path, environ: dict[str, str], old: str, new: str
) -> None:
    assert old in ROUTES
    (tmp_path / "routes.yaml").write_text(ROUTES.replace(old, new))
    clean = {name: None for name in os.environ if name.startswith("RECEIVER_")}
    settings = {**clean, **environ, "RECEIVER_ROUTES": str(tmp_path / "routes.yaml")}
    done = CliRunner().invoke(cli, ["check"], env=settings)
    assert done.exit_code == 1
    assert found(done.output + str(done.exception)) == []


def test_settings_in_the_wrong_place_are_not_shown_by_the_error(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    password = CANARY["database-password"]
    for name, value in (
        ("DATABASE_URL", f"postgresql://user:{password}@db.example.org/x"),
        ("PORT", password),
        ("PUBLIC_URL", password),
        ("LOG_LEVEL", password),
        ("RATE", password),
        ("API_TOKEN", password),  # it is set as a file, too
        ("NONSENSE", password),
    ):
        done = run(tmp_path, "serve", stdin=b"", **{**environ, f"RECEIVER_{name}": value})
        assert done.returncode == 1
        assert found(done.stdout + done.stderr) == []


def test_a_traceback_holds_no_secret(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url: Callable[[NotifyJSON], str] = NotifyJSON.url

    def broken(self: NotifyJSON, *_: object, **__: object) -> bool:
        raise RuntimeError(f"this plugin says too much: {url(self)}")

    monkeypatch.setattr(NotifyJSON, "send", broken)
    heard = io.StringIO()
    ears = logging.StreamHandler(heard)
    ears.setFormatter(logs.Text())
    logging.getLogger().addHandler(ears)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        given = {"api_token": CANARY["api-token"]}
        with live(tmp_path, ROUTES, _filled(environ), **given) as target:
            body = client.plain_event("failed", "x")
            answer = client.post(
                f"{target.url}/webhooks/hub", body, target.verification, CANARY["hmac-key"]
            )
            said = [json.dumps(answer).encode()]
            monkeypatch.setattr(target.store, "ledger", lambda: 1 // 0)
            said += read_all(target.url)
            until(lambda: "an exception" in str(target.store.deliveries({}, 9, None)))
            said += read_all(target.url)
    finally:
        logging.getLogger().removeHandler(ears)
        logging.getLogger().setLevel(level)
    assert "ZeroDivisionError" in heard.getvalue()
    assert found(heard.getvalue()) == []
    assert b"raised an exception" in b"".join(said)
    assert found(b"".join(said)) == []


def test_nothing_prints_what_it_holds(tmp_path: Path, environ: dict[str, str]) -> None:
    with live(tmp_path, ROUTES, _filled(environ), api_token=CANARY["api-token"]) as target:
        held = [target.verification, target.store, target]
        assert found(repr(held)) == []
    assert len(CANARY) >= 20
    assert found(" ".join(CANARY.values())) == list(CANARY)  # it would be found
    assert signing.generate("token")[0] not in repr(held)
