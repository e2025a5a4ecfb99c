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
from receiver.destinations.apprise.clients import form_of
from receiver.destinations.apprise.conversations import is_mail
from receiver.destinations.apprise.places import copies_of, recipients, senders
from receiver.destinations.apprise.proxies import is_this_machine
from receiver.destinations.apprise.recorder import AttemptOver, AttemptRecorder
from receiver.destinations.destination import Destination

# What a plugin holds that lets its holder send, besides a password.
_TOKENS = ("token", "access_token", "accesstoken", "apikey", "webhook_token", "secret_key")
# Plugins that send to this place if the URL names none.
_USUAL_PLACES = {
    "NotifySlack": ("channels", "#general"),
    "NotifyTrigv": ("targets", "general"),
    "NotifyTwist": ("channels", "general"),
    "NotifyZulip": ("targets", "general"),
}
# Options that each kind of Apprise has → what decides about them here. Apprise itself writes them
# into URLs, with the values of _SAYS_NOTHING.
_DECIDED_HERE = {
    "cto": "the destination's `timeout:` decides",
    "rto": "the destination's `timeout:` decides",
    "wait": "the destination's and the route's times between repeats decide",
    "redirect": "no redirect is followed: give the address that it leads to",
}
_SAYS_NOTHING = {"", "no", "false", "0", "0.0", "0.5", "4.0"}
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


def rehearse(plugin: Any, url: str, send: Callable[[], object]) -> str | None:
    """Return why the plugin cannot send, and what to write; None if it can, or nobody knows.

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
    if record.unsendable:
        return record.unsendable
    words = " ".join(record.warnings[:2]) or "it makes no request."
    return comparison.without_names(url, words) + form_of(comparison.scheme_of(plugin))


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
    for option, why in _DECIDED_HERE.items():
        if written.option(option).lower() not in _SAYS_NOTHING:
            yield f"{name} has {option}=, which is not used: {why}"
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
    if _mails_itself(destination, plugin):
        yield "names no recipient, so that its mails go to their sender: add to=RECIPIENT"
    if type(plugin).__name__ == "NotifyTwitter" and plugin.mode == "dm" and not plugin.targets:
        yield "names nobody, so that its messages go to its own account: add /@USER, or mode=tweet"


def _mails_itself(destination: Destination, plugin: Any) -> bool:
    """Return whether mails go to their sender although the URL does not say so.

    Who writes the account of a provider of mailboxes means the mailbox.
    """
    written = parse(destination.url)
    server = getattr(plugin, "smtp_host", "")
    is_mailbox = server and not written.option("smtp") and server != written.host.lower()
    if not is_mail(plugin) or is_mailbox or copies_of(plugin):
        return False
    named = " ".join((*written.segments, written.option("to"))).lower()
    to = {address.lower() for address in recipients(plugin)}
    return bool(to) and to <= senders(plugin) and not any(address in named for address in to)


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
