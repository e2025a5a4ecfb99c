"""Is this webhook from its source? Four schemes, each with a list of keys, written over bytes.

Total: any headers and any body are accepted or `UntrustedWebhook`, never another exception. A
header that a scheme relies on and that comes twice is a wrong one: two parsers may disagree on it.
A signature has one spelling: canonical base64, lower-case hex (what GitHub, Slack and Stripe send,
and what their documented checks compare as text).

    rsa-sha256          RSASSA-PKCS1-v1_5 (RFC 8017) over the raw body, base64
    standard-webhooks   the Standard Webhooks specification: v1 HMAC-SHA256, v1a Ed25519
    hmac-sha256         GitHub, Slack and their like; `layout: stripe` for Stripe's header
    token               a shared secret in a header, for senders that sign nothing
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from receiver.errors import UntrustedWebhook

SCHEMES = ("rsa-sha256", "standard-webhooks", "hmac-sha256", "token")
MIN_RSA_BITS = 2048
MIN_SECRET = 16
# Each Ed25519 entry costs a pass over the body, and a header has room for hundreds.
MAX_SIGNATURES = 32
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
    if not verification.tolerance >= 0:
        problems.append("tolerance must not be negative")
    if not all(map(_is_text, verification.secret_header or ())):
        problems.append("secret_header needs a name and a value, both UTF-8 text")
    placeholders = sorted(re.findall(r"\{[^{}]*\}|[{}]", verification.signed))
    if placeholders not in (["{body}"], ["{body}", "{timestamp}"]):
        problems.append("signed must hold {body} once, and may hold {timestamp} once")
    timed = "{timestamp}" in verification.signed
    if timed and not verification.timestamp_header and not verification.layout:
        problems.append("signed holds {timestamp}: say in which `timestamp_header` it comes")
    if verification.timestamp_header and not timed:
        problems.append("timestamp_header proves nothing unless `signed` holds {timestamp}")
    return problems


def parse_key(scheme: str, text: str) -> Key:
    """The key that a text of routes.yaml spells; ValueError says what to do, never the key."""
    # Python's own error would show a piece of the key; an empty secret is everybody's.
    if not _is_text(text):
        raise ValueError("is empty or not UTF-8 text: copy it again")
    if scheme == "rsa-sha256":
        return _rsa_key(text)
    if scheme != "standard-webhooks":
        return text.encode()
    kind, _, value = text.strip().rpartition("_")
    if kind == "whsk":
        raise ValueError("is a private key: give the whpk_ one, and replace that private key")
    try:
        # The specification's libraries take secrets without their padding too.
        raw = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        if kind == "whpk":
            return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise ValueError("must be whsec_ or whpk_ and base64: copy it again") from None
    if kind not in ("", "whsec") or not raw:
        raise ValueError("must be a whsec_ secret or a whpk_ public key: copy it again")
    return raw


def weak(scheme: str, text: str) -> str | None:
    """A warning about a secret that can be guessed, or None (also for what parse_key refuses)."""
    with suppress(ValueError):
        key = parse_key(scheme, text)
        if isinstance(key, bytes) and len(key) < MIN_SECRET:
            return f"the secret has fewer than {MIN_SECRET} bytes: take a longer one"
    return None


def _is_text(text: str) -> bool:
    return bool(text) and text.encode(errors="ignore").decode() == text


def _rsa_key(text: str) -> RSAPublicKey:
    """PEM, base64 of DER or base64 of PEM; SPKI or PKCS#1 each (asteroid.md, Signature)."""
    # Environment variables often carry line ends as the two characters \n.
    material = text.replace("\\r", "").replace("\\n", "\n").strip().encode()
    if b"-----BEGIN" not in material:
        try:
            material = base64.b64decode(b"".join(material.split()), validate=True)
        except ValueError:
            raise ValueError("is neither PEM nor base64: copy the public key again") from None
    if _is_private(material):
        raise ValueError("is a private key: give the public one, and replace that private key")
    is_pem = b"-----BEGIN" in material
    # Both take SPKI as well as PKCS#1.
    load = serialization.load_pem_public_key if is_pem else serialization.load_der_public_key
    try:
        key = load(material)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is no public key: copy it again, whole") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("is no RSA key: rsa-sha256 needs one")
    if key.key_size < MIN_RSA_BITS:
        raise ValueError(f"has {key.key_size} bits: at least {MIN_RSA_BITS} are needed")
    return key


