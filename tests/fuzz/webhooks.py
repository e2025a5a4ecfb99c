"""`python -m tests.fuzz_webhooks --count 1000000 --seed 7`: changed webhooks over real HTTP.

Valid signed requests of several schemes are changed byte by byte (body, headers, framing, anything)
and sent to a real server. An answer that takes a webhook is only allowed if what the server read
was a valid one to the byte. Told: what was taken, forgeries taken, rows they wrote, answers of 5xx,
and the most memory the server held. Exit code 1 unless the last three are as they must be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from receiver.cli.client import asteroid_event
from receiver.sources import signing, verification
from receiver.store.sqlite.connection import connect
from tests.bench.intake import start
from tests.support.live import free_port
from tests.support.raw import chunked, request

RSA, STANDARD = signing.generate("rsa-sha256"), signing.generate("standard-webhooks")[0]
HMAC = "a-secret-of-sixteen-bytes-or-more"
ROUTES = f"""\
sources:
  rsa: {{verify: {{scheme: rsa-sha256, keys: ["${{FUZZ_PUBLIC}}"]}}}}
  standard: {{verify: {{scheme: standard-webhooks, tolerance: 1d, keys: ["{STANDARD}"]}}}}
  hub: {{verify: {{scheme: hmac-sha256, header: X-Hub-Signature-256, keys: [{HMAC}]}}}}
  stripe: {{verify: {{scheme: hmac-sha256, header: Stripe-Signature, layout: stripe,
            tolerance: 1d, keys: [{HMAC}]}}}}
"""
HOW = {
    "rsa": (verification.Verification("rsa-sha256"), RSA[0]),
    "standard": (verification.Verification("standard-webhooks"), STANDARD),
    "hub": (verification.Verification("hmac-sha256", header="X-Hub-Signature-256"), HMAC),
    "stripe": (
        verification.Verification("hmac-sha256", header="Stripe-Signature", layout="stripe"),
        HMAC,
    ),
}
JUNK = (
    b"\0",
    b" ",
    b"\t",
    b"\r\n",
    b"=",
    b",",
    b"\xff",
    b"%00",
    b"\xef\xbb\xbf",
    b'"',
    b"{",
    b"1e999",
)
MEMORY_BOUND = 300 * 2**20
# A request that promises more than it sends is waited for; this long, so that a run ends.
TIMEOUTS = {"RECEIVER_BODY_TIMEOUT": "0.2", "RECEIVER_HEADERS_TIMEOUT": "0.2"}


@dataclass(frozen=True)
class Valid:
    """A webhook that is taken as it is. `fields` are the headers that its signature needs."""

    source: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def raw(self) -> bytes:
        return request(self.body, self.fields, path=f"/webhooks/{self.source}")


@dataclass
class Report:
    """What a run saw."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    valid_taken: int = 0
    forged_taken: list[bytes] = field(default_factory=list)
    rows: int = 0
    memory: int = 0

    def server_errors(self) -> int:
        return sum(n for status, n in self.statuses.items() if status >= 500)

    def is_good(self) -> bool:
        return not self.forged_taken and not self.rows and not self.server_errors()


def valid_webhooks(each: int) -> list[Valid]:
    """So many of each scheme."""
    made = []
    for source, (how, key) in HOW.items():
        for number in range(each):
            body = asteroid_event(
                "EXECUTION_STARTED", f"fuzz-{number}", event_id=f"{source}-{number}",
                payload={"reason": "ä€𝄞" * (number % 5), "result": [number, None, 1.5]},
            )  # fmt: skip
            headers = signing.sign(how, key, body, message_id=f"m-{number}", now=time.time())
            made.append(Valid(source, tuple(headers), body))
    return made


def change(chance: random.Random, text: bytes) -> bytes:
    """A few bytes of it changed, put in, left out, repeated, swapped or cut off."""
    new = bytearray(text)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, end = sorted((chance.randint(0, len(new)), chance.randint(0, len(new))))
        match chance.randrange(7):
            case 0 if at < len(new):
                new[at] ^= 1 << chance.randrange(8)
            case 1:
                new[at:at] = bytes([chance.randrange(256)])
            case 2:
                del new[at : at + chance.choice((1, 2, 16))]
            case 3:
                new[at:at] = new[at : min(end, at + 64)]
            case 4 if len(new) > at + 1:
                new[at], new[at + 1] = new[at + 1], new[at]
            case 5:
                del new[at:]
            case _:
                new[at:at] = chance.choice(JUNK)
    return bytes(new)


