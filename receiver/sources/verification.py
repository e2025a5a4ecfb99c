"""Verification: is this webhook from its source? Four schemes over bytes, each with many keys.

Total: any headers and any body are accepted or `UntrustedWebhook`, never another exception. A
header that a scheme relies on and that comes twice is a wrong one: two parsers may disagree on it.
A signature is canonical base64, or hex in lower case or in upper case, not in a mixture.

    rsa-sha256          RSASSA-PKCS1-v1_5 (RFC 8017) over the raw body, base64
    standard-webhooks   the Standard Webhooks specification: v1 HMAC-SHA256, v1a Ed25519
    hmac-sha256         GitHub, Slack and their like; `layout` for headers like Stripe's
    token               a shared secret in a header, for senders that sign nothing
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from receiver.errors import UntrustedWebhook
from receiver.sources.keys import Key, is_text
from receiver.sources.signature_header import (
    Headers,
    Layout,
    check_time,
    decode_base64,
    header,
    parse_layout,
    split_signatures,
    split_versions,
)

_PADDING = PKCS1v15()
_SHA256 = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class Verification:
    """The proof that a source's webhooks need. `tolerance` is seconds, both ways.

    `header` holds the signature (default for rsa-sha256: X-Asteroid-Signature) and `layout` is its
    form, see signature_header. `signed` is the template that hmac-sha256 signs, `secret_header` an
    optional second proof (name, value). `labels` are the names of the keys, in their order.
    """

    scheme: str
    keys: tuple[Key, ...] = field(default=(), repr=False)
    header: str = ""
    header_prefix: str = "webhook-"
    prefix: str = "sha256="
    encoding: str = "hex"
    signed: str = ""
    timestamp_header: str = ""
    tolerance: float = 300.0
    layout: str = ""
    secret_header: tuple[str, str] | None = field(default=None, repr=False)
    labels: tuple[str, ...] = ()

    def label(self, key: int) -> str:
        """Return a key's name by its number from 0: its label, or its place in routes.yaml."""
        return self.labels[key] if key < len(self.labels) else str(key + 1)

    @property
    def signature_header(self) -> str:
        """The header of the signature or of the token."""
        if self.scheme == "standard-webhooks":
            return f"{self.header_prefix}signature"
        return self.header or ("X-Asteroid-Signature" if self.scheme == "rsa-sha256" else "")

    @property
    def parsed_layout(self) -> Layout | None:
        """The form of the header; None without a layout."""
        return parse_layout(self.layout) if self.layout else None

    @property
    def signed_template(self) -> str:
        """The template of the signed text: `signed`, or the default of the layout."""
        layout = self.parsed_layout
        return self.signed or ("{timestamp}.{body}" if layout and layout.time else "{body}")


@dataclass(frozen=True, slots=True)
class Proof:
    """A proven webhook: the sender's message id if the scheme has one, and which key proved it."""

    message_id: str | None
    key: int


def verify(verification: Verification, headers: Headers, body: bytes, now: float) -> Proof:
    """Return the proof of a webhook, or raise UntrustedWebhook. `now`: Unix seconds.

    A refusal costs what a wrong signature costs, whatever its cause: the time must not tell it.
    """
    given = list(headers)
    try:
        if not verification.keys:
            raise UntrustedWebhook("no_key")
        proof = _VERIFIERS[verification.scheme](verification, given, body, now)
    except UntrustedWebhook as untrusted:
        if untrusted.cause != "wrong":
            _spend(verification, body, now)
        raise
    if verification.secret_header is not None:
        name, secret = verification.secret_header
        value = header(given, name, "secret_header")
        if not hmac.compare_digest(value, secret.encode()):
            raise UntrustedWebhook("secret_header")
    return proof


def check(verification: Verification) -> list[str]:
    """Return the mistakes in the combination of settings, each with the remedy."""
    problems = []
    if verification.scheme not in SCHEMES:
        return [f"scheme must be one of {', '.join(SCHEMES)}"]
    if verification.scheme in ("hmac-sha256", "token") and not verification.header:
        problems.append(f"{verification.scheme} needs `header`: the header of the signature")
    if verification.header_prefix not in ("webhook-", "svix-"):
        problems.append("header_prefix must be webhook- or svix-")
    if verification.encoding not in ("hex", "base64"):
        problems.append("encoding must be hex or base64")
    if not verification.tolerance >= 0:
        problems.append("tolerance must not be negative")
    if not all(map(is_text, verification.secret_header or ())):
        problems.append("secret_header needs a name and a value, both UTF-8 text")
    return problems + _template_problems(verification)


def _template_problems(verification: Verification) -> list[str]:
    """Return the mistakes in what is signed and where its time and its signature come."""
    layout = verification.parsed_layout
    if verification.layout and layout is None:
        return [
            "layout must be stripe, or show the header with {timestamp} and {signature}, such as"
            ' "t={timestamp},v0={signature}"'
        ]
    problems = []
    signed = verification.signed_template
    placeholders = sorted(re.findall(r"\{[^{}]*\}|[{}]", signed))
    if placeholders not in (["{body}"], ["{body}", "{timestamp}"]):
        problems.append("signed must hold {body} once, and may hold {timestamp} once")
    is_timed = "{timestamp}" in signed
    has_time = layout is not None and bool(layout.time)
    if is_timed and not verification.timestamp_header and not has_time:
        problems.append("signed holds {timestamp}: say in which `timestamp_header` it comes")
    if verification.timestamp_header and not is_timed:
        problems.append("timestamp_header proves nothing unless `signed` holds {timestamp}")
    if has_time and not is_timed:
        problems.append("the time in `layout` proves nothing unless `signed` holds {timestamp}")
    if has_time and verification.timestamp_header:
        problems.append("the time comes twice: leave out `timestamp_header`, or it in `layout`")
    return problems


