"""The table of services: every cell is seen through the real plugin, and the reference has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from receiver.cli.reference import summary
from receiver.destinations.fitting import Part
from tests.services.checks import COLUMNS
from tests.services.described import SERVICES, Service
from tests.services.stages import stage_of
from tests.services.table import PAGE, cells_of, page, row
from tests.support.readme_parts import HELP, TOP, topic
from tests.support.standin import StandIn, standing_in


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as service:
        yield service


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_does_with_messages_what_its_row_says(
    service: Service, stand_in: StandIn
) -> None:
    cells = cells_of(service, stand_in)
    assert {column: cell for column, cell in cells.items() if not cell.is_right} == {}
    assert row(service, cells) in PAGE.read_text("utf-8").splitlines()


def test_the_page_is_the_one_that_the_command_writes() -> None:
    text = PAGE.read_text("utf-8")
    rows = text.split(f"| {' | '.join(COLUMNS)} |\n")[1].split("\n\n")[0].splitlines()[1:]
    assert [line.split(" | ")[0] for line in rows] == [f"| {each.name}" for each in SERVICES]
    assert text == page(rows)


def test_the_reference_leads_to_it_and_says_how_many_services_it_has() -> None:
    for file in (HELP / "destinations.md", TOP / "tests" / "README.md"):
        text = " ".join(file.read_text("utf-8").split())
        assert "services.md)" in text
        assert f"hat {len(SERVICES)} services do with a message" in text
    assert "were seen only through stand-ins" in " ".join(topic("destinations").split())
    assert f"What {len(SERVICES)} services do with a message" in summary(topic("services"))


def test_thirty_services_are_in_it_each_once_and_with_its_source() -> None:
    assert len({service.name for service in SERVICES}) == len(SERVICES) >= 30
    assert all(service.source for service in SERVICES)


def _refused_early(*_: object) -> Iterator[float]:
    return iter(())


# A column, a service, and a fault that turns the cell red: where it is planted, and what.
PLANTED: list[tuple[str, str, str, object]] = [
    ("check", "Webex (bot)", "receiver.destinations.apprise.checks.rehearse", lambda *_: None),
    ("success", "Discord", "receiver.destinations.outcome._has_arrived", lambda *_, **__: False),
    ("for good", "Zulip", "receiver.destinations.outcome._is_permanent", lambda _: False),
    ("wait", "Google Chat", "receiver.destinations.apprise.waits.named", _refused_early),
    ("no in a 200", "DingTalk", "receiver.destinations.apprise.answers._says_no", lambda *_: False),
    ("uncertain", "LINE", "receiver.destinations.apprise.recorder.AttemptRecorder.mark_written",
     lambda _: None),
    ("secrets", "Telegram", "receiver.destinations.apprise.adapter.redact",
     lambda _, line, __: line),
    ("text", "Rocket.Chat (login)", "receiver.destinations.apprise.limits.markup_of",
     lambda *_: None),
    ("length", "PagerDuty", "receiver.destinations.apprise.series.fit",
     lambda message, *_: [Part(message.title, message.body)]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "name", "place", "fault"), PLANTED, ids=list(COLUMNS))
def test_a_fault_turns_the_cell_of_its_column_red(
    column: str, name: str, place: str, fault: object, stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    service = next(each for each in SERVICES if each.name == name)
    monkeypatch.setattr(place, fault)
    with stage_of(service, stand_in) as stage:
        assert not COLUMNS[column](stage).is_right


def test_each_column_is_seen_to_be_red() -> None:
    assert [column for column, *_ in PLANTED] == list(COLUMNS)
