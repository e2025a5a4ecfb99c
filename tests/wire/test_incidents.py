"""One episode is one incident: what services that know incidents are asked, by the real plugins."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import apprise
import pytest
from apprise.plugins import (
    firehydrant,
    ilert,
    incidentio,
    jira,
    opsgenie,
    pagerduty,
    pagertree,
    signl4,
    splunk,
    squadcast,
)
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.deliveries import Kind, Message, Outcome, Severity
from receiver.destinations.apprise import clients
from receiver.destinations.apprise.incidents import SERVICES, WITHOUT_KEY
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.support.readme_parts import topic

BODY = "It waits until somebody confirms.\nReason: about to pay 4,200 EUR to Example Corporation"
WAITS = Message("Agent waits", BODY, "<episode-1@receiver>", Severity.WARNING)
REMINDED = replace(WAITS, title="Reminder 1: Agent waits", kind=Kind.REMINDER)
TAKEN = replace(WAITS, title="Ann takes care of it", severity=Severity.INFO, kind=Kind.ACKNOWLEDGED)
OVER = replace(WAITS, title="confirmed", severity=Severity.SUCCESS, kind=Kind.RESOLVED)
FAILED = Message("Agent failed", BODY, "<episode-2@receiver>", Severity.FAILURE)
TEST = Message("Test of destination pager", "body")
STORY = (WAITS, REMINDED, TAKEN, OVER, FAILED, TEST)
KEYS = ["episode-1@receiver"] * 4 + ["episode-2@receiver"]


@dataclass(frozen=True)
class Asked:
    """A request to a service: where, with which query and body."""

    path: str
    query: dict[str, str]
    body: dict[str, Any]


@pytest.fixture
def service(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(httpserver, monkeypatch)


class Service:
    """All services in one: it takes everything, and notes what it was asked."""

    def __init__(self, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
        here = httpserver.url_for("/")
        self.port = httpserver.port
        self.asked: list[Asked] = []
        self.status = 202
        httpserver.expect_request(re.compile(".*")).respond_with_handler(self._answer)
        monkeypatch.setattr(pagerduty, "PAGERDUTY_API_LOOKUP", {"us": here})
        monkeypatch.setattr(opsgenie, "OPSGENIE_API_LOOKUP", {"us": here + "alerts"})
        monkeypatch.setattr(jira, "JIRA_API_LOOKUP", {"us": here + "alerts"})
        monkeypatch.setattr(squadcast, "SQUADCAST_API_LOOKUP", {"us": here + "{key}"})
        for plugin in (
            splunk.NotifySplunk, incidentio.NotifyIncidentIO, firehydrant.NotifyFireHydrant,
            ilert.NotifyILert, pagertree.NotifyPagerTree, signl4.NotifySIGNL4,
        ):  # fmt: skip
            monkeypatch.setattr(plugin, "notify_url", here)

    def _answer(self, request: Request) -> Response:
        asked = Asked(request.path, dict(request.args), json.loads(request.data))
        self.asked.append(asked)
        return Response('{"requestId": "43a29c5c"}', self.status, content_type="application/json")

    def told(self, url: str, *story: Message) -> list[Asked]:
        """Send the messages in a row; return what the service was asked."""
        destination = Destination("pager", url)
        outcomes = [send(destination, message).outcome for message in story]
        assert outcomes == [Outcome.DELIVERED] * len(story)
        return self.asked


def test_pagerduty_gets_one_incident_for_an_episode(service: Service) -> None:
    asked = [each.body for each in service.told("pagerduty://canary@key", *STORY)]
    assert [each["event_action"] for each in asked] == [
        "trigger", "trigger", "acknowledge", "resolve", "trigger", "trigger",
    ]  # fmt: skip
    assert [each.get("dedup_key") for each in asked] == [*KEYS, None]
    severities = [each["payload"]["severity"] for each in asked if "payload" in each]
    assert severities == ["warning", "warning", "info", "critical", "info"]


def test_pagerduty_gets_the_severity_of_the_url_if_it_has_one(service: Service) -> None:
    asked = service.told("pagerduty://canary@key?severity=error&dedup=own", WAITS, TEST)
    assert [each.body["payload"]["severity"] for each in asked] == ["error", "error"]
    assert [each.body["dedup_key"] for each in asked] == ["episode-1@receiver", "own"]


@pytest.mark.parametrize("kind", ["splunk", "victorops"])
def test_splunk_on_call_gets_one_incident_for_an_episode(kind: str, service: Service) -> None:
    service.status = 200
    asked = [each.body for each in service.told(f"{kind}://route@canary-key", *STORY)]
    assert [each["message_type"] for each in asked] == [
        "CRITICAL", "CRITICAL", "ACKNOWLEDGEMENT", "RECOVERY", "CRITICAL", "INFO",
    ]  # fmt: skip
    assert [each["entity_id"] for each in asked] == [*KEYS, "Apprise/route"]


@pytest.mark.parametrize("kind", ["opsgenie", "jira"])
def test_opsgenie_gets_one_alert_for_an_episode_and_is_asked_each_time(
    kind: str, service: Service
) -> None:
    asked = service.told(f"{kind}://canary-key", *STORY)
    alert = "/alerts/episode-1@receiver"
    assert [each.path for each in asked] == [
        "/alerts", "/alerts", f"{alert}/acknowledge", f"{alert}/close", "/alerts", "/alerts",
    ]  # fmt: skip
    assert [each.query for each in asked[2:4]] == [{"identifierType": "alias"}] * 2
    opened = [each.body for each in asked if each.path == "/alerts"]
    assert [each.get("alias") for each in opened] == [*KEYS[:2], KEYS[4], None]
    assert [each["priority"] for each in opened] == ["P3", "P3", "P1", "P5"]


@pytest.mark.parametrize("kind", ["opsgenie", "jira"])
def test_opsgenie_closes_an_alert_that_another_process_has_opened(
    kind: str, service: Service
) -> None:
    asked = service.told(f"{kind}://canary-other?entity=own", OVER)
    assert [each.path for each in asked] == ["/alerts/episode-1@receiver/close"]
    assert asked[0].body["note"]


@pytest.mark.parametrize(
    ("url", "key", "act", "acts"),
    [
        ("incidentio://01GW2G3V0S59R238FAHPDS1R66/canary", "deduplication_key", "status",
         ["firing", "firing", "firing", "resolved", "firing"]),
        ("firehydrant://canary", "idempotency_key", "status",
         ["OPEN", "OPEN", "OPEN", "CLOSED", "OPEN"]),
        ("ilert://canary-key", "alertKey", "eventType",
         ["ALERT", "ALERT", "ACCEPT", "RESOLVE", "ALERT"]),
        ("pagertree://int_canary00", "id", "event_type",
         ["create", "create", "acknowledge", "resolve", "create"]),
        ("squadcast://canary", "event_id", "status",
         ["trigger", "trigger", "trigger", "resolve", "trigger"]),
        ("signl4://canary", "X-S4-ExternalID", "X-S4-Status",
         [None, None, "acknowledged", "resolved", None]),
        ("goalert://127.0.0.1:{port}/11111111-1111-4111-8111-111111111111", "dedup", "action",
         [None, None, None, "close", None]),
        ("opsimate://canary@127.0.0.1:{port}", "id", "status",
         ["firing", "firing", "firing", "resolved", "firing"]),
    ],
)  # fmt: skip
def test_other_services_get_one_incident_for_an_episode(
    url: str, key: str, act: str, acts: list[str | None], service: Service
) -> None:
    told = service.told(url.replace("{port}", str(service.port)), *STORY[:5])
    assert [each.body[key] for each in told] == KEYS
    assert [each.body.get(act) for each in told] == acts


@pytest.mark.parametrize(
    ("url", "name", "values"),
    [
        ("ilert://canary-key", "priority", ["HIGH", "HIGH", "LOW"]),
        ("pagertree://int_canary00", "urgency", ["high", "critical", "low"]),
        ("squadcast://canary", "priority", ["P3", "P1", "P5"]),
        ("squadcast://canary?priority=P2", "priority", ["P2", "P2", "P2"]),
        ("opsgenie://canary?priority=p2", "priority", ["P2", "P2", "P2"]),
        ("firehydrant://canary", "level", ["WARN", "ERROR", "INFO"]),
    ],
)
def test_how_bad_it_is_follows_the_severity_unless_the_url_says_it(
    url: str, name: str, values: list[str], service: Service
) -> None:
    told = service.told(url, WAITS, FAILED, TEST)
    assert [each.body[name] for each in told] == values


LIST = Message("3 failed", BODY, severity=Severity.WARNING, delivery=7)
ENDS = replace(LIST, title="3 confirmed", kind=Kind.RESOLVED, delivery=8)


@pytest.mark.parametrize(
    ("url", "key", "act", "acts"),
    [
        ("pagerduty://canary@key", "dedup_key", "event_action", ["trigger", "trigger", "resolve"]),
        ("splunk://route@canary-key", "entity_id", "message_type",
         ["CRITICAL", "CRITICAL", "RECOVERY"]),
        ("squadcast://canary", "event_id", "status", ["trigger", "trigger", "resolve"]),
        ("ilert://canary-key", "alertKey", "eventType", ["ALERT", "ALERT", "RESOLVE"]),
    ],
)  # fmt: skip
def test_a_message_about_no_episode_is_an_incident_of_its_own_and_repeats_are_no_other(
    url: str, key: str, act: str, acts: list[str], service: Service
) -> None:
    service.status = 200 if url.startswith("splunk") else 202
    told = service.told(url, LIST, replace(LIST, repeat=True), ENDS)
    assert [each.body[key] for each in told] == ["delivery-7", "delivery-7", "delivery-8"]
    assert [each.body[act] for each in told] == acts


def test_word_of_what_is_taken_opens_nothing_where_it_updates_nothing(service: Service) -> None:
    taken = replace(LIST, kind=Kind.ACKNOWLEDGED)
    (asked,) = service.told("squadcast://canary", taken)
    assert asked.body["status"] == "resolve"


def test_opsgenie_opens_nothing_for_a_list_of_ends(service: Service) -> None:
    asked = service.told("opsgenie://canary-key", LIST, ENDS)
    assert [each.path for each in asked] == ["/alerts", "/alerts/delivery-8/close"]
    assert asked[0].body["alias"] == "delivery-7"


def test_the_reference_has_each_service_that_knows_incidents() -> None:
    text = topic("pagers")
    table = re.search(r"\| service \| opened with .*?\n\n", text, re.DOTALL)
    assert table is not None
    rows = [row.split("|") for row in table[0].splitlines()[2:] if row]
    takes: dict[str, bool] = {}
    for row in rows:
        for scheme in re.findall(r"`(\w+)://`", row[1]):
            takes[scheme] = row[3].strip() != "an update"
    known = {
        scheme: bool(service.takes or kind == "NotifyPagerDuty")
        for kind, service in SERVICES.items()
        for scheme in schemes_of(kind)
    }
    assert takes == known
    without = re.search(r"\* At (.*?)each message opens something", text, re.DOTALL)
    assert without is not None
    named = set(re.findall(r"`(\w+)://`", without[1]))
    assert all(named & schemes_of(kind) for kind in WITHOUT_KEY)
    assert len(named) == len(WITHOUT_KEY)


def schemes_of(kind: str) -> set[str]:
    """The schemes of a plugin by the name of its class."""
    clients.library()
    manager: Any = apprise.NotificationManager()  # type: ignore[no-untyped-call]
    (plugin,) = (each for each in manager.plugins() if each.__name__ == kind)
    both = (plugin.protocol or (), plugin.secure_protocol or ())
    return {str(name) for one in both for name in ([one] if isinstance(one, str) else one)}


def test_a_failed_acknowledgement_is_one_when_it_is_repeated(service: Service) -> None:
    service.status = 500
    destination = Destination("pager", "pagerduty://canary@key")
    assert send(destination, TAKEN).outcome is Outcome.FAILED
    service.status = 202
    assert send(destination, TAKEN).outcome is Outcome.DELIVERED
    assert [each.body["event_action"] for each in service.asked] == ["acknowledge"] * 2
