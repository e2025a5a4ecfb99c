"""The store's contract on PostgreSQL, and what only several processes can get wrong."""

from __future__ import annotations

import pytest

from receiver.store.postgres.store import PostgresStore
from tests.store.conformance import Engine, StoreContract
from tests.support.postgres import Server

# The clock that counts in stories: the time that is passed in.
PASSED = ":now"


class TestPostgres(StoreContract):
    """Every test of the contract, on a schema without rows."""

    @pytest.fixture
    def engine(self, postgres: Server) -> Engine:
        url = postgres.emptied()
        return lambda *, backlog=2_000: PostgresStore(url, backlog=backlog, now=PASSED)
