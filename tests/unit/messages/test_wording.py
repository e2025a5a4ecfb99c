"""Wording: every status has everyday words, and every message is something to people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from receiver.deliveries import MessageContext, Severity
from receiver.events import Status, Verdict
from receiver.lifecycle import RULES
from receiver.messages.notice import render
from receiver.messages.wording import DOING, STANDS, gravest, severity, sort_words
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
FACTS = MessageContext(
    "s", Verdict.APPLIED, "transition", NOW, "e-1", "E", Status.COMPLETED, NOW, "x",
    agent_name="Invoice agent",
)  # fmt: skip


def test_no_status_is_told_by_its_name_if_that_is_no_word() -> None:
    assert set(DOING) == set(STANDS) == set(Status)
    assert not [words for words in (*DOING.values(), *STANDS.values()) if "_" in words]
    assert not [sort_words(status, n) for status in Status for n in (1, 2)
                if "_" in sort_words(status, n)]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (Status.FAILED, {}, "failure"),
        (Status.COMPLETED, {"outcome": "success"}, "success"),
        (Status.COMPLETED, {"outcome": "Success "}, "success"),
        (Status.COMPLETED, {"outcome": "failure"}, "failure"),
        (Status.COMPLETED, {"outcome": "needs_review"}, "warning"),
        (Status.COMPLETED, {}, "info"),
        (Status.COMPLETED, {"outcome": ["odd"]}, "info"),
        (Status.AWAITING_CONFIRMATION, {}, "warning"),
        (Status.PAUSED_BY_AGENT, {}, "warning"),
        (Status.PAUSED, {}, "info"),
        (Status.RUNNING, {}, "info"),
        (Status.CANCELLED, {"reason": "timeout"}, "info"),
    ],
)
def test_news_of_a_status_is_what_it_is_to_people(
    status: Status, detail: dict[str, Any], expected: str
) -> None:
    facts = replace(FACTS, status=status, detail=detail)
    assert severity(facts) == expected
    assert render(facts, "r", None, None, repeat=False, now=NOW).severity == expected


def test_the_gravest_of_many_counts() -> None:
    assert gravest([]) is Severity.INFO
    assert gravest([Severity.SUCCESS, Severity.INFO]) is Severity.INFO
    assert gravest([Severity.SUCCESS, Severity.WARNING, Severity.INFO]) is Severity.WARNING
    assert gravest(Severity) is Severity.FAILURE


@pytest.mark.parametrize(("verdict", "reason"), [rule for rule in RULES if rule[0] != "applied"])
@pytest.mark.parametrize("standing", [*Status, None])
@pytest.mark.parametrize("announced", [*Status, None])
def test_an_update_that_changed_nothing_is_told_in_whole_sentences(
    verdict: Verdict, reason: str, standing: Status | None, announced: Status | None
) -> None:
    facts = replace(
        FACTS, verdict=verdict, verdict_reason=reason, status=announced, execution_status=standing
    )
    message = render(facts, "r", None, None, repeat=False, now=NOW)
    first = message.body.splitlines()[0]
    assert len(message.title) <= 120
    assert not message.title.endswith("…")
    assert first.endswith((".", "`."))
    assert "_" not in message.title + first.replace("routes.yaml", "")
    assert f"({reason})" not in message.title + first
    assert not {"rejected", "held", "stale", "illegal", "gap"} & set(
        (message.title + " " + first).replace(".", " ").replace(",", " ").split()
    )
    assert message.severity is Severity.WARNING
