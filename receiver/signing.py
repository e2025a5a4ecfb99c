"""Is this webhook from its source? Four schemes, each with a list of keys, written over bytes.

Total: any headers and any body are accepted or `UntrustedWebhook`, never another exception. A
header that a scheme relies on and that comes twice is a wrong one: two parsers may disagree on it.

    rsa-sha256          RSASSA-PKCS1-v1_5 (RFC 8017) over the raw body, base64
    standard-webhooks   the Standard Webhooks specification: v1 HMAC-SHA256, v1a Ed25519
    hmac-sha256         GitHub, Slack and their like; `layout: stripe` for Stripe's header
    token               a shared secret in a header, for senders that sign nothing
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_public_key,
)

from receiver.errors import UntrustedWebhook

SCHEMES = ("rsa-sha256", "standard-webhooks", "hmac-sha256", "token")
MIN_RSA_BITS = 2048
MIN_SECRET = 16
Key = RSAPublicKey | Ed25519PublicKey | bytes
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Verification:
    """How a source's webhooks are proven. `tolerance` is seconds, both ways.

    `header` is where the signature stands (rsa-sha256: X-Asteroid-Signature unless said), `signed`
    what hmac-sha256 signs, `secret_header` an optional second proof (name, value).
    """

    scheme: str
    keys: tuple[Key, ...] = field(default=(), repr=False)
    header: str = ""
    header_prefix: str = "webhook-"
    prefix: str = "sha256="
    encoding: str = "hex"
    signed: str = "{body}"
    timestamp_header: str = ""
    tolerance: float = 300.0
    layout: str = ""
    secret_header: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def signature_header(self) -> str:
        """Where the signature or the token stands."""
        if self.scheme == "standard-webhooks":
            return f"{self.header_prefix}signature"
        return self.header or ("X-Asteroid-Signature" if self.scheme == "rsa-sha256" else "")


def verify(verification: Verification, headers: Headers, body: bytes, now: float) -> str | None:
    """The sender's message id if the scheme has one, or UntrustedWebhook. `now`: Unix seconds."""
    given = list(headers)
    if not verification.keys:
        raise UntrustedWebhook("no_key")
    message_id = _VERIFIERS[verification.scheme](verification, given, body, now)
    if verification.secret_header is not None:
        name, secret = verification.secret_header
        value = _header(given, name, "secret_header")
        if not hmac.compare_digest(value, secret.encode()):
            raise UntrustedWebhook("secret_header")
    return message_id


def check(verification: Verification) -> list[str]:
    """What is wrong with the combination of settings, each with what to do."""
    problems = []
    if verification.scheme not in SCHEMES:
        return [f"scheme must be one of {', '.join(SCHEMES)}"]
    if verification.scheme in ("hmac-sha256", "token") and not verification.header:
        problems.append(f"{verification.scheme} needs `header`: the header of the signature")
    if verification.header_prefix not in ("webhook-", "svix-"):
        problems.append("header_prefix must be webhook- or svix-")
    if verification.encoding not in ("hex", "base64"):
        problems.append("encoding must be hex or base64")
    if verification.layout not in ("", "stripe"):
        problems.append("layout must be stripe or left out")
    rest = verification.signed.replace("{body}", "", 1).replace("{timestamp}", "", 1)
    if "{body}" not in verification.signed or "{" in rest or "}" in rest:
        problems.append("signed must hold {body} once, and may hold {timestamp} once")
    timed = "{timestamp}" in verification.signed
    if timed and not verification.timestamp_header and not verification.layout:
        problems.append("signed holds {timestamp}: say in which `timestamp_header` it comes")
    if verification.timestamp_header and not timed:
        problems.append("timestamp_header proves nothing unless `signed` holds {timestamp}")
    return problems


def parse_key(scheme: str, text: str) -> Key:
    """The key that a text of routes.yaml spells; ValueError says what to do, never the key."""
    if scheme == "rsa-sha256":
        return _rsa_key(text)
    if scheme != "standard-webhooks":
        return text.encode()
    kind, _, value = text.strip().rpartition("_")
    try:
        raw = base64.b64decode(value, validate=True)
        if kind == "whpk":
            return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise ValueError("must be whsec_ or whpk_ and base64: copy it again") from None
    if kind not in ("", "whsec") or not raw:
        raise ValueError("must be a whsec_ secret or a whpk_ public key: copy it again")
    return raw


def weak(scheme: str, text: str) -> str | None:
    """A warning about a secret that can be guessed, or None."""
    if scheme == "rsa-sha256" or text.startswith("whpk_"):
        return None
    key = parse_key(scheme, text)
    if isinstance(key, bytes) and len(key) < MIN_SECRET:
        return f"the secret has fewer than {MIN_SECRET} bytes: take a longer one"
    return None


def _rsa_key(text: str) -> RSAPublicKey:
    """PEM, base64 of DER or base64 of PEM; SPKI or PKCS#1 each (asteroid.md, Signature)."""
    # Environment variables often carry line ends as the two characters \n.
    material = text.replace("\\n", "\n").strip().encode()
    if b"PRIVATE KEY" in material:
        raise ValueError("is a private key: give the public one, and replace that private key")
    if not material.startswith(b"-----BEGIN"):
        try:
            material = base64.b64decode(b"".join(material.split()), validate=True)
        except ValueError:
            raise ValueError("is neither PEM nor base64: copy the public key again") from None
    is_pem = material.lstrip().startswith(b"-----BEGIN")
    try:
        # Both loaders take SPKI as well as PKCS#1.
        key = load_pem_public_key(material) if is_pem else load_der_public_key(material)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is no public key: copy it again, whole") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("is no RSA key: rsa-sha256 needs one")
    if key.key_size < MIN_RSA_BITS:
        raise ValueError(f"has {key.key_size} bits: at least {MIN_RSA_BITS} are needed")
    return key


