"""Destination: a named place to notify, its kind and its rate."""

from __future__ import annotations

import re
from dataclasses import dataclass

from receiver.routing.quiet_hours import QuietHours

CONSOLE = "console"
MAIL_KINDS = frozenset({"mailto", "mailtos"})
# Services that send e-mails: Azure, Amazon SES, and so on.
_MAIL_SERVICES = frozenset({
    "acs", "azure", "brevo", "groundmail", "mailersend", "mailgun", "o365", "postmark", "resend",
    "sendgrid", "sendpulse", "ses", "smtp2go", "sparkpost",
})  # fmt: skip
# Services in which one episode is one incident, and the hosts of their own addresses.
_INCIDENT_KINDS = frozenset({
    "firehydrant", "goalert", "goalerts", "ilert", "incidentio", "jira", "opsgenie", "opsimate",
    "opsimates", "pagerduty", "pagertree", "signl4", "splunk", "squadcast", "victorops",
})  # fmt: skip
_INCIDENT_HOSTS = re.compile(
    r"https?://(?:events(?:\.eu)?\.pagerduty\.com|api\.pagertree\.com|connect\.signl4\.com"
    r"|alert\.victorops\.com|api\.(?:eu\.)?squadcast\.com|signals\.firehydrant\.com)/",
    re.IGNORECASE,
)
# People read these: more than one message a second would only bury the others.
_SLOW_KINDS = MAIL_KINDS | _MAIL_SERVICES | {"slack"}


@dataclass(frozen=True, slots=True)
class Destination:
    """A named place to notify: one Apprise URL (a secret: never print it).

    `rate` is messages per second; None leaves it to the kind of URL (Slack and e-mail 1/s, others
    10/s). `parallel` attempts may be made at once. `retry_for`, `timeout` and `warn_after` are
    seconds: others are told if nothing went for so long while something waited. `fallback` names
    the destinations that get messages that die here, `quiet` is its quiet hours. `line` is its line
    in routes.yaml.
    """

    name: str
    url: str
    rate: float | None = None
    retry_for: float = 24 * 3600.0
    timeout: float = 30.0
    warn_after: float = 600.0
    parallel: int = 1
    fallback: tuple[str, ...] = ()
    quiet: QuietHours | None = None
    line: int = 0

    def __repr__(self) -> str:
        return f"Destination(name={self.name!r})"

    @property
    def kind(self) -> str:
        """The scheme of its URL in lower case: slack, mailtos, console …"""
        url = self.url.strip()
        # Apprise takes Slack's own address, too.
        if url.startswith("https://hooks.slack.com/"):
            return "slack"
        return url.partition(":")[0].lower()

    @property
    def prints_only(self) -> bool:
        """Whether its messages reach nobody but a reader of the program's output."""
        return self.kind == CONSOLE

    @property
    def opens_incidents(self) -> bool:
        """Whether it shows one episode as one incident: no message to it is about several."""
        return self.kind in _INCIDENT_KINDS or _INCIDENT_HOSTS.match(self.url.strip()) is not None

    @property
    def messages_per_second(self) -> float:
        """Its `rate`, or the default of its kind."""
        if self.rate is not None:
            return self.rate
        return 1.0 if self.kind in _SLOW_KINDS else 10.0
