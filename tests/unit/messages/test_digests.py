"""Digests: titles of many shapes, and lines in which the id always stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.deliveries import (
    Claim,
    DeadOriginal,
    Digest,
    DigestItem,
    Kind,
    MessageContext,
    Severity,
)
from receiver.events import Status, Verdict
from receiver.messages.digests import digest_message
from receiver.routing.routes import Group, Route
from receiver.times import SECOND, parse_time

NOW = parse_time("2026-01-15T10:30:00Z")
SINCE = parse_time("2026-01-15T10:02:00Z")
AWAITS = Status.AWAITING_CONFIRMATION
FACTS = MessageContext(
    "s", Verdict.APPLIED, "transition", NOW, "e-1", "E", Status.FAILED, SINCE, "x-1",
    Status.FAILED, agent_name="Invoice agent", execution_url="https://app.example/x-1",
    metadata={"team": "payments"}, detail={"reason": "log-in refused"},
)  # fmt: skip
WAITING = replace(FACTS, status=AWAITS, execution_status=AWAITS, detail={"reason": "Pay 4,200 EUR"})
FAILED, WAITS = DigestItem(Kind.NOTICE, 0, FACTS), DigestItem(Kind.NOTICE, 0, WAITING)
CLAIM = Claim(1, "token", "ops", "r", 0, False, NOW, FACTS, version=3)
BY_REASON = Route("r", (), ("ops",), group=Group(("agent", "reason", "metadata.team"), 1, 1))

Counts = tuple[tuple[str, str, int], ...]


def digest(counts: Counts, *listed: DigestItem, **more: object) -> Digest:
    total = sum(n for _, _, n in counts)
    return replace(Digest(total, counts, listed, since=SINCE), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "title"),
    [
        ((("failed", "Invoice agent", 14),), "Invoice agent: 14 failed since 10:02 UTC"),
        ((("cancelled", "A", 1),), "A: 1 was cancelled since 10:02 UTC"),
        ((("failed", "A", 2), ("failed", "B", 1)), "A and B: 3 failed since 10:02 UTC"),
        ((("failed", "A", 2), ("failed", "B", 1), ("cancelled", "C", 1)),
         "3 agents: 3 failed, 1 was cancelled since 10:02 UTC"),
        ((("failed", "A", 2), ("awaiting_confirmation", "A", 1)),
         "A: 1 to confirm or decline, 2 failed, since 10:02 UTC"),
        ((("rejected", "A", 2),), "A: 2 updates do not count since 10:02 UTC"),
        ((("quarantined", "", 1),), "An agent: 1 webhook could not be used since 10:02 UTC"),
        ((("stuck/running", "A", 2), ("stuck/paused", "A", 1)),
         "Stuck? A: no news of 3 since 10:02 UTC"),
        ((("resolved", "A", 12),), "A: 12 are settled"),
        ((("failed", "A", 12_345),), "A: 12,345 failed since 10:02 UTC"),
    ],
)  # fmt: skip
def test_a_title_says_which_agent_what_and_since_when(counts: Counts, title: str) -> None:
    listed = [WAITS] if any(sort == AWAITS for sort, _, _ in counts) else [FAILED]
    assert digest_message(CLAIM, digest(counts, *listed), None, NOW).title == title


def test_a_title_says_what_the_group_has_in_common() -> None:
    found = digest((("failed", "Invoice agent", 14),), FAILED)
    assert digest_message(CLAIM, found, BY_REASON, NOW).title == (
        "Invoice agent: 14 failed since 10:02 UTC: log-in refused · team payments"
    )
    long_reason = replace(FACTS, detail={"reason": "again and " * 20})
    found = digest((("failed", "Invoice agent", 14),), replace(FAILED, facts=long_reason))
    title = digest_message(CLAIM, found, BY_REASON, NOW).title
    assert title.startswith("Invoice agent: 14 failed since 10:02 UTC: again and")
    assert len(title) == 120


def test_more_sorts_than_are_counted_are_not_claimed_to_be_all() -> None:
    found = digest((("failed", "A", 8),), FAILED, WAITS, total=30)
    message = digest_message(CLAIM, found, None, NOW)
    assert message.title == "Several agents: 30 updates, 1 to confirm or decline since 10:02 UTC"
    assert "\n8 × A: failed\n22 × others\n" in message.body


def test_a_line_says_what_is_asked_or_why_then_the_link_and_the_id_only_once() -> None:
    found = digest((("failed", "A", 1), ("awaiting_confirmation", "A", 1)), FAILED, WAITS)
    assert digest_message(CLAIM, found, None, NOW).body == (
        "To confirm or decline:\n"
        "· Pay 4,200 EUR · for 28 min · https://app.example/x-1\n"
        "The others:\n"
        "· log-in refused · failed · 28 min ago · https://app.example/x-1"
    )
    elsewhere = replace(WAITING, execution_url="https://app.example/run?n=1")
    one = digest((("awaiting_confirmation", "A", 1),), replace(WAITS, facts=elsewhere))
    assert digest_message(CLAIM, one, None, NOW).body == (
        "· Pay 4,200 EUR · for 28 min · https://app.example/run?n=1 · x-1"
    )


def test_ten_confirmations_keep_their_words_and_links_of_the_usual_length() -> None:
    items = []
    for number in range(10):
        key = f"a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e9{number}"
        link = f"https://platform.asteroid.ai/executions/{key}"
        facts = replace(WAITING, execution_id=key, execution_url=link)
        items.append(replace(WAITS, facts=facts))
    found = digest((("awaiting_confirmation", "Invoice agent", 10),), *items)
    lines = digest_message(CLAIM, found, None, NOW, "https://r.example").body.splitlines()
    assert lines[:10] == [
        f"· Pay 4,200 EUR · {(item.facts.execution_url or '')[-8:]} · for 28 min"
        f" · {item.facts.execution_url}"
        for item in items
    ]


def test_notes_stand_around_the_list() -> None:
    found = digest((("failed", "A", 1),), FAILED)
    died = DeadOriginal("mail", "HTTP 404", 1)
    claim = replace(CLAIM, kind=Kind.FALLBACK, origin=died, repeat=True, group_key="quiet/1")
    lines = digest_message(claim, found, None, NOW, "https://r.example/").body.splitlines()
    assert lines[0].startswith("Possible repeat")
    assert lines[1] == "They waited for the end of the quiet hours."
    assert lines[-2:] == [
        "All of them: https://r.example/", "Sent here because mail did not get it: HTTP 404",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "counts", "severity"),
    [
        (FAILED, (("failed", "A", 1),), Severity.FAILURE),
        (WAITS, (("awaiting_confirmation", "A", 1),), Severity.WARNING),
        (replace(FAILED, kind=Kind.RESOLVED,
                 facts=replace(FACTS, status=Status.RUNNING, execution_status=Status.RUNNING)),
         (("resolved", "A", 1),), Severity.SUCCESS),
        (replace(FAILED, kind=Kind.RESOLVED), (("resolved", "A", 1),), Severity.FAILURE),
        (replace(WAITS, kind=Kind.ACKNOWLEDGED), (("acknowledged", "A", 1),), Severity.INFO),
        (replace(FAILED, facts=replace(FACTS, status=Status.COMPLETED,
                                       detail={"outcome": "failure"})),
         (("completed", "A", 1),), Severity.FAILURE),
    ],
)  # fmt: skip
def test_a_digest_is_as_grave_as_its_gravest_message(
    item: DigestItem, counts: Counts, severity: Severity
) -> None:
    assert digest_message(CLAIM, digest(counts, item), None, NOW).severity is severity


TEXT = st.text(max_size=300) | st.sampled_from(["@everyone", "<!channel>", "\u202e", "x" * 400])


@given(
    st.lists(TEXT, min_size=1, max_size=10),
    TEXT,
    st.integers(0, 200),
    st.booleans(),
    st.sampled_from(["", "https://app.example/" + "r" * 250]),
)
def test_every_confirmation_has_its_line_with_its_whole_id_whatever_the_words(
    words: list[str], agent: str, length: int, repeat: bool, link: str
) -> None:
    items, ids = [], []
    for number, word in enumerate(words):
        ids.append(f"id-{number}-" + "i" * min(length, 60))
        facts = replace(
            WAITING, execution_id=ids[-1], agent_name=agent, detail={"reason": word},
            execution_url=link, occurred_at=NOW - 90 * 24 * 3600 * SECOND,
        )  # fmt: skip
        items.append(DigestItem(Kind.REMINDER, 1_000, facts, stuck=True))
    counts = (("awaiting_confirmation", agent, len(words)), ("failed", agent, 3))
    found = digest(counts, *items, FAILED)
    died = DeadOriginal("a" * 40, "r" * 300, 1)
    claim = replace(CLAIM, kind=Kind.FALLBACK, origin=died, repeat=repeat)
    message = digest_message(claim, found, BY_REASON, NOW, "https://receiver.example")
    assert len(message.title) <= 120
    assert len(message.body) <= 1_850
    lines = [line for line in message.body.splitlines() if line.startswith("·")]
    for number, one in enumerate(ids):
        assert lines[number].endswith(one)
    assert "@everyone" not in message.title + message.body
