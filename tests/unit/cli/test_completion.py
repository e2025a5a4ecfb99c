"""A shell completes commands and options."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete

from receiver.cli.main import cli

COMPLETE = BashComplete(cli, {}, "receiver", "_RECEIVER_COMPLETE")


@pytest.mark.parametrize(
    ("words", "begin", "found"),
    [
        ([], "back", ["backtest", "backup"]),
        ([], "deliv", ["deliveries"]),
        (["backtest"], "--r", ["--routes"]),
        (["deliveries", "--state"], "wa", ["waiting"]),
        (["executions"], "sh", ["show"]),
    ],
    ids=["commands", "command", "option", "value", "below"],
)
def test_words_are_completed(words: list[str], begin: str, found: list[str]) -> None:
    assert [each.value for each in COMPLETE.get_completions(words, begin)] == found
