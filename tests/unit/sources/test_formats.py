"""Bodies to events: strict in what identifies an event, liberal in the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import MalformedBody, MalformedEnvelope, UnreadableWebhook
from receiver.events import Event, Status
from receiver.sources.formats.asteroid import EVENT_STATUS
from receiver.sources.formats.registry import FORMATS, read
from receiver.sources.strict_json import parse_json
from receiver.times import parse_time


def envelope(**info: Any) -> dict[str, Any]:
    return {
        "type": "execution",
        "event_id": "e-1",
        "timestamp": "2026-01-15T10:30:00Z",
        "info": {"event": "EXECUTION_FAILED", "execution_id": "x-1", **info},
    }


def asteroid(content: Any) -> Event | None:
    return read("asteroid", "asteroid", json.dumps(content).encode())


def plain(content: Any, message_id: str | None = None) -> Event | None:
    return read("plain", "other", json.dumps(content).encode(), message_id)


@pytest.mark.parametrize(
    ("name", "event", "status"),
    [
        *(("asteroid", event, status) for event, status in EVENT_STATUS.items()),
        *(("plain", status.value, status) for status in Status),
    ],
)
def test_a_sample_of_a_format_is_read_as_what_it_says(
    name: str, event: str, status: Status
) -> None:
    at = parse_time("2026-01-15T10:30:00Z")
    content = FORMATS[name].sample(event, "x-1", event_id="e-1", occurred_at=at, reason="why")
    found = read(name, "any", json.dumps(content).encode())
    assert found is not None
    assert (found.event, found.status, found.occurred_at) == (event, status, at)
    assert (found.event_id, found.execution_id) == ("e-1", "x-1")
    assert found.detail["reason"] == "why"


def test_the_published_sample_is_read_in_full() -> None:
    event = asteroid(
        {
            "type": "execution",
            "event_id": "83b7b49f-1f73-4f86-9d89-6fd8dd2557f3",
            "timestamp": "2026-01-15T10:30:00Z",
            "info": {
                "event": "EXECUTION_AWAITING_CONFIRMATION",
                "execution_id": "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95",
                "execution_url": "https://platform.asteroid.ai/executions/a2c7f3b3",
                "agent_id": "6bf63aaf",
                "agent_name": "Invoice agent",
                "metadata": {"team": "payments"},
                "payload": {"reason": "About to pay 4,200 EUR"},
            },
        }
    )
    assert event == Event(
        source="asteroid",
        event_id="83b7b49f-1f73-4f86-9d89-6fd8dd2557f3",
        event="EXECUTION_AWAITING_CONFIRMATION",
        status=Status.AWAITING_CONFIRMATION,
        execution_id="a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95",
        occurred_at=parse_time("2026-01-15T10:30:00Z"),
        agent_id="6bf63aaf",
        agent_name="Invoice agent",
        execution_url="https://platform.asteroid.ai/executions/a2c7f3b3",
        metadata={"team": "payments"},
        detail={"reason": "About to pay 4,200 EUR"},
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("EXECUTION_STARTED", Status.RUNNING),
        ("EXECUTION_RESUMED", Status.RUNNING),
        ("EXECUTION_PAUSED", Status.PAUSED),
        ("EXECUTION_AWAITING_CONFIRMATION", Status.AWAITING_CONFIRMATION),
        ("EXECUTION_COMPLETED", Status.COMPLETED),
        ("EXECUTION_FAILED", Status.FAILED),
        ("EXECUTION_CANCELLED", Status.CANCELLED),
        ("EXECUTION_ACTION_FAILED", None),
        ("EXECUTION_LEVITATED", None),
    ],
)
def test_every_event_name_announces_its_status_and_unknown_ones_none(
    name: str, status: Status | None
) -> None:
    event = asteroid(envelope(event=name))
    assert event is not None
    assert (event.event, event.status) == (name, status)


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("EXECUTION_ACTION_FAILED", True),
        ("WORKFLOW_STEP_COMPLETED", True),
        ("BATCH_COMPLETED", True),
        ("EXECUTION_QUEUED", False),
        ("PROFILE_CHANGED", False),
        ("EXECUTION_STARTED", False),
    ],
)
def test_names_that_announce_no_status_are_told_from_unknown_ones(
    name: str, is_known: bool
) -> None:
    for content in (envelope(event=name), {"type": name, "event_id": "e-9"}):
        event = asteroid(content)
        assert event is not None
        assert event.is_known_without_status == is_known


@pytest.mark.parametrize(
    ("payload", "status", "flags"),
    [
        ({"question": {"questions": []}}, Status.PAUSED_BY_AGENT, set()),
        ({"paused_by": "agent"}, Status.PAUSED_BY_AGENT, set()),
        ({"paused_by": "user"}, Status.PAUSED, set()),
        ({}, Status.PAUSED, {"assumed"}),
    ],
)
def test_the_kind_of_a_pause_is_found_or_marked_as_assumed(
    payload: dict[str, Any], status: Status, flags: set[str]
) -> None:
    event = asteroid(envelope(event="EXECUTION_PAUSED", payload=payload))
    assert event is not None
    assert event.status is status
    assert event.flags == flags


def test_a_workflow_stands_in_for_an_agent() -> None:
    event = asteroid(envelope(workflow_id="w-1", workflow_name="Payroll"))
    assert event is not None
    assert (event.agent_id, event.agent_name) == ("w-1", "Payroll")


@pytest.mark.parametrize("content", [None, 3, "done", [1, 2], {}, {"total": 12}])
def test_json_without_an_envelope_is_no_event(content: Any) -> None:
    assert asteroid(content) is None


def test_another_type_is_kept_whatever_its_shape() -> None:
    event = asteroid({"type": "batch", "event_id": "e-9"})
    assert event == Event("asteroid", "e-9", "batch", None, None, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("type",), None), (("type",), 7), (("event_id",), None), (("event_id",), 12),
        (("event_id",), " "), (("event_id",), "x" * 201), (("event_id",), "a\nb"),
        (("event_id",), "a\u2028b"), (("event_id",), "\ud800"), (("timestamp",), None),
        (("timestamp",), "yesterday"), (("timestamp",), "2026-01-15T10:30:00"),
        (("timestamp",), 1768473000), (("info",), None), (("info",), []),
        (("info", "event"), None), (("info", "execution_id"), None),
        (("info", "execution_id"), ["x"]), (("info", "execution_id"), ""),
    ],
)  # fmt: skip
def test_a_required_field_missing_or_mistyped_is_a_malformed_envelope(
    path: tuple[str, ...], value: Any
) -> None:
    content: dict[str, Any] = envelope()
    place = content
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(MalformedEnvelope, match=path[-1]):
        asteroid(content)


def test_an_optional_field_of_the_wrong_type_is_left_out() -> None:
    event = asteroid(
        envelope(metadata=[1], agent_id=5, agent_name={}, payload="x", execution_url=0)
    )
    assert event is not None
    read_as = (event.metadata, event.agent_id, event.agent_name, event.execution_url)
    assert (*read_as, event.detail) == (None, None, None, None, {})


def test_a_large_result_is_left_out_and_long_text_is_cut() -> None:
    event = asteroid(envelope(payload={"reason": "r" * 5000, "result": list(range(5000))}))
    assert event is not None
    assert event.detail == {"reason": "r" * 2000}


def test_plain_reads_the_statuses_of_the_lifecycle() -> None:
    content = {
        "event_id": "e-1", "execution_id": "x-1", "status": "paused_by_agent",
        "occurred_at": "2026-01-15T10:30:00.5+01:00", "reason": "asks", "agent_name": "A",
    }  # fmt: skip
    event = plain(content)
    assert event is not None
    assert event.status is Status.PAUSED_BY_AGENT
    assert event.detail == {"reason": "asks"}
    unknown = plain({**content, "status": "queued"})
    assert unknown is not None
    assert (unknown.status, unknown.unknown_status) == (None, "queued")


def test_plain_takes_the_event_id_of_the_headers_when_the_body_has_none() -> None:
    content = {"execution_id": "x", "status": "failed", "occurred_at": "2026-01-15T10:30:00Z"}
    event = plain(content, "msg_1")
    assert event is not None
    assert event.event_id == "msg_1"
    own = plain({**content, "event_id": "mine"}, "msg_1")
    assert own is not None
    assert own.event_id == "mine"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a": 1,}', b'{"a": 1} x', b"\xef\xbb\xbf{}", b'{"a": "\xff"}',
        b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b"NaN", b"[Infinity]", b"[-Infinity]",
        b"[" * 65 + b"]" * 65, b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"'a'", b"\x00",
    ],
)  # fmt: skip
def test_what_is_not_json_is_a_malformed_body(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_json(body)


def test_sixty_four_levels_are_read() -> None:
    assert parse_json(b"[" * 64 + b"]" * 64) is not None
    assert parse_json(b"[" + b"[]," * 100 + b"[]]") == [[]] * 101


def test_numbers_that_no_machine_computes_with_stay_text() -> None:
    assert parse_json(b"[1e999]") == ["1e999"]
    assert parse_json(b"9" * 5000) == "9" * 5000


def test_errors_echo_nothing_of_the_body() -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_json(b'{"secret-canary": 1, "secret-canary": 2}')
    assert "canary" not in str(caught.value)


@given(st.binary())
def test_any_bytes_are_an_event_nothing_or_unreadable(body: bytes) -> None:
    for name in ("asteroid", "plain"):
        try:
            read(name, "s", body)
        except UnreadableWebhook:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["event_id", "info", "type", "timestamp", "status"]), JSON))
def test_any_envelope_is_an_event_nothing_or_unreadable(content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    for name in ("asteroid", "plain"):
        try:
            read(name, "s", body, "id")
        except UnreadableWebhook:
            continue
