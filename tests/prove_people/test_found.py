"""Findings of the proof in their smallest form: the rules' answer is the program's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.prove_people import drive, model
from tests.prove_people.plan import Act, Outage, Place, Quiet, Rules, Scenario, Way

MINUTE, HOUR, NOON = 60, 3600, 12 * 3600
TEAM, LEAD, MAIL = Place("team"), Place("lead"), Place("mail")
WAITS = Way("waits", ("awaiting_confirmation",), ("team",))
STUCK = Way("stuck", ("running",), ("team",), stuck=20 * MINUTE)
ASKS, RUNS, FAILS = "awaiting_confirmation", "running", "failed"


def moves(at: int, execution: str, status: str) -> Act:
    return Act(at, "moves", execution, status)


def rules(*ways: Way, places: tuple[Place, ...] = (TEAM, LEAD, MAIL)) -> Rules:
    return Rules(places, ways)


def told(
    folder: Path, versions: Rules | tuple[Rules, ...], *acts: Act, until: int = HOUR,
    outages: tuple[Outage, ...] = (), ahead: int = 0,
) -> list[str]:  # fmt: skip
    """Return what people are told by the program, which is what the model says."""
    versions = versions if isinstance(versions, tuple) else (versions,)
    given = Scenario(versions, acts, outages, NOON, until, ahead=ahead)
    seen = drive.play(given, folder)
    assert model.play(given) == seen
    return [" ".join(str(each).split()) for each in seen]


def test_all_that_a_silence_keeps_back_at_its_end_is_reminded_of(tmp_path: Path) -> None:
    way = replace(WAITS, every=10 * MINUTE, wait=2 * MINUTE, apart=2 * MINUTE)
    silence = Act(1, "silences", "status", ASKS, MINUTE)
    assert told(
        tmp_path, rules(way), silence, moves(7, "x", ASKS), moves(9, "y", ASKS), until=662,
    ) == [
        "61 s team x: awaiting_confirmation; y: awaiting_confirmation",
        "661 s team x: reminder 1 awaiting_confirmation",
        "661 s team y: reminder 1 awaiting_confirmation",
    ]  # fmt: skip


def test_a_digest_that_falls_back_says_what_is_before_what_ended(tmp_path: Path) -> None:
    night = Quiet(NOON, NOON + HOUR)
    team = replace(TEAM, fallback=("mail",))
    ways = replace(WAITS, resolved=True), Way("ends", (FAILS,), ("team",))
    versions = tuple(
        rules(*ways, places=(each, LEAD, MAIL)) for each in (team, replace(team, quiet=night))
    )
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(60, "reloads", number=1),
        moves(67, "x", FAILS), outages=(Outage("team", 2 * MINUTE, 2 * HOUR, "404"),),
        until=2 * HOUR,
    ) == [
        "7 s team x: awaiting_confirmation",
        "3600 s mail x: failed",
    ]  # fmt: skip


def test_an_end_is_another_thing_than_what_begins_with_it(tmp_path: Path) -> None:
    team = replace(TEAM, fallback=("mail",))
    ways = replace(WAITS, resolved=True), Way("ends", (FAILS,), ("mail",))
    silence = Act(60, "silences", "agent", "agent-x", 5 * MINUTE)
    assert told(
        tmp_path, rules(*ways, places=(team, LEAD, MAIL)), moves(7, "x", ASKS), silence,
        moves(67, "x", FAILS), outages=(Outage("team", 2 * MINUTE, HOUR, "404"),),
    ) == [
        "7 s team x: awaiting_confirmation",
        "360 s mail x: awaiting_confirmation is over: failed",
        "360 s mail x: failed",
    ]  # fmt: skip


def test_a_reminder_that_comes_back_counts_from_before_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    way = replace(WAITS, every=15 * MINUTE)
    versions = rules(way), rules(replace(way, name="waiting"))
    assert told(
        tmp_path, versions, moves(2407, "x", ASKS), Act(2500, "reloads", number=1),
        Act(2700, "stops"), Act(400, "starts"), Act(1400, "reloads", number=0), until=1500,
        ahead=2300,
    ) == [
        "1400 s team x: reminder 1 awaiting_confirmation",
        "2407 s team x: awaiting_confirmation",
    ]  # fmt: skip


def test_after_the_clock_was_set_back_our_absence_puts_off_no_escalation(tmp_path: Path) -> None:
    way = replace(WAITS, escalate=((HOUR, "lead"),))
    watch = replace(STUCK, statuses=(ASKS,), stuck=3 * HOUR)
    day = 24 * HOUR
    assert told(
        tmp_path, rules(way, watch), moves(day + 7, "x", ASKS), Act(day + 100, "stops"),
        Act(200, "starts"), Act(300, "stops"), Act(1000, "starts"), until=2 * HOUR, ahead=day,
    ) == [
        "3800 s lead x: escalation awaiting_confirmation",
        "86407 s team x: awaiting_confirmation",
    ]  # fmt: skip


def test_an_escalation_that_a_reload_moved_keeps_its_time_when_the_clock_is_set_back(
    tmp_path: Path,
) -> None:
    way = replace(WAITS, escalate=((HOUR, "lead"),))
    versions = rules(way), rules(replace(way, escalate=((HOUR, "mail"),)))
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(200, "reloads", number=1),
        Act(210, "reloads", number=0), Act(250, "stops"), Act(100, "starts"),
        until=2 * HOUR, ahead=150,
    ) == [
        "7 s team x: awaiting_confirmation",
        "3607 s lead x: escalation awaiting_confirmation",
    ]  # fmt: skip


def test_a_reminder_counts_from_word_that_waits_again(tmp_path: Path) -> None:
    way = replace(STUCK, every=30 * MINUTE)
    silence = Act(60, "silences", "status", RUNS, 40 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x", RUNS), silence, Act(1807, "hears", "x"), until=2 * HOUR
    ) == [
        "3007 s team x: stuck running",
        "4807 s team x: reminder 1 running",
        "6607 s team x: reminder 2 running",
    ]  # fmt: skip


def test_a_reminder_counts_from_word_that_waits_again_also_if_nobody_served(tmp_path: Path) -> None:
    way = replace(STUCK, every=30 * MINUTE)
    silence = Act(60, "silences", "status", RUNS, 40 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x", RUNS), silence, Act(900, "stops"), Act(4500, "starts"),
        until=2 * HOUR,
    ) == [
        "4807 s team x: stuck running",
        "6607 s team x: reminder 1 running",
    ]  # fmt: skip


def test_quiet_hours_keep_nothing_back_that_is_planned_for_later_by_the_right_clock(
    tmp_path: Path,
) -> None:
    """Before, a claim put it off again and again, and never ended."""
    lead = replace(LEAD, quiet=Quiet(NOON, NOON + HOUR))
    way = replace(WAITS, escalate=((2 * MINUTE, "lead"),))
    assert told(
        tmp_path, rules(way, places=(TEAM, lead, MAIL)), moves(7, "x", ASKS), Act(300, "stops"),
        Act(60, "starts"), until=2 * HOUR, ahead=240,
    ) == [
        "7 s team x: awaiting_confirmation",
        "3600 s lead x: escalation awaiting_confirmation",
    ]  # fmt: skip


def test_word_of_an_end_waits_for_the_digest_of_its_group_also_where_it_escalated(
    tmp_path: Path,
) -> None:
    way = replace(
        WAITS, notify=("lead",), wait=MINUTE, apart=5 * MINUTE, resolved=True,
        escalate=((20 * MINUTE, "lead"),),
    )  # fmt: skip
    assert told(
        tmp_path, rules(way), moves(7, "x", ASKS), moves(1507, "x", RUNS), moves(1607, "x", ASKS),
        moves(1707, "x", RUNS),
    ) == [
        "67 s lead x: awaiting_confirmation",
        "1207 s lead x: escalation awaiting_confirmation",
        "1507 s lead x: awaiting_confirmation is over: running",
        "1667 s lead x: awaiting_confirmation",
        "1807 s lead x: awaiting_confirmation is over: running",
    ]  # fmt: skip


def test_an_end_that_was_told_by_another_route_does_not_fall_back(tmp_path: Path) -> None:
    lead = replace(LEAD, fallback=("mail",))
    way = replace(WAITS, notify=("lead",), resolved=True)
    watch = replace(STUCK, statuses=(RUNS, ASKS), notify=("mail",), resolved=True)
    assert told(
        tmp_path, rules(way, watch, places=(TEAM, lead, MAIL)), moves(7, "x", ASKS),
        moves(1507, "x", RUNS), outages=(Outage("lead", 1500, 2 * HOUR, "404"),), until=2000,
    ) == [
        "7 s lead x: awaiting_confirmation",
        "1207 s mail x: stuck awaiting_confirmation",
        "1507 s mail x: awaiting_confirmation is over: running",
    ]  # fmt: skip


def test_a_digest_does_not_repeat_an_end_that_was_told(tmp_path: Path) -> None:
    way = replace(WAITS, every=10 * MINUTE, resolved=True)
    silence = Act(60, "silences", "status", ASKS, 20 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x", ASKS), silence, moves(807, "x", RUNS),
        moves(907, "y", ASKS), until=1500,
    ) == [
        "7 s team x: awaiting_confirmation",
        "807 s team x: awaiting_confirmation is over: running",
        "1260 s team y: awaiting_confirmation",
    ]  # fmt: skip


def test_no_reminder_goes_out_beside_the_digest_of_a_silence(tmp_path: Path) -> None:
    way = replace(WAITS, every=10 * MINUTE)
    silence = Act(1, "silences", "status", ASKS, 10 * MINUTE + 6)
    assert told(tmp_path, rules(way), silence, moves(7, "x", ASKS), until=1900) == [
        "607 s team x: awaiting_confirmation",
        "1207 s team x: reminder 1 awaiting_confirmation",
        "1807 s team x: reminder 2 awaiting_confirmation",
    ]


def test_no_reminder_goes_out_beside_it_after_our_absence(tmp_path: Path) -> None:
    way = replace(WAITS, every=10 * MINUTE)
    silence = Act(1, "silences", "status", ASKS, 5 * MINUTE)
    assert told(
        tmp_path, rules(way), silence, moves(7, "x", ASKS), Act(60, "stops"), Act(1000, "starts"),
        until=1700,
    ) == [
        "1000 s team x: awaiting_confirmation",
        "1600 s team x: reminder 1 awaiting_confirmation",
    ]  # fmt: skip


def test_who_took_it_ahead_of_the_clock_is_told_once(tmp_path: Path) -> None:
    way = replace(WAITS, acknowledged=True, quiet=Quiet(NOON, NOON + 2 * HOUR))
    day = 24 * HOUR
    assert told(
        tmp_path, rules(way), moves(day + 5007, "x", ASKS), moves(day + 5107, "y", ASKS),
        Act(day + 5207, "takes", "y", "Ann"), Act(day + 5300, "stops"), Act(300, "starts"),
        until=3 * HOUR, ahead=day,
    ) == [
        "7200 s team x: awaiting_confirmation; y: awaiting_confirmation, Ann has it",
    ]  # fmt: skip


def test_who_stands_in_for_a_destination_is_reminded_while_the_route_names_that_one(
    tmp_path: Path,
) -> None:
    lead = replace(LEAD, fallback=("mail",))
    way = replace(WAITS, notify=("team", "lead"), every=5 * MINUTE)
    versions = tuple(
        rules(each, places=(TEAM, lead, MAIL)) for each in (way, replace(way, notify=("team",)))
    )
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(400, "reloads", number=1), until=700,
        outages=(Outage("lead", 0, HOUR, "404"),),
    ) == [
        "7 s mail x: awaiting_confirmation",
        "7 s team x: awaiting_confirmation",
        "307 s mail x: reminder 1 awaiting_confirmation",
        "307 s team x: reminder 1 awaiting_confirmation",
        "607 s team x: reminder 2 awaiting_confirmation",
    ]  # fmt: skip


def test_who_hears_in_place_of_a_destination_that_is_named_no_more_is_not_reminded(
    tmp_path: Path,
) -> None:
    lead = replace(LEAD, fallback=("mail",))
    way = replace(WAITS, notify=("lead",), every=5 * MINUTE)
    versions = tuple(
        rules(each, places=(TEAM, lead, MAIL)) for each in (way, replace(way, notify=("team",)))
    )
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(60, "reloads", number=1),
        outages=(Outage("lead", 0, HOUR, "404"), Outage("mail", 0, 100, "503")),
    ) == ["162 s mail x: awaiting_confirmation"]  # fmt: skip


def test_who_was_named_when_it_was_asked_for_and_is_no_more_is_not_reminded(
    tmp_path: Path,
) -> None:
    way = replace(WAITS, every=5 * MINUTE)
    versions = rules(way), rules(replace(way, notify=("lead",)))
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(60, "reloads", number=1),
        outages=(Outage("team", 0, 100, "503"),),
    ) == ["162 s team x: awaiting_confirmation"]  # fmt: skip


def test_a_silence_keeps_nothing_back_that_is_planned_for_its_end(tmp_path: Path) -> None:
    way = replace(WAITS, escalate=((20 * MINUTE, "lead"),))
    silence = Act(487, "silences", "agent", "agent-x", 12 * MINUTE)
    assert told(tmp_path, rules(way), moves(7, "x", ASKS), silence) == [
        "7 s team x: awaiting_confirmation",
        "1207 s lead x: escalation awaiting_confirmation",
    ]


def test_the_time_for_retries_begins_at_the_end_of_quiet_hours_also_while_nothing_runs(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, retry_for=MINUTE, quiet=Quiet(NOON, NOON + HOUR))
    assert told(
        tmp_path, rules(WAITS, places=(team, LEAD, MAIL)), moves(7, "x", ASKS), Act(60, "stops"),
        Act(HOUR + 30, "starts"), outages=(Outage("team", 0, 2 * HOUR, "lost"),), until=2 * HOUR,
    ) == [
        "3630 s team x: awaiting_confirmation",
        "3635 s team x: awaiting_confirmation (possible repeat)",
        "3645 s team x: awaiting_confirmation (possible repeat)",
        "3660 s team x: awaiting_confirmation (possible repeat)",
    ]  # fmt: skip


def test_who_will_be_reminded_gets_no_other_reminder_in_place_of_somebody(tmp_path: Path) -> None:
    team, lead = (replace(each, fallback=("mail",)) for each in (TEAM, LEAD))
    way = replace(WAITS, notify=("team", "lead"), every=10 * MINUTE)
    assert told(
        tmp_path, rules(way, places=(replace(team, retry_for=MINUTE), lead, MAIL)),
        moves(7, "x", ASKS), until=1300,
        outages=(Outage("team", 0, HOUR, "503"), Outage("lead", 100, HOUR, "404")),
    ) == [
        "7 s lead x: awaiting_confirmation",
        "67 s mail x: awaiting_confirmation",
        "667 s mail x: reminder 1 awaiting_confirmation",
        "1267 s mail x: reminder 2 awaiting_confirmation",
    ]  # fmt: skip


def test_what_is_planned_for_later_does_not_stand_for_what_is_stuck_now(tmp_path: Path) -> None:
    lead = replace(LEAD, fallback=("mail",))
    soon = replace(STUCK, notify=("lead",))
    later = replace(STUCK, name="stuck2", notify=("mail",), stuck=2 * HOUR)
    assert told(
        tmp_path, rules(soon, later, places=(TEAM, lead, MAIL)), moves(7, "x", RUNS),
        until=3 * HOUR, outages=(Outage("lead", 0, HOUR, "404"),),
    ) == [
        "1207 s mail x: stuck running",
        "7207 s mail x: stuck running",
    ]  # fmt: skip


def test_what_quiet_hours_keep_back_is_not_given_up_behind_what_is_tried_again(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, retry_for=MINUTE, quiet=Quiet(NOON, NOON + 2 * HOUR))
    ways = replace(WAITS, urgent=True, resolved=True), Way("ends", (FAILS,), ("team",))
    assert told(
        tmp_path, rules(*ways, places=(team, LEAD, MAIL)), moves(7, "x", ASKS),
        moves(700, "y", ASKS), moves(900, "x", FAILS), until=3 * HOUR,
        outages=(Outage("team", 600, HOUR, "503"),),
    ) == [
        "7 s team x: awaiting_confirmation",
        "7200 s team x: failed",
    ]  # fmt: skip


def test_what_quiet_hours_keep_back_is_not_given_up_while_its_destination_asks_for_time(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, retry_for=MINUTE, quiet=Quiet(NOON, NOON + 2 * HOUR))
    ways = replace(WAITS, urgent=True), Way("ends", (FAILS,), ("team",))
    assert told(
        tmp_path, rules(*ways, places=(team, LEAD, MAIL)), moves(7, "x", ASKS),
        moves(17, "x", FAILS), until=3 * HOUR, outages=(Outage("team", 0, 60, "later", 900),),
    ) == ["7200 s team x: failed"]  # fmt: skip


def test_after_a_digest_nobody_is_reminded_whom_the_route_does_not_name_by_then(
    tmp_path: Path,
) -> None:
    way = replace(WAITS, wait=MINUTE, apart=MINUTE, every=5 * MINUTE)
    versions = rules(way), rules(replace(way, notify=("lead",)))
    assert told(
        tmp_path, versions, moves(7, "x1", ASKS), moves(9, "x2", ASKS),
        Act(80, "reloads", number=1), outages=(Outage("team", 0, 100, "503"),),
    ) == ["102 s team x1: awaiting_confirmation; x2: awaiting_confirmation"]  # fmt: skip


def test_what_a_digest_said_is_stuck_is_reminded_of_also_if_something_is_heard_and_we_restart(
    tmp_path: Path,
) -> None:
    way = replace(STUCK, every=30 * MINUTE)
    silence = Act(60, "silences", "status", RUNS, 40 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x", RUNS), silence, Act(2507, "hears", "x"),
        Act(2600, "stops"), Act(2700, "starts"), until=5000,
    ) == [
        "2460 s team x: running",
        "4260 s team x: reminder 1 running",
    ]  # fmt: skip


def test_a_digest_that_fails_has_one_wait_for_all_that_joined_it(tmp_path: Path) -> None:
    way = replace(WAITS, wait=MINUTE, apart=2 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x1", ASKS), moves(137, "x2", ASKS),
        outages=(Outage("team", 0, 240, "503"),),
    ) == ["382 s team x1: awaiting_confirmation; x2: awaiting_confirmation"]  # fmt: skip


def test_a_digest_that_nobody_got_makes_none_of_its_group_wait(tmp_path: Path) -> None:
    way = replace(WAITS, wait=MINUTE, apart=5 * MINUTE, every=10 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x1", ASKS), moves(606, "x2", ASKS), until=700,
        outages=(Outage("team", 600, 667, "503"),),
    ) == [
        "67 s team x1: awaiting_confirmation",
        "667 s team x1: awaiting_confirmation; x2: awaiting_confirmation",
    ]  # fmt: skip
