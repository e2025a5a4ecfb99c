"""Stories: what a test leaves open is closed, or a run would have no descriptors left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import people


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """Close the stores of a test's walks after it."""
    with people.ending():
        yield
