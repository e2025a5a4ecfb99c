"""Secrets that are written out in routes.yaml: what is one, and what is none."""

from __future__ import annotations

import pytest

from receiver.config import strict_yaml
from receiver.config.exposure import written_out
from tests.support.commands import TOP

NONE = """\
sources:
  rsa: {verify: {scheme: rsa-sha256, keys: ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"]}}
  hook: {verify: {scheme: standard-webhooks, keys: ["${SECRET}", "whpk_MCowBQYDK2VwAyEA"]}}
  asks:
    verify:
      {scheme: token, keys: [{key: "${TOKEN}", label: old}],
       secret_header: {name: X, value: "${X:-}"}}
    api: {base_url: "https://api.example.org/v1", key: "${API_KEY}"}
  off: {verify: {scheme: token, keys: }, api: }
destinations:
  ops: "${OPS_URL:-console://}"
  nested: "${A:-${B:-console://}}"
  local: json://127.0.0.1:9/
  team: "slack://${TOKEN_A}/${TOKEN_B}/${TOKEN_C}/#ops"
  hooks: "https://hooks.slack.com/services/${A}/${B}/${C}"
  mail: "mailtos://${USER}:${PASSWORD}@smtp.example.org:587?mode=starttls&from=a@b.org&to=c@b.org"
  pager: {url: "pagerduty://${INTEGRATION_KEY}@${API_KEY}", retry_for: 1h}
routes:
  - {name: failures, match: {status: failed}, notify: ops}   # any URL; console:// prints
"""


def found(text: str) -> list[object]:
    return list(written_out(strict_yaml.read(text.encode()).content, text))


def test_a_file_of_variables_and_public_keys_has_none() -> None:
    assert found(NONE) == []


@pytest.mark.parametrize("path", ["routes.yaml", *(f"deploy/routes/{name}.yaml" for name in
                                  ("approvers", "many-teams", "night", "ops"))])  # fmt: skip
def test_the_files_that_are_shipped_have_none(path: str) -> None:
    assert found((TOP / path).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('"${SECRET}"', "whsec_c2VjcmV0", ("sources", "hook", "verify", "keys")),
        ('"${TOKEN}"', '"${A}-and-more"', ("sources", "asks", "verify", "keys")),
        ('"${X:-}"', '"${X:-a-secret}"', ("sources", "asks", "verify", "secret_header")),
        ('"${API_KEY}"}', "abc}", ("sources", "asks", "api", "key")),
        ("${OPS_URL:-console://}", "${OPS_URL:-slack://T/B/xyz}", ("destinations", "ops")),
        ("${B:-console://}", "${B:-slack://T/B/xyz}", ("destinations", "nested")),
        ("127.0.0.1:9/", "127.0.0.1:9/token", ("destinations", "local")),
        ("${TOKEN_C}", "abc", ("destinations", "team")),
        ("${C}", "B0Gus12", ("destinations", "hooks")),
        ("${PASSWORD}", "abc", ("destinations", "mail")),
        ("mode=starttls", "pass=abc", ("destinations", "mail")),
        ("@${API_KEY}", "@abc", ("destinations", "pager")),
        ("# any URL", "# once slack://T/B/xyz", 19),
        ("# any URL", "# key: 0123456789abcdef0123456789abcdef", 19),
        ("https://api.example.org", "https://a:b@api.example.org", 8),
    ],
)  # fmt: skip
def test_what_is_written_out_is_found_where_it_stands(
    before: str, after: str, place: object
) -> None:
    assert before in NONE
    assert place in found(NONE.replace(before, after, 1))
