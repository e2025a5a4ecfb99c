"""Short form of `pytest tests/stories --store postgres`: some of the stories, and the model.

Three processes share the database of the model, and each of them does the next act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.prove_order.proof import prove
from tests.stories import (
    test_alarms,
    test_groups,
    test_quiet_hours,
    test_reminders,
    test_silences,
    test_stuck,
    test_told_of,
)
from tests.support.people import START, Walk
from tests.support.postgres import Server
from tests.support.stores import on

STORIES: list[tuple[str, int, Callable[[Walk], None]]] = [
    (
        test_reminders.ROUTES, START,
        test_reminders.test_reminders_run_for_as_long_as_it_waits_and_say_how_long_and_which,
    ),
    (
        test_groups.ROUTES, START,
        test_groups.test_those_who_were_told_together_are_reminded_and_told_the_end_together,
    ),
    (
        test_silences.ROUTES, START,
        test_silences.test_confirmations_that_still_wait_are_each_listed_afterwards,
    ),
    (
        test_alarms.ROUTES, START,
        test_alarms.test_rules_that_cannot_be_read_again_are_told_until_they_can,
    ),
    (test_stuck.ROUTES, START, test_stuck.test_an_execution_that_moves_on_begins_anew),
    (
        test_told_of.ROUTES, START,
        test_told_of.test_a_list_tells_of_them_at_another_destination_too,
    ),
    (
        test_quiet_hours.ROUTES, test_quiet_hours.EVENING,
        test_quiet_hours.test_those_of_the_night_are_reminded_together_in_the_day,
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _on_postgres(postgres: Server) -> Iterator[None]:
    with on(postgres):
        yield


@pytest.mark.parametrize(
    ("routes", "now", "story"), STORIES, ids=[story.__name__[5:] for _, _, story in STORIES]
)
def test_a_story_goes_as_in_a_file(
    tmp_path: Path, routes: str, now: int, story: Callable[[Walk], None]
) -> None:
    walk = Walk(tmp_path, routes, now=now)
    story(walk)
    walk.store.close()


@pytest.mark.parametrize("kind", ["legal", "random"])
def test_three_processes_keep_the_rules_about_order_as_one_does(kind: str) -> None:
    figures = prove(kind, 18, 60, nodes=3)
    assert figures["superseded"]
    assert figures["held (gap)"]
