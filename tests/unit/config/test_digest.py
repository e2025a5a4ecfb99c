"""The digest of the rules: the same for the same meaning, another one for another, no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.config import routes_file

FILE = """\
sources:
  a:
    verify: {scheme: token, header: X-T, keys: ["${KEY}"]}
    observes: [running, completed, failed]
  b:
    verify: {scheme: hmac-sha256, header: X-S, keys: [{key: "0123456789abcdef", label: old}],
             secret_header: {name: X-R, value: "a-second-proof-of-mine"}}
destinations:
  ops: {url: "json://user:pass@127.0.0.1:1/x", rate: 1/s}
  lead: {url: "console://", quiet: {from: "22:00", to: "07:00", tz: Europe/Berlin}}
routes:
  - {name: one, match: {status: failed}, notify: [ops], title: "{{ agent_name }} failed"}
  - {name: two, match: {status: completed, metadata: {team: x}}, notify: [lead], group: {by: agent}}
"""


def digest(folder: Path, text: str, key: str = "k" * 16) -> str:
    (folder / "routes.yaml").write_text(text)
    return routes_file.load(str(folder / "routes.yaml"), {"KEY": key}).digest()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sources:\n", "# Ours.\n\nsources:\n\n"),
        ("[running, completed, failed]", "[failed, running, completed]"),
        ("rate: 1/s", "rate: 60/m"),
        ("{status: failed}", "{status: [failed]}"),
        ("rate: 1/s}", "rate: 1/s, retry_for: 24h}"),  # the default
        ("0123456789abcdef", "another-secret-of-16"),
        ("a-second-proof-of-mine", "another-second-proof"),
        ("user:pass@127.0.0.1:1/x", "other:word@127.0.0.1:2/y"),
    ],
    ids=["blank", "order", "unit", "list", "default", "key", "header", "url"],
)
def test_what_means_the_same_or_is_a_secret_changes_nothing(
    tmp_path: Path, before: str, after: str
) -> None:
    assert before in FILE
    assert digest(tmp_path, FILE.replace(before, after)) == digest(tmp_path, FILE)


def test_the_order_of_sources_and_destinations_means_nothing(tmp_path: Path) -> None:
    head, _, rest = FILE.partition("destinations:\n")
    places, _, routes = rest.partition("routes:\n")
    first, second = places.splitlines(keepends=True)
    turned = f"{head}destinations:\n{second}{first}routes:\n{routes}"
    assert digest(tmp_path, turned) == digest(tmp_path, FILE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("observes: [running, completed, failed]", "observes: [running, completed]"),
        ("label: old", "label: new"),
        ("name: X-R", "name: X-Q"),
        ("header: X-T", "header: X-U"),
        ("rate: 1/s", "rate: 2/s"),
        ("json://", "jsons://"),
        ('"22:00"', '"23:00"'),
        ("Europe/Berlin", "Europe/London"),
        ("agent_name }} failed", "agent_id }} failed"),
        ("team: x", "team: y"),
        ("group: {by: agent}", "group: {by: agent, wait: 5s}"),
        ("notify: [lead]", "notify: [lead, ops]"),
        ("header: X-T, keys", "header: X-T, tolerance: 1m, keys"),
        ("    observes:", "    spool: true\n    observes:"),
    ],
)  # fmt: skip
def test_what_means_something_else_changes_it(tmp_path: Path, before: str, after: str) -> None:
    assert before in FILE
    assert digest(tmp_path, FILE.replace(before, after)) != digest(tmp_path, FILE)


def test_the_order_of_routes_and_a_key_that_is_not_there_change_it(tmp_path: Path) -> None:
    head, _, routes = FILE.partition("routes:\n")
    one, two = routes.splitlines(keepends=True)
    assert digest(tmp_path, f"{head}routes:\n{two}{one}") != digest(tmp_path, FILE)
    assert digest(tmp_path, FILE, key="") != digest(tmp_path, FILE)
