"""Quiet hours that together leave nobody a time to be told are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.config import routes_file
from receiver.errors import ConfigurationError
from receiver.routing.quiet_hours import leave_no_time

FILE = """\
sources:
  s: {{verify: {{scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}}}
destinations:
  lead: {{url: console://, quiet: {lead}}}
  team: {{url: console://, fallback: mail}}
  mail: {{url: console://, fallback: lead}}
routes:
  - name: conf
    match: {{status: awaiting_confirmation}}
    notify: {notify}
    quiet: {route}
"""
NIGHT, DAY = '{from: "20:00", to: "10:00", tz: UTC}', '{from: "10:00", to: "20:00", tz: UTC}'
WEEK = '{days: [mon, tue, wed, thu, fri], from: "00:00", to: "24:00", tz: UTC}'
WEEKEND = '{days: [sat, sun], from: "00:00", to: "24:00", tz: UTC}'
# In summer clocks in Berlin show two hours more than UTC does, in winter one.
BERLIN = '{from: "21:00", to: "11:00", tz: Europe/Berlin}'


def problems(tmp_path: Path, lead: str, route: str, notify: str = "lead") -> list[str]:
    path = tmp_path / "routes.yaml"
    path.write_text(FILE.format(lead=lead, route=route, notify=notify), "utf-8")
    try:
        routes_file.load(str(path), {})
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("lead", "route"),
    [
        pytest.param(NIGHT, DAY, id="night and day"),
        pytest.param(WEEK, WEEKEND, id="week and weekend"),
        pytest.param(BERLIN, DAY, id="only in winter"),
        pytest.param(NIGHT, '{from: "09:00", to: "21:00", tz: UTC}', id="they overlap"),
        pytest.param(NIGHT, '{from: "10:00", to: "20:00", tz: Etc/GMT}', id="two names of a zone"),
    ],
)
def test_hours_that_are_always_are_refused(tmp_path: Path, lead: str, route: str) -> None:
    (problem,) = problems(tmp_path, lead, route)
    assert ":11: quiet: together with the quiet hours of lead (" in problem


@pytest.mark.parametrize(
    "notify",
    [
        pytest.param("[team]\n    escalate: [{after: 1h, notify: lead}]", id="an escalation"),
        pytest.param("team", id="a fall-back of a fall-back"),
    ],
)
def test_whoever_may_get_it_counts(tmp_path: Path, notify: str) -> None:
    (problem,) = problems(tmp_path, NIGHT, DAY, notify)
    assert "lead would not be told" in problem


@pytest.mark.parametrize(
    ("lead", "route"),
    [
        pytest.param(NIGHT, '{from: "10:01", to: "20:00", tz: UTC}', id="a minute"),
        pytest.param(WEEK, '{days: sat, from: "00:00", to: "24:00", tz: UTC}', id="a Sunday"),
        pytest.param(NIGHT, NIGHT, id="the same"),
    ],
)
def test_hours_that_leave_a_time_are_taken(tmp_path: Path, lead: str, route: str) -> None:
    assert problems(tmp_path, lead, route) == []


def test_without_windows_nothing_is_quiet() -> None:
    assert not leave_no_time(())
