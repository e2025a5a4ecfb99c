"""Keys and secrets of routes.yaml: reads their spellings, and refuses unusable ones."""

from __future__ import annotations

import base64
from contextlib import suppress

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_RSA_BITS = 2048
MIN_SECRET = 16
Key = RSAPublicKey | Ed25519PublicKey | bytes


def parse_key(scheme: str, text: str) -> Key:
    """Read a key from a text of routes.yaml; the ValueError says what to do, without the key."""
    # Python's own error would show a piece of the key; and an empty secret proves nothing.
    if not is_text(text):
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
    """Return a warning about a secret that can be guessed; None also if parse_key refuses it."""
    with suppress(ValueError):
        key = parse_key(scheme, text)
        if isinstance(key, bytes) and len(key) < MIN_SECRET:
            return f"the secret has fewer than {MIN_SECRET} bytes: take a longer one"
    return None


def is_text(text: str) -> bool:
    """Return whether it is not empty and can be written as UTF-8."""
    return bool(text) and text.encode(errors="ignore").decode() == text


def _rsa_key(text: str) -> RSAPublicKey:
    """Read PEM, base64 of DER or base64 of PEM, each with SPKI or PKCS#1."""
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
