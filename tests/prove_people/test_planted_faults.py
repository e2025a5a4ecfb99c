"""The proof of people's rules can fail: `--planted` tries all bugs, the suite one of them."""

from __future__ import annotations

import pytest

from tests.prove_people.planted import BUGS, found
from tests.support.planting import Bug


@pytest.mark.parametrize("bug", BUGS[:1], ids=[bug.name for bug in BUGS[:1]])
def test_a_bug_that_is_planted_is_found(bug: Bug) -> None:
    assert found(bug, 1)
