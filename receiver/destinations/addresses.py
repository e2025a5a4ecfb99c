"""Addresses: the parts of a URL as they are written, and texts that mean something else. Pure.

Apprise cuts a URL at the first sign that looks like a border and takes the rest for something else.
So what is ambiguous is refused here, with what to write instead and without showing the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from receiver.destinations import native
from receiver.destinations.destination import MAIL_KINDS

MAIL_FORM = "mailtos://USER:PASSWORD@SMTP-SERVER?from=SENDER&to=RECIPIENT"
SLACK_FORM = (
    "slack://TOKEN-A/TOKEN-B/TOKEN-C/#channel (a webhook) or slack://xoxb-…/#channel (a bot)"
)
SIGNS = "in a name or password write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F, % as %25"
# Words that people write for a kind → its scheme in Apprise.
OTHER_SCHEMES = {
    "email": "mailtos", "mail": "mailtos", "smtp": "mailto", "smtps": "mailtos",
    "webhook": "json", "webhooks": "jsons", "hook": "json", "telegram": "tgram",
    "teams": "workflows", "msteams": "workflows", "googlechat": "gchat", "victor": "splunk",
    "outlook": "azure", "office365": "azure", "amazonses": "ses", "dingding": "dingtalk",
    "mattermost": "mmost", "pushover": "pover", "stdout": "console",
    "print": "console", "log": "console", "rocketchat": "rocket", "gmail": "mailtos",
    "webex": "wxteams", "webexteams": "wxteams", "pushbullet": "pbul", "homeassistant": "hassio",
    "amazonsns": "sns", "wecom": "wecombot", "nextcloudtalk": "nctalk",
}  # fmt: skip
# Hosts of services whose addresses Apprise knows, if they are whole.
_SERVICES = {
    "hooks.slack.com": "copy all of it, https://hooks.slack.com/services/T…/B…/…",
    "discord.com": "copy all of it, https://discord.com/api/webhooks/ID/TOKEN",
    "discordapp.com": "copy all of it, https://discord.com/api/webhooks/ID/TOKEN",
    "chat.googleapis.com": "copy all of it, https://chat.googleapis.com/v1/spaces/…?key=…&token=…",
}
# What stands in documentations for a value: <token>, {bot_token}.
_PLACEHOLDER = re.compile(
    r"[^?]*(<[A-Za-z][\w .-]*>|\{[A-Za-z][\w .-]*\})|.*=<[A-Za-z][\w .-]*>(&|$)"
)
_MAIL = re.compile(r"(?:mailto:)?[^\s:/@]+@[^\s:/@]+", re.IGNORECASE)
_SLACK_ID = re.compile(r"#?[CDGU][A-Z0-9]{8,}")
# Without `://`: what the whole text looks like, what it is called, what to write.
_BARE = (
    (_MAIL, "an e-mail address alone", MAIL_FORM),
    (re.compile(r"[#@]\S.*"), "the name of a channel or a person alone", SLACK_FORM),
    (re.compile(r"[CDGU][A-Z0-9]{7,}"), "the id of a Slack channel or person alone", SLACK_FORM),
    (re.compile(r"xox[a-z]-\S+|(?:hooks\.slack\.com/services/)?T\w+/[AB]\w+/\w+\S*"),
     "a Slack token alone", SLACK_FORM),
    (re.compile(r"\+?[0-9][0-9 ()-]{5,}"), "a phone number alone",
     "the URL of the service that sends to it, such as twilio://… or signal://…"),
    (re.compile(r"(?:console|stdout):?/?", re.IGNORECASE), "no URL", "console://"),
    (re.compile(r"(?:[\w-]+\.)+[a-z]{2,}(?::[0-9]+)?(?:/\S*)?", re.IGNORECASE),
     "the address of a host alone", "jsons://HOST/PATH (JSON), or the kind of its service"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WrittenUrl:
    """The parts of a URL as written, percent-decoded. `options` are in order."""

    scheme: str
    user: str
    password: str
    host: str
    port: str
    segments: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    def option(self, name: str) -> str:
        """Return the last value of an option; empty if it is not given."""
        return next((value for key, value in reversed(self.options) if key == name), "")


def parse(url: str) -> WrittenUrl:
    """Take a URL apart at its own signs."""
    scheme, _, rest = url.strip().partition("://")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    login, _, place = authority.rpartition("@")
    user, _, password = login.partition(":")
    match = re.fullmatch(r"(.*?)(?::([0-9]+))?", place, re.DOTALL)
    host, port = (match[1], match[2] or "") if match else (place, "")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return WrittenUrl(
        scheme.lower(),
        unquote(user),
        unquote(password),
        unquote(host).strip("[]"),
        port,
        tuple(unquote(segment) for segment in path.split("/") if segment),
        tuple((unquote(name).strip().lower(), unquote(value)) for name, _, value in pairs),
    )


def mistake(url: str) -> str:
    """Describe what an address means instead of a destination, or where it is ambiguous.

    The description says what to write, and shows no part of the address. Empty: no mistake.
    """
    text = url.strip()
    if "://" not in text:
        for pattern, name, instead in _BARE:
            if pattern.fullmatch(text):
                return f"it is {name}: write {instead}"
        return ""
    scheme, _, rest = text.partition("://")
    if _PLACEHOLDER.match(text):
        return "it has a placeholder, a word in <…> or {…}: write the value in its place"
    if other := OTHER_SCHEMES.get(scheme.lower()):
        return f"its kind is called {other}:// here: begin with that"
    if scheme.lower() in ("http", "https"):
        return ""
    if mistake := _ambiguity(rest):
        return mistake
    if scheme.lower() in MAIL_KINDS:
        return _mail_mistake(parse(text))
    if scheme.lower() == "slack":
        return _channel_mistake(parse(text))
    return _topic_mistake(parse(text)) if scheme.lower() in ("ntfy", "ntfys") else ""


def web_hint(url: str) -> str:
    """Say what to write instead of a web address or a name of a host that Apprise does not know."""
    written = parse(url)
    if written.scheme in ("http", "https"):
        for host, instead in _SERVICES.items():
            if written.host.lower() == host:
                return f"it is only a part of an address of {host}: {instead}"
        if instead := native.advice(written.host):
            return f"it is an address of {written.host.lower()}: {instead}"
        return (
            f"it is a plain {written.scheme}:// address: write json"
            f"{written.scheme.removeprefix('http')}:// in its place if it takes JSON, or the form"
            " that Apprise's documentation has for its service"
        )
    if not written.host.isascii():
        return "its host has letters that are not ASCII: write it as xn--…"
    return ""


def ascii_domain(address: str) -> str:
    """Return an address or a host with its domain as xn--…; empty if that cannot be."""
    name, at, domain = address.rpartition("@")
    try:
        return name + at + domain.encode("idna").decode()
    except UnicodeError:
        return ""


def _mail_mistake(written: WrittenUrl) -> str:
    """Describe why such mail can never go out; empty if it can."""
    login = (
        written.user, written.password,
        *[written.option(name) for name in ("user", "pass", "password")],
    )  # fmt: skip
    if not all(part.isascii() for part in login):
        return "its login has a letter that is not ASCII, and mail cannot carry it: take another"
    for host in (written.host, written.option("smtp")):
        if not host.isascii():
            return f"its server has a name that is not ASCII: write {ascii_domain(host) or 'xn--…'}"
    return ""


def _channel_mistake(written: WrittenUrl) -> str:
    """Describe an id where Apprise expects a name: it would ask for a channel called like the id.

    The three tokens of a webhook look like ids, too: those of a bot are one.
    """
    if not written.host.lower().startswith("xox"):
        return ""
    named = [*written.segments, *re.split(r"[,\s]+", written.option("to"))]
    if any(_SLACK_ID.fullmatch(each) for each in named):
        return "it names a channel or a person by an id: write +C0123456789, with a + before the id"
    return ""


def _topic_mistake(written: WrittenUrl) -> str:
    """Describe a server of ntfy without a topic: Apprise would take its name for a topic."""
    is_server = "." in written.host or written.port or written.user
    if written.segments or written.option("mode") or written.option("to") or not is_server:
        return ""
    return f"it names no topic: write {written.scheme}://HOST/TOPIC"


def _ambiguity(rest: str) -> str:
    before, _, query = rest.partition("?")
    authority = before.partition("/")[0]
    login = authority.rpartition("@")[0]
    if "@" in login:
        return f"it has more than one @ before its host: {SIGNS}"
    if login.count(":") > 1:
        return f"it has more than one : before its @, where the password would end: {SIGNS}"
    if "#" in authority:
        return f"it has a # before its path: {SIGNS}"
    if any(sign in authority for sign in ' \t\r\n\\<>|^`"{}'):
        return f"it has a blank or a sign before its path that URLs must encode: {SIGNS}"
    if "@" in query.partition("&")[0].partition("=")[0]:
        return f"it has an @ after a ?, so that a part of a name or password is missing: {SIGNS}"
    return ""