def _changed_fields(chance: random.Random, valid: Valid) -> list[tuple[str, str]]:
    fields = list(valid.fields)
    at = chance.randrange(len(fields))
    name, value = fields[at]
    match chance.randrange(8):
        case 0:
            fields[at] = (name, change(chance, value.encode()).decode("latin-1"))
        case 1:
            del fields[at]
        case 2:
            fields.append(fields[at])
        case 3:
            fields.insert(0, (name, change(chance, value.encode()).decode("latin-1")))
        case 4:
            fields[at] = (change(chance, name.encode()).decode("latin-1"), value)
        case 5:
            fields[at] = (name.swapcase(), f" {value}\t")
        case 6:
            fields[at] = (name, f"{value},{value}")
        case _:
            fields[at] = (name.replace("-", "_"), value)
    return fields


def mutate(chance: random.Random, valid: Valid, others: Sequence[Valid]) -> tuple[bytes, bool]:
    """A changed request, and whether it still is one whole request (and its connection usable)."""
    path = f"/webhooks/{valid.source}"
    kind = chance.choices(
        ("body", "fields", "foreign", "chunked", "length", "raw"), (40, 30, 8, 8, 4, 10)
    )[0]
    if kind == "body":
        return request(change(chance, valid.body), valid.fields, path=path), True
    if kind == "fields":
        fields = _changed_fields(chance, valid)
        broken = any(c in "\r\n" for name, value in fields for c in name + value)
        return request(valid.body, fields, path=path), not broken
    if kind == "foreign":  # the signature of another webhook, or the address of another source
        other = chance.choice(others)
        return request(other.body, valid.fields, path=path), True
    if kind == "chunked":
        body = change(chance, valid.body) if chance.random() < 0.8 else valid.body
        coded = [*valid.fields, ("Transfer-Encoding", "chunked")]
        head = request(b"", coded, path=path, length=False)
        parts = chunked(body, size=chance.randint(1, 90))
        return head + (change(chance, parts) if chance.random() < 0.3 else parts), False
    if kind == "length":
        length = str(max(len(valid.body) + chance.randint(-20, 3), 0))
        fields = [*valid.fields, ("Content-Length", length)]
        return request(b"", fields, path=path, length=False) + valid.body, False
    return change(chance, valid.raw()), False


