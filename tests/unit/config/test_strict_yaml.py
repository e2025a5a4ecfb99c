"""Mistakes of YAML: each is told in words, with its line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.config.strict_yaml import YamlError, read
from tests.unit.config.test_routes_file import GOOD, problems

TAG = 'a text that begins with ! needs quotes, like "!'
STAR = "a text that begins"
INDENTED = "the indentation"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("{status: failed}", "{reason: !user_requested}", 8, TAG + 'user_requested"'),
        ("{status: failed}", "{reason: !user_requested , agent: a}", 8, TAG + 'user_requested"'),
        ("{status: failed}", "{reason: [!user_requested, timeout]}", 8, TAG + 'user_requested"'),
        ("{status: failed}", "{reason: [timeout, !user_requested]}", 8, TAG + 'user_requested"'),
        ("{status: failed}", "{reason: ! user_requested}", 8, TAG + 'user_requested"'),
        ("{status: failed}", "\n      reason: !user requested", 9, TAG + 'user requested"'),
        ("{status: failed}", "\n      reason:\n        - !a*", 10, TAG + 'a*"'),
        ("{status: failed}", "{agent: !!str x}", 8, TAG),
        ("{status: failed}", "{agent: !e!x y}", 8, TAG),
        ("{status: failed}", "{agent: *bot}", 8, 'in quotes, like "*bot"'),
        ("{status: failed}", "{agent: *}", 8, STAR),
        ("{status: failed}", "{agent: [*, a]}", 8, STAR),
        ("{status: failed}", "{agent: *bot*}", 8, STAR),
        ("{status: failed}", "\n      agent: & Co", 9, STAR),
        ("{status: failed}", "{agent: @bot}", 8, "a text cannot begin with @: put it in quotes"),
        ("{status: failed}", "{agent: `bot`}", 8, "a text cannot begin with `"),
        ("{status: failed}", "{agent: %bot}", 8, "a text cannot begin with %"),
        ("{status: failed}", "\n      reason: a: b", 9, "a text with `: ` in it needs quotes"),
        ("{status: failed}", "{reason: a: b}", 8, "needs quotes"),
        ("{status: failed}", "{agent: [Prod] Bot}", 8, "needs quotes"),
        ("{status: failed}", "\n      agent: [Prod] Bot", 9, "put the whole text in quotes"),
        ("{status: failed}", "{status: failed", 9, "a bracket that begins in line 8 is not closed"),
        ("{status: failed}", "{status: failed}}", 8, "a bracket"),
        ("{status: failed}", "{status: 'failed}", 8, "a quote begins here and is not closed"),
        ("{status: failed}", '\n      status: "failed', 9, "a quote begins here and is not closed"),
        ("{status: failed}", "\n      agent: 'o'brien'", 9, "goes on after a quote"),
        ("{status: failed}", '\n      agent: "a\\d"', 9, "a backslash is special"),
        ("{status: failed}", "\n\t  status: failed", 9, "a tab: indent and separate with blanks"),
        ("{status: failed}", "\n      status: |failed", 9, "after | or > comes a new line"),
        ("name: failures", "name: failures\n   stop: true", 8, INDENTED),
        ("name: failures", "name: failures\n     stop: true", 8, INDENTED),
        ("  - name: holes", " - name: holes", 10, INDENTED),
        ("  - name: holes", "   - name: holes", 10, INDENTED),
        ("    notify: ops", "   notify: ops", 12, INDENTED),
        ("    notify: ops", "      notify: ops", 12, INDENTED),
        ("    notify: ops", "  notify: ops", 12, INDENTED),
        ("    notify: ops", "    notify", 12, "a line without `key: value`"),
        ("name: failures", "name:failures", 8, INDENTED),
        ("  ops: console", "\u00a0 ops: console", 5, "only looks like a blank"),
        ("name: failures", "name: a\x07b", 7, "a control character (U+0007): remove it"),
        ("ops: console://", "ops: {url: ${OPS_URL}}", 5, 'needs quotes, like "${NAME}"'),
        ("[a-token-of-sixteen-bytes]", "[${TOKEN:-}]", 3, 'needs quotes, like "${NAME}"'),
        ("name: failures", "name: a\n    title: {{ agent_name }}", 8, 'like "{{ agent_name }}"'),
        ("name: failures", "name: a\n    title: {{ agent_name }} x", 8, "in quotes"),
        ("{status: failed}", "\n      status: - failed", 9, "a list begins on a line of its own"),
        ("routes:", "---\nroutes:", 6, "remove `---`"),
        ("routes:", "...\nroutes:", 7, "remove `---`, `...`"),
        ("sources:", "%x\nsources:", 2, "lines that begin with %"),
        ("name: failures", "name: a\n    name: b", 8, "'name' stands here a second time"),
    ],
)  # fmt: skip
def test_a_mistake_of_yaml_says_what_to_write(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in GOOD
    (found,) = problems(tmp_path, GOOD.replace(old, new, 1))
    assert found.startswith(f"{line}: ")
    assert says in found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  ops: console://", "  ops:", "ops: must be keys with values|ops: says nothing"),
        ("  ops: console://", "  ops: #ops", "in quotes if it begins with #"),
        ("  ops: console://", "ops: console://", "unknown key 'ops'"),
        ("  ops: console://", "ops: console://", "destinations: says nothing"),
        ("  ops: console://", "  ops:console://", "a blank after each colon"),
        ("  ops: console://", "  ops: {url:console://}", "write a blank after the colon"),
        ("{status: failed}", "\n    status: failed", "it belongs below 'match' or 'stuck': indent"),
        ("name: failures", "name: a\n    every: 5m", "it belongs below 'remind' or 'group'"),
        ("    verify:", "    scheme: token\n    verify:", "it belongs below 'verify': indent it"),
        ("{status: failed}", "", "match: says nothing"),
        ("notify: ops", "notify:", "notify: says nothing"),
        ("routes:", "routes: {}\nx:", "routes: must be a list, like [a, b]"),
    ],
)
def test_a_wrong_indentation_that_yaml_allows_says_what_to_write(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(part in line for line in found for part in says.split("|")), found


@pytest.mark.parametrize(
    "text",
    [
        "keys: [!canary]", "keys:\n  - !canary", "key: *canary", "key: &canary x", "url: @canary",
        "secret_header: {value: !canary}", "url: 'canary", "key: %canary", "a: b: canary",
        "x: {url:json://me:canary@h}", "x: [canary", "{url:json://canary: 1, url:json://canary: 2}",
    ],
)  # fmt: skip
def test_no_mistake_shows_what_may_be_secret(text: str) -> None:
    message = ""
    try:
        read(text.encode())
    except YamlError as error:
        message = error.message
    assert "canary" not in message


def test_keys_and_names_are_shown_up_to_the_address_that_may_follow(tmp_path: Path) -> None:
    for old, new in (
        ("ops: console://", "ops: {url:json://me:canary@h}"),
        ("ops: console://", "{ops:json://me:canary@h}"),
        ("notify: ops", "notify: json://me:canary@h"),
        ("ops: console://", "ops: {url: console://, fallback: json://me:canary@h}"),
        ("{status: failed}", "{source: json://me:canary@h}"),
        ("{status: failed}", "{event: json://me:canary@h}"),
        ("{status: failed}", "{status:canary}"),
        ("name: failures", "name: a\n    escalate: {after: 1h, notify: json://me:canary@h}"),
    ):
        found = problems(tmp_path, GOOD.replace(old, new, 1))
        assert "canary" not in "\n".join(found), found
        assert any(":…" in line for line in found), found


def test_every_value_has_its_line_whatever_ends_lines(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = GOOD.replace("status: failed", "status: faild").replace("\n", end)
        assert problems(tmp_path, text)[0].startswith("8: status: there is no 'faild'")
        text = GOOD.replace("status: failed", "status: !failed").replace("\n", end)
        assert re.match("8: a text that begins with !", problems(tmp_path, text)[0])
