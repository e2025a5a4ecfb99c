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


def test_who_reads_in_a_digest_that_it_is_over_gets_no_word_of_it_in_place_of_others(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, retry_for=MINUTE, fallback=("lead",))
    way = replace(WAITS, escalate=((20 * MINUTE, "lead"),), resolved=True)
    silence = Act(900, "silences", "agent", "agent-x", 12 * MINUTE)
    assert told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(7, "x", ASKS), silence,
        moves(1607, "x", RUNS), outages=(Outage("team", 1000, HOUR, "503"),),
    ) == [
        "7 s team x: awaiting_confirmation",
        "1620 s lead x: over",
    ]  # fmt: skip


def test_who_gets_the_digest_of_a_silence_gets_none_with_less_in_it_in_place_of_others(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, fallback=("lead",))
    ways = (
        replace(WAITS, notify=("team", "lead")),
        Way("runs", (RUNS,), ("lead",), resolved=True),
    )
    silence = Act(60, "silences", "status", ASKS, 5 * MINUTE)
    assert told(
        tmp_path, rules(*ways, places=(team, LEAD, MAIL)), moves(7, "x", RUNS), silence,
        moves(127, "x", ASKS), outages=(Outage("team", 0, HOUR, "404"),),
    ) == [
        "7 s lead x: running",
        "360 s lead x: awaiting_confirmation",
    ]  # fmt: skip


def test_what_joins_a_digest_that_fails_has_its_own_last_try(tmp_path: Path) -> None:
    team = replace(TEAM, retry_for=10 * MINUTE)
    way = replace(WAITS, wait=2 * MINUTE, apart=5 * MINUTE)
    seen = told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(131, "x2", ASKS),
        moves(630, "x1", ASKS), outages=(Outage("team", 0, HOUR, "lost"),), until=2000,
    )  # fmt: skip
    assert seen[-2:] == [
        "851 s team x1: awaiting_confirmation; x2: awaiting_confirmation (possible repeat)",
        "1350 s team x1: awaiting_confirmation (possible repeat)",
    ]


def test_what_a_reload_takes_out_of_quiet_hours_has_no_part_in_what_they_keep_together(
    tmp_path: Path,
) -> None:
    lead = replace(LEAD, quiet=Quiet(NOON, NOON + HOUR))
    way = replace(
        WAITS, notify=("team", "lead"), every=30 * MINUTE, escalate=((7 * MINUTE, "lead"),)
    )
    gone = rules(replace(way, notify=("team",), escalate=()), places=(TEAM, MAIL))
    versions = rules(way, places=(TEAM, lead, MAIL)), gone
    seen = told(
        tmp_path, versions, moves(7, "x", ASKS), Act(2000, "reloads", number=1),
        Act(4000, "reloads", number=0), until=4001,
    )  # fmt: skip
    assert seen[-2:] == [
        "4000 s lead x: escalation awaiting_confirmation",
        "4000 s lead x: reminder 1 awaiting_confirmation",
    ]


def test_what_the_right_clock_takes_out_of_quiet_hours_has_no_part_in_them_either(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, quiet=Quiet(NOON + HOUR, NOON + 3 * HOUR))
    way = replace(WAITS, every=20 * MINUTE)
    assert told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(3007, "x", ASKS),
        moves(3067, "y", ASKS), Act(4500, "stops"), Act(600, "starts"), until=1801, ahead=4000,
    ) == [
        "1800 s team x: reminder 1 awaiting_confirmation",
        "1800 s team y: reminder 1 awaiting_confirmation",
        "3007 s team x: awaiting_confirmation",
        "3067 s team y: awaiting_confirmation",
    ]  # fmt: skip


def test_what_a_reload_plans_for_one_time_goes_out_in_the_order_of_the_executions(
    tmp_path: Path,
) -> None:
    versions = rules(WAITS), rules(replace(WAITS, escalate=((7 * MINUTE, "lead"),)))
    seen = told(
        tmp_path, versions, moves(7, "x1", ASKS), moves(107, "x2", ASKS), moves(207, "x1", RUNS),
        moves(307, "x1", ASKS), Act(1000, "reloads", number=1), until=1021,
        outages=(Outage("lead", 0, HOUR, "lost"),),
    )  # fmt: skip
    # After five failures one message tries the destination.
    assert seen[-2:] == [
        "1015 s lead x1: escalation awaiting_confirmation (possible repeat)",
        "1020 s lead x2: escalation awaiting_confirmation (possible repeat)",
    ]


