"""The short form of the fuzzers, with a fixed seed; the long form is `python -m tests.fuzz_…`."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz import api
from tests.fuzz import webhooks as fuzz
from tests.support.live import live
from tests.support.raw import request

VALID = fuzz.valid_webhooks(2)


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_no_changed_webhook_is_taken(tmp_path: Path, parser: str) -> None:
    if parser == "httptools":
        pytest.importorskip("httptools")
    times = {"body_timeout": "0.2", "headers_timeout": "0.2"}
    with live(tmp_path, fuzz.ROUTES, {"FUZZ_PUBLIC": fuzz.RSA[1]}, http=parser, **times) as target:
        port = int(target.url.rpartition(":")[2])
        report = fuzz.fuzz(tmp_path, port, 1_200, seed=7)
        ledger = target.store.ledger()
    assert report.forged_taken == []
    assert (report.sent, report.rows, report.server_errors()) == (1_200, 0, 0)
    assert report.valid_taken > 10  # it does reach what verifies
    assert report.statuses[401] > 800
    # What was taken is all that was promised: 25 of each scheme, twice, and the unchanged ones.
    assert ledger["accepted"] == 2 * 25 * len(fuzz.HOW) + report.valid_taken
    assert ledger["imbalance"] == 0


@pytest.mark.parametrize("valid", VALID[::2], ids=lambda valid: valid.source)
def test_the_fuzzer_would_notice_a_forgery(valid: fuzz.Valid) -> None:
    path = f"/webhooks/{valid.source}"
    assert fuzz.is_valid(valid.raw(), VALID)
    assert fuzz.is_valid(
        request(valid.body, [(n.swapcase(), f" {v}\t") for n, v in valid.fields], path=path), VALID
    )
    changed = replace(valid, body=valid.body + b" ")
    other = next(each for each in VALID if each.source != valid.source)
    for forged in (
        changed.raw(),
        replace(valid, source=other.source).raw(),
        replace(valid, fields=valid.fields[1:]).raw(),
        replace(valid, fields=(*valid.fields, valid.fields[-1])).raw(),
        replace(valid, fields=((valid.fields[0][0], "x"), *valid.fields[1:])).raw(),
        valid.raw().replace(b"HTTP/1.1", b"HTTP/1.1 ").replace(valid.body, changed.body[1:]),
    ):
        assert not fuzz.is_valid(forged, VALID)


def test_a_turn_of_the_fuzzer_can_be_repeated_by_its_number() -> None:
    made = [fuzz.mutate(random.Random("7/42"), VALID[0], VALID) for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("status", "body", "taken"),
    [(202, b"", True), (200, b"", True), (422, b"", True), (429, b"", True), (401, b"", False),
     (400, b'{"detail": "Not JSON at line 1"}', True), (400, b"no HTTP", False), (0, b"", False)],
)  # fmt: skip
def test_what_counts_as_taken(status: int, body: bytes, taken: bool) -> None:
    assert fuzz.is_taken(status, body) == taken


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_the_api_answers_as_its_description_says(tmp_path: Path, parser: str) -> None:
    pytest.importorskip("schemathesis")
    pytest.importorskip(parser)
    done = api.run(tmp_path, parser, examples=10, seed=7)
    assert done.returncode == 0, done.stdout
    assert " 0 generated" not in done.stdout
