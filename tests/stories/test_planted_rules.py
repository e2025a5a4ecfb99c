"""Faults planted into the rules of who is told what, once: a story finds each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.dispatch import presence
from receiver.store.sql.database import STATEMENTS
from receiver.store.sqlite.connection import DIALECT
from tests.stories import test_downtime as downtime
from tests.stories import test_giving_up as giving_up
from tests.stories import test_once_a_day as once_a_day
from tests.stories import test_one_message_for_one_thing as one_message
from tests.stories import test_true_digests as digests
from tests.stories import test_who_hears_the_end as ends
from tests.support.people import Walk
from tests.support.stores import only_a_file

Story = Callable[[Walk], None]
# The statement, the text that is lost from it or replaced in it, and the story that sees it.
FAULTS: dict[str, tuple[str, str, str, str, Story]] = {
    "a lost answer is no word": (
        "resolve_episode", " OR d.repeat = 1", "", ends.ROUTES,
        ends.test_an_answer_that_was_lost_counts_as_told_when_it_ends,
    ),
    "what a dead process was sending is no word": (
        "resolve_one_again", "d.repeat = 1", "d.repeat = 2", ends.ROUTES,
        ends.test_what_was_being_sent_when_the_process_died_counts_as_told,
    ),
    "a fall-back of a digest hears no end": (
        "resolve_instead_episode", "f.kind = 'fallback'", "f.kind = 'notice'", ends.ROUTES,
        ends.test_who_got_the_digest_of_a_silence_as_a_fallback_hears_who_took_it_and_its_end,
    ),
    "a fall-back tells what a route told": (
        "has_it_already", "s.id <> d.id", "s.id <> s.id", one_message.ROUTES,
        one_message.test_two_routes_that_tell_it_of_the_same_event_are_one_thing,
    ),
    "a busy destination is never given up": (
        "failures", "coalesce(paused_until, 0)", "0", giving_up.ROUTES,
        giving_up.test_each_is_given_up_by_its_own_time,
    ),
    "a day counts from nothing": (
        "quarantine_told", "told_at > :since", "told_at > :since AND 1 = 0", once_a_day.ROUTES,
        once_a_day.test_over_midnight_it_is_told_once,
    ),
    "one that died counts for a day": (
        "quarantine_untold", "key = :key", "key = ''", once_a_day.ROUTES,
        once_a_day.test_a_day_counts_from_the_one_that_was_sent_and_not_from_one_that_died,
    ),
    "an execution counts twice": (
        "digest_has_repeats", "count(*) >", "count(*) <", digests.ROUTES,
        digests.test_two_escalations_of_the_same_wait_are_one,
    ),
    "what is over still runs": (
        "digest_counts_gathered", "THEN 'over'", "THEN e.status", digests.ROUTES,
        digests.test_those_that_completed_meanwhile_are_not_said_to_run,
    ),
    "our downtime counts": (
        "source_absent", "+ :now - :since", "+ 0 * (:now - :since)", downtime.ROUTES,
        downtime.test_several_kills_do_not_count_and_what_was_served_between_them_does,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_a_file("the fault is planted into its dialect")
    name, old, new, routes, story = FAULTS[fault]
    planned = STATEMENTS[name]
    text = DIALECT.text(planned)
    assert old in text
    monkeypatch.setitem(DIALECT._spelled, planned, text.replace(old, new))
    walk = Walk(tmp_path, routes)
    walk.looks()
    try:
        with pytest.raises((AssertionError, ValueError)):
            story(walk)
    finally:
        walk.store.close()


def test_a_stop_that_nobody_looks_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_absent_since", lambda *_: None)
    walk = Walk(tmp_path, downtime.ROUTES)
    walk.looks()
    with pytest.raises(AssertionError):
        downtime.test_a_kill_does_not_count(walk)
    walk.store.close()
