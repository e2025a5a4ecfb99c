"""Stories of who was told of the present stay of an execution: by a message, a list, in print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import PRINTED, Attempt, Outcome
from receiver.events import Status
from receiver.intake.explain_stored import in_list
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, Walk

FAILED, AWAITS = Status.FAILED, Status.AWAITING_CONFIRMATION
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s, fallback: night}
  night: {url: console://, rate: 1000/s}
  approvers: {url: console://, rate: 1000/s}
routes:
  - {name: failures, match: {status: failed, agent: "Silenced *"}, notify: ops}
  - {name: confirmations, match: {status: awaiting_confirmation}, notify: approvers, resolved: true}
"""
ONLY_PRINTED = Attempt(Outcome.DELIVERED, f"{PRINTED}nobody has it")


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def told_of(walk: Walk, *executions: str) -> dict[str, bool]:
    found = walk.store.told_of([("s", each) for each in executions])
    return {execution: printed for (_, execution), printed in found.items()}


def told_now(walk: Walk) -> dict[str, list[tuple[str, str, str]]]:
    """Return whom the first page names, by the execution that failed."""
    return {
        each["execution_id"]: [
            (to["destination"], to["kind"], to["state"]) for to in each["told"]
        ]
        for each in walk.store.failed(0, 9)
    }  # fmt: skip


def two_fail_in_a_silence(walk: Walk) -> None:
    """Let two executions fail while their agent is silenced for an hour."""
    of = Silence({"agent": ("Silenced *",)}, "deploy", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    for execution in ("sil-1", "sil-2"):
        walk.comes(FAILED, execution, agent_name="Silenced bot")
    walk.gets()


def test_word_of_how_a_wait_ended_tells_of_the_failure_that_ended_it(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.comes(FAILED)
    assert told_of(walk, "x") == {}
    assert told_now(walk) == {"x": [("approvers", "resolved", "waiting")]}
    assert walk.titles("approvers") == [
        "approvers: Invoice agent: failed after waiting for confirmation for 0 s"
    ]
    assert told_of(walk, "x") == {"x": False}


def test_a_list_tells_of_each_execution_that_it_names(walk: Walk) -> None:
    two_fail_in_a_silence(walk)
    assert told_of(walk, "sil-1", "sil-2") == {}
    walk.passes(HOUR)
    assert len(walk.gets("ops")) == 1
    assert told_of(walk, "sil-1", "sil-2") == {"sil-1": False, "sil-2": False}
    lists = [("ops", "notice", "superseded"), ("ops", "digest", "sent")]
    assert told_now(walk) == {"sil-1": lists, "sil-2": lists}


def test_a_list_tells_of_them_at_another_destination_too(walk: Walk) -> None:
    two_fail_in_a_silence(walk)
    walk.passes(HOUR)
    walk.gets("ops", GONE)
    assert told_of(walk, "sil-1", "sil-2") == {}
    assert len(walk.gets("night")) == 1
    assert told_of(walk, "sil-1", "sil-2") == {"sil-1": False, "sil-2": False}
    assert ("night", "fallback", "sent") in told_now(walk)["sil-2"]
    (kept_back,) = walk.shown("sil-2")["deliveries"]
    assert (kept_back["destination"], kept_back["instead"]) == ("ops", "night")
    arrived = in_list(kept_back)
    assert arrived is not None
    assert arrived["at"] == kept_back["attempts"][-1]["at"]


def test_what_was_only_printed_is_told_apart(walk: Walk) -> None:
    walk.comes(FAILED, "one", agent_name="Silenced bot")
    walk.gets("ops", ONLY_PRINTED)
    assert told_of(walk, "one") == {"one": True}
    assert walk.store.failed(0, 9)[0]["told"][0]["printed"] is True
    of = Silence({"agent": ("Silenced *",)}, "deploy", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    walk.comes(FAILED, "two", agent_name="Silenced bot")
    walk.passes(HOUR)
    walk.gets("ops", ONLY_PRINTED)
    assert told_of(walk, "one", "two") == {"one": True, "two": True}
