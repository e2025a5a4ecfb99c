"""Plugin: what speaks to a service, with what is found out about it once for all its messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from receiver.deliveries import Message
from receiver.destinations import addresses
from receiver.destinations.apprise import (
    catalogue,
    clients,
    conversations,
    incidents,
    kept,
    sessions,
    vendors,
)
from receiver.destinations.apprise.limits import Fitter, Written
from receiver.destinations.apprise.recorder import is_lack
from receiver.destinations.destination import Destination


class KnownPlugin:
    """Plugin of a destination. `client` is Apprise's object with this one plugin.

    `vendor` is what is known of the answers of its service, `is_untraced` says that none can be
    seen. `is_mail`: people read its messages as e-mails.
    """

    def __init__(self, client: Any, destination: Destination) -> None:
        plugin = client[0]
        name = vendors.name_of(type(plugin))
        self.plugin = plugin
        self.fitter = Fitter(plugin, clients.library())
        self.vendor = catalogue.VENDORS.get(name, vendors.UNKNOWN)
        self.is_untraced = name in vendors.WITHOUT_REQUESTS
        self.is_mail = conversations.is_mail(plugin)
        options = addresses.parse(destination.url).options
        self._notify = way_of(client)
        self._options = frozenset(option for option, _ in options)
        self._types = {each.value: each for each in clients.library().NotifyType}

    @property
    def targets(self) -> int:
        """The number of those it sends to."""
        return len(self.plugin)

    def send(self, message: Message, written: Written) -> bool:
        """Let the plugin send the message; return whether it reports success."""
        plugin = self.plugin
        kept.make_ready(plugin)
        change = incidents.direct(plugin, message, self._options)
        sessions.change_requests(conversations.join(plugin, message.thread, change))
        try:
            done = self._notify(
                body=written.text,
                title=written.title,
                notify_type=self._types[message.severity.value],
                body_format=written.form,
            )
            return bool(done)
        except Exception as error:
            if is_lack(error):
                raise
            # As Apprise's object does it: whatever a plugin raises, it has not sent the message.
            logging.getLogger("apprise").warning(
                "Notification service '%s' raised an exception.", plugin.service_name
            )
            return False
        finally:
            sessions.change_requests(None)


def way_of(client: Any) -> Callable[..., object]:
    """Return what sends through a client: Apprise's object, or its one plugin itself.

    For one plugin, the object adds only a record of the call, which takes a tenth of an attempt,
    and signs for words between colons (?emojis=yes).
    """
    plugin = client[0]
    way: Callable[..., object] = client.notify if plugin.interpret_emojis else plugin.notify
    return way
