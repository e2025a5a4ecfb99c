"""The short forms of `tests.prove_nodes`: the same proofs with small counts.

That of `moves` is tests/cli/test_migrate.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.prove_nodes.proofs import prove
from tests.support.postgres import Server
from tests.support.stores import on


@pytest.fixture(autouse=True)
def _on_the_server_of_the_run(postgres: Server) -> Iterator[None]:
    """Let the proofs use that server, but for the one that stops its own."""
    with on(postgres):
        yield


@pytest.mark.parametrize(
    "command",
    [
        "kills --kills 2 --nodes 2",
        "restarts --restarts 2 --nodes 2",
        # What runs beside it shares the processors with the database: how long is not held here.
        "database --restarts 2 --nodes 2 --within 30",
        "one --count 20",
    ],
    ids=lambda command: command.split()[0],
)
def test_several_nodes_are_one_in_short(command: str) -> None:
    report = prove(*command.split(), "--seed", "4")
    assert report.broken == [], str(report)
