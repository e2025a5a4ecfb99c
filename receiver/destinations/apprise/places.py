"""Places: where a URL leads, in one line for people and without any secret."""

from __future__ import annotations

from typing import Any

from receiver.destinations.addresses import WrittenUrl, parse
from receiver.destinations.apprise.conversations import is_mail
from receiver.destinations.redaction import OPEN_HOSTS

# So many characters of an id help to tell one from the other, and are of no use to anybody else.
_SHOWN = 2
_SHORTEST = 6


def place_of(url: str, plugin: Any) -> str:
    """Say where the messages of a plugin go: its kind, and as much of the place as is no secret."""
    if is_mail(plugin):
        return _mailbox(plugin)
    written = parse(url)
    name = str(plugin.service_name)
    if name == "Slack":
        return _slack(plugin)
    if written.scheme in ("http", "https"):
        return f"{name} at {written.host}"
    if _is_open(written, plugin):
        port = f":{plugin.port}" if plugin.port else ""
        return f"{name} at {plugin.host}{port}"
    return f"{name} ({_masked(written.host)})"


def _mailbox(plugin: Any) -> str:
    to = ", ".join(recipients(plugin))
    copies = copies_of(plugin)
    more = f" and {copies} in copy" if copies else ""
    through = getattr(plugin, "smtp_host", "") or plugin.service_name
    return f"e-mail to {to}{more} through {through}"


def recipients(plugin: Any) -> list[str]:
    """Return the addresses that a plugin for mail sends to, without names and copies."""
    targets = [each if isinstance(each, str) else each[1] for each in plugin.targets or ()]
    return [str(address) for address in targets]


def copies_of(plugin: Any) -> int:
    """Return how many get a copy of each mail."""
    return len(getattr(plugin, "cc", ())) + len(getattr(plugin, "bcc", ()))


def senders(plugin: Any) -> set[str]:
    """Return the addresses in lower case that a plugin for mail may send from."""
    held = [getattr(plugin, name, None) for name in ("from_addr", "from_email", "source")]
    texts = [each[1] if isinstance(each, list | tuple) else each for each in held]
    return {str(text).lower() for text in texts if text}


def _slack(plugin: Any) -> str:
    channels = " ".join(str(channel) for channel in plugin.channels or () if channel)
    to = f" to {channels}" if channels else ""
    team = getattr(plugin, "token_a", None)
    return f"Slack (webhook …/{_masked(team)}){to}" if team else f"Slack ({plugin.mode}){to}"


def _is_open(written: WrittenUrl, plugin: Any) -> bool:
    """Return whether its host is the name of a host; in some kinds a token stands there."""
    host = str(plugin.host or "")
    if not host or host.lower() != written.host.lower():
        return False
    is_name = "." in host or ":" in host or host == "localhost"
    return written.scheme in OPEN_HOSTS or (is_name and "host" in plugin.template_tokens)


def _masked(text: str) -> str:
    return f"{text[:_SHOWN]}…" if len(text) >= _SHORTEST else "…"
