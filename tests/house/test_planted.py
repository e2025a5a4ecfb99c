"""Every planted bug still has its place in the program, and says what it means there."""

from __future__ import annotations

import pytest

from tests.prove_deliveries.planted import BUGS as OF_DELIVERIES
from tests.prove_durability.planted import BUGS as OF_DURABILITY
from tests.prove_nodes.planted import BUGS as OF_NODES
from tests.prove_people.planted import BUGS as OF_PEOPLE
from tests.support.planting import Bug, bug, misplaced, planted

BUGS = (*OF_DELIVERIES, *OF_DURABILITY, *OF_NODES, *OF_PEOPLE)


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_has_its_place(bug: Bug) -> None:
    assert misplaced(bug) == []


def test_a_bug_without_a_place_and_one_that_names_nothing_are_misplaced() -> None:
    nowhere = bug("b", "receiver/times.py", "no such line", "", "", "")
    assert misplaced(nowhere) == ["b: times.py has 'no such line' 0 times"]
    vague = bug("b", "receiver/times.py", "\ndef span(", "\nlater(sooner)\n\ndef span(", "", "")
    assert misplaced(vague) == ["b: times.py has no later", "b: times.py has no sooner"]
    alone = bug("b", "receiver/metrics.py", "threading.Lock()", "self.sooner", "", "")
    assert misplaced(alone) == ["b: metrics.py has no self.sooner"]
    with pytest.raises(ValueError, match="0 times"), planted(nowhere):
        pass


def test_planting_changes_a_copy() -> None:
    first = BUGS[0]
    with planted(first) as tree:
        for file, _, new in first.changes:
            assert new in (tree / "receiver" / file).read_text("utf-8")
        assert (tree / "tests" / "support").is_dir()