def _rsa(how: Verification, headers: Headers, body: bytes, now: float) -> Proof:
    signature = decode_base64(header(headers, how.signature_header))
    for number, key in enumerate(how.keys):
        if _key_fits(key, signature, body):
            return Proof(None, number)
    raise UntrustedWebhook("wrong")


def _key_fits(key: Key, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, RSAPublicKey):
            if len(signature) != (key.key_size + 7) // 8:
                signature = _decoy_signature(key)  # never fits, but takes the same time
            key.verify(signature, signed, _PADDING, _SHA256)
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return not isinstance(key, bytes)


def _standard_webhooks(how: Verification, headers: Headers, body: bytes, now: float) -> Proof:
    message_id = header(headers, f"{how.header_prefix}id")
    timestamp = header(headers, f"{how.header_prefix}timestamp")
    signatures = header(headers, how.signature_header)
    check_time(timestamp, now, how.tolerance)
    entries = split_versions(signatures)
    signed = b".".join((message_id, timestamp, body))
    # One pass over the body for each key, even if the header has many entries.
    macs = [isinstance(key, bytes) and hmac.digest(key, signed, "sha256") for key in how.keys]
    expected = [base64.b64encode(mac) if mac else None for mac in macs]
    key = _first_fit([signature for version, signature in entries if version == b"v1"], expected)
    if key is None:
        key = _first_ed25519(how.keys, entries, signed)
    return Proof(message_id.decode("latin-1"), key)


def _first_fit(given: Iterable[bytes], expected: Iterable[bytes | None]) -> int | None:
    """Find the first expected text among the given ones. It always compares all of them."""
    fits = [
        number
        for number, text in enumerate(expected)
        for each in given
        if text is not None and hmac.compare_digest(each, text)
    ]
    return fits[0] if fits else None


def _first_ed25519(
    keys: Iterable[Key], entries: Iterable[tuple[bytes, bytes]], signed: bytes
) -> int:
    for version, encoded in entries:
        with suppress(UntrustedWebhook):  # a malformed entry must not hide a valid one
            signature = decode_base64(encoded)
            for number, key in enumerate(keys):
                if version == b"v1a" and _key_fits(key, signature, signed):
                    return number
    raise UntrustedWebhook("wrong")


def _hmac(how: Verification, headers: Headers, body: bytes, now: float) -> Proof:
    value, timestamp, prefix = header(headers, how.header), b"", how.prefix.encode()
    layout = how.parsed_layout
    if layout is not None:
        prefix = b""
        timestamp, signatures = layout.read(value)
    else:
        signatures = split_signatures(value, prefix)
    if how.timestamp_header:
        timestamp = header(headers, how.timestamp_header)
    template = how.signed_template.encode()
    if b"{timestamp}" in template:
        check_time(timestamp, now, how.tolerance)
    # Digits by now, or empty; and the body is set in last, because it may hold {timestamp} itself.
    before, _, after = template.replace(b"{timestamp}", timestamp).partition(b"{body}")
    signed = before + body + after
    macs = [hmac.digest(key, signed, "sha256") for key in how.keys if isinstance(key, bytes)]
    spellings = [_spellings(mac, how.encoding) for mac in macs]
    key = _first_fit(signatures, [prefix + text for texts in spellings for text in texts])
    if key is None:
        raise UntrustedWebhook("wrong")
    return Proof(None, key // 2)


def _spellings(mac: bytes, encoding: str) -> tuple[bytes, bytes]:
    """Return both spellings of a MAC that senders use."""
    if encoding == "base64":
        return (base64.b64encode(mac),) * 2
    digits = mac.hex()
    return digits.encode(), digits.upper().encode()


def _token(how: Verification, headers: Headers, body: bytes, now: float) -> Proof:
    value = header(headers, how.header)
    key = _first_fit([value], [key if isinstance(key, bytes) else None for key in how.keys])
    if key is None:
        raise UntrustedWebhook("wrong")
    return Proof(None, key)


_VERIFIERS = {
    "rsa-sha256": _rsa,
    "standard-webhooks": _standard_webhooks,
    "hmac-sha256": _hmac,
    "token": _token,
}
SCHEMES = tuple(_VERIFIERS)

# Replaces a missing key: nobody can make a signature that fits it.
_DECOY_RSA = RSAPublicNumbers(65537, (1 << 2047) + 9).public_key()


def _decoy_signature(key: Key) -> bytes:
    size = (key.key_size + 7) // 8 if isinstance(key, RSAPublicKey) else 64
    return b"\0" + b"\1" * (size - 1)


def _spend(how: Verification, body: bytes, now: float) -> None:
    """Do the same work as for a wrong signature."""
    if not how.keys:
        how = replace(how, keys=(_DECOY_RSA if how.scheme == "rsa-sha256" else b"\0" * 32,))
    time = b"%d" % now
    if how.scheme == "rsa-sha256":
        values = {how.signature_header: base64.b64encode(_decoy_signature(how.keys[0]))}
    elif how.scheme == "standard-webhooks":
        decoy = b"v1a," + base64.b64encode(_decoy_signature(b""))
        prefix = how.header_prefix
        values = {f"{prefix}id": b"id", f"{prefix}timestamp": time, f"{prefix}signature": decoy}
    elif layout := how.parsed_layout:
        values = {how.header: layout.write(str(int(now)), "0").encode()}
    else:
        values = {how.header: b"0"}
    if how.timestamp_header:
        values[how.timestamp_header] = time
    headers = [(name.lower().encode("latin-1", "replace"), v) for name, v in values.items()]
    with suppress(UntrustedWebhook):
        _VERIFIERS[how.scheme](how, headers, body, now)
