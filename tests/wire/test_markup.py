"""A text in the language of each service: links that work, lines that are lines, no pings.

As it arrives at stand-ins; no service was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import pytest

from receiver.deliveries import Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import StandIn, standing_in

LINK = "https://platform.example.com/run_it/a-b_c?x=1&y_=2#z"
LINES = (
    "# Not a heading, *not bold*, _not slanted_ but snake_case",
    "1. no list & no [link](x) <b>",
    LINK,
    "- nor this: see https://other.example.com/a_b.",
)
MESSAGE = Message("Agent_a *b* asks: pay?", "\n".join(LINES))
FORMATS = ["", "format=text", "format=html"]
_numbers = count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


def arrived(service: StandIn, name: str, option: str = "", message: Message = MESSAGE) -> Any:
    """Send the message; return the payload of its request."""
    url = ADDRESSES[name]
    if option:
        url += ("&" if "?" in url else "?" if url.endswith("/") else "/?") + option
    service.answer(lambda asked: yes_of(name, asked))
    attempt = send(Destination(f"markup-{next(_numbers)}", url, rate=1000), message)
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    (asked,) = [each for each in service.asked if each.has_words("platform.example.com")]
    if asked.text.startswith("{"):
        return json.loads(asked.text)
    return {member: values[0] for member, values in parse_qs(asked.text).items()}


MARKDOWN = (
    "\\# Not a heading, \\*not bold\\*, \\_not slanted\\_ but snake_case{line}"
    "1\\. no list & no \\[link\\](x) \\<b\\>{line}{link}{line}"
    "\\- nor this: see {other}."
)
OTHER = "https://other.example.com/a_b"
# Where the text stands, what ends a line, whether the title stands before it.
PLACES: dict[str, tuple[tuple[str | int, ...], str, bool]] = {
    "GitHub": (("body",), "  \n", True),
    "GoAlert": (("details",), "  \n", False),
    "ILert": (("details",), "  \n", False),
    "IncidentIO": (("description",), "  \n", False),
    "Kook": (("content",), "\n", True),
    "Reddit": (("text",), "  \n", False),
    "ServerChan": (("desp",), "\n\n", False),
    "SimplePush": (("content",), "  \n", False),
    "Squadcast": (("description",), "  \n", False),
    "Twist": (("content",), "  \n", False),
    "WebexTeams": (("markdown",), "  \n", True),
    "Workflows": (("attachments", 0, "content", "body", -1, "text"), "\n\n", False),
}
# These say with the text in which format it is, so that it need not be Markdown.
SAY_FORMAT = ("Kook", "SimplePush", "WebexTeams")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name in PLACES
        for option in FORMATS
        if not option or name not in SAY_FORMAT
    ],
)
def test_who_reads_markdown_gets_links_and_lines_whatever_the_format_says(
    name: str, option: str, service: StandIn
) -> None:
    found = arrived(service, name, option)
    place, line, has_title = PLACES[name]
    for step in place:
        found = found[step]
    links = [
        f"[{each}]({each})" if name in ("Kook", "Workflows") else each for each in (LINK, OTHER)
    ]
    text = MARKDOWN.replace("{line}", line).replace("{link}", links[0]).replace("{other}", links[1])
    assert found == (f"**Agent_a \\*b\\* asks: pay?**{line}{text}" if has_title else text)


def test_who_says_the_format_with_the_text_gets_it_plain_if_the_url_asks_for_it(
    service: StandIn,
) -> None:
    plain = [MESSAGE.title, *LINES]
    for option in ("format=text", "format=html"):
        assert arrived(service, "WebexTeams", option)["text"].splitlines() == plain
        assert arrived(service, "Kook", option)["content"].splitlines() == plain
    assert arrived(service, "SimplePush", "format=text")["content"].splitlines() == plain[1:]


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in ("RocketChat", "GoogleChat") for option in FORMATS],
)
def test_who_knows_no_escapes_gets_the_text_as_it_is(
    name: str, option: str, service: StandIn
) -> None:
    text = arrived(service, name, option)["text"]
    assert [line.rstrip() for line in text.splitlines()] == [MESSAGE.title, *LINES]


@pytest.mark.parametrize("option", FORMATS)
def test_mattermost_gets_escapes_and_its_own_line_breaks(option: str, service: StandIn) -> None:
    text = arrived(service, "Mattermost", option)["text"]
    assert text.splitlines() == [
        "Agent_a \\*b\\* asks: pay?",
        "\\# Not a heading, \\*not bold\\*, \\_not slanted\\_ but snake_case",
        "1\\. no list & no \\[link\\](x) <b>",
        LINK,
        "\\- nor this: see https://other.example.com/a_b.",
    ]


@pytest.mark.parametrize("option", FORMATS)
def test_a_card_of_teams_calls_nobody(option: str, service: StandIn) -> None:
    text = f"＜at>Ann＜/at> \\<at> {LINK}"
    card = arrived(service, "Workflows", option, Message("＜at>Ann＜/at>", text))["attachments"][0]
    assert card["content"]["msteams"] == {"width": "full"}
    assert "<at" not in json.dumps(card).replace("\\\\<at", "")


HTML = (
    "# Not a heading, *not bold*, _not slanted_ but snake_case<br/>"
    "1. no list &amp; no [link](x) &lt;b&gt;<br/>"
    "https://platform.example.com/run_it/a-b_c?x=1&amp;y_=2#z<br/>"
    "- nor this: see https://other.example.com/a_b."
)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("Postmark", "HtmlBody"),
        ("Resend", "html"),
        ("SMTP2Go", "html_body"),
        ("Pushplus", "content"),
        ("Brevo", "htmlContent"),
        ("Groundmail", "html"),
        ("MailerSend", "html"),
    ],
)
def test_who_reads_html_gets_breaks_and_spaces_that_may_end_a_line(
    name: str, member: str, service: StandIn
) -> None:
    assert arrived(service, name)[member] == HTML


def test_a_mail_with_a_page_has_the_plain_text_besides(service: StandIn) -> None:
    assert arrived(service, "Brevo")["textContent"].splitlines() == list(LINES)
    flock = arrived(service, "Flock")["flockml"]
    assert flock == f"<flockml><b>{MESSAGE.title}</b><br/>{HTML}</flockml>"


def test_a_number_of_an_issue_and_a_name_of_a_user_refer_to_nothing(service: StandIn) -> None:
    text = f"#12 and u/ann, /u/ann, menu/a\n{LINK}"
    body = arrived(service, "GitHub", message=Message("T", text))["body"]
    assert body.startswith("**T**  \n＃12 and u/ann, /u/ann, menu/a")
    text = arrived(service, "Reddit", message=Message("T", text))["text"]
    assert text.startswith("\\#12 and u∕ann, /u∕ann, menu/a")


def test_words_between_colons_become_signs_where_the_url_says_so(service: StandIn) -> None:
    message = Message("A :smile:", f"Done :+1:\n{LINK}")
    assert arrived(service, "JSON", "emojis=yes", message)["title"] == "A 😄"
    assert arrived(service, "JSON", "", message)["title"] == "A :smile:"
