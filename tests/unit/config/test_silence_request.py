"""A silence that is asked for: what is right is read, what is wrong is told in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.config.silence_request import match_of, read_silence
from receiver.errors import ConfigurationError
from receiver.sources.source import Source
from receiver.sources.verification import Verification
from receiver.times import SECOND, UNITS

NOW = 1_800_000_000 * SECOND
SOURCES = {"asteroid": Source("asteroid", "asteroid", Verification("token", ()))}
GOOD: dict[str, Any] = {"match": {"status": "failed"}, "reason": "a test", "by": "me", "for": "2h"}


def problems(content: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_silence(content, NOW, SOURCES, ["ops"])
    return caught.value.problems


def test_a_good_one_is_read() -> None:
    silence = read_silence(GOOD, NOW + 1, SOURCES, ["ops"])
    assert silence.match == {"status": ("failed",)}
    assert (silence.begins, silence.ends) == (NOW, NOW + 2 * UNITS["h"] * SECOND)
    assert (silence.reason, silence.by) == ("a test", "me")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mach": {}}, "unknown key 'mach': did you mean 'match'?"),
        ({"match": {"stauts": "failed"}}, "unknown key 'stauts': did you mean 'status'?"),
        ({"match": {"source": "astroid"}},
         "source: there is no 'astroid': did you mean 'asteroid'?"),
        ({"match": {"alarm": True}},
         "alarm: alarms are not silenced, because then telling could fail unseen"),
        ({"match": {"dead_letter": "opps"}},
         "dead_letter: there is no 'opps': did you mean 'ops'?"),
        ({"match": {}}, 'match: say what is silenced; {"status": "*"} is everything'),
        ({"reason": ""}, "reason: must not be empty"),
        ({"reason": "\u202e"}, "reason and by: must hold something that can be read"),
        ({"for": "2 h"}, "for: must be a duration like 90s, 15m, 2h or 1d"),
        ({"until": "2020-01-01T00:00:00Z"},
         'for or until: say one of them, like {"for": "2h"}'),
        ({"for": None, "until": "2020-01-01T00:00:00Z"},
         "until: it would be over before it begins"),
        ({"from": "now"},
         "from: not an RFC 3339 timestamp with an offset, like 2026-01-15T10:30:00Z"),
    ],
)  # fmt: skip
def test_a_mistake_is_told(changes: dict[str, Any], says: str) -> None:
    assert says in problems(GOOD | changes)


def test_what_must_be_keys_with_values_is_told_with_the_keys_of_a_silence() -> None:
    (whole,) = problems([])
    assert whole.startswith("the silence: must be keys with values, like {match: …, reason: …,")
    (match,) = problems(GOOD | {"match": "failed"})
    assert match.startswith("match: must be keys with values, like {source: …, status: …,")


def test_a_command_line_says_match_in_words() -> None:
    assert match_of(["status=failed", "status=cancelled", "metadata.team=a=b"]) == {
        "status": ["failed", "cancelled"], "metadata": {"team": ["a=b"]},
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="write it like status=failed"):
        match_of(["failed"])
