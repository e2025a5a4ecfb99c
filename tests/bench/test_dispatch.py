"""The benchmark of dispatch in short: it gives all its figures, and each message arrives once."""

from __future__ import annotations

from tests.bench.dispatch import arguments, measure


def test_every_figure_is_reported_and_every_message_arrives_once() -> None:
    asked = "--rounds 1 --count 3 --singles 2 --webhooks 20 --at 50 --seconds 0.2"
    found = measure(arguments().parse_args(asked.split()))
    assert found.pop("twice") == 0
    for figure in ("dispatch_ratio", "arrival_ratio", "hanging_ratio", "at_50_p99_ratio",
                   "whole_told_ratio"):  # fmt: skip
        assert found[figure] > 0
    assert {name.split("_")[0] for name in found} == {
        "dispatch", "arrival", "hanging", "at", "whole",
    }  # fmt: skip
    assert all(value >= 0 for value in found.values())
