"""Variables: what templates may use, cleaned, and metadata in one short line."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.deliveries import MessageContext
from receiver.events import Status, Verdict
from receiver.messages.notice import check_template, render
from receiver.messages.variables import VARIABLES, metadata_line, variables, why
from receiver.times import SECOND, parse_time

AT = parse_time("2026-01-15T09:02:00Z")
FACTS = MessageContext(
    "asteroid", Verdict.APPLIED, "transition", AT, "e-1", "E", Status.AWAITING_CONFIRMATION, AT,
    "x-1", Status.AWAITING_CONFIRMATION, agent_name="Invoice agent",
    metadata={"team": "payments"}, detail={"reason": "About to pay 4,200 EUR"},
)  # fmt: skip
# The variables of the first version: templates that people wrote go on working.
FIRST = [
    "agent_id",
    "agent_name",
    "category",
    "detail",
    "event",
    "event_id",
    "execution_id",
    "execution_status",
    "execution_url",
    "flags",
    "late",
    "metadata",
    "occurred_at",
    "outcome",
    "previous_status",
    "question",
    "reason",
    "received_at",
    "route",
    "since",
    "source",
    "status",
    "verdict",
    "verdict_reason",
    "waited",
]


def test_templates_of_before_go_on_working() -> None:
    assert set(FIRST) <= VARIABLES
    for name in FIRST:
        assert check_template("{{ " + name + " }}") is None
    text = "{{ agent_name }}: {{ reason }} ({{ metadata.team }}), {{ since }}"
    message = render(FACTS, "r", text, text, repeat=False, now=AT)
    assert (
        message.title
        == message.body
        == ("Invoice agent: About to pay 4,200 EUR (payments), 2026-01-15 09:02:00 UTC")
    )


def test_templates_can_say_what_the_default_says() -> None:
    text = "{{ agent_name }}|{{ why }}|{{ metadata_line }}|{{ local_time }}|{{ ago }}"
    zone = ZoneInfo("Europe/Berlin")
    message = render(FACTS, "r", None, text, repeat=False, now=AT + 180 * SECOND, zone=zone)
    assert message.body == (
        "Invoice agent|About to pay 4,200 EUR|team: payments|10:02 CET|3 min ago"
    )
    assert variables(FACTS, "r", AT, zone)["since"] == "2026-01-15 10:02:00 CET"


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ({}, ""),
        ({"team": "payments", "invoice": 4711}, "team: payments · invoice: 4711"),
        ({"empty": "", "none": None, "paid": False, "n": 0}, "paid: false · n: 0"),
        ({"nested": {"a": [1, 2]}}, 'nested: {"a": [1, 2]}'),
        ({"k" * 50: "v" * 90}, f"{'k' * 29}…: {'v' * 59}…"),
        ({f"k{n}": n for n in range(9)},
         "k0: 0 · k1: 1 · k2: 2 · k3: 3 · k4: 4 · k5: 5 · and 3 more"),
        ({"<!channel>": "@everyone\n[x](https://evil)"},
         "＜!channel>: ＠everyone [x］(https://evil)"),
    ],
)  # fmt: skip
def test_metadata_is_one_short_line_of_dead_text(metadata: dict[str, Any], line: str) -> None:
    assert metadata_line(metadata) == line


HOSTILE = st.text() | st.sampled_from(["@everyone", "<!channel>", "\u202e", "\ud800", "@", "<"])


@given(st.dictionaries(HOSTILE, HOSTILE | st.integers() | st.lists(HOSTILE, max_size=3)))
def test_any_metadata_is_one_line_within_its_limit(metadata: dict[str, Any]) -> None:
    line = metadata_line(metadata)
    assert len(line) <= 600
    assert "\n" not in line
    assert not re.search(r"<[!@#]|@everyone|[\u202e\ud800]", line)


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        (Status.PAUSED_BY_AGENT, {"question": "Which?", "reason": "Two fit"}, "Which?"),
        (Status.PAUSED_BY_AGENT, {"reason": "Two fit"}, "Two fit"),
        (Status.FAILED, {"reason": "worker_crash", "os_error": {"message": "EPIPE"}},
         "worker_crash"),
        (Status.FAILED, {"os_error": {"message": "EPIPE"}}, "EPIPE"),
        (Status.COMPLETED, {"outcome": "failure", "reasoning": "No such invoice"},
         "No such invoice"),
        (Status.COMPLETED, {"outcome": "success", "reasoning": "All paid"}, ""),
        (Status.FAILED, {"reason": {"message": "from an object"}}, "from an object"),
        (Status.FAILED, {"reason": ["odd"]}, ""),
    ],
)  # fmt: skip
def test_why_says_what_is_asked_or_the_cause(
    status: Status, detail: dict[str, Any], words: str
) -> None:
    assert why(replace(FACTS, status=status, detail=detail)) == words