def test_the_digest_of_a_silence_goes_out_as_soon_as_one_of_its_messages_would(
    tmp_path: Path,
) -> None:
    night = Quiet(NOON, NOON + HOUR)
    ways = (
        replace(WAITS, notify=("lead",), urgent=False, resolved=True, quiet=night),
        Way("runs", (RUNS,), ("lead",)),
    )
    begins = NOON - 10 * MINUTE
    given = Scenario(
        (rules(*ways),),
        (moves(7, "x", ASKS), Act(60, "silences", "agent", "agent-x", HOUR // 3),
         moves(127, "x", RUNS)),
        (), begins, 2 * HOUR,
    )  # fmt: skip
    seen = drive.play(given, tmp_path)
    assert model.play(given) == seen
    assert [str(each).split() for each in seen][1:] == [["1260", "s", "lead", "x:", "running"]]


def test_a_reload_leaves_a_reminder_that_waits_for_the_next_digest_of_its_group(
    tmp_path: Path,
) -> None:
    way = replace(WAITS, wait=2 * MINUTE, apart=5 * MINUTE, every=15 * MINUTE)
    assert told(
        tmp_path, rules(way), moves(7, "x1", ASKS), moves(707, "x2", ASKS),
        Act(1030, "reloads", number=0), until=1700,
    ) == [
        "127 s team x1: awaiting_confirmation",
        "827 s team x2: awaiting_confirmation",
        "1127 s team x1: reminder 1 awaiting_confirmation",
    ]  # fmt: skip


def test_what_died_in_a_digest_before_its_time_falls_back_at_once(tmp_path: Path) -> None:
    team = replace(TEAM, fallback=("mail",))
    way = replace(WAITS, wait=MINUTE, apart=5 * MINUTE, every=10 * MINUTE)
    seen = told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(7, "x1", ASKS),
        moves(1217, "x2", ASKS), outages=(Outage("team", 100, HOUR, "404"),), until=1300,
    )  # fmt: skip
    assert seen == [
        "67 s team x1: awaiting_confirmation",
        "667 s mail x1: reminder 1 awaiting_confirmation",
        "1267 s mail x2: awaiting_confirmation",
    ]


def test_where_a_reminder_died_the_next_one_comes_in_place_of_others(tmp_path: Path) -> None:
    team, mail = (replace(each, retry_for=MINUTE) for each in (TEAM, MAIL))
    way = replace(WAITS, every=15 * MINUTE)
    seen = told(
        tmp_path, rules(way, places=(replace(team, fallback=("mail",)), LEAD, mail)),
        moves(7, "x", ASKS), until=HOUR // 2 + 3 * MINUTE,
        outages=(Outage("team", 100, HOUR, "503"), Outage("mail", 100, 1200, "lost")),
    )  # fmt: skip
    assert seen[1] == "967 s mail x: reminder 1 awaiting_confirmation"
    assert seen[-1] == "1927 s mail x: reminder 1 awaiting_confirmation"


def test_a_last_try_comes_before_what_else_is_due_in_that_second(tmp_path: Path) -> None:
    team = replace(TEAM, retry_for=10 * MINUTE)
    way = replace(WAITS, every=10 * MINUTE, escalate=((20 * MINUTE, "team"),))
    assert told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(7, "x", ASKS), until=1400,
        outages=(Outage("team", 100, 1330, "later", 30),),
    ) == [
        "7 s team x: awaiting_confirmation",
        "1367 s team x: escalation awaiting_confirmation",
    ]  # fmt: skip


def test_what_gathers_goes_out_when_its_route_is_gone(tmp_path: Path) -> None:
    way = replace(WAITS, wait=2 * MINUTE, apart=5 * MINUTE)
    versions = rules(way), rules(replace(way, name="waiting"))
    assert told(
        tmp_path, versions, moves(7, "x1", ASKS), moves(300, "x2", ASKS),
        Act(350, "reloads", number=1),
    ) == [
        "127 s team x1: awaiting_confirmation",
        "350 s team x2: awaiting_confirmation",
    ]  # fmt: skip


