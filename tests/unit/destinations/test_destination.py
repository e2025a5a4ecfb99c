"""A destination's kind and pace, from its URL."""

from __future__ import annotations

import pytest

from receiver.destinations.destination import Destination


def test_people_are_told_slower_than_machines() -> None:
    assert Destination("ops", "slack://a/b/c").messages_per_second == 1
    assert Destination("ops", "https://hooks.slack.com/services/T1/B1/x").messages_per_second == 1
    assert Destination("ops", "json://x").messages_per_second == 10
    assert Destination("ops", "json://x", rate=3).messages_per_second == 3


@pytest.mark.parametrize(
    "kind",
    [
        "acs", "azure", "brevo", "groundmail", "mailersend", "mailgun", "o365", "postmark",
        "resend", "sendgrid", "sendpulse", "ses", "smtp2go", "sparkpost", "mailto", "mailtos",
    ],
)  # fmt: skip
def test_every_service_that_sends_mail_is_told_as_slowly_as_mail(kind: str) -> None:
    assert Destination("mail", f"{kind}://x").messages_per_second == 1
    assert Destination("mail", f"{kind}://x", rate=5).messages_per_second == 5


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (" JSON://host/Path", "json"),
        ("mailtos://user:pass@host", "mailtos"),
        ("https://hooks.slack.com/services/T1/B1/x", "slack"),
        ("console://", "console"),
        ("", ""),
    ],
)
def test_the_kind_is_the_scheme_of_the_url(url: str, kind: str) -> None:
    assert Destination("ops", url).kind == kind


def test_a_console_is_known_as_one() -> None:
    assert Destination("ops", " CONSOLE://").prints_only
    assert not Destination("ops", "json://console").prints_only
