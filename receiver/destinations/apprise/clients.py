"""Clients: Apprise's object for a destination, or the reason why there can be none.

A URL is accepted if it leads over the network to one target and reads no file of this machine.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from receiver.destinations import addresses, native
from receiver.destinations.apprise import comparison, kept, probes
from receiver.destinations.apprise.recorder import record_throttle, said_by_apprise
from receiver.destinations.destination import Destination

# These act on this machine: its screen, its log, its files, its programs.
LOCAL_KINDS = {
    "syslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "blink1", "file",
    "deltachat", "deltachats", "vapid",
}  # fmt: skip
# Options that make Apprise read a file.
FILE_OPTIONS = {"attach", "include", "keyfile", "pgpkey", "pgpprv", "pgppub", "subfile"}
_NOT_UNDERSTOOD = (
    "its URL is not one that Apprise understands: compare it with the service's page in Apprise's"
    f" documentation; {addresses.SIGNS}"
)
# Plugins that need somebody in one of these attributes, and do not say so: without, they look for
# somebody by themselves, or fail when they send.
_NEED_SOMEBODY = {
    "NotifyAMQP": (
        ("targets", "exchange"),  # an exchange may give each message to all its queues
        "it names no queue: add /QUEUE, or ?exchange=EXCHANGE",
    ),
    "NotifyAprs": (("targets",), "it names no call sign to send to: add @CALLSIGN"),
    "NotifyIRC": (
        ("channels", "users"),
        "it names no channel: add /%23CHANNEL (%23 is a #) or /@NICKNAME",
    ),
    "NotifyMatrix": (
        ("rooms", "users"),
        "it names no room, and Apprise would write to all that the account is in: add /!ROOM:SERVER"
        " or /#ALIAS:SERVER (# as %23)",
    ),
    "NotifyTelegram": (
        ("targets",),
        "it names no chat, and Apprise would write to whoever wrote to the bot: add /CHAT-ID",
    ),
    "NotifySMPP": (("targets",), "it names no number to send to: add /TO-NUMBER"),
}
_MOST_FORMS = 3

_importing = threading.Lock()
_apprise: Any = None
_enabled: set[str] = set()
# The plugins whose packages are there.
_usable: set[Any] = set()


def library() -> Any:
    """Import Apprise at the first call only (160 ms) and return it."""
    global _apprise
    with _importing:
        if _apprise is None:
            import apprise

            from receiver.destinations.apprise import short_way

            probes.install(short_way)
            _apprise = apprise
        return _apprise


def client(destination: Destination) -> Any:
    """Make the destination's Apprise object, or describe the mistake in its URL."""
    apprise = library()
    url = destination.url.strip()
    if "://" in url and (urls := len(apprise.utils.parse.parse_urls(url))) > 1:
        return f"it holds {urls} URLs: make a destination of each"
    if mistake := addresses.mistake(url):
        return mistake
    url = native.translated(url)
    with said_by_apprise() as said:
        parsed = apprise.plugins.url_to_dict(url)
    kind = str(parsed.get("schema", "")) if parsed else destination.kind
    if kind in LOCAL_KINDS:
        return f"{kind}:// acts on this machine, not on another: give a service of the network"
    if not parsed:
        return _not_understood(url)
    options = parsed.get("qsd") or {}
    if problem := _option_problem(options):
        return problem
    _enable(kind)
    if problem := _missing_package(kind) or _port_problem(kind, url):
        return problem
    # No pool, throttle, retries or redirects of its own: the receiver decides about these.
    asset = apprise.AppriseAsset(service_timeout=0, http_redirects=False)
    made = apprise.Apprise(asset=asset)
    with said_by_apprise() as more:
        is_added = made.add(url)
    if not is_added or len(made) != 1:
        return _not_understood(url, more)
    plugin, said = made[0], said + more
    kept.forget_quietly(type(plugin))
    plugin.retry = 0  # else each repeat would count as a target
    problem = _plugin_problem(plugin) or comparison.problem(url, parsed, plugin, said)
    _configure(plugin, destination)
    return problem or made


def _not_understood(url: str, said: Sequence[str] = ()) -> str:
    """Say that Apprise does not take the URL, with the nearest kind if there is a near one."""
    scheme = url.partition("://")[0].lower()
    schemes = _apprise.NotificationManager().schemas()
    near = difflib.get_close_matches(scheme, schemes, 1, 0.75) if scheme not in schemes else []
    if hint := addresses.web_hint(url):
        return hint
    if near:
        return f"Apprise has no such kind: did you mean {near[0]}://?"
    words = [comparison.without_names(url, line) for line in said if "nloadable" not in line]
    form = form_of(scheme)
    if words:
        return f"Apprise does not take it: {words[0]}{form}"
    return f"{_NOT_UNDERSTOOD}.{form}" if form else _NOT_UNDERSTOOD


def form_of(scheme: str) -> str:
    """Say how the URLs of a kind are written: with all that they may name; empty if unknown."""
    manager = _apprise.NotificationManager()
    if scheme not in manager.schemas() or not (forms := manager[scheme].templates):
        return ""
    shown: list[str] = []
    known = {"port"}
    for form in sorted(forms, key=lambda each: each.count("{"), reverse=True):
        names = set(re.findall(r"\{(\w+)\}", form))
        # Each form has something that no longer one has.
        if "port" not in names and not names <= known and len(shown) < _MOST_FORMS:
            known |= names
            shown.append(_written_out(form, scheme))
    return f" Write {' or '.join(shown)}" if shown else ""


