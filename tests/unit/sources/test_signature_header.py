"""Signature headers as senders write them: their layouts, times, and secrets that change."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.errors import UntrustedWebhook
from receiver.sources.keys import parse_key
from receiver.sources.signature_header import MAX_SIGNATURES
from receiver.sources.signing import sign
from receiver.sources.verification import Verification, check, verify

NOW = 1_700_000_000.25
BODY = b'{"a": "{timestamp} {body}, v1=0"}'
OLD, NEW = "the old secret of the sender", "the new secret of the sender"
STAMP = "1700000000"
MILLIS = "1700000000123"


def mac(text: bytes, secret: str = NEW, encoding: str = "hex") -> str:
    raw = hmac.new(secret.encode(), text, hashlib.sha256)
    return raw.hexdigest() if encoding == "hex" else base64.b64encode(raw.digest()).decode()


def joined(before: str, after: str = "") -> bytes:
    return before.encode() + BODY + after.encode()


def how(**fields: Any) -> Verification:
    keys = tuple(parse_key("hmac-sha256", key) for key in (OLD, NEW))
    return Verification("hmac-sha256", keys, **{"header": "X-S", **fields})


def cause(by: Verification, now: float = NOW, body: bytes = BODY, **headers: str) -> str | None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    try:
        verify(by, raw, body, now)
    except UntrustedWebhook as untrusted:
        return untrusted.cause
    return None


# Each sender as its own documentation describes it, and the headers it would send.
SENDERS: dict[str, tuple[Verification, dict[str, Any]]] = {
    "ElevenLabs": (
        how(layout="t={timestamp},v0={signature}"),
        {"X_S": f"t={STAMP},v0={mac(joined(f'{STAMP}.'))}"},
    ),
    "Stripe, Mux, Calendly": (
        how(layout="stripe"),
        {"X_S": f"t={STAMP},v1={mac(joined(f'{STAMP}.'), OLD)},v1={mac(joined(f'{STAMP}.'))}"},
    ),
    "WorkOS": (
        how(layout="stripe"),
        {"X_S": f"t={MILLIS}, v1={mac(joined(f'{MILLIS}.'))}"},
    ),
    "Persona": (
        how(layout="stripe"),
        {"X_S": f"t={STAMP},v1={'0' * 64} t={STAMP},v1={mac(joined(f'{STAMP}.'))}"},
    ),
    "Paddle": (
        how(layout="ts={timestamp};h1={signature}", signed="{timestamp}:{body}"),
        {"X_S": f"ts={STAMP};h1={mac(joined(f'{STAMP}:'))}"},
    ),
    "Retell": (
        how(layout="v={timestamp},d={signature}", signed="{body}{timestamp}"),
        {"X_S": f"v={MILLIS},d={mac(joined('', MILLIS))}"},
    ),
    "Ordergroove": (
        how(layout="ts={timestamp},sig={signature}"),
        {"X_S": f"ts={STAMP},sig={mac(joined(f'{STAMP}.'))},sig={mac(joined(f'{STAMP}.'), OLD)}"},
    ),
    "TabaPay": (
        how(layout="t={timestamp},v1={signature},v2={signature}"),
        {"X_S": f"t={STAMP},v1={'0' * 64},v2={mac(joined(f'{STAMP}.'))}"},
    ),
    "GitHub, Meta, Notion": (how(), {"X_S": f"sha256={mac(BODY)}"}),
    "PagerDuty": (
        how(prefix="v1="),
        {"X_S": f"v1={mac(BODY, OLD)},v1={mac(BODY, NEW)}"},
    ),
    "Slack, Zoom": (
        how(prefix="v0=", signed="v0:{timestamp}:{body}", timestamp_header="X-T"),
        {"X_S": f"v0={mac(joined(f'v0:{STAMP}:'))}", "X_T": STAMP},
    ),
    "Webflow": (
        how(prefix="", signed="{timestamp}:{body}", timestamp_header="X-T"),
        {"X_S": mac(joined(f"{MILLIS}:")), "X_T": MILLIS},
    ),
    "Shopify, AfterShip": (
        how(prefix="", encoding="base64"),
        {"X_S": mac(BODY, encoding="base64")},
    ),
    "Typeform": (how(encoding="base64"), {"X_S": f"sha256={mac(BODY, encoding='base64')}"}),
    "Linear, Sentry": (how(prefix=""), {"X_S": mac(BODY)}),
    "Greenhouse": (how(prefix="sha256 "), {"X_S": f"sha256 {mac(BODY)}"}),
    "a layout without a time": (
        how(layout="key={signature}", signed="{timestamp}.{body}", timestamp_header="X-T"),
        {"X_S": f"id=7,key={mac(joined(f'{STAMP}.'))}", "X_T": STAMP},
    ),
    "base64 in a layout": (
        how(layout="t={timestamp},s={signature}", encoding="base64"),
        {"X_S": f"t={STAMP},s={mac(joined(f'{STAMP}.'), encoding='base64')}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("sender", SENDERS)
def test_a_sender_s_own_layout_is_verified_and_a_changed_body_is_not(sender: str) -> None:
    by, headers = SENDERS[sender]
    assert check(by) == []
    assert cause(by, **headers) is None
    assert cause(by, body=BODY + b" ", **headers) == "wrong"
    assert cause(replace(by, keys=(b"another secret of 16",)), **headers) == "wrong"


@pytest.mark.parametrize("sender", SENDERS)
def test_what_is_signed_for_a_layout_here_is_accepted(sender: str) -> None:
    by, _ = SENDERS[sender]
    signed = sign(by, NEW, BODY, message_id="", now=NOW)
    headers: dict[str, Any] = {name.replace("-", "_"): value for name, value in signed}
    assert cause(by, **headers) is None


TIMED = [name for name, (by, _) in SENDERS.items() if "{timestamp}" in by.signed_template]


@pytest.mark.parametrize("sender", TIMED)
def test_a_signed_time_in_any_unit_is_held_to_the_tolerance(sender: str) -> None:
    by, headers = SENDERS[sender]
    for off in (-299, 299):
        assert cause(by, NOW + off, **headers) is None
    for off in (-302, 302, 86_400 * 365, -86_400 * 365):
        assert cause(by, NOW + off, **headers) == "expired"


@pytest.mark.parametrize("sender", TIMED)
def test_another_time_in_the_header_is_not_the_signed_one(sender: str) -> None:
    by, headers = SENDERS[sender]
    for old, new in ((STAMP, "1700000001"), (MILLIS, "1700000000124"), (MILLIS, STAMP)):
        changed: dict[str, Any] = {name: value.replace(old, new) for name, value in headers.items()}
        if changed != headers:
            assert cause(by, **changed) == "wrong"


@pytest.mark.parametrize("unit", [1_000, 1_000_000, 1_000_000_000])
def test_a_time_may_count_parts_of_a_second(unit: int) -> None:
    by = how(prefix="", signed="{timestamp}.{body}", timestamp_header="X-T")
    for off, expected in ((299, None), (-299, None), (302, "expired"), (-302, "expired")):
        stamp = str((int(NOW) + off) * unit)
        assert cause(by, X_S=mac(joined(f"{stamp}.")), X_T=stamp) == expected


@pytest.mark.parametrize("between", [",", ", ", " ", "  ", ",  "])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_header_may_list_a_signature_for_each_secret(between: str, encoding: str) -> None:
    for keys in ((OLD.encode(),), (NEW.encode(),)):
        by = replace(how(encoding=encoding), keys=keys)
        given = [f"sha256={mac(BODY, secret, encoding)}" for secret in (OLD, NEW)]
        assert cause(by, X_S=between.join(given)) is None
        assert cause(by, X_S=between.join(["sha256=", "junk", *given])) is None
        assert cause(by, X_S=between.join(["sha256=", "junk"])) == "wrong"
    # Each entry has its prefix.
    assert cause(by, X_S=f"sha256=0{between}{mac(BODY, NEW, encoding)}") == "wrong"


def test_the_proof_names_the_key_that_fits_in_either_spelling() -> None:
    for number, secret in enumerate((OLD, NEW)):
        for text in (mac(BODY, secret), mac(BODY, secret).upper()):
            raw = [(b"x-s", f"sha256={text}".encode())]
            assert verify(how(), raw, BODY, NOW).key == number


def test_a_list_is_bounded() -> None:
    good = f"sha256={mac(BODY)}"
    most = ["sha256=0"] * (MAX_SIGNATURES - 1)
    assert cause(how(), X_S=",".join([*most, good])) is None
    assert cause(how(), X_S=",".join([*most, "sha256=0", good])) == "malformed"
    timed = f"t={STAMP}," + ",".join(["v1=0"] * MAX_SIGNATURES)
    signature = f"v1={mac(joined(f'{STAMP}.'))}"
    assert cause(how(layout="stripe"), X_S=f"{timed},{signature}") == "malformed"


def test_a_header_that_comes_twice_stays_wrong_where_one_may_list_several() -> None:
    good = (b"x-s", f"sha256={mac(BODY)}".encode())
    with pytest.raises(UntrustedWebhook) as caught:
        verify(how(), [good, good], BODY, NOW)
    assert caught.value.cause == "repeated"


def test_a_layout_has_one_time() -> None:
    by = how(layout="stripe")
    fits = f"v1={mac(joined(f'{STAMP}.'))}"
    for value in (
        f"t={STAMP},t=1700000001,{fits}",
        f"t=1700000001,t={STAMP},{fits}",
        f"{fits}",
        f"t=,{fits}",
        f"t,{fits}",
        f"T={STAMP},{fits}",
        f"t={STAMP}.0,{fits}",
    ):
        assert cause(by, X_S=value) == "malformed", value
    assert cause(by, X_S=f"{fits},t={STAMP}") is None
    assert cause(by, X_S=f"t={STAMP},t={STAMP},{fits}") is None


def test_only_the_named_entries_of_a_layout_are_signatures() -> None:
    fits = mac(joined(f"{STAMP}."))
    for name in ("v0", "v2", "V1", "v", "", "t"):
        assert cause(how(layout="stripe"), X_S=f"t={STAMP},{name}={fits}") is not None
    assert cause(how(layout="stripe"), X_S=f"t={STAMP};v1={fits}") == "malformed"


STANDARD: dict[str, Any] = {"webhook_id": "m", "webhook_timestamp": STAMP}


@pytest.mark.parametrize("between", [" ", ",", ", ", " , "])
@pytest.mark.parametrize("entry", ["v1,{}", "v1, {}", "v1={}"])
def test_the_standard_s_list_may_be_separated_by_commas(between: str, entry: str) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * 24).decode()
    by = Verification("standard-webhooks", (parse_key("standard-webhooks", secret),))
    fits = base64.b64encode(
        hmac.new(b"s" * 24, joined(f"m.{STAMP}."), hashlib.sha256).digest()
    ).decode()
    other = base64.b64encode(b"o" * 32).decode()
    listed = between.join(entry.format(text) for text in (other, fits))
    assert cause(by, webhook_signature=listed, **STANDARD) is None
    wrong = between.join(entry.format(text) for text in (other, other))
    assert cause(by, webhook_signature=wrong, **STANDARD) == "wrong"
    # A signature belongs to the version before it.
    swapped = between.join(["v2," + fits, entry.format(other)])
    assert cause(by, webhook_signature=swapped, **STANDARD) == "wrong"
    millis = {**STANDARD, "webhook_timestamp": MILLIS}
    assert cause(by, webhook_signature=listed, **millis) == "wrong"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"layout": "t={timestamp}"}, "layout"),
        ({"layout": "{signature}"}, "layout"),
        ({"layout": "t={timestamp},t={signature}"}, "layout"),
        ({"layout": "t={timestamp},u={timestamp},v1={signature}"}, "layout"),
        ({"layout": "t={time},v1={signature}"}, "layout"),
        ({"layout": "t={timestamp},v1={signature},"}, "layout"),
        ({"layout": "strype"}, 't={timestamp},v0={signature}'),
        ({"layout": "stripe", "signed": "{body}"}, "proves nothing"),
        ({"layout": "stripe", "timestamp_header": "X-T"}, "twice"),
        ({"layout": "v1={signature}", "signed": "{timestamp}.{body}"}, "timestamp_header"),
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_meant_says_what_to_write(
    fields: dict[str, str], says: str
) -> None:
    assert says in " ".join(check(how(**fields)))


PIECES = st.sampled_from(
    ["t=", "v1=", "v0=", "sha256=", STAMP, MILLIS, ",", ";", " ", "=", "\t", "0" * 64, "v1,",
     "v1a,", mac(BODY, "foreign"), "é", ""]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(sorted(SENDERS)))
def test_any_header_is_accepted_or_untrusted(value: str, sender: str) -> None:
    by, headers = SENDERS[sender]
    assert cause(by, **{**headers, "X_S": value}) is not None
