"""Incidents: one episode is one incident, in services that know incidents.

Messages about an episode have its key, any other delivery has its own. The first opens the
incident, reminders and escalations update it, somebody who takes the episode acknowledges it, and
its end resolves it. Each service has an entry in SERVICES: the attributes of Apprise's plugin by
which a message is one of these acts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from receiver.deliveries import Kind, Message, Severity

_Arguments = dict[str, Any]
_ENDS_OR_TAKES = (Kind.ACKNOWLEDGED, Kind.RESOLVED)


@dataclass(frozen=True, slots=True)
class IncidentService:
    """The plugin's attributes of one service, and what it gives them. `source` has the facts.

    `key` holds the incident's key. `action` says what becomes of it: `opens` (by severity, if that
    is a mapping), `takes` (empty: the service, or its plugin, knows no acknowledgement, so that it
    gets an update) or `closes`. `grade` shows how bad it is, unless the URL says that by an option.
    `change` alters requests that the plugin itself cannot make.
    """

    source: str
    key: str = "dedup"
    action: str = "action"
    opens: str | Mapping[Severity, str] = "trigger"
    takes: str = ""
    closes: str = "resolve"
    grade: str = ""
    grades: Mapping[Severity, Any] = field(default_factory=dict)
    change: Callable[[Kind, _Arguments], None] | None = None


def _acknowledge(kind: Kind, request: _Arguments) -> None:
    """Make an acknowledgement of PagerDuty out of a trigger: the plugin knows none."""
    if kind is Kind.ACKNOWLEDGED:
        event = json.loads(request["data"])
        request["data"] = json.dumps({**event, "event_action": "acknowledge"})


def _by_alias(kind: Kind, request: _Arguments) -> None:
    """Name an alert of Opsgenie by its alias: the plugin takes the id of a request for its id."""
    if kind in _ENDS_OR_TAKES:
        request["params"] = {"identifierType": "alias"}


def _by_severity(failure: Any, warning: Any, other: Any) -> Mapping[Severity, Any]:
    return {
        Severity.FAILURE: failure,
        Severity.WARNING: warning,
        Severity.SUCCESS: other,
        Severity.INFO: other,
    }


_OPSGENIE = IncidentService(
    "docs.opsgenie.com/docs/alert-api: alias, priority P1 (critical) to P5, acknowledge, close",
    key="alias", opens="new", takes="acknowledge", closes="close",
    grade="priority", grades=_by_severity(1, 3, 5), change=_by_alias,
)  # fmt: skip
# The class of the plugin → its service. PagerDuty, FireHydrant and OpsiMate get the severity from
# the type of the message, which their plugins map by themselves.
SERVICES: Mapping[str, IncidentService] = {
    "NotifyFireHydrant": IncidentService(
        "docs.firehydrant.com/docs/events-data-model: idempotency_key, status OPEN or CLOSED"
    ),
    "NotifyGoAlert": IncidentService(
        "github.com/target/goalert, generic API: dedup, action=close", closes="close"
    ),
    "NotifyILert": IncidentService(
        "docs.ilert.com/developer-docs/rest-api/api-reference/events: alertKey, ALERT, ACCEPT,"
        " RESOLVE, priority HIGH or LOW",
        takes="acknowledge", grade="priority", grades=_by_severity("high", "high", "low"),
    ),
    "NotifyIncidentIO": IncidentService(
        "docs.incident.io/api-reference/alert-events-v2: deduplication_key, firing or resolved"
    ),
    "NotifyJira": _OPSGENIE,  # Jira Service Management took Opsgenie's interface over
    "NotifyOpsgenie": _OPSGENIE,
    "NotifyOpsiMate": IncidentService(
        "docs.opsimate.dev/docs/integrations/custom-alerts: id, firing or resolved"
    ),
    "NotifyPagerDuty": IncidentService(
        "developer.pagerduty.com, Events API v2: dedup_key, trigger, acknowledge, resolve",
        change=_acknowledge,
    ),
    "NotifyPagerTree": IncidentService(
        "pagertree.com/docs, webhook integration: id, create, acknowledge, resolve, urgency",
        key="thirdparty", opens="create", takes="acknowledge",
        grade="urgency", grades=_by_severity("critical", "high", "low"),
    ),
    "NotifySIGNL4": IncidentService(
        "docs.signl4.com/integrations/webhook: X-S4-ExternalID, X-S4-Status acknowledged, resolved",
        key="external_id", takes="acknowledge",
    ),
    "NotifySplunk": IncidentService(
        "help.victorops.com/knowledge-base/rest-endpoint-integration: entity_id; CRITICAL opens an"
        " incident, WARNING only by its settings, INFO none; ACKNOWLEDGEMENT, RECOVERY",
        key="entity_id", opens=_by_severity("critical", "critical", "info"),
        takes="acknowledgement",
        closes="recovery",
    ),
    "NotifySquadcast": IncidentService(
        "support.squadcast.com, incident webhook: event_id, trigger or resolve, priority P1 to P5",
        grade="priority", grades=_by_severity("P1", "P3", "P5"),
    ),
}  # fmt: skip
# These open something for each message, and Apprise has no way to update or to close it.
WITHOUT_KEY: Mapping[str, str] = {
    "NotifyBetterStack": "an incident",
    "NotifyFlowtriq": "an alert",
    "NotifyGitHub": "an issue or a comment",
    "NotifyLFGAlarm": "an alarm",
    "NotifySpike": "an incident",
    "NotifyTrigv": "an event",
    "NotifyXMatters": "an alert",
}


def direct(plugin: Any, message: Message, options: frozenset[str]) -> Callable[[_Arguments], None]:
    """Set the plugin's attributes for what the message does to its incident.

    `options` are the names of the options in the URL. It returns what to change in the requests.
    """
    service = SERVICES.get(type(plugin).__name__)
    if service is None:
        return _leave
    kind = message.kind
    _restore(plugin, service)
    if key := _incident_key(message):
        setattr(plugin, service.key, key)
    setattr(plugin, service.action, _action(service, message))
    if service.grade and service.grade not in options:
        setattr(plugin, service.grade, service.grades[message.severity])
    if service is _OPSGENIE and kind in _ENDS_OR_TAKES:
        _remember_alert(plugin)
    change = service.change
    return (lambda request: change(kind, request)) if change else _leave


def _incident_key(message: Message) -> str:
    """Return the key of the message's incident: of its episode, else its own; empty: the URL's.

    Without one some services join what has nothing in common, and repeats open another incident.
    """
    if message.thread:
        return key_of(message.thread)
    return "" if message.delivery is None else f"delivery-{message.delivery}"


def key_of(thread: str) -> str:
    """Return the key of an incident, from the id of a conversation (RFC 5322)."""
    return thread.strip("<>")


def _leave(request: _Arguments) -> None:
    """Leave a request as it is."""


def _action(service: IncidentService, message: Message) -> str:
    if message.kind is Kind.RESOLVED:
        return service.closes
    if message.kind is Kind.ACKNOWLEDGED and (service.takes or not message.thread):
        # What updates no incident must not open one.
        return service.takes or service.closes
    opens = service.opens
    return opens if isinstance(opens, str) else opens[message.severity]


def _restore(plugin: Any, service: IncidentService) -> None:
    """Give the key back that the URL has: a message that is no delivery has no other one."""
    values = vars(plugin)
    setattr(plugin, service.key, values.setdefault("key_as_written", values[service.key]))


def _remember_alert(plugin: Any) -> None:
    """Let the plugin know an alert that another process may have opened, by its alias.

    It acts on nothing but alerts in its memory, and else reports a success without a request.
    """
    named = plugin.entity or plugin.alias
    place = hashlib.sha1(named.encode(), usedforsecurity=False).hexdigest()[:10]
    plugin.store.set(place, [plugin.alias])
