"""Addresses in the log: readable, short, and without anything that may be a secret."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.sources.source import Source
from receiver.sources.verification import Verification
from receiver.web.webhooks.addresses import MAX_PATH, Addresses

TOKEN = "apitoken"
HMAC = "hmacsecret"
HEADER = "headersecret"
RAW = b"\xff" * 24
WHSEC = "whsec_" + base64.b64encode(RAW).decode()
SOURCES = {
    source.name: source
    for source in (
        Source("asteroid", "asteroid", Verification("rsa-sha256", secret_header=("X", HEADER))),
        Source("billing-2026-production", "plain", Verification("token", (HMAC.encode(),))),
        Source("standard", "plain", Verification("standard-webhooks", (RAW,))),
    )
}
ADDRESSES = Addresses(lambda: SOURCES, TOKEN)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "/"),
        ("/webhooks/asteroid/", "/webhooks/asteroid/"),
        ("/webhooks/billing-2026-production/x", "/webhooks/billing-2026-production/x"),
        ("/some-quite-long-path-of-words", "/some-quite-long-path-of-words"),
        ("/a?token=x", "/a"),
        ("/a;id=x", "/a"),
        ("/a\r\nforged source=b", "/a??forged?source=***"),
        ("/a\x1b[2J\u202e\u0000", "/a??2J??".replace("??2J", "?[2J")),
        ("/wéb/'\"\\,", "/w?b/????"),
        ("/hooks/token=short", "/hooks/token=***"),
        ("/me:pass@host/x", "/***/x"),
        ("/services/T0/B0/x7Kp9QmZ2wLt4rTy", "/services/T0/B0/***"),
        ("/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/***"),
    ],
)
def test_a_path_is_shown_without_what_could_harm(path: str, shown: str) -> None:
    assert ADDRESSES.shown(path) == shown


@pytest.mark.parametrize("secret", [TOKEN, HMAC, HEADER, WHSEC.removeprefix("whsec_"), WHSEC])
def test_no_configured_secret_is_shown(secret: str) -> None:
    for path in (
        f"/{secret}",
        f"/webhooks/asteroid/{secret}",
        f"/x{secret}y",
        f"/{secret}{secret}",
    ):
        assert secret not in ADDRESSES.shown(path)
        assert "***" in ADDRESSES.shown(path)


@given(st.text(max_size=400))
def test_any_path_is_one_short_word_of_ascii(path: str) -> None:
    shown = ADDRESSES.shown(path)
    assert len(shown) <= MAX_PATH
    assert all("!" <= character <= "~" or character == "…" for character in shown)
    assert ADDRESSES.meant(shown) in ("", *(f"/webhooks/{name}" for name in SOURCES))
    assert ADDRESSES.cause(path) in ("address", "not_found")


def test_a_long_path_is_cut() -> None:
    shown = ADDRESSES.shown("/webhooks/" + "asteroids/" * 2_000)
    assert len(shown) == MAX_PATH
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("path", "cause", "meant"),
    [
        ("/webhooks/asteroid/", "address", "/webhooks/asteroid"),
        ("/receiver/webhooks/asteroid", "address", "/webhooks/asteroid"),
        ("/webhook/asteroid", "address", "/webhooks/asteroid"),
        ("/Webhooks/Asteroid", "address", "/webhooks/asteroid"),
        ("/asteroid", "address", "/webhooks/asteroid"),
        ("/webhooks/asteroid/events", "address", "/webhooks/asteroid"),
        ("/webhooks/asteriod/", "address", "/webhooks/asteroid"),
        ("/webhooks", "address", ""),
        ("/", "not_found", ""),
        ("/wp-login.php", "not_found", ""),
        ("/api/executions/x", "not_found", ""),
    ],
)
def test_a_wrong_address_of_a_webhook_is_told_from_others_and_names_the_right_one(
    path: str, cause: str, meant: str
) -> None:
    assert ADDRESSES.cause(path) == cause
    assert ADDRESSES.meant(ADDRESSES.shown(path)) == meant


def test_the_right_address_means_no_other() -> None:
    assert ADDRESSES.meant("/webhooks/asteroid") == ""
    assert Addresses(dict).meant("/webhooks/asteroid") == ""