def test_the_end_is_told_by_the_first_route_in_the_file_that_told_of_it(tmp_path: Path) -> None:
    way = replace(WAITS, resolved=True, quiet=Quiet(NOON + HOUR, NOON + 2 * HOUR))
    watch = replace(STUCK, statuses=(ASKS,), resolved=True)
    assert told(
        tmp_path, rules(way, watch), moves(7, "x", ASKS), moves(HOUR + 7, "x", RUNS),
        until=3 * HOUR,
    ) == [
        "7 s team x: awaiting_confirmation",
        "1207 s team x: stuck awaiting_confirmation",
        "7200 s team x: awaiting_confirmation is over: running",
    ]  # fmt: skip


def test_the_end_that_the_first_route_tells_is_of_its_group(tmp_path: Path) -> None:
    way = replace(WAITS, resolved=True, wait=MINUTE, apart=5 * MINUTE)
    watch = replace(STUCK, statuses=(ASKS,), resolved=True)
    seen = told(
        tmp_path, rules(way, watch), moves(7, "x1", ASKS), moves(9, "x2", ASKS),
        moves(1507, "x1", RUNS), moves(1607, "x2", RUNS),
    )  # fmt: skip
    assert seen[-2:] == [
        "1507 s team x1: awaiting_confirmation is over: running",
        "1807 s team x2: awaiting_confirmation is over: running",
    ]


def test_a_digest_that_nobody_got_puts_no_reminder_off(tmp_path: Path) -> None:
    team = replace(TEAM, retry_for=10 * MINUTE)
    way = replace(WAITS, every=10 * MINUTE)
    silence = Act(1128, "silences", "agent", "agent-x", 12 * MINUTE)
    assert told(
        tmp_path, rules(way, places=(team, LEAD, MAIL)), moves(7, "x", ASKS), silence,
        outages=(Outage("team", 1111, 3111, "later", 200),), until=3700,
    ) == [
        "7 s team x: awaiting_confirmation",
        "607 s team x: reminder 1 awaiting_confirmation",
        "3648 s team x: reminder 2 awaiting_confirmation",
    ]  # fmt: skip


def test_a_fall_back_in_quiet_hours_goes_out_when_a_reload_ends_them(tmp_path: Path) -> None:
    team = replace(TEAM, fallback=("mail",))
    mail = replace(MAIL, quiet=Quiet(NOON, NOON + HOUR))
    versions = rules(WAITS, places=(team, LEAD, mail)), rules(WAITS, places=(team, LEAD, MAIL))
    silence = Act(60, "silences", "agent", "agent-y", 5 * MINUTE)
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), silence, moves(67, "y", ASKS),
        Act(900, "reloads", number=1), outages=(Outage("team", 0, HOUR, "404"),),
    ) == [
        "900 s mail x: awaiting_confirmation",
        "900 s mail y: awaiting_confirmation",
    ]  # fmt: skip


def test_a_fall_back_waits_for_the_end_of_quiet_hours_that_a_reload_moves(tmp_path: Path) -> None:
    team = replace(TEAM, fallback=("mail",))
    early, late = (replace(MAIL, quiet=Quiet(NOON, NOON + n * HOUR)) for n in (1, 2))
    versions = tuple(rules(WAITS, places=(team, LEAD, each)) for each in (early, late))
    assert told(
        tmp_path, versions, moves(7, "x", ASKS), Act(900, "reloads", number=1), until=3 * HOUR,
        outages=(Outage("team", 0, HOUR, "404"),),
    ) == ["7200 s mail x: awaiting_confirmation"]  # fmt: skip


def test_a_digest_that_falls_back_in_quiet_hours_lists_all_of_it_at_their_end(
    tmp_path: Path,
) -> None:
    team = replace(TEAM, fallback=("mail",))
    mail = replace(MAIL, quiet=Quiet(NOON, NOON + HOUR))
    silence = Act(60, "silences", "agent", "agent-y", 5 * MINUTE)
    assert told(
        tmp_path, rules(WAITS, places=(team, LEAD, mail)), moves(7, "x", ASKS), silence,
        moves(67, "y1", ASKS), moves(69, "y2", ASKS), outages=(Outage("team", 0, HOUR, "404"),),
        until=HOUR + 1,
    ) == [
        "3600 s mail x: awaiting_confirmation",
        "3600 s mail y1: awaiting_confirmation; y2: awaiting_confirmation",
    ]  # fmt: skip
