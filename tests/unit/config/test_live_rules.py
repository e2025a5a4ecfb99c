"""Rules in force: a reload swaps them and what is derived from them as one."""

from __future__ import annotations

import pytest

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.errors import ConfigurationError


def rules(path: str) -> Rules:
    return Rules(path, {}, {}, ())


def test_what_is_derived_is_one_object_until_a_reload_swaps_both() -> None:
    live = LiveRules(rules("old"), lambda rules: [rules.path], lambda: rules("new"))
    before = live.derived
    assert live.derived is before == ["old"]
    live.reload()
    assert (live.rules.path, live.derived) == ("new", ["new"])


def test_listeners_get_the_new_rules_after_both_are_swapped() -> None:
    seen: list[tuple[Rules, str]] = []
    live = LiveRules(rules("old"), lambda rules: rules.path, lambda: rules("new"))
    live.on_change(lambda rules: seen.append((rules, live.derived)))
    live.reload()
    assert seen == [(rules("new"), "new")]


def test_after_an_error_both_stay_as_they_were() -> None:
    def read() -> Rules:
        raise ConfigurationError(["routes.yaml:1: a mistake"])

    results: list[str] = []
    live = LiveRules(rules("old"), lambda rules: [rules.path], read, results.append)
    before = live.derived
    with pytest.raises(ConfigurationError):
        live.reload()
    assert (live.rules.path, results) == ("old", ["failed"])
    assert live.derived is before


def test_the_first_failure_is_known_until_a_reload_succeeds() -> None:
    problems = [
        ["routes.yaml:1: a mistake", "routes.yaml:2: another"],
        ["routes.yaml:3: a third"],
        [],
    ]

    def read() -> Rules:
        if found := problems.pop(0):
            raise ConfigurationError(found)
        return rules("new")

    live = LiveRules(rules("old"), lambda rules: None, read)
    assert live.failed is None
    with pytest.raises(ConfigurationError):
        live.reload()
    first = live.failed
    assert first is not None
    assert first.problem == "routes.yaml:1: a mistake"
    with pytest.raises(ConfigurationError):
        live.reload()
    assert live.failed is first
    live.reload()
    assert live.failed is None
