"""What several checks of deploy files use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.deployed import Image, built


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The files of the image, built once for all processes of a run."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with built(folder) as found:
        yield found
