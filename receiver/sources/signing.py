"""Signing, the sender's half: makes keys and signatures, for `keygen`, `send` and tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from receiver.sources.verification import Verification


def sign(
    verification: Verification, private: str, body: bytes, *, message_id: str, now: float
) -> list[tuple[str, str]]:
    """Return a sender's headers for the body, made with this private key or secret.

    `now` is Unix seconds. ValueError if the key does not fit the scheme.
    """
    headers = _SIGNERS[verification.scheme](verification, private, body, message_id, str(int(now)))
    if verification.secret_header is not None:
        headers.append(verification.secret_header)
    return headers


def generate(scheme: str) -> tuple[str, str]:
    """Make a key for the scheme: the sender's half, and the half for routes.yaml."""
    if scheme == "rsa-sha256":
        key = generate_private_key(65537, 2048)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return private.decode(), public.decode()
    if scheme == "standard-webhooks":
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    else:
        secret = secrets.token_urlsafe(32)
    return secret, secret


def _rsa(
    how: Verification, private: str, body: bytes, message_id: str, now: str
) -> list[tuple[str, str]]:
    key = _load_pem(private)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("rsa-sha256 is signed with an RSA private key in PEM")
    signature = key.sign(body, PKCS1v15(), hashes.SHA256())
    return [(how.signature_header, base64.b64encode(signature).decode())]


def _standard(
    how: Verification, private: str, body: bytes, message_id: str, now: str
) -> list[tuple[str, str]]:
    signed = f"{message_id}.{now}.".encode() + body
    if private.startswith("-----BEGIN"):
        key = _load_pem(private)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("v1a is signed with an Ed25519 private key in PEM")
        version = "v1a"
        signature = key.sign(signed)
    else:
        try:
            secret = base64.b64decode(private.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise ValueError("standard-webhooks is signed with a whsec_ secret") from None
        version = "v1"
        signature = hmac.digest(secret, signed, hashlib.sha256)
    return [
        (f"{how.header_prefix}id", message_id),
        (f"{how.header_prefix}timestamp", now),
        (how.signature_header, f"{version},{base64.b64encode(signature).decode()}"),
    ]


def _hmac(
    how: Verification, private: str, body: bytes, message_id: str, now: str
) -> list[tuple[str, str]]:
    before, _, after = how.signed_template.replace("{timestamp}", now).encode().partition(b"{body}")
    mac = hmac.digest(private.encode(), before + body + after, hashlib.sha256)
    text = mac.hex() if how.encoding == "hex" else base64.b64encode(mac).decode()
    layout = how.parsed_layout
    headers = [(how.header, layout.write(now, text) if layout else how.prefix + text)]
    if how.timestamp_header:
        headers.append((how.timestamp_header, now))
    return headers


def _token(
    how: Verification, private: str, body: bytes, message_id: str, now: str
) -> list[tuple[str, str]]:
    return [(how.header, private)]


_SIGNERS = {
    "rsa-sha256": _rsa,
    "standard-webhooks": _standard,
    "hmac-sha256": _hmac,
    "token": _token,
}


@lru_cache(maxsize=16)  # to load a key checks its primes: 20 ms
def _load_pem(private: str) -> object:
    try:
        return load_pem_private_key(private.strip().encode(), None)
    except (ValueError, TypeError):
        raise ValueError("is no private key in PEM without a password") from None