def is_valid(raw: bytes, valid: Iterable[Valid]) -> bool:
    """Whether what a server can read in these bytes is one of the valid webhooks to the byte.

    Read by h11. What only a laxer parser reads counts if it holds the valid parts unchanged.
    """
    names = {name.lower().encode() for each in HOW for name in _names(each)}
    try:
        reader, body = h11.Connection(h11.SERVER, 2**20), b""
        reader.receive_data(raw)
        head = reader.next_event()
        assert isinstance(head, h11.Request)
        while isinstance(event := reader.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        given = [(name, value) for name, value in head.headers if name in names]
        return any(
            body == each.body
            and head.target.partition(b"?")[0] == f"/webhooks/{each.source}".encode()
            and _are_valid(given, each)
            for each in valid
        )
    except (h11.RemoteProtocolError, AssertionError):
        return any(
            each.body in raw and all(raw.count(value.encode()) == 1 for _, value in each.fields)
            for each in valid
        )


def _are_valid(given: list[tuple[bytes, bytes]], each: Valid) -> bool:
    """Whether its headers are there once each. Other signatures may stand beside those of HMAC."""
    signature = HOW[each.source][0].signature_header.lower().encode()
    may_list = each.source != "rsa"

    def entries(name: bytes, value: bytes) -> set[bytes]:
        is_list = may_list and name == signature
        return set(re.split(rb"[, ]+", value.replace(b"v1=", b"v1,"))) if is_list else {value}

    return (
        len(given) == len(each.fields)
        and all(
            entries(key, value.encode()) <= entries(key, other)
            for name, value in each.fields
            for key, other in given
            if key == name.lower().encode()
        )
        and {key for key, _ in given} == {name.lower().encode() for name, _ in each.fields}
    )


def _names(source: str) -> list[str]:
    how, key = HOW[source]
    return [name for name, _ in signing.sign(how, key, b"", message_id="m", now=0)]


def is_taken(status: int, body: bytes) -> bool:
    """Whether an answer says that the signature was good."""
    about_json = (b"Not JSON", b"Not UTF-8", b"The JSON has")
    return (
        200 <= status < 300
        or status in (409, 422, 429)
        or (status == 400 and any(text in body for text in about_json))
    )


class Client:
    """One connection after the other to the server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, raw: bytes, *, whole: bool) -> tuple[int, bytes]:
        """Status and body of the answer; status 0 if there was none."""
        for _ in range(2):  # a connection kept too long may have been ended meanwhile
            is_new = self._writer is None
            if self._reader is None or self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(raw)
            status, body, ends = await _answer(self._reader)
            if ends or not whole:
                self.close()
            if status or is_new:
                return status, body
        return 0, b""

    def close(self) -> None:
        if self._writer is not None:
            connection: socket.socket = self._writer.get_extra_info("socket")
            with suppress(OSError):  # the server may have ended it meanwhile
                # Without the wait that would use up all ports.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.close()
        self._reader = self._writer = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        while head.startswith(b"HTTP/1.1 1"):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length, ends = 0, False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            ends = ends or line == b"connection: close"
        return int(head.split(b" ")[1]), await reader.readexactly(length), ends
    except (OSError, EOFError):
        return 0, b"", True


async def _work(
    port: int, turns: Iterator[int], seed: int, valid: Sequence[Valid], report: Report
) -> None:
    client = Client(port)
    for turn in turns:
        chance = random.Random(f"{seed}/{turn}")  # a turn can be repeated by its number alone
        raw, whole = mutate(chance, chance.choice(valid), valid)
        if turn % 1_000 == 0:
            raw, whole = chance.choice(valid).raw(), True
        status, body = await client.ask(raw, whole=whole)
        report.sent += 1
        if report.sent % 100_000 == 0:
            print(report.sent, report.server_errors(), len(report.forged_taken), file=sys.stderr)
        report.statuses[status] += 1
        if is_taken(status, body):
            if is_valid(raw, valid):
                report.valid_taken += 1
            else:
                report.forged_taken.append(raw)
    client.close()


async def _run(
    database: Path, port: int, count: int, seed: int, workers: int, report: Report
) -> None:
    valid = valid_webhooks(25)
    first = Client(port)
    for _ in range(2):  # the second time makes the row that counts repeats
        for each in valid:
            status, body = await first.ask(each.raw(), whole=True)
            assert is_taken(status, body), (status, body)
    first.close()
    before = rows(database)
    turns = iter(range(1, count + 1))
    await asyncio.gather(*(_work(port, turns, seed, valid, report) for _ in range(workers)))
    report.rows = rows(database) - before


def rows(path: Path) -> int:
    """Rows of all that a webhook could write."""
    database = connect(path, read_only=True)
    try:
        tables = ("event", "execution", "history", "delivery")
        return sum(int(database.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) for t in tables)
    finally:
        database.close()


def fuzz(folder: Path, port: int, count: int, seed: int, workers: int = 16) -> Report:
    """Send so many to a server that serves ROUTES from a database in `folder`."""
    report = Report()
    asyncio.run(_run(folder / "receiver.db", port, count, seed, workers, report))
    return report


def _peak(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=128)
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiver-fuzz-") as name:
        folder, port = Path(name), free_port()
        (folder / "routes.yaml").write_text(ROUTES, "utf-8")
        environ = {
            **TIMEOUTS, "RECEIVER_PORT": str(port), "RECEIVER_HTTP": given.http,
            "FUZZ_PUBLIC": RSA[1], "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        process = start([sys.executable, "-m", "receiver", "serve"], port, environ, name)
        began = time.monotonic()
        try:
            report = fuzz(folder, port, given.count, given.seed, given.workers)
            report.memory = _peak(process.pid)
        finally:
            process.terminate()
            process.wait(30)
        told: dict[str, Any] = {
            "http": given.http, "seed": given.seed, "sent": report.sent,
            "seconds": round(time.monotonic() - began), "valid_taken": report.valid_taken,
            "forged_taken": len(report.forged_taken), "rows_written": report.rows,
            "server_errors": report.server_errors(),
            "statuses": dict(sorted(report.statuses.items())),
            "peak_memory_mib": report.memory // 2**20,
            "log_bytes": (folder / "server.log").stat().st_size,
            "tracebacks": (folder / "server.log").read_text("utf-8").count("Traceback"),
        }  # fmt: skip
    print(json.dumps(told, indent=2))
    for raw in report.forged_taken[:5]:
        print(repr(raw))
    is_good = report.is_good() and report.memory < MEMORY_BOUND and not told["tracebacks"]
    sys.exit(0 if is_good and process.returncode == 0 else 1)
