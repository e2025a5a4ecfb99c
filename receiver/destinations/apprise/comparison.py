"""Comparison of a URL as written with what Apprise made of it: a difference is a mistake.

Apprise drops and cuts what it does not understand, mostly without a word: a recipient, half a
password, an option. Messages would then go to somebody else, or to nobody.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any
from urllib.parse import unquote

from receiver.destinations.addresses import WrittenUrl, ascii_domain, parse
from receiver.destinations.redaction import redact

# These kinds write a part of their URL in another form, or take it from another place.
_REWRITERS = {
    "bluesky", "dapnet", "join", "mobilemessage", "rocket", "rockets", "sendpulse", "tgram",
    "viber", "voipms",
}  # fmt: skip
_READERS = {"parse_url", "parse_native_url", "post_process_parse_url_results", "__init__"}
# Every address of a workflow has these, and Apprise writes them by itself.
_OF_WORKFLOWS = {"api-version", "sp", "sv"}
_EVERYWHERE = {"user", "pass", "password"}
_SAYS_THAT_IT_DROPS = re.compile(
    r"drop|ignor|invalid|not valid|unsupported|defaulting", re.IGNORECASE
)
_NAMED = re.compile(r"\(.*\)|'.*'|\".*\"|\S*@\S*")


def problem(url: str, parsed: Mapping[str, Any], plugin: Any, said: Iterable[str]) -> str:
    """Describe the first difference between the URL and the plugin made of it; empty if none.

    `parsed` is Apprise's reading of the URL. `said` are the warnings while it made the plugin.
    """
    written = parse(url)
    if written.scheme in ("http", "https"):
        # It is an address of the service itself, with options of its own.
        return _dropped(url, said) or _lost_option(written, plugin)
    return (
        _unknown_option(written, plugin)
        or (_mail_problem(written, parsed, plugin) if hasattr(plugin, "smtp_host") else "")
        or _dropped(url, said)
        or _lost_part(written, plugin)
    )


def _dropped(url: str, said: Iterable[str]) -> str:
    """Describe what Apprise itself says that it leaves out."""
    for line in said:
        if _SAYS_THAT_IT_DROPS.search(line):
            return (
                "Apprise leaves a part of it out: correct it, or leave it out. It says:"
                f" {without_names(url, line)}"
            )
    return ""


def without_names(url: str, line: str) -> str:
    """Return words of Apprise without what they name: it may be a piece of a secret."""
    return redact(url, _NAMED.sub("…", line))


def _unknown_option(written: WrittenUrl, plugin: Any) -> str:
    prefixes = {str(spec.get("prefix")) for spec in plugin.template_kwargs.values()}
    names = [name for name, _ in written.options]
    for name in names:
        if names.count(name) > 1 and name in plugin.template_args:
            return (
                f"it has {name}= more than once, and Apprise takes only one: leave out the others"
            )
        if name[:1] in prefixes or name in _options_of(type(plugin)):
            continue
        close = difflib.get_close_matches(name, plugin.template_args, 2, 0.7)
        near = " or ".join(f"{each}=" for each in close)
        hint = f"did you mean {near}?" if close else "see the page of its kind"
        return f"it has an option that Apprise does not know and would leave out: {hint}"
    return ""


def _lost_option(written: WrittenUrl, plugin: Any) -> str:
    """Describe an option of a service's own address that the plugin does not hold."""
    held = {text for name in vars(plugin) for text in _held(vars(plugin)[name])}
    known = _options_of(type(plugin)) | _OF_WORKFLOWS
    for name, value in written.options:
        if value and name not in known and not any(value.lower() in text for text in held):
            return (
                "it has an option of its service that Apprise would leave out: leave it out, or"
                f" write the address as {scheme_of(plugin)}://…, with the options of its page"
            )
    return ""


def scheme_of(plugin: Any) -> str:
    """Return the scheme under which Apprise knows a plugin."""
    schemes = type(plugin).secure_protocol or type(plugin).protocol
    return str(schemes if isinstance(schemes, str) else schemes[0])


def _options_of(kind: type) -> set[str]:
    """Collect the options that a plugin reads: many are in no list, but all are in its code."""
    names = {*getattr(kind, "template_args", {}), *_EVERYWHERE}
    for owner in kind.__mro__:
        for name in _READERS & vars(owner).keys():
            function = getattr(vars(owner)[name], "__func__", vars(owner)[name])
            if (code := getattr(function, "__code__", None)) is not None:
                names |= set(_texts_in(code))
    return names


