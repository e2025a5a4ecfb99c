"""Stories: what a test leaves open is closed, or a run would have no descriptors left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import people


@pytest.fixture(autouse=True)
def _ended(tmp_path: Path) -> Iterator[None]:
    """Close the stores of a test's walks after it, and before their folder is removed."""
    with people.ending():
        yield
