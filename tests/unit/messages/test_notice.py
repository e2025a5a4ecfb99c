"""Messages: what people read, and what hostile text cannot do to them."""

from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.deliveries import MessageContext
from receiver.events import Status, Verdict
from receiver.messages.notice import check_template, render
from receiver.messages.sanitize import clean, safe_link
from receiver.times import SECOND, parse_time

AT = parse_time("2026-01-15T10:30:00Z")
FACTS = MessageContext(
    source="asteroid", verdict=Verdict.APPLIED, verdict_reason="transition",
    received_at=AT + 2 * SECOND, event_id="e-1", event="EXECUTION_FAILED", status=Status.FAILED,
    occurred_at=AT, execution_id="a2c7f3b3", execution_status=Status.FAILED,
    previous_status=Status.RUNNING, previous_since=AT - 750 * SECOND, agent_id="agent-1",
    agent_name="Invoice agent", execution_url="https://platform.asteroid.ai/executions/a2c7f3b3",
    detail={"reason": "log-in refused", "os_error": {"message": "EPIPE"}},
)  # fmt: skip


def told(
    facts: MessageContext, title: str | None = None, body: str | None = None, **also: Any
) -> str:
    message = render(facts, "r", title, body, repeat=also.get("repeat", False), now=AT)
    return f"{message.title}\n{message.body}"


def test_a_failure_says_what_who_why_when_and_where() -> None:
    assert told(FACTS) == (
        "Invoice agent failed: log-in refused\n"
        "Error: EPIPE\n"
        "It stopped and will not go on by itself. It had been running for 12 min.\n"
        "See at the link what it had done before you start it again.\n"
        "https://platform.asteroid.ai/executions/a2c7f3b3\n"
        "At 10:30 UTC\n"
        "Execution: a2c7f3b3 · from asteroid"
    )


@pytest.mark.parametrize(
    ("status", "detail", "title"),
    [
        (Status.STARTING, {}, "Invoice agent is starting"),
        (Status.RUNNING, {}, "Invoice agent started"),
        (Status.PAUSED, {}, "Invoice agent was paused"),
        (Status.PAUSED_BY_AGENT, {}, "Invoice agent waits for an answer"),
        (Status.AWAITING_CONFIRMATION, {}, "Invoice agent waits for confirmation"),
        (Status.COMPLETED, {"outcome": "success"}, "Invoice agent completed with success"),
        (Status.COMPLETED, {}, "Invoice agent completed"),
        (Status.COMPLETED, {"outcome": "failure"},
         "Invoice agent completed without success"),
        (Status.COMPLETED, {"outcome": "failure", "reasoning": "no such invoice"},
         "Invoice agent completed without success: no such invoice"),
        (Status.COMPLETED, {"outcome": "needs_review"},
         "Invoice agent completed with outcome needs_review"),
        (Status.AWAITING_CONFIRMATION, {"reason": "About to pay 4,200 EUR"},
         "Invoice agent asks: About to pay 4,200 EUR"),
        (Status.PAUSED_BY_AGENT, {"reason": "Two fit", "question": "Which one?"},
         "Invoice agent asks: Which one?"),
        (Status.FAILED, {"reason": "worker_crash"}, "Invoice agent failed: worker_crash"),
        (Status.FAILED, {"os_error": {"message": "EPIPE"}}, "Invoice agent failed: EPIPE"),
        (Status.CANCELLED, {"reason": "timeout"}, "Invoice agent was cancelled: timeout"),
    ],
)  # fmt: skip
def test_every_status_has_its_title(status: Status, detail: dict[str, str], title: str) -> None:
    assert told(replace(FACTS, status=status, detail=detail)).splitlines()[0] == title


def test_a_question_is_told_with_its_options() -> None:
    question = {
        "questions": [
            {"question": "Pay it?", "header": "h", "options": [{"label": "Yes"}, {"label": "No"}]}
        ]
    }
    facts = replace(FACTS, status=Status.PAUSED_BY_AGENT, detail={"question": question})
    assert told(facts).startswith("Invoice agent asks: Pay it? (Yes / No)\n")
    assert "Question: Pay it? (Yes / No)" in told(facts, "{{ agent_name }} has a question")


def test_an_event_that_does_not_fit_says_so_and_what_stands() -> None:
    facts = replace(
        FACTS, verdict=Verdict.REJECTED, verdict_reason="terminal", status=Status.RUNNING
    )
    text = told(facts)
    assert text.startswith(
        "Invoice agent already failed; a later update that says running does not count\n"
        "Nothing changed: the execution still counts as failed."
    )