def _is_private(material: bytes) -> bool:
    try:
        serialization.load_der_private_key(material, None)
    except TypeError:
        return True  # it asks for its password
    except (ValueError, UnsupportedAlgorithm):
        return b"PRIVATE KEY-----" in material
    return True


def _rsa(how: Verification, headers: Headers, body: bytes, now: float) -> None:
    signature = _base64(_header(headers, how.signature_header))
    if not any(_key_fits(key, signature, body) for key in how.keys):
        raise UntrustedWebhook("wrong")


def _key_fits(key: Key, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, signed, PKCS1v15(), hashes.SHA256())
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return not isinstance(key, bytes)


def _standard_webhooks(how: Verification, headers: Headers, body: bytes, now: float) -> str:
    message_id = _header(headers, f"{how.header_prefix}id")
    timestamp = _header(headers, f"{how.header_prefix}timestamp")
    signatures = _header(headers, how.signature_header)
    _in_time(timestamp, now, how.tolerance)
    entries = signatures.split(b" ")
    if len(entries) > MAX_SIGNATURES:
        raise UntrustedWebhook("malformed")
    signed = b".".join((message_id, timestamp, body))
    secrets = [key for key in how.keys if isinstance(key, bytes)]
    # One pass over the body for each key, however many entries the header has.
    expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in secrets]
    fits = [hmac.compare_digest(entry, text) for entry in entries for text in expected]
    if not any(fits) and not any(_ed25519_fits(how.keys, entry, signed) for entry in entries):
        raise UntrustedWebhook("wrong")
    return message_id.decode("latin-1")


def _ed25519_fits(keys: Iterable[Key], entry: bytes, signed: bytes) -> bool:
    version, _, encoded = entry.partition(b",")
    try:
        signature = _base64(encoded)
    except UntrustedWebhook:
        return False  # a malformed entry must not hide a valid one
    return version == b"v1a" and any(_key_fits(key, signature, signed) for key in keys)


def _hmac(how: Verification, headers: Headers, body: bytes, now: float) -> None:
    value, timestamp = _header(headers, how.header), b""
    template, prefix, signatures = how.signed, how.prefix.encode(), [value]
    if how.layout == "stripe":
        timestamp, signatures = _stripe(value)
        template, prefix = "{timestamp}.{body}", b""
    elif how.timestamp_header:
        timestamp = _header(headers, how.timestamp_header)
    if how.layout or how.timestamp_header:
        _in_time(timestamp, now, how.tolerance)
    # Digits by now, or empty; and the body is set in last, because it may hold {timestamp} itself.
    before, _, after = template.encode().replace(b"{timestamp}", timestamp).partition(b"{body}")
    is_hex = how.layout == "stripe" or how.encoding == "hex"
    signed = before + body + after
    macs = [hmac.digest(key, signed, "sha256") for key in how.keys if isinstance(key, bytes)]
    texts = [prefix + (mac.hex().encode() if is_hex else base64.b64encode(mac)) for mac in macs]
    fits = [hmac.compare_digest(given, text) for given in signatures for text in texts]
    if not any(fits):
        raise UntrustedWebhook("wrong")


def _stripe(value: bytes) -> tuple[bytes, list[bytes]]:
    """`t=…,v1=…,v1=…`; other entries are other schemes."""
    entries = [entry.strip().partition(b"=") for entry in value.split(b",")]
    times = [content for name, _, content in entries if name == b"t"]
    if len(times) != 1:
        raise UntrustedWebhook("malformed")
    return times[0], [content for name, _, content in entries if name == b"v1"]


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


def _header(headers: Headers, name: str, absent: str = "missing") -> bytes:
    """The one value of a header; `absent` is the cause when it is missing or empty."""
    wanted = name.lower().encode("latin-1", "replace")
    values = [value for key, value in headers if key.lower() == wanted]
    if len(values) > 1:
        raise UntrustedWebhook("repeated")
    if not values or not values[0]:
        raise UntrustedWebhook(absent)
    return values[0]


def _base64(text: bytes) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise UntrustedWebhook("malformed") from None
    # validate=True lets other last digits through that mean the same bytes.
    if base64.b64encode(value) != text:
        raise UntrustedWebhook("malformed")
    return value


def _in_time(timestamp: bytes, now: float, tolerance: float) -> None:
    # bytes.isdigit knows ASCII digits only; the length keeps int() cheap.
    if not timestamp.isdigit() or len(timestamp) > 20:
        raise UntrustedWebhook("malformed")
    if abs(now - int(timestamp)) > tolerance:
        raise UntrustedWebhook("expired")
