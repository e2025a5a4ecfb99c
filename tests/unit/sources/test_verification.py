"""Signatures: published vectors, OpenSSL's, the standard's library, and anything at all."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from receiver.errors import UntrustedWebhook
from receiver.sources.keys import parse_key, weak
from receiver.sources.signing import generate, sign
from receiver.sources.verification import SCHEMES, Verification, check, verify

SHARED = Path(__file__).parents[4] / "shared" / "vectors.json.gz"
PUBLISHED: list[dict[str, Any]] = (
    json.loads(gzip.decompress(SHARED.read_bytes()))["vectors"] if SHARED.exists() else []
)
ABSENT = pytest.param({}, marks=pytest.mark.skip(reason="no published vectors beside the checkout"))
VECTORS: list[Any] = [*PUBLISHED] or [ABSENT]
OPENSSL: dict[str, str] = json.loads(
    (Path(__file__).parent / "vectors" / "openssl.json").read_text("utf-8")
)
BODY = base64.b64decode(OPENSSL["body"])
NOW = 1_700_000_000.0
TEXT = OPENSSL["text_secret"]
SCHEME = {
    "standard-webhooks": "standard-webhooks",
    "hmac-hex-body": "hmac-sha256",
    "hmac-hex-timestamped": "hmac-sha256",
    "rsa-pkcs1v15-sha256-base64": "rsa-sha256",
}


def how(scheme: str, *keys: str, **fields: Any) -> Verification:
    return Verification(scheme, tuple(parse_key(scheme, key) for key in keys), **fields)


def accepts(
    by: Verification, headers: dict[str, str], body: bytes = BODY, now: float = NOW
) -> bool:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        verify(by, raw, body, now)
    except UntrustedWebhook:
        return False
    return True


def cause(by: Verification, headers: list[tuple[bytes, bytes]], now: float = NOW) -> str:
    with pytest.raises(UntrustedWebhook) as caught:
        verify(by, headers, BODY, now)
    return caught.value.cause


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.get("name"))
def test_every_published_vector_with_a_definite_answer_comes_out_right(
    vector: dict[str, Any],
) -> None:
    scheme = SCHEME[vector["scheme"]]
    names = ("header", "header_prefix", "prefix", "signed", "timestamp_header")
    fields = {name: vector[name] for name in names if vector.get(name)}
    if "format" in vector:
        fields["layout"] = "stripe"
    by = how(scheme, vector["key"]["value"], tolerance=vector.get("tolerance_s") or 0, **fields)
    text = vector["body"]
    body = bytes.fromhex(vector["body_hex"]) if text is None else text.encode()
    accepted = accepts(by, vector["headers"], body, vector["now"] or 0)
    assert vector["valid"] in (None, accepted)


@pytest.mark.parametrize(
    "spelling",
    [
        base64.b64decode(OPENSSL["rsa_spki_pem"]).decode(),
        base64.b64decode(OPENSSL["rsa_pkcs1_pem"]).decode(),
        base64.b64decode(OPENSSL["rsa_spki_pem"]).decode().replace("\n", "\\n"),
        OPENSSL["rsa_spki_der"],
        OPENSSL["rsa_pkcs1_der"],
        OPENSSL["rsa_spki_pem"],
        OPENSSL["rsa_pkcs1_pem"],
        OPENSSL["rsa_spki_der"][:76] + "\n" + OPENSSL["rsa_spki_der"][76:],
    ],
    ids=["SPKI PEM", "PKCS#1 PEM", "PEM in one line", "SPKI DER", "PKCS#1 DER", "PEM in base64",
         "PKCS#1 PEM in base64", "DER in lines"],
)  # fmt: skip
def test_a_signature_of_openssl_is_accepted_with_every_spelling_of_the_key(spelling: str) -> None:
    by = how("rsa-sha256", spelling)
    assert accepts(by, {"X-Asteroid-Signature": OPENSSL["rsa_signature"]})
    assert not accepts(by, {"X-Asteroid-Signature": OPENSSL["rsa_signature"]}, BODY + b" ")


STANDARD = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000"}
SLACK = {"header": "X-S", "prefix": "v0=", "signed": "v0:{timestamp}:{body}",
         "timestamp_header": "X-T"}  # fmt: skip
GOOD: list[tuple[Verification, dict[str, str]]] = [
    (how("hmac-sha256", TEXT, header="X-S"), {"X-S": "sha256=" + OPENSSL["hmac_hex"]}),
    (
        how("hmac-sha256", TEXT, header="X-S", prefix="", encoding="base64"),
        {"X-S": OPENSSL["hmac_base64"]},
    ),
    (
        how("hmac-sha256", TEXT, **SLACK),
        {"X-S": "v0=" + OPENSSL["slack_hex"], "X-T": "1700000000"},
    ),
    (
        how("hmac-sha256", TEXT, header="X-S", layout="stripe"),
        {"X-S": f"t=1700000000,v1=00,v1={OPENSSL['stripe_hex']}"},
    ),
    (
        how("standard-webhooks", OPENSSL["whsec"]),
        {**STANDARD, "webhook-signature": "v1," + OPENSSL["standard_v1"]},
    ),
    (
        how("standard-webhooks", OPENSSL["whpk"]),
        {**STANDARD, "webhook-signature": "v9,zz v1a," + OPENSSL["standard_v1a"]},
    ),
    (
        how("rsa-sha256", OPENSSL["rsa_spki_der"]),
        {"x-asteroid-signature": OPENSSL["rsa_signature"]},
    ),
    (how("token", TEXT, header="X-Token"), {"X-Token": TEXT}),
]  # fmt: skip
IDS = ["hmac hex", "hmac base64", "slack", "stripe", "v1", "v1a", "rsa", "token"]


@pytest.mark.parametrize(("by", "headers"), GOOD, ids=IDS)
def test_what_openssl_signed_is_accepted_and_every_header_is_needed_once(
    by: Verification, headers: dict[str, str]
) -> None:
    assert accepts(by, headers)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    for number, (name, value) in enumerate(raw):
        others = raw[:number] + raw[number + 1 :]
        assert cause(by, others) == "missing"
        assert cause(by, [*others, (name, b"")]) == "missing"
        assert cause(by, [*raw, (name.upper(), value)]) == "repeated"
        assert cause(by, [*others, (name, b"\xff\xfe")]) in ("wrong", "malformed")
        assert cause(by, [*others, (name, value[:-3])]) in ("wrong", "malformed", "expired")


@pytest.mark.parametrize(("by", "headers"), GOOD, ids=IDS)
def test_without_a_key_nothing_is_trusted_and_one_of_several_is_enough(
    by: Verification, headers: dict[str, str]
) -> None:
    assert not accepts(replace(by, keys=()), headers)
    foreign = parse_key(by.scheme, generate(by.scheme)[1])
    assert not accepts(replace(by, keys=(foreign,)), headers)
    assert accepts(replace(by, keys=(foreign, *by.keys)), headers)


@pytest.mark.parametrize(("by", "headers"), GOOD[2:6], ids=IDS[2:6])
def test_a_signed_time_may_be_off_by_the_tolerance_both_ways(
    by: Verification, headers: dict[str, str]
) -> None:
    for off in (-300, 0, 300):
        assert accepts(by, headers, now=NOW + off)
    for off in (-301, 301):
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        assert cause(by, raw, NOW + off) == "expired"


@pytest.mark.parametrize("text", ["١٧٠٠٠٠٠٠٠٠", "1700000000.0", "-1", "+1", " 1", "9" * 30, "1e9"])
def test_a_time_is_plain_digits(text: str) -> None:
    headers = {**STANDARD, "webhook-timestamp": text, "webhook-signature": "v1,AA=="}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert cause(how("standard-webhooks", OPENSSL["whsec"]), raw) == "malformed"


def test_the_secret_header_is_a_second_proof() -> None:
    by, headers = GOOD[6]
    both = replace(by, secret_header=("X-Receiver-Secret", "s" * 20))
    assert not accepts(both, headers)
    assert not accepts(both, {**headers, "X-Receiver-Secret": "s" * 19})
    assert accepts(both, {**headers, "x-receiver-secret": "s" * 20})
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    twice = [(b"x-receiver-secret", b"s" * 20)] * 2
    assert cause(both, [*raw, *twice]) == "repeated"


def rsa_pem(bits: int) -> tuple[str, str]:
    key = rsa.generate_private_key(65537, bits)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), public.decode()


def test_a_key_that_cannot_be_used_says_why_and_is_never_shown() -> None:
    private, short = rsa_pem(1024)
    cases = [
        ("rsa-sha256", short, "1024 bits"),
        ("rsa-sha256", private, "private key"),
        ("rsa-sha256", "Zm9vYmFyYmF6cXV4", "no public key"),
        ("rsa-sha256", "!canary!", "neither PEM nor base64"),
        ("standard-webhooks", "whsec_%canary%", "whsec_"),
        ("standard-webhooks", "whpk_Y2FuYXJ5", "whpk_"),
        ("standard-webhooks", "canary_Y2FuYXJ5", "whsec_"),
    ]
    for scheme, text, says in cases:
        with pytest.raises(ValueError, match=says) as caught:
            parse_key(scheme, text)
        assert text not in str(caught.value)
        assert "canary" not in str(caught.value)


def test_nothing_prints_a_key() -> None:
    by = replace(GOOD[0][0], secret_header=("X-Receiver-Secret", "canary"))
    assert TEXT not in repr(by)
    assert "canary" not in repr(by)


def test_short_secrets_are_weak() -> None:
    assert weak("token", "short") is not None
    assert weak("hmac-sha256", "x" * 16) is None
    assert weak("standard-webhooks", "whsec_" + base64.b64encode(b"x" * 8).decode()) is not None
    assert weak("rsa-sha256", "anything") is None


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (Verification("md5"), "scheme"),
        (Verification("token"), "header"),
        (Verification("hmac-sha256", header="X", encoding="hexx"), "encoding"),
        (Verification("hmac-sha256", header="X", layout="strip"), "layout"),
        (Verification("standard-webhooks", header_prefix="hook-"), "header_prefix"),
        (Verification("hmac-sha256", header="X", signed="{timestamp}"), "{body}"),
        (Verification("hmac-sha256", header="X", signed="{id}{body}"), "{body}"),
        (Verification("hmac-sha256", header="X", signed="{timestamp}.{body}"), "timestamp_header"),
        (Verification("hmac-sha256", header="X", timestamp_header="Y"), "proves nothing"),
    ],
)
def test_settings_that_do_not_go_together_are_told(by: Verification, says: str) -> None:
    assert says in " ".join(check(by))


def test_settings_that_go_together_are_fine() -> None:
    assert [check(by) for by, _ in GOOD] == [[]] * len(GOOD)


@pytest.mark.parametrize("number", range(len(GOOD)), ids=IDS)
def test_what_we_sign_ourselves_is_accepted(number: int) -> None:
    by = GOOD[number][0]
    private, public = generate(by.scheme)
    own = replace(by, keys=(parse_key(by.scheme, public),))
    headers = dict(sign(own, private, BODY, message_id="msg_2", now=NOW))
    assert accepts(own, headers)
    assert not accepts(own, headers, BODY[:-1] + b"?") or by.scheme == "token"


def test_the_standard_s_own_library_agrees() -> None:
    by = GOOD[4][0]
    headers = dict(sign(by, OPENSSL["whsec"], BODY, message_id="msg_3", now=NOW))
    theirs = Webhook(OPENSSL["whsec"]).sign(
        "msg_3", datetime.fromtimestamp(NOW, UTC), BODY.decode()
    )
    assert headers["webhook-signature"] == theirs


NAMES = st.sampled_from(
    ["x-asteroid-signature", "webhook-id", "webhook-timestamp", "webhook-signature", "X-S", "X-T",
     "X-Token"]
)  # fmt: skip
VALUES = st.binary(max_size=80) | st.sampled_from(
    [b"1700000000", b"msg_1", b"v1,", b"v1a,AAAA v1,=", b"t=1,v1=,v1=zz", b"sha256=0", b"v0="]
)


@given(st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=5), st.binary(max_size=40))
def test_any_headers_and_body_are_accepted_or_untrusted(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    for by, _ in GOOD:
        with pytest.raises(UntrustedWebhook):
            verify(by, headers, body, NOW)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_of_the_body_is_never_accepted(which: int, place: int, change: int) -> None:
    by, headers = GOOD[which]
    changed = bytearray(BODY)
    changed[place % len(BODY)] ^= change
    assert not accepts(by, headers, bytes(changed)) or by.scheme == "token"


def test_every_scheme_is_tried_here() -> None:
    assert {by.scheme for by, _ in GOOD} == set(SCHEMES)