@pytest.mark.parametrize(
    ("reason", "what", "to_do"),
    [
        ("future", "an update that is dated in the future", "Compare the clock"),
        ("unknown_status", "an update whose status is not known here", "look for a newer version"),
        ("no_envelope", "something that names no execution", "Switch off “unwrap result”"),
        ("malformed", "something that cannot be read", "Compare the source's `format`"),
    ],
)
def test_a_quarantined_webhook_says_what_to_do(reason: str, what: str, to_do: str) -> None:
    text = told(MessageContext("asteroid", Verdict.QUARANTINED, reason, AT))
    assert text.startswith(f"asteroid sent {what}; it cannot be used\n")
    assert to_do in text
    assert "not announced again today" in text


def test_late_gaps_and_repeats_are_said() -> None:
    late = replace(FACTS, occurred_at=AT - 840 * SECOND)
    assert "\nThis comes late: it happened 14 min ago, at 10:16 UTC.\n" in told(late)
    assert "At 10:16" not in told(late)
    assert "comes late" not in told(replace(FACTS, occurred_at=AT - 300 * SECOND))
    assert "Earlier updates are missing." in told(replace(FACTS, gap=True))
    assert "missing" not in told(FACTS)
    assert told(FACTS, repeat=True).splitlines()[1].startswith("Possible repeat")


def test_an_execution_that_goes_on_has_resumed_and_not_started() -> None:
    runs = replace(FACTS, status=Status.RUNNING, execution_status=Status.RUNNING, detail={})
    resumed = replace(runs, event="EXECUTION_RESUMED")
    started = replace(runs, event="EXECUTION_STARTED", previous_status=Status.STARTING)
    assert told(resumed).startswith("Invoice agent resumed\n")
    for before in (Status.PAUSED, Status.PAUSED_BY_AGENT, Status.AWAITING_CONFIRMATION):
        assert told(replace(started, previous_status=before)).startswith("Invoice agent resumed\n")
    first = replace(resumed, previous_status=None, previous_since=None)
    assert told(first).startswith("Invoice agent resumed\n")
    assert told(started).startswith("Invoice agent started\n")
    assert told(replace(first, event="EXECUTION_STARTED")).startswith("Invoice agent started\n")


def test_what_stands_in_the_title_is_not_said_again() -> None:
    assert told(FACTS).count("log-in refused") == 1
    assert told(FACTS).count("Invoice agent") == 1
    # A title of one's own leaves them to the body.
    other = told(FACTS, "Look at this")
    assert "\nReason: log-in refused\n" in other
    assert "\nAgent: Invoice agent\n" in other
    # A word that is only a part of another one does not stand there.
    part = replace(FACTS, detail={"reason": "fail"})
    assert "Reason: fail" in told(part, "Invoice agent failed")
    assert "Reason: fail" not in told(part)
    # A reason that was cut in the title stands in the body as a whole.
    long_reason = replace(FACTS, detail={"reason": "again and " * 20 + "again"})
    assert told(long_reason).splitlines()[0].endswith("…")
    assert f"Reason: {'again and ' * 20}again" in told(long_reason)


def test_flags_of_doubt_are_said() -> None:
    doubtful = replace(FACTS, flags=frozenset({"order_uncertain"}))
    assert "The times of its updates do not tell for certain" in told(doubtful)
    assert "for certain" not in told(FACTS)


def test_what_is_told_late_says_once_where_it_stands_by_now() -> None:
    past = replace(FACTS, status=Status.RUNNING, execution_status=Status.COMPLETED)
    assert told(past).splitlines().count("By now it is completed.") == 1
    assert "By now" not in told(FACTS)


def test_a_hole_in_the_story_names_the_status_that_is_missing() -> None:
    gap = replace(
        FACTS, verdict=Verdict.REJECTED, verdict_reason="gap", status=Status.COMPLETED,
        execution_status=Status.PAUSED, missing=(Status.RUNNING,),
    )  # fmt: skip
    assert told(gap).startswith(
        "Invoice agent may have completed: an update before that is missing\nA later update says"
        " completed, but the one before it (running) has never come, so the execution still counts"
        " as paused here. Check at the link which of the two is true.\n"
        "If the missing update still comes,"
    )
    held = replace(gap, verdict=Verdict.HELD)
    assert told(held).startswith(
        "Invoice agent is paused; an update that says completed waits for one before it\n"
        "An update says completed, but the one before it (running) has not"
    )


def test_templates_see_cleaned_words_and_a_failing_one_loses_no_alert() -> None:
    assert told(FACTS, "{{ agent_name }}: {{ reason }}", "x").splitlines()[0] == (
        "Invoice agent: log-in refused"
    )
    failed = told(FACTS, "{{ metadata.team.name }}")
    assert failed.startswith("Invoice agent failed")
    assert "(The template of “r” in routes.yaml failed on this event.)" in failed


