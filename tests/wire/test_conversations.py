"""E-mails through a service join the conversation of their episode where its plugin allows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from receiver.deliveries import Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import standing_in

THREAD = "<episode-1@receiver>"
HEADERS = {"Auto-Submitted": "auto-generated", "In-Reply-To": THREAD, "References": THREAD}
SERVICES = ["Brevo", "Mailgun", "Postmark", "Resend", "SendGrid", "SMTP2Go", "SparkPost"]


def headers_in(body: str) -> dict[str, str]:
    """The headers of the mail in a request, whatever their form."""
    if not body.startswith("{"):
        form = dict(parse_qsl(body)) or dict(
            re.findall(r'name="([^"]+)"\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
        )
        return {name[2:]: value for name, value in form.items() if name.startswith("h:")}
    asked = json.loads(body)
    for name in ("headers", "Headers", "custom_headers"):
        found = asked.get(name) or asked.get("content", {}).get(name)
        if isinstance(found, list):
            return dict(tuple(each.values()) for each in found)
        if found:
            return dict(found)
    return {}


@pytest.mark.parametrize("name", SERVICES)
def test_a_mail_through_a_service_joins_its_conversation(name: str, tmp_path: Path) -> None:
    destination = Destination("mail", ADDRESSES[name])
    with standing_in(tmp_path) as service:
        service.answer(lambda asked: yes_of(name, asked))
        for thread in (THREAD, None):
            assert send(destination, Message("t", "b", thread)).outcome is Outcome.DELIVERED
        found = [headers_in(asked.body.decode()) for asked in service.asked]
    assert found == [HEADERS, {"Auto-Submitted": "auto-generated"}]
