"""Signatures, the strict half: one spelling of each, a bounded price, keys that prove nothing."""

from __future__ import annotations

import base64
from dataclasses import replace
from time import thread_time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from receiver.errors import UntrustedWebhook
from receiver.sources.keys import parse_key, weak
from receiver.sources.signing import generate, sign
from receiver.sources.verification import Verification, check, verify

NOW = 1_700_000_000.0
BODY = b'{"a": "{timestamp} {body}"}'
ED = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
ED_PEM = ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ED_RAW = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
RSA = rsa.generate_private_key(65537, 2048)
RSA_PEM = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
RSA_DER = RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
LOCKED = RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
SPKI = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
WHPK = "whpk_" + base64.b64encode(ED_RAW).decode()
SECRET = "a text of more than sixteen bytes"
WHSEC = "whsec_" + base64.b64encode(b"s" * 24).decode()
TIMED = {"signed": "v0:{timestamp}:{body}", "timestamp_header": "X-T"}


def how(scheme: str, key: str, **fields: str) -> Verification:
    return Verification(scheme, (parse_key(scheme, key),), **fields)  # type: ignore[arg-type]


# What verifies, and the private half that signs for it.
PAIRS = [
    (how("rsa-sha256", SPKI), RSA_PEM.decode()),
    (how("standard-webhooks", WHSEC), WHSEC),
    (how("standard-webhooks", WHPK, header_prefix="svix-"), ED_PEM),
    (how("hmac-sha256", SECRET, header="X-S"), SECRET),
    (how("hmac-sha256", SECRET, header="X-S", prefix="", encoding="base64", **TIMED), SECRET),
    (how("hmac-sha256", SECRET, header="X-S", layout="stripe"), SECRET),
    (how("token", SECRET, header="X-S"), SECRET),
]
IDS = ["rsa", "v1", "v1a", "hmac hex", "hmac base64", "stripe", "token"]


def signed(by: Verification, private: str) -> list[tuple[bytes, bytes]]:
    headers = sign(by, private, BODY, message_id="m", now=NOW)
    return [(name.encode(), value.encode()) for name, value in headers]


def cause(by: Verification, headers: list[tuple[bytes, bytes]], now: float = NOW) -> str | None:
    try:
        verify(by, headers, BODY, now)
    except UntrustedWebhook as error:
        return error.cause
    return None


@pytest.mark.parametrize(("by", "private"), PAIRS, ids=IDS)
def test_no_other_byte_anywhere_in_a_header_is_accepted(by: Verification, private: str) -> None:
    headers = signed(by, private)
    assert cause(by, headers) is None
    for number, (name, value) in enumerate(headers):
        for place in range(len(value)):
            for change in (1, 2, 4, 0x20, 0x80):  # 0x20 is the case of a letter
                other = bytearray(value)
                other[place] ^= change
                changed = [*headers[:number], (name, bytes(other)), *headers[number + 1 :]]
                assert cause(by, changed) is not None, (name, place, change)


@pytest.mark.parametrize(("by", "private"), PAIRS[:3], ids=IDS[:3])
def test_a_second_spelling_of_the_same_base64_is_refused(by: Verification, private: str) -> None:
    *rest, (name, value) = signed(by, private)
    digit = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    padding = len(value) - len(value.rstrip(b"="))
    last = len(value) - padding - 1
    other = value[:last] + digit[(digit.index(value[last : last + 1]) + 1) :][:1] + b"=" * padding
    part = slice(value.find(b",") + 1, None)
    assert base64.b64decode(other[part], validate=True) == base64.b64decode(value[part])
    assert cause(by, [*rest, (name, other)]) in ("malformed", "wrong")
    assert cause(by, [*rest, (name, value.rstrip(b"="))]) in ("malformed", "wrong")
    assert cause(by, [*rest, (name, value + b"\n")]) in ("malformed", "wrong")


def test_hex_has_two_spellings_and_no_mixture_of_them() -> None:
    (header,) = signed(*PAIRS[3])
    prefix, _, digits = header[1].partition(b"=")
    upper = digits.upper()
    assert cause(PAIRS[3][0], [(header[0], prefix + b"=" + upper)]) is None
    letter = next(n for n in range(64) if digits[n : n + 1].isalpha())
    mixed = upper[:letter] + digits[letter : letter + 1] + upper[letter + 1 :]
    assert cause(PAIRS[3][0], [(header[0], prefix + b"=" + mixed)]) == "wrong"
    assert cause(PAIRS[3][0], [(header[0], prefix.upper() + b"=" + upper)]) == "wrong"


def test_a_blank_is_allowed_after_a_comma_and_nowhere_else() -> None:
    (header,) = signed(*PAIRS[5])
    assert cause(PAIRS[5][0], [(header[0], header[1].replace(b",", b", "))]) is None
    for old, new in ((b",", b" ,"), (b",", b"\t,"), (b",", b",\t"), (b"t=", b"t= "),
                     (b"v1=", b"v1= "), (b"t=", b"t =")):  # fmt: skip
        assert cause(PAIRS[5][0], [(header[0], header[1].replace(old, new))]) is not None


def test_many_signatures_in_one_header_cost_no_pass_over_the_body_each() -> None:
    body = b"x" * 1_000_000
    for by in (PAIRS[1][0], replace(PAIRS[2][0], header_prefix="webhook-")):
        entry = b"v1," if isinstance(by.keys[0], bytes) else b"v1a," + b"A" * 86 + b"=="
        for count in (32, 8000):
            headers = [(b"webhook-id", b"m"), (b"webhook-timestamp", b"1700000000"),
                       (b"webhook-signature", b" ".join([entry] * count))]  # fmt: skip
            began = thread_time()
            with pytest.raises(UntrustedWebhook):
                verify(by, headers, body, NOW)
            # 8000 entries took 3.8 s of processor time when each was a pass of its own.
            assert thread_time() - began < 1.0


