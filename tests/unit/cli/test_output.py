"""Tables fit the terminal, whatever stands in them, and nothing moves the cursor."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from receiver.cli.output import (
    PIPED,
    Column,
    Cut,
    Row,
    Word,
    clock,
    columns_of,
    print_lines,
    print_table,
    shorten,
    wait_phrase,
)
from receiver.times import SECOND, ago, parse_time

ID = "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95"
COLUMNS = (Column("id"), Column("execution", Cut.MIDDLE), Column("agent", Cut.END),
           Column("event", Cut.START))  # fmt: skip


def printed(rows: list[Row]) -> list[str]:
    command = click.Command("print", callback=lambda: print_table(COLUMNS, rows))
    done = CliRunner().invoke(command)
    assert done.exception is None
    return done.stdout.splitlines()


def test_what_fits_is_not_cut() -> None:
    assert printed([Row((1, ID, "Invoice agent", "FAILED"))]) == [
        "id  execution                             agent          event",
        f"1   {ID}  Invoice agent  FAILED",
    ]


def test_an_id_keeps_both_ends_a_name_its_begin_and_an_event_its_end() -> None:
    _, line = printed([Row((1, ID * 3, "Invoice agent " * 30, "EXECUTION_" * 4 + "FAILED"))])
    assert columns_of(line) <= PIPED
    number, execution, agent, event = re.split(" {2,}", line)
    assert (number, execution[:4], execution[-4:]) == ("1", ID[:4], ID[-4:])
    assert agent.startswith("Invoice agent")
    assert (agent[-1], event[0], event[-6:]) == ("…", "…", "FAILED")


@given(st.lists(st.tuples(*[st.text(max_size=320)] * 4), max_size=4), st.text(max_size=300))
def test_no_line_is_wider_than_the_terminal_and_every_character_is_shown(
    cells: list[tuple[str, ...]], note: str
) -> None:
    lines = printed([Row(each, note) for each in cells])
    assert all(columns_of(line) <= PIPED for line in lines)
    assert all(line.isprintable() for line in lines)


def test_wide_characters_count_double_so_columns_stay_in_line() -> None:
    lines = printed([Row((1, "発票", "🚀", "x")), Row((2, "abcd", "ab", "x")),
                     Row((3, "e\u0301e\u0301e\u0301e\u0301", "❤\ufe0f", "x"))])  # fmt: skip
    ends = {columns_of(line[: line.rindex("x")]) for line in lines[1:]}
    assert len(ends) == 1


def test_a_sender_s_text_cannot_move_the_cursor_or_turn_the_line() -> None:
    (_, line) = printed([Row((1, "a\x1b[2J", "b\u202ec", "d\ne"))])
    assert line.split() == ["1", "a�[2J", "b�c", "d�e"]


@pytest.mark.parametrize("cut", list(Cut))
@pytest.mark.parametrize("width", [0, 1, 2, 3, 8])
def test_a_cut_text_is_never_wider_than_asked(cut: Cut, width: int) -> None:
    for text in ("abcdefghij", "発票発票発票", ""):
        assert columns_of(shorten(text, width, cut)) <= max(width, 1)


def test_long_lines_go_on_below_and_keep_every_word() -> None:
    text = "    " + "word " * 40 + "x" * 200
    command = click.Command("print", callback=lambda: print_lines([text]))
    lines = CliRunner().invoke(command).stdout.splitlines()
    assert all(len(line) <= PIPED for line in lines)
    assert lines[0].startswith("    word")
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_ages_and_times_are_those_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    now = parse_time("2026-06-02T05:00:00Z")
    assert ago(now - 12 * 60 * SECOND, now) == "12 min ago"
    assert ago(now + 40 * SECOND, now) == "in 40 s"
    assert (ago(now, now), ago(now - 1, now)) == ("now", "now")
    assert len(clock(now, now)) == len("07:00")
    assert clock(now + 2 * 86_400 * SECOND, now).split()[0] in ("Thu", "Fri")
    assert "2027" in clock(parse_time("2027-06-02T05:00:00Z"), now)
    assert wait_phrase("ops fails, next try", now + 40 * SECOND, now, is_moment=True) == (
        "ops fails, next try in 40 s"
    )
    assert wait_phrase("behind delivery 12", None, now, is_moment=False) == "behind delivery 12"


def _say(state: str) -> None:
    click.echo(state)


def test_a_wrong_word_is_told_with_the_nearest() -> None:
    option = click.Option(["--state"], type=Word(["waiting", "sent"]))
    command = click.Command("list", params=[option], callback=_say)
    assert CliRunner().invoke(command, ["--state", "sent"]).stdout == "sent\n"
    wrong = CliRunner().invoke(command, ["--state", "wating"])
    assert (wrong.exit_code, "did you mean 'waiting'?" in wrong.stderr) == (2, True)
