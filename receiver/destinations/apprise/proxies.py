"""Proxies: `http_proxy` and its like hold for other machines, never for this one.

A proxy cannot reach the loopback addresses of this machine: it would reach its own, and would see
what was meant for nobody else.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from receiver.destinations.apprise.recorder import current_recorder


def with_rules(find: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the look-up of the proxies to a URL, so that this machine is reached without any.

    In attempts it looks a host up only once: each look-up takes a tenth of an attempt.
    """
    cached = lru_cache(maxsize=256)(lambda host, no_proxy: find(host, no_proxy=no_proxy))

    def find_proxies(url: str, no_proxy: str | None = None) -> Any:
        if is_this_machine(_host(url)):
            return {}
        if current_recorder() is None:
            return find(url, no_proxy=no_proxy)
        scheme, _, rest = url.partition("://")
        return cached(f"{scheme}://{rest.partition('/')[0]}/", no_proxy)

    return find_proxies


@lru_cache(maxsize=256)
def is_this_machine(host: str) -> bool:
    """Return whether a host's name or address is one of the loopback ones."""
    name = host.lower().rstrip(".").partition("%")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if re.fullmatch(r"[0-9a-fx.]*[0-9]+[0-9a-fx.]*", name):
        # The system also takes short forms of an address: 127.1, 2130706433, 0x7f.1.
        try:
            name = socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
