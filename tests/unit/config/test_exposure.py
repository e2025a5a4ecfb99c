"""Secrets that are written out in routes.yaml: what is one, and what is none."""

from __future__ import annotations

import re

import pytest

from receiver.config import strict_yaml
from receiver.config.exposure import without_comments, written_out
from tests.support.commands import TOP

NONE = """\
sources:
  rsa: {verify: {scheme: rsa-sha256, keys: ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"]}}
  hook: {verify: {scheme: standard-webhooks, keys: ["${SECRET}", "whpk_MCowBQYDK2VwAyEA"]}}
  asks:
    verify:
      {scheme: token, keys: [{key: "${TOKEN}", label: old}], header: Authorization,
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


HEX = "3f9a8b7c6d5e4f3a3f9a8b7c6d5e4f3a"
API = ("sources", "asks", "api", "base_url")
WORDS = (
    "{{ agent_name }} failed: {{ why }}",
    "{{ why }} {{ execution_url }}",
    "!user_requested",
    "{% if why %}{{ why }}{% else %}nobody knows{% endif %}",
    "GitHub triage v2",
    "Invoice *",
    "See https://wiki.example.org/runbooks/agent-failures?id={{ execution_id }}",
    "Rechnungsprüfungsstelle Köln",
    "Token budget exceeded (24h)",
    "請求書を処理する人工知能エージェントの名前",
)


def found(text: str) -> list[object]:
    return list(written_out(strict_yaml.read(text.encode()).content))


def test_a_file_of_variables_and_public_keys_has_none() -> None:
    assert found(NONE) == []


@pytest.mark.parametrize("words", WORDS)
def test_what_people_write_in_rules_is_none(words: str) -> None:
    assert found(NONE.replace("notify: ops", f"notify: ops, title: '{words}'")) == []
    assert found(NONE.replace("status: failed", f"agent: '{words}'")) == []


def test_the_proofs_of_the_reference_are_none() -> None:
    rows = (TOP / "receiver/help/sources.md").read_text("utf-8")
    proofs = re.findall(r"`(\{scheme: [^`]*\})`", rows)
    assert len(proofs) > 10
    for proof in proofs:
        assert found(f"sources:\n  hook:\n    verify: {proof}\n") == [], proof


def test_the_longest_texts_are_judged_at_once() -> None:
    for text in ("a" * 19_999 + "B", "pass" * 5_000, "password" + ":" * 19_999, "?a=" * 7_000,
                 "Aa" * 9_000, "/" * 19_999, " " * 19_999, "sha2-" * 4_000):  # fmt: skip
        for place in ("notify: ops", "console://}}"):
            quoted = f"notify: ops, body: '{text}'" if place == "notify: ops" else f"{text}}}}}"
            found(NONE.replace(place, quoted))
    blanks = f"a: 'b'{' ' * 19_999}\nc: d # e\n"
    assert without_comments(blanks) == blanks.replace(" # e", "")


def test_the_number_of_an_agent_is_none() -> None:
    agent = "52ef95d0-59e5-4c1b-9a37-b9f3fceff36e"
    assert found(NONE.replace("status: failed", f"agent: [{agent}, '!{agent}']")) == []


@pytest.mark.parametrize("path", ["routes.yaml", *(f"deploy/routes/{name}.yaml" for name in
                                  ("approvers", "many-teams", "night", "ops"))])  # fmt: skip
def test_the_files_that_are_shipped_have_none(path: str) -> None:
    assert found((TOP / path).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('"${SECRET}"', "whsec_c2VjcmV0", ("sources", "hook", "verify", "keys", 0)),
        ('"${TOKEN}"', '"${A}-and-more"', ("sources", "asks", "verify", "keys", 0, "key")),
        ('"${X:-}"', '"${X:-a-secret}"', ("sources", "asks", "verify", "secret_header", "value")),
        ('"${API_KEY}"}', "abc}", ("sources", "asks", "api", "key")),
        ("${OPS_URL:-console://}", "${OPS_URL:-slack://T/B/xyz}", ("destinations", "ops")),
        ("${B:-console://}", "${B:-slack://T/B/xyz}", ("destinations", "nested")),
        ("127.0.0.1:9/", "127.0.0.1:9/token", ("destinations", "local")),
        ("${TOKEN_C}", "abc", ("destinations", "team")),
        ("${C}", "B0Gus12", ("destinations", "hooks")),
        ("${PASSWORD}", "abc", ("destinations", "mail")),
        ("mode=starttls", "pass=abc", ("destinations", "mail")),
        ("@${API_KEY}", "@abc", ("destinations", "pager", "url")),
        ("https://api.example.org", "https://a:b@api.example.org", API),
        ("example.org/v1", f"example.org/{HEX}", API),
        ("example.org/v1", "example.org/a-tenant", API),
        ("scheme: standard-webhooks, keys: [\"${SECRET}\", ", "scheme: hmac-sha256, keys: [",
         ("sources", "hook", "verify", "keys", 0)),
        ("secret_header: {name", "prefix: 'Bearer hunter', secret_header: {name",
         ("sources", "asks", "verify", "prefix")),
        ("MIIBIj", "is-no-key-at-all-MIIBIj", ("sources", "rsa", "verify", "keys", 0)),
        ("json://127.0.0.1:9/", "https://ntfy.sh/a-topic", ("destinations", "local")),
        ("name: failures", f"name: {HEX}", ("routes", 0, "name")),
        ("status: failed", f"agent: {HEX}", ("routes", 0, "match", "agent")),
        ("status: failed", "metadata: {token: abc}", ("routes", 0, "match", "metadata", "token")),
        ("status: failed", f"metadata: {{team: {HEX}}}",
         ("routes", 0, "match", "metadata", "team")),
        ("status: failed", f"metadata: {{{HEX}: x}}", ("routes", 0, "match", "metadata")),
        *(("notify: ops", f"notify: ops, body: '{body}'", ("routes", 0, "body")) for body in (
            f"https://wiki.example.org/?token={HEX}", "https://wiki.example.org/?sig=abc",
            "https://a:b@wiki.example.org/", "password=Tr0ub4dor&3", "the token: abc", HEX,
            "q" * 40, "1234567890" * 3, "aB3!aB4!aB5!aB6!aB7", "3f9a 8b7c 6d5e 4f3a",
            "{{ agent_name }} $${AB_3f9a8b7c6d5e4f3a}", "{# 3f9a8b7c6d5e4f3a #}",
            "!%&$§-x",
        )),
    ],
)  # fmt: skip
def test_what_is_written_out_is_found_where_it_stands(
    before: str, after: str, place: object
) -> None:
    assert before in NONE
    assert place in found(NONE.replace(before, after, 1))


COMMENTS = """\
\ufeff# secret_header: {name: X-Receiver-Secret, value: "CANARY"}
sources:   # keys: ["CANARY"]
  rsa: {verify: {scheme: token, keys: ["${T}"]}}#was CANARY
    # password=CANARY

  b:
    verify: {scheme: token, # CANARY
      # CANARY
      keys: ["${T}", # CANARY
             "${U}"]#CANARY
      }
destinations:
  ops: "${OPS_URL}"#https://hooks.slack.com/services/CANARY
  a#b: console://#c
routes:
- name: 'it''s # none'  # CANARY
  title: plain words
    go on # CANARY
  # CANARY
  body: |+ # CANARY
    first # stays
    # stays, too

  # CANARY

- name: >-   #CANARY
    folded
  notify: [ops]
# CANARY"""


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_no_comment_stays_and_all_else_does(ends: str) -> None:
    text = COMMENTS.replace("\n", ends)
    left = without_comments(text)
    assert "CANARY" not in left
    assert left.count("stays") == 2
    content = strict_yaml.read(text.encode()).content
    assert strict_yaml.read(left.encode()).content == content
    assert content["routes"][1]["name"] == "folded"
    # What has no comment stays as it is written.
    assert without_comments(NONE.partition("   #")[0] + "\n") == NONE.partition("   #")[0] + "\n"
