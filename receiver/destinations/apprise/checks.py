"""Checks of a destination, before anything is sent: a rehearsal, and settings that may surprise.

Some plugins have nobody to send to, or cannot make a request of what the URL says, and find that
out only when they send. So `check` lets them send, and stops them at the first thing that would go
over the network.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from receiver.destinations.addresses import parse
from receiver.destinations.apprise import comparison, incidents
from receiver.destinations.apprise.proxies import is_this_machine
from receiver.destinations.apprise.recorder import AttemptOver, AttemptRecorder
from receiver.destinations.destination import Destination

# What a plugin holds that lets its holder send, besides a password.
_TOKENS = ("token", "access_token", "accesstoken", "apikey", "webhook_token", "secret_key")
# Plugins that send to this place if the URL names none.
_USUAL_PLACES = {"NotifySlack": ("channels", "#general"), "NotifyZulip": ("targets", "general")}
_PHONE = re.compile(r"\+?[0-9]{6,}")
# What a plugin imports if it reaches the network by another way than through HTTP.
_OTHER_WAYS = ("smtplib", "socket", "ssl", "asyncio", "threading", "paho", "slixmpp", "smpplib")


class Rehearsal(AttemptRecorder):
    """The recorder of an attempt that ends where it would go over the network."""

    def __init__(self) -> None:
        super().__init__(timeout=1.0)
        self.is_reached = False

    def raise_if_over(self) -> None:
        """Raise AttemptOver: this is the network."""
        self.is_reached = True
        raise AttemptOver("the rehearsal ends here")

    def add_connection(self, connection: socket.socket) -> None:
        """Raise AttemptOver: this is the network."""
        self.raise_if_over()


def rehearse(plugin: Any, send: Callable[[], object]) -> str | None:
    """Return why the plugin cannot send, in its own words; None if it can, or nobody knows.

    `send` sends a message through it.
    """
    if not _speaks_only_http(plugin):
        return None
    rehearsal = Rehearsal()
    with rehearsal as record:
        try:
            send()
        except Exception as error:
            record.warnings.append(f"{type(error).__name__}: {error}")
    if rehearsal.is_reached:
        return None
    return record.unsendable or " ".join(record.warnings[:2]) or "it makes no request"


def _speaks_only_http(plugin: Any) -> bool:
    modules = [
        sys.modules[kind.__module__]
        for kind in type(plugin).__mro__
        if kind.__module__.startswith("apprise.plugins.")
        and not kind.__module__.endswith("plugins.base")
    ]
    names = {name for module in modules for name in vars(module)}
    return "requests" in names and names.isdisjoint(_OTHER_WAYS)


def surprises(destination: Destination, plugin: Any) -> Iterator[str]:
    """Yield one line for each surprise, without any secret."""
    name = f"destination {destination.name}"
    if secret := _sent_in_the_clear(destination, plugin):
        yield f"{name} may send its {secret} in the clear: use {comparison.scheme_of(plugin)}://"
    if not plugin.verify_certificate:
        yield (
            f"{name} does not check who answers (verify=no): anybody on the way can read its"
            " messages; trust its certificate with REQUESTS_CA_BUNDLE instead"
        )
    written = parse(destination.url)
    if written.scheme in ("ntfy", "ntfys") and not (written.segments or written.option("mode")):
        yield (
            f"{name} sends to a topic of the public server ntfy.sh: write {written.scheme}://HOST"
            "/TOPIC for a server of your own, or ?mode=cloud if that is meant"
        )
    yield from (f"{name} {line}" for line in _about_places(destination, plugin))
    yield from (f"{name} {line}" for line in _about_incidents(destination, plugin))


def _sent_in_the_clear(destination: Destination, plugin: Any) -> str:
    """Return what goes over the network as everybody can read it; empty if nothing secret does."""
    scheme = parse(destination.url).scheme
    open_schemes = type(plugin).protocol or ()
    names = [open_schemes] if isinstance(open_schemes, str) else open_schemes
    host = getattr(plugin, "smtp_host", "") or plugin.host or ""
    # A kind with one scheme alone knows by itself how to send.
    is_open = scheme in names and not plugin.secure and bool(type(plugin).secure_protocol)
    if not is_open or is_this_machine(str(host)):
        return ""
    if plugin.password:
        return "password"
    return "token" if any(getattr(plugin, name, None) for name in _TOKENS) else ""


def _about_places(destination: Destination, plugin: Any) -> Iterator[str]:
    """Say where it sends to if the URL does not."""
    attribute, place = _USUAL_PLACES.get(type(plugin).__name__, ("", ""))
    held = [str(each) for each in getattr(plugin, attribute, None) or ()] if attribute else []
    if held == [place] and place.strip("#") not in destination.url.lower():
        yield f"names no channel, so that its messages go to #{place.strip('#')}: add the channel"
    if _sends_to_itself(plugin):
        yield (
            "names no number to send to, so that its messages go to its own sender, which such"
            " services refuse: add /TO-NUMBER"
        )


def _sends_to_itself(plugin: Any) -> bool:
    """Return whether a kind with phone numbers would send to the number that it sends from."""
    sender, targets = getattr(plugin, "source", None), getattr(plugin, "targets", None)
    if not isinstance(sender, str) or not _PHONE.fullmatch(sender) or targets is None:
        return False
    # Signal shows what one sends to oneself.
    return type(plugin).__name__ != "NotifySignalAPI" and list(targets) in ([], [sender])


def _about_incidents(destination: Destination, plugin: Any) -> Iterator[str]:
    kind = type(plugin).__name__
    if kind == "NotifyBetterStack" and plugin.host:
        return  # it takes log lines
    if (thing := incidents.WITHOUT_KEY.get(kind)) is not None:
        yield (
            f"opens {thing} for each message, reminders and the end of a wait, too: Apprise has no"
            " way to update or to close it there"
        )
    service = incidents.SERVICES.get(kind)
    given = {name for name, _ in parse(destination.url).options}
    for option in sorted(given & {service.action, service.key} if service else ()):
        yield (
            f"has {option}=, which is not used for messages about an episode: each episode is an"
            " incident of its own, which is opened, acknowledged and resolved"
        )