def _written_out(form: str, scheme: str) -> str:
    """Return a form of URLs as people read it: {schema}://{user}@{host} → json://USER@HOST."""
    form = form.replace("{schema}", scheme).replace("{targets}", "{target}")
    return re.sub(r"\{(\w+)\}", lambda name: name[1].upper().replace("_", "-"), form)


def _option_problem(options: Any) -> str:
    """Describe the mistake in the options after the URL's question mark; empty if none."""
    if file_options := sorted(FILE_OPTIONS & set(options)):
        return f"its option {file_options[0]}= reads a local file: leave it out"
    if _apprise.utils.parse.parse_bool(options.get("optional"), False):
        return "its option optional= would show a failure as delivered: leave it out"
    # Apprise itself writes retry=0 into URLs.
    if str(options.get("retry", "")).strip("0 "):
        return (
            "its option retry= would repeat behind the receiver's back, which repeats by itself:"
            " leave out retry= and wait= (what Pushover calls retry is interval= here)"
        )
    form = str(options.get("format", "text")).lower()
    if form.startswith("m"):
        return f"its option format={form[:8]} would let the text of an event act: leave it out"
    if str(options.get("overflow", "")).lower().startswith("s"):
        return (
            "its option overflow=split would make several messages of one, and a repeat of one"
            " would repeat all: leave it out"
        )
    return ""


def _missing_package(kind: str) -> str:
    """Say which package a kind needs that is not installed; empty if none."""
    plugin = _apprise.NotificationManager()[kind]
    if plugin.enabled:
        return ""
    needs = plugin.requirements.get("packages_required") or ()
    names = [needs] if isinstance(needs, str) else [str(name) for name in needs]
    packages = " ".join(f"'{name.replace(' ', '')}'" for name in names)
    if not packages:
        return f"{kind}:// needs something that this system lacks: see its page in Apprise's"
    return (
        f"{kind}:// needs a Python package that is not installed: run pip install {packages} where"
        " the receiver is installed"
    )


def _port_problem(kind: str, url: str) -> str:
    """Say that a port is none; empty if it is one, or if the kind has no ports."""
    port = addresses.parse(url).port
    has_ports = "port" in getattr(_apprise.NotificationManager()[kind], "template_tokens", {})
    if not port or not has_ports or (len(port) < 6 and 1 <= int(port) <= 65_535):
        return ""
    return "its port is none: a port is a number from 1 to 65535"


def _plugin_problem(plugin: Any) -> str:
    """Describe the reason against the plugin that the URL makes; empty if none."""
    if any(isinstance(value, _apprise.AppriseAttachment) and len(value)
           for value in vars(plugin).values()):  # fmt: skip
        return "one of its options (such as template=) reads a file: leave it out"
    number = _number_of_targets(plugin)
    if number == 0:
        return f"it names nobody to send to: add a target.{form_of(comparison.scheme_of(plugin))}"
    attributes, why = _NEED_SOMEBODY.get(type(plugin).__name__, ((), ""))
    if type(plugin).__name__ == "NotifyMatrix" and plugin.mode != "off":
        return _hook_problem(plugin)
    if why and not any(getattr(plugin, name, None) for name in attributes):
        return why
    if number > 1:
        return (
            f"it names {number} targets, and a repeat for one would go to all of them: make a"
            " destination of each"
        )
    return ""


def _number_of_targets(plugin: Any) -> int:
    """Count the targets; a plugin that drops all that are named may keep not even a list."""
    try:
        return len(plugin)
    except TypeError:
        return 0


def _hook_problem(plugin: Any) -> str:
    """Describe the mistake in a hook of Matrix: it leads into its room by itself; empty if none."""
    if plugin.rooms or plugin.users:
        return "it names a room, and its hook leads into its own alone: leave the room out"
    if not (plugin.password or plugin.access_token):
        return f"it names no token: write matrixs://TOKEN@HOST?mode={plugin.mode}"
    return ""


def _enable(kind: str) -> None:
    """Enable only those services of Apprise that the destinations use."""
    with _importing:
        if kind in _enabled:
            return
        manager = _apprise.NotificationManager()
        if not _enabled:
            _usable.update(plugin for plugin in manager.plugins() if plugin.enabled)
        _enabled.add(kind)
        manager.enable_only(*_enabled)
        # A plugin that is made from another one is disabled with it.
        if manager[kind] in _usable and not manager[kind].enabled:
            manager[kind].enable()


def _configure(plugin: Any, destination: Destination) -> None:
    """Switch off the plugin's own pace, repeats and deadlines: the receiver decides about them."""
    plugin.request_rate_per_sec = 0
    plugin.retry = 0
    # Each result writes out its URL, which we never show: that took a tenth of an attempt.
    plugin.url = lru_cache(maxsize=8)(plugin.url)
    # It reads the names of its formats for each message.
    plugin.resolve_format = lru_cache(maxsize=8)(plugin.resolve_format)
    plugin.redirects = False
    # Longer than the attempt may take, so that the deadline decides; but an address that takes no
    # connection is left for the next one of the same name.
    plugin.socket_connect_timeout = min(destination.timeout + 1, 10.0)
    plugin.socket_read_timeout = destination.timeout + 1
    plugin.throttle = record_throttle
    # The text is made for the service's limits: what does not fit is for nobody else to cut.
    plugin.overflow_mode = _apprise.OverflowMode.UPSTREAM
