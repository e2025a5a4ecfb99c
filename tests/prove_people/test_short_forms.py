"""Short forms of the proof about people's rules, and what it shows of itself."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.prove_people import drive, model, said, telling
from tests.prove_people.plan import Act, Place, Rules, Scenario, Told, Way
from tests.prove_people.proof import (
    difference,
    main,
    prove,
    shown,
    smaller_ones,
    smallest,
)
from tests.prove_people.scenarios import TROUBLES, scenario

TEAM, LEAD = Place("team"), Place("lead")
ASKS = Act(7, "moves", "x", "awaiting_confirmation")


def plain(way: Way, *acts: Act, hours: int = 1) -> Scenario:
    """Return a scenario without trouble."""
    return Scenario((Rules((TEAM, LEAD), (way,)),), (ASKS, *acts), (), 0, hours * 3600)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_program_tells_people_what_the_model_says_with_one_trouble(trouble: str) -> None:
    figures = prove(2, range(20), troubles=(trouble,))
    assert figures["messages"] > 20


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("seed", [3, 31])
def test_the_program_tells_people_what_the_model_says_with_all_troubles(
    seed: int, part: int
) -> None:
    """Hold 2,000 scenarios to the model, in parts that run beside each other."""
    assert prove(seed, range(100 * part, 100 * part + 100))["messages"] > 100


def test_the_model_and_the_program_tell_a_known_story(tmp_path: Path) -> None:
    way = Way(
        "waits", ("awaiting_confirmation",), ("team",), every=900, escalate=((1800, "lead"),),
        resolved=True, acknowledged=True,
    )  # fmt: skip
    given = plain(way, Act(2000, "takes", "x", "Ann"), Act(3000, "moves", "x", "running"), hours=2)
    expected = [
        Told(7, "team", (("x", "awaiting_confirmation"),)),
        Told(907, "team", (("x", "reminder 1 awaiting_confirmation"),)),
        Told(1807, "lead", (("x", "escalation awaiting_confirmation"),)),
        Told(1807, "team", (("x", "reminder 2 awaiting_confirmation"),)),
        Told(2000, "lead", (("x", "taken by Ann"),)),
        Told(2000, "team", (("x", "taken by Ann"),)),
        Told(3000, "lead", (("x", "awaiting_confirmation is over: running"),)),
        Told(3000, "team", (("x", "awaiting_confirmation is over: running"),)),
    ]
    assert model.play(given) == expected
    assert drive.play(given, tmp_path) == expected


def test_a_seed_gives_the_same_scenarios_again_and_another_one_others() -> None:
    assert [scenario(5, n) for n in range(50)] == [scenario(5, n) for n in range(50)]
    assert scenario(5, 0) != scenario(6, 0)


def test_scenarios_have_every_trouble_and_everything_that_may_happen() -> None:
    found = [scenario(1, n) for n in range(0, 4_000, 7)]
    assert {act.what for given in found for act in given.acts} == {
        "moves", "hears", "takes", "silences", "unsilences", "reloads", "stops", "starts",
    }  # fmt: skip
    assert {outage.answer for given in found for outage in given.outages} == {
        "503", "404", "later", "lost", "dies",
    }  # fmt: skip
    assert any(now.at < then.at for given in found for then, now in pairwise(given.acts))
    ways = [way for given in found for way in given.rules[0].ways]
    for option in ("every", "at_most", "escalate", "resolved", "acknowledged", "urgent", "quiet",
                   "wait", "stuck"):  # fmt: skip
        assert any(getattr(way, option) for way in ways)


def test_a_smaller_scenario_that_differs_is_found_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "FIRST", 7)  # the model waits longer for a retry than it says
    given = next(
        given
        for given in (scenario(1, n, ("outages",)) for n in range(400))
        if difference(given, tmp_path)
    )
    small = smallest(given, tmp_path)
    assert len(small.acts) <= len(given.acts)
    assert not any(difference(smaller, tmp_path) for smaller in smaller_ones(small))
    text = shown(small)
    assert "answers" in text
    assert "moves " in text
    assert "wanted only:" in difference(small, tmp_path)


def test_the_command_says_how_much_agrees(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["prove_people", "--seed", "4", "--scenarios", "20"])
    assert main() == 0
    assert "no disagreement" in capsys.readouterr().out
    monkeypatch.setattr(said, "said", lambda owed: "nothing")
    assert main() == 1
    assert "seed 4, scenario" in capsys.readouterr().out