def _rsa(how: Verification, headers: Headers, body: bytes, now: float) -> None:
    signature = _base64(_header(headers, how.signature_header))
    for key in how.keys:
        if isinstance(key, RSAPublicKey) and _rsa_fits(key, signature, body):
            return
    raise UntrustedWebhook("wrong")


def _rsa_fits(key: RSAPublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body, PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _standard_webhooks(how: Verification, headers: Headers, body: bytes, now: float) -> str:
    message_id = _header(headers, f"{how.header_prefix}id")
    timestamp = _header(headers, f"{how.header_prefix}timestamp")
    signatures = _header(headers, how.signature_header)
    _in_time(timestamp, now, how.tolerance)
    signed = b".".join((message_id, timestamp, body))
    for entry in signatures.split(b" "):
        version, _, encoded = entry.partition(b",")
        if version in (b"v1", b"v1a") and any(
            _standard_fits(key, version, encoded, signed) for key in how.keys
        ):
            return message_id.decode("latin-1")
    raise UntrustedWebhook("wrong")


def _standard_fits(key: Key, version: bytes, encoded: bytes, signed: bytes) -> bool:
    try:
        signature = _base64(encoded)
    except UntrustedWebhook:
        return False  # a malformed entry must not hide a valid one
    if version == b"v1":
        return isinstance(key, bytes) and hmac.compare_digest(_mac(key, signed), signature)
    if not isinstance(key, Ed25519PublicKey):
        return False
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _hmac(how: Verification, headers: Headers, body: bytes, now: float) -> None:
    value = _header(headers, how.header)
    if how.layout == "stripe":
        timestamp, signatures = _stripe(value)
        signed = timestamp + b"." + body
    else:
        timestamp = _header(headers, how.timestamp_header) if how.timestamp_header else b""
        signatures = [_without(how.prefix.encode(), value)]
        signed = _signed(how.signed, timestamp, body)
    if how.layout or how.timestamp_header:
        _in_time(timestamp, now, how.tolerance)
    expected = [_mac(key, signed) for key in how.keys if isinstance(key, bytes)]
    for signature in _decoded(signatures, "hex" if how.layout else how.encoding):
        fits = [hmac.compare_digest(signature, mac) for mac in expected]
        if any(fits):
            return
    raise UntrustedWebhook("wrong")


def _decoded(signatures: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Those that can be decoded; upper-case hex is the same signature, as in every library."""
    for signature in signatures:
        try:
            yield binascii.unhexlify(signature) if encoding == "hex" else _base64(signature)
        except (binascii.Error, UntrustedWebhook):
            continue


def _stripe(value: bytes) -> tuple[bytes, list[bytes]]:
    """`t=…,v1=…,v1=…`; other entries are other schemes."""
    entries = [entry.strip().partition(b"=") for entry in value.split(b",")]
    times = [content for name, _, content in entries if name == b"t"]
    if len(times) != 1:
        raise UntrustedWebhook("malformed")
    return times[0], [content for name, _, content in entries if name == b"v1"]


def _signed(template: str, timestamp: bytes, body: bytes) -> bytes:
    # Split, not replaced: the body may hold {timestamp} itself.
    before, _, after = template.encode().partition(b"{body}")
    return b"".join(
        (before.replace(b"{timestamp}", timestamp), body, after.replace(b"{timestamp}", timestamp))
    )


def _token(how: Verification, headers: Headers, body: bytes, now: float) -> None:
    value = _header(headers, how.header)
    # A list, not a generator: all keys are compared, whichever fits.
    fits = [isinstance(key, bytes) and hmac.compare_digest(value, key) for key in how.keys]
    if not any(fits):
        raise UntrustedWebhook("wrong")


_VERIFIERS = {
    "rsa-sha256": _rsa,
    "standard-webhooks": _standard_webhooks,
    "hmac-sha256": _hmac,
    "token": _token,
}


def _header(headers: Headers, name: str, cause: str = "") -> bytes:
    """The one value of a header; missing, empty or repeated is untrusted."""
    wanted = name.lower().encode("latin-1", "replace")
    values = [value for key, value in headers if key.lower() == wanted]
    if len(values) != 1:
        raise UntrustedWebhook(cause or ("repeated" if values else "missing"))
    if not values[0]:
        raise UntrustedWebhook(cause or "missing")
    return values[0]


def _without(prefix: bytes, value: bytes) -> bytes:
    if not value.startswith(prefix):
        raise UntrustedWebhook("malformed")
    return value[len(prefix) :]


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise UntrustedWebhook("malformed") from None


def _in_time(timestamp: bytes, now: float, tolerance: float) -> None:
    # bytes.isdigit knows ASCII digits only; the length keeps int() cheap.
    if not timestamp.isdigit() or len(timestamp) > 20:
        raise UntrustedWebhook("malformed")
    if abs(now - int(timestamp)) > tolerance:
        raise UntrustedWebhook("expired")


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)
