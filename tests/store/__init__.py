"""The store's contract, kept by each engine."""

import pytest

pytest.register_assert_rewrite("tests.store.conformance")
