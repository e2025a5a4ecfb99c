"""The table of services: every cell is seen through the real plugin, and the reference has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.checks import COLUMNS
from tests.services.described import SERVICES, Service
from tests.services.table import PAGE, cells_of, page, row
from tests.support.standin import StandIn, standing_in

# What is not right yet: (service, column).
NOT_YET: set[tuple[str, str]] = {
    *((name, "text") for name in (
        "Microsoft Teams (Workflows)", "Google Chat", "Rocket.Chat (login)", "Zulip",
        "Webex (bot)", "Lark", "Feishu", "Twilio", "Vonage", "Amazon SNS",
    )),
    *((name, "length") for name in (
        "Microsoft Teams (Workflows)", "Google Chat", "Rocket.Chat (login)", "Webex (bot)",
        "PagerDuty", "Splunk On-Call", "Twilio", "Vonage", "Amazon SNS",
    )),
}  # fmt: skip


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as service:
        yield service


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_does_with_messages_what_its_row_says(
    service: Service, stand_in: StandIn
) -> None:
    cells = cells_of(service, stand_in)
    wrong = {column for column, cell in cells.items() if not cell.is_right}
    assert wrong == {column for name, column in NOT_YET if name == service.name}, cells
    assert row(service, cells) in PAGE.read_text("utf-8").splitlines()


def test_the_page_is_the_one_that_the_command_writes() -> None:
    text = PAGE.read_text("utf-8")
    rows = text.split(f"| {' | '.join(COLUMNS)} |\n")[1].split("\n\n")[0].splitlines()[1:]
    assert [line.split(" | ")[0] for line in rows] == [f"| {each.name}" for each in SERVICES]
    assert text == page(rows)


def test_thirty_services_are_in_it_each_once_and_with_its_source() -> None:
    assert len({service.name for service in SERVICES}) == len(SERVICES) >= 30
    assert all(service.source for service in SERVICES)
