"""The stand-in of the provider's API, driven by the SDK that the provider publishes.

Each answer has to be one that the SDK reads; so what the receiver is tested against is the API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from receiver.sources.access import Act
from receiver.sources.formats import asteroid_api
from receiver.sources.formats.fields import STATUSES
from receiver.times import SECOND
from tests.support.provider import KEY, StandIn, standing_in

NOW = 1_800_000_000 * SECOND


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with standing_in() as made:
        yield made


@pytest.fixture
def sdk() -> Any:
    return pytest.importorskip(
        "asteroid_odyssey", reason="asteroid_odyssey is not installed (pip install '.[sdk]')"
    )


@pytest.fixture
def api(provider: StandIn, sdk: Any) -> Any:
    configuration = sdk.Configuration(host=provider.url)
    client = sdk.ApiClient(configuration, header_name="X-Api-Key", header_value=KEY)
    return sdk.ExecutionApi(client)


def grown(provider: StandIn) -> None:
    """Put an execution in each status, with the provider's words about it."""
    words: dict[str, dict[str, Any]] = {
        "paused_by_agent": {"reason": "Which one?", "question": {"questions": [
            {"question": "Which one?", "header": "Invoice", "options": [
                {"label": "1", "description": "the first"}]}]}},
        "paused": {"reason": "A user paused it"},
        "awaiting_confirmation": {"reason": "About to pay"},
        "completed": {"outcome": "failure", "reasoning": "No invoice", "result": {"paid": [1, 2]}},
        "failed": {"reason": "The page did not load", "os_error": {"message": "Refused"}},
        "cancelled": {"reason": "worker_lost"},
    }  # fmt: skip
    for number, status in enumerate(STATUSES):
        provider.moves(status, "starting", NOW + number * SECOND)
        if status != "starting":
            provider.moves(status, "running", NOW + 100 * SECOND)
        if status not in ("starting", "running"):
            provider.moves(status, status, NOW + 200 * SECOND, **words.get(status, {}))


def test_the_sdk_reads_every_status_as_the_receiver_does(provider: StandIn, api: Any) -> None:
    grown(provider)
    for status in STATUSES:
        theirs = api.execution_get(status)
        ours = asteroid_api.read_execution(theirs.to_dict() | {"status": theirs.status.value})
        assert (ours.execution_id, ours.status, ours.agent_name) == (
            theirs.id, STATUSES[theirs.status.value], theirs.workflow_name,
        )  # fmt: skip
        listed = api.execution_activities_get(status, order="desc", limit=200)
        theirs_at = [each.payload.actual_instance.activity_type for each in listed]
        assert theirs_at.count("status_changed") == len(provider.runs[status].changes)
    last = api.execution_activities_get("completed", order="desc")[0].payload.actual_instance
    assert last.completed_payload.result == {"paid": [1, 2]}
    asked = api.execution_activities_get("paused_by_agent", order="desc")[0].payload
    assert asked.actual_instance.paused_payload.question.questions[0].options[0].label == "1"


def test_the_sdk_lists_by_phase_status_order_and_page(
    provider: StandIn, api: Any, sdk: Any
) -> None:
    grown(provider)
    active = api.executions_list(phase=["active"], sort="created_at:asc", page_size=2)
    assert (active.page, active.page_size, active.total) == (1, 2, 5)
    assert [each.id for each in active.items] == ["starting", "running"]
    second = api.executions_list(phase=["active"], sort="created_at:asc", page_size=2, page=2)
    assert len({each.id for each in (*active.items, *second.items)}) == 4
    ended = api.executions_list(phase=["terminal"], status=["failed", "running"])
    assert [each.id for each in ended.items] == ["failed"]
    with pytest.raises(sdk.exceptions.BadRequestException):
        api.executions_list(page=0)


def test_the_sdk_acts_at_the_addresses_of_the_receiver_and_as_a_status(
    provider: StandIn, api: Any, sdk: Any
) -> None:
    acts = {Act.PAUSE: api.execution_pause, Act.RESUME: api.execution_resume,
            Act.CANCEL: api.execution_cancel}  # fmt: skip
    provider.moves("x", "running", NOW)
    for act, after in ((Act.PAUSE, "paused"), (Act.RESUME, "running"), (Act.CANCEL, "cancelled")):
        answer = acts[act]("x")
        assert (answer.execution_id, answer.status.value) == ("x", after)
        assert provider.asked("POST")[-1] == asteroid_api.act_path("x", act)
        assert provider.runs["x"].status == after
    for act in acts.values():
        with pytest.raises(sdk.exceptions.BadRequestException):
            act("x")
    provider.moves("y", "running", NOW)
    for status in ("paused", "running", "cancelled"):
        request = sdk.AgentsExecutionUpdateExecutionStatusRequest(status=status)
        assert api.execution_status_update("y", request) == "updated"
        assert provider.runs["y"].status == status


def test_what_is_deleted_and_a_wrong_key_are_refused_as_the_sdk_knows_it(
    provider: StandIn, api: Any, sdk: Any
) -> None:
    provider.moves("x", "running", NOW)
    with pytest.raises(sdk.exceptions.BadRequestException):
        api.execution_delete("x")  # it has not ended
    provider.moves("x", "failed", NOW + SECOND)
    api.execution_delete("x")
    for ask in (api.execution_get, api.execution_activities_get, api.execution_cancel):
        with pytest.raises(sdk.exceptions.NotFoundException):
            ask("x")
    provider.key = "another"
    with pytest.raises(sdk.exceptions.UnauthorizedException):
        api.executions_list()
    assert provider.asked("DELETE") == ["/agents/v2/executions/x"] * 2