def test_several_signatures_are_tried_and_unknown_ones_are_skipped() -> None:
    by = PAIRS[1][0]
    *rest, (name, value) = signed(*PAIRS[1])
    junk = b"v2," + value[3:] + b" nonsense , v1 v1, v1a,AA v1a,"
    assert cause(by, [*rest, (name, junk)]) == "wrong"
    assert cause(by, [*rest, (name, junk + b" " + value)]) is None
    assert verify(by, [*rest, (name, junk + b" " + value)], BODY, NOW).message_id == "m"


@pytest.mark.parametrize(
    "text",
    [RSA_PEM.decode(), base64.b64encode(RSA_PEM).decode(), base64.b64encode(RSA_DER).decode(),
     base64.b64encode(LOCKED).decode()],
    ids=["PEM", "base64 of PEM", "base64 of DER", "with a password"],
)  # fmt: skip
def test_a_private_rsa_key_is_refused_by_its_name_in_every_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="is a private key"):
        parse_key("rsa-sha256", text)


def test_a_private_ed25519_key_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="is a private key"):
        parse_key("standard-webhooks", "whsk_" + base64.b64encode(b"e" * 32).decode())


@pytest.mark.parametrize("scheme", ["rsa-sha256", "standard-webhooks", "hmac-sha256", "token"])
@pytest.mark.parametrize("text", ["", "canary\udcff"], ids=["empty", "not UTF-8"])
def test_a_key_that_is_no_text_is_refused_without_being_shown(scheme: str, text: str) -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        parse_key(scheme, text)
    assert "canary" not in str(caught.value)


def test_a_512_bit_key_is_refused() -> None:
    # Made by `openssl genrsa 512 | openssl rsa -pubout`: cryptography makes none that small.
    pem = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMh+UcryneQKhkzfNxcFkD3xC0euzsa7
tALB2Lt7T35W6g235ivxLA7bbs25NCw7lEF6g6K3kZEHxTkSW7gldFMCAwEAAQ==
-----END PUBLIC KEY-----"""
    with pytest.raises(ValueError, match="512 bits"):
        parse_key("rsa-sha256", pem)


def test_a_secret_without_its_padding_is_the_same_secret() -> None:
    raw = base64.b64encode(b"s" * 25).decode()
    assert parse_key("standard-webhooks", f"whsec_{raw.rstrip('=')}") == b"s" * 25
    assert parse_key("standard-webhooks", raw) == b"s" * 25


def test_an_hmac_key_is_text_as_it_stands_whatever_it_starts_with() -> None:
    assert parse_key("hmac-sha256", WHSEC) == WHSEC.encode()


def test_settings_that_prove_nothing_are_told() -> None:
    assert "tolerance" in " ".join(check(Verification("rsa-sha256", tolerance=-1)))
    assert "tolerance" in " ".join(check(Verification("rsa-sha256", tolerance=float("nan"))))
    for pair in (("X", ""), ("", "x"), ("X", "\udcff")):
        problems = check(Verification("rsa-sha256", secret_header=pair))
        assert "secret_header" in " ".join(problems)
    for text in ("{time{body}stamp}", "{body}{body}", "{body}{", "{body}{id}"):
        assert "signed" in " ".join(check(Verification("hmac-sha256", header="X", signed=text)))


def test_a_missing_secret_header_and_a_wrong_one_have_one_cause() -> None:
    by = replace(PAIRS[0][0], secret_header=("X-Secret", "s" * 20))
    headers = signed(by, PAIRS[0][1])
    assert cause(by, headers) is None
    assert cause(by, headers[:1]) == "secret_header"
    assert cause(by, [headers[0], (b"x-secret", b"\xff")]) == "secret_header"


def test_an_unusable_key_is_not_called_weak() -> None:
    assert weak("standard-webhooks", "whsec_%") is None
    assert weak("token", "") is None
    assert weak("standard-webhooks", generate("standard-webhooks")[1]) is None


@pytest.mark.parametrize(("by", "private"), PAIRS, ids=IDS)
def test_a_refusal_takes_the_time_of_a_wrong_signature_whatever_its_cause(
    by: Verification, private: str
) -> None:
    body, foreign = b"x" * 200_000, generate(by.scheme)[0]
    both = replace(by, secret_header=("X-Secret", "s" * 20))

    def headers(key: str = private, now: float = NOW) -> list[tuple[bytes, bytes]]:
        pairs = sign(by, key, body, message_id="m", now=now)
        return [(name.encode(), value.encode()) for name, value in pairs]

    def took(how: Verification, given: list[tuple[bytes, bytes]]) -> float:
        began = thread_time()
        with pytest.raises(UntrustedWebhook):
            verify(how, given, body, NOW)
        return thread_time() - began

    if "BEGIN" in private and by.scheme == "standard-webhooks":
        foreign = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()  # fmt: skip
    forged, good = headers(foreign), headers()
    for how, given in (
        (by, []),
        (by, [(name, b"") for name, _ in good]),
        (by, good + good),
        (by, [(name, b"%\xff") for name, _ in good]),
        (by, [(name, value[:-4]) for name, value in good]),
        (replace(by, keys=()), good),
        (both, good),
    ):
        # In turns, so that a machine that is busy for a while slows both.
        pairs = [(took(by, forged), took(how, given)) for _ in range(25)]
        wrong, other = (sorted(times)[12] for times in zip(*pairs, strict=True))
        # What this catches is a refusal without the work: a hundredth of it.
        assert wrong / 3 < other + 30e-6 < wrong * 3 + 90e-6
