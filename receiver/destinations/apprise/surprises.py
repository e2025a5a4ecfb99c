"""Surprises: settings of a destination that work, but hardly as somebody expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from receiver.destinations.addresses import parse
from receiver.destinations.apprise import comparison, incidents
from receiver.destinations.apprise.proxies import is_this_machine
from receiver.destinations.destination import Destination


def find(destination: Destination, plugin: Any) -> Iterator[str]:
    """Yield one line for each surprise, without any secret."""
    name = f"destination {destination.name}"
    if _sends_in_the_clear(destination, plugin):
        yield f"{name} may send its password in the clear: use {_secure(plugin)}://"
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
    yield from (f"{name} {line}" for line in _about_incidents(destination, plugin))


def harmless(url: str, reason: str) -> str:
    """Return the plugin's own words without what may be a secret."""
    return comparison.without_names(url, reason)


def _sends_in_the_clear(destination: Destination, plugin: Any) -> bool:
    scheme = parse(destination.url).scheme
    open_schemes = type(plugin).protocol or ()
    names = [open_schemes] if isinstance(open_schemes, str) else open_schemes
    host = getattr(plugin, "smtp_host", "") or plugin.host or ""
    # A kind with one scheme alone knows by itself how to send.
    is_open = scheme in names and not plugin.secure and bool(type(plugin).secure_protocol)
    return bool(is_open and plugin.password and not is_this_machine(str(host)))


def _secure(plugin: Any) -> str:
    schemes = type(plugin).secure_protocol
    return str(schemes if isinstance(schemes, str) else schemes[0])


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