def _texts_in(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _texts_in(constant)
        elif isinstance(constant, tuple | frozenset):
            yield from (text for text in constant if isinstance(text, str))


def _mail_problem(written: WrittenUrl, parsed: Mapping[str, Any], plugin: Any) -> str:
    """Describe the reason why an e-mail would go elsewhere or nowhere; empty if none."""
    to = [address for _, address in plugin.targets]
    held = {"to": to, "cc": plugin.cc, "bcc": plugin.bcc, "reply": plugin.reply_to}
    for name, addresses in held.items():
        paths = written.segments if name == "to" else ()
        if found := _recipient_problem(name, written.option(name), paths, addresses):
            return found
    sender = written.option("from")
    if "@" in sender and (found := _address_problem("from=", _bare(sender), [plugin.from_addr[1]])):
        return found
    password = written.option("pass") or written.option("password") or written.password
    if password and plugin.password != password:
        return "Apprise makes something else of its password: encode each of its signs once"
    server = written.option("smtp")
    if server and plugin.smtp_host != server:
        return "its smtp= does not arrive as written: give the name of a host alone"
    if written.host and not parsed.get("host") and not server and "@" not in written.host:
        return "its host is no name of a host: only letters, digits, hyphens and dots"
    return ""


def _recipient_problem(name: str, value: str, paths: Iterable[str], held: Iterable[str]) -> str:
    wanted = list(_addresses_in(value))
    for address in wanted:
        if found := _address_problem(f"{name}=", address, held):
            return found
    for path in paths:
        # A recipient in the path is not shown: it may be the end of a password.
        if _address_problem(name, path, held):
            return "Apprise cannot send to what stands in its path: give recipients as to="
    if {each.lower() for each in held} - {each.lower() for each in (*wanted, *paths)} and wanted:
        return f"its {name}= does not arrive as written: give addresses with commas in between"
    return ""


def _address_problem(place: str, address: str, held: Iterable[str]) -> str:
    """Describe the reason why an address does not arrive as written; empty if it does."""
    if "@" not in address:
        return (
            f"its {place} has a part that is no address, for it has no @: is there a comma instead"
            " of a dot?"
        )
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        instead = ascii_domain(address) or "xn--…"
        return f"its {place} has a domain that is not ASCII: write {instead}"
    if not local.isascii():
        return f"its {place} has a letter that is not ASCII, and mail cannot carry it: take another"
    if address.lower() not in {each.lower() for each in held}:
        return (
            f"Apprise makes another address or none of {address} in its {place}: take another"
            " address of that mailbox"
        )
    return ""


def _addresses_in(value: str) -> Iterator[str]:
    """Yield the addresses of a list, without names: `Ann <ann@example.org>, bob@example.org`."""
    for item in re.split(r"[,;]", value):
        for address in [item] if "<" in item else item.split():
            yield _bare(address)


def _bare(address: str) -> str:
    """Return the address of a form with a name: Ann <ann@example.org>."""
    match = re.search(r"<([^>]*)>", address)
    return (match[1] if match else address).strip()


def _lost_part(written: WrittenUrl, plugin: Any) -> str:
    """Describe a part of the URL that the plugin does not hold; empty if it holds all."""
    if written.scheme in _REWRITERS:
        return ""
    texts = {text for name in _attributes_in_use(plugin) for text in _held(vars(plugin)[name])}
    password = written.option("pass") or written.option("password")
    logins = (("user name", written.user, written.option("user")),
              ("password", written.password, password))  # fmt: skip
    for name, part, instead in logins:
        if part and not instead and not any(part.lower() in text for text in texts):
            return f"Apprise makes something else of its {name}: encode each of its signs once"
    if hasattr(plugin, "smtp_host"):
        return ""
    if "host" in plugin.template_tokens and plugin.host:
        if written.host and plugin.host.strip("[]").lower() != written.host.lower():
            return "Apprise makes something else of its host"
        if written.port and str(plugin.port) != written.port:
            return "Apprise makes something else of its port"
    plain = {_letters(form) for text in texts for form in (text, unquote(text))}
    for segment in written.segments:
        if not any(_letters(segment) in text for text in plain):
            return "Apprise leaves out or changes a part of its path: see the page of its kind"
    for name in ("to", "cc", "bcc"):
        for address in _addresses_in(written.option(name)):
            # A name such as @ann is the kind's own; an address has something before the @.
            if address.find("@") > 0 and not any(address.lower() in text for text in texts):
                return f"Apprise makes another address or none of one in its {name}=: take another"
    return ""


def _attributes_in_use(plugin: Any) -> Iterator[str]:
    """Yield the names of its attributes, but not the whole path if the plugin never looks at it."""
    own = [owner for owner in type(plugin).__mro__ if owner.__module__.count(".") > 1]
    functions = [
        each for owner in own for each in vars(owner).values() if hasattr(each, "__code__")
    ]
    is_path_read = any(
        "fullpath" in function.__code__.co_names and function.__name__ != "__init__"
        for function in functions
        if not function.__module__.endswith("plugins.base")
    )
    yield from (name for name in vars(plugin) if name != "fullpath" or is_path_read)


def _held(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts and numbers in a plugin's attributes, in lower case."""
    if isinstance(value, str | int):
        yield str(value).lower()
    elif depth < 4 and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _held(key, depth + 1)
            yield from _held(item, depth + 1)
    elif depth < 4 and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _held(item, depth + 1)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()
