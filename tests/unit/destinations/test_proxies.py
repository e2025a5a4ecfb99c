"""Which addresses are this machine's own, so that no proxy is asked for them."""

from __future__ import annotations

import pytest

from receiver.destinations.apprise.proxies import is_this_machine, with_rules


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.255.0.9", "::1", "localhost", "LOCALHOST.", "a.localhost", "127.1",
        "2130706433", "0x7f.1", "::ffff:127.0.0.1", "0.0.0.0", "::", "::1%lo",
    ],
)  # fmt: skip
def test_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "128.0.0.1", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org", "fe80::1",
        "::ffff:10.0.0.1", "1270", "face", "127.0.0.1.1", "x127.0.0.1",
    ],
)  # fmt: skip
def test_other_addresses_are_not(host: str) -> None:
    assert not is_this_machine(host)


def test_only_other_machines_are_looked_up() -> None:
    found = {"http": "http://proxy:1"}
    find = with_rules(lambda url, no_proxy: found)
    assert find("http://127.0.0.1:80/x") == find("http://u:p@[::1]/x") == {}
    assert find("http://example.org/x") == find("http://u:127.0.0.1@example.org") == found
    assert find("http://[broken/") == found