def test_templates_are_checked_and_cannot_leave_the_sandbox() -> None:
    assert check_template("{{ agent_name }} {{ detail.reason }}") is None
    assert "did you mean 'agent_name'" in (check_template("{{ agent_nam }}") or "")
    assert "cannot be read" in (check_template("{% if %}") or "")
    assert "more than" in (check_template("x" * 20_000) or "")
    assert "failed on this event" in told(FACTS, "{{ reason.__class__.__mro__ }}")


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>", "<!here|x>", "<!subteam^S1|x>", "<@U123>", "<#C1>", "<https://evil|x>",
        "@everyone", "@here", "@channel", "@EVERYONE", "x@everyone", "@every\u200bone",
        "@\u202eeveryone", "<\u200b!channel>", "@@everyone", "<<!channel>", "@e\u00adveryone",
        "@ever\x00yone", "<\x07@U1>",
    ],
)  # fmt: skip
def test_mentions_and_disguised_links_do_not_arrive(text: str) -> None:
    for cleaned in (clean(text), told(replace(FACTS, agent_name=text, detail={"reason": text}))):
        assert not re.search(r"<[!@#]|<https?:|@(everyone|here|channel)", cleaned, re.IGNORECASE)
        assert not re.search("[\u200b\u202e\u00ad\x00\x07]", cleaned)


def test_cleaned_text_stays_readable() -> None:
    assert clean("Päivi @everyone: a < b, mail a.b@example.org, 5 > 3, naïve ☕ 日本") == (
        "Päivi ＠everyone: a < b, mail a.b@example.org, 5 > 3, naïve ☕ 日本"
    )
    assert clean("one\ntwo\u2028three\tfour") == "one two three four"
    assert clean("x" * 700) == "x" * 599 + "…"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://platform.asteroid.ai/executions/1?x=1", True), ("http://a", True),
        ("javascript:alert(1)", False), ("ftp://a/b", False), ("https://good@evil/", False),
        ("https://a b", False), ("https://a|b", False), ("https://a>b", False), ("//a/b", False),
        ("https://", False), ("https://[", False), ("https://a/\u202e", False), ("", False),
        ("https://a/" + "x" * 400, False),
    ],
)  # fmt: skip
def test_only_an_honest_http_address_becomes_a_link(url: str, safe: bool) -> None:
    assert safe_link(url) == (url if safe else "")


def test_a_huge_reason_leaves_the_end_of_the_message_alone() -> None:
    huge = {name: name[0] * 5_000 for name in ("reason", "reasoning", "outcome", "question")}
    facts = replace(FACTS, detail={**huge, "os_error": {"message": "e" * 5_000}})
    long_id = replace(facts, execution_id="i" * 200, agent_name="n" * 500)
    for repeat in (False, True):
        message = render(long_id, "r", None, None, repeat=repeat, now=AT)
        assert len(message.body) <= 2_000
        assert "\nhttps://platform.asteroid.ai/executions/a2c7f3b3\n" in message.body
        assert message.body.endswith(f"\nExecution: {'i' * 200} · from asteroid")


HOSTILE = st.text() | st.sampled_from(["@everyone", "<!channel>", "\u202e", "\ud800", "{{ x }}"])
ANYTHING = st.recursive(
    HOSTILE | st.none() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
)


@given(HOSTILE, HOSTILE, st.dictionaries(
    st.sampled_from(["reason", "outcome", "question", "reasoning", "os_error"]), ANYTHING
), st.sampled_from(Status), st.sampled_from([Verdict.APPLIED, Verdict.REJECTED]))  # fmt: skip
def test_any_facts_make_a_message_within_its_limits(
    name: str, url: str, detail: dict[str, Any], status: Status, verdict: Verdict
) -> None:
    facts = replace(
        FACTS, agent_name=name, execution_url=url, detail=detail, status=status, verdict=verdict,
        metadata=detail,
    )  # fmt: skip
    message = render(facts, "r", None, "{{ reason }} {{ metadata }}", repeat=False, now=AT)
    assert len(message.title) <= 120
    assert len(message.body) <= 2_000
    assert not re.search(r"<!|@everyone|[\u202e\ud800]", message.title + message.body)


@given(HOSTILE, st.integers(1, 50))
def test_cleaning_twice_changes_nothing(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert clean(once, limit) == once
    assert len(once) <= limit


def test_no_character_gets_past_the_cleaning_because_it_looks_plain() -> None:
    for first in range(0, sys.maxunicode + 1, 64):
        # Each between two letters, so that none of them touches another.
        text = "".join(f"a{chr(code)}b" for code in range(first, first + 64))
        for lines in (False, True) if first < 0x3000 else (False,):
            left = clean(text, lines=lines)
            assert all(unicodedata.category(c)[0] != "C" or (lines and c == "\n") for c in left)
            assert left.count("a") >= 64
