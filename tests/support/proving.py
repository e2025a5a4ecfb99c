"""Shared parts of the proofs: the report, the rules, the load, what arrived."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from tests.support import postgres, stores
from tests.support.destinations import Arrival, Destination
from tests.support.postgres import Server
from tests.support.served import HERE, Answer, event

MS = 10**6
MARK = "Possible repeat"
# No limit but the processor: what is measured is not the rate.
FAST = "rate: 10000/s"
TITLE = 'title: "{{ event_id }}"'
Key = tuple[str, str]  # a destination and an event id


@dataclass
class Report:
    """The figures of a proof, which promises are broken, and what could not be proven here."""

    name: str
    figures: dict[str, object] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    skipped: str = ""

    def add(self, name: str, n: int = 1) -> None:
        """Count something."""
        counted = self.figures.get(name, 0)
        assert isinstance(counted, int)
        self.figures[name] = counted + n

    def must(self, holds: bool, promise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(promise)

    def __str__(self) -> str:
        rows = [f"  {name:<60} {_shown(value):>10}" for name, value in self.figures.items()]
        said = [f"  BROKEN: {promise}" for promise in self.broken[:20]] or ["  every promise holds"]
        return "\n".join([f"{self.name}:", *rows, *said])


def _shown(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


Proof = Callable[[argparse.Namespace, Report, Path], Awaitable[None]]
# The proofs of a command by name, each with its options and their defaults.
Proofs = Mapping[str, tuple[Proof, Mapping[str, object]]]


def parsed(
    prog: str, proofs: Proofs, arguments: Sequence[str], *, stores: Sequence[str] = ("sqlite",)
) -> argparse.Namespace:
    """Read the arguments of a command that makes proofs, on one of these stores."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}")
    names = parser.add_subparsers(dest="name", required=True)
    for name, (_, options) in proofs.items():
        one = names.add_parser(name)
        for option, default in options.items():
            one.add_argument(f"--{option}", type=type(default), default=default)
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--http", default="h11", choices=["h11", "httptools"])
        one.add_argument("--store", choices=stores, default=stores[0])
        one.add_argument("--tree", type=Path, default=HERE, help="the checkout that is proven")
    return parser.parse_args(arguments)


def proven(given: argparse.Namespace, proof: Proof, limit: float) -> Report:
    """Make a proof in a folder of its own, in so many seconds."""
    report = Report(f"{given.name}, seed {given.seed}")

    async def run() -> None:
        with (
            tempfile.TemporaryDirectory(prefix="receiver-proof-") as name,
            database(given, Path(name)) as given.server,
        ):
            async with asyncio.timeout(limit):
                await proof(given, report, Path(name))

    try:
        asyncio.run(run())
    except (AssertionError, ExceptionGroup, TimeoutError) as error:
        report.broken.append(str(error) or f"it ends within {limit:g} s")
    except KeyboardInterrupt:
        report.broken.append("it was stopped: the figures are those up to then")
    return report


@contextmanager
def database(given: argparse.Namespace, folder: Path) -> Iterator[Server | None]:
    """Run the PostgreSQL of a proof, one that the proof may stop; None for a file."""
    if given.store == "sqlite":
        yield None
    elif (shared := stores.server()) is not None and not getattr(given, "stops", False):
        yield shared
    else:
        with postgres.running(folder, "max_connections = 200\n", own=True) as server:
            yield server


def store_of(given: argparse.Namespace) -> dict[str, str]:
    """Return the settings of a receiver with a store of its own, on the chosen engine."""
    if given.server is None:
        return {}
    url = f"{given.server.schema()}&application_name=proof-{os.getpid()}"
    return {"database_url": url, "lease": "5"}


def command(prove: Callable[..., Report]) -> NoReturn:
    """Run a command that makes proofs: print the report, exit with 1 if a promise is broken."""
    # Whoever stops us stops what we started, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = prove(*sys.argv[1:])
    print(report)
    sys.exit(1 if report.broken else 0)


def rules(destinations: Sequence[Destination], *routes: str, more: str = FAST) -> str:
    """Return the end of a routes.yaml; a destination's URL is filled in once it listens."""
    lines = [f'  {d.name}: {{url: "{{{d.name}}}", {more}}}' for d in destinations]
    text = "\n".join(["destinations:", *lines, "routes:", *(f"  - {r}" for r in routes), ""])
    # Braces stay braces when the URLs are filled in.
    text = text.replace("{", "{{").replace("}", "}}")
    for d in destinations:
        text = text.replace(f'"{{{{{d.name}}}}}"', f'"{{{d.name}}}"')
    return text


def told(to: Sequence[Destination], match: str = '{status: "*"}', name: str = "all") -> str:
    """Return a route whose messages have the event's id for a title."""
    return f"{{name: {name}, match: {match}, notify: [{', '.join(d.name for d in to)}], {TITLE}}}"


class Receiving(Protocol):
    """A receiver, or several that are one, to which webhooks are posted until acknowledged."""

    destinations: Sequence[Destination]

    async def post(self, body: bytes) -> Answer:
        """Post a signed webhook until it is acknowledged."""


class Load:
    """Stories of two events, told until told to stop; at most `most` messages are on their way.

    `acked` is the list of events whose messages are owed, in the order of acknowledgement.
    """

    def __init__(self, served: Receiving, seed: int, most: int, events: int = 10**9) -> None:
        self._served, self._most, self._left = served, most, events
        self._name, self._number = f"x{seed}", 0
        self.acked: list[str] = []
        self.stopping = False
        self.on_ack: Callable[[], None] = lambda: None

    async def run(self, workers: int) -> None:
        """Tell stories with so many workers."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while not self.stopping and self._left > 0:
            self._number += 1
            self._left -= 2
            execution = f"{self._name}-{self._number}"
            for step, name in enumerate(("STARTED", "COMPLETED")):
                await self._room()
                event_id = f"{execution}.{step}"
                await self._served.post(event(name, execution, event_id))
                self.acked.append(event_id)
                self.on_ack()

    async def _room(self) -> None:
        """Wait until less is on its way, not for ever: what is lost never arrives."""
        end = time.monotonic() + 2
        while self.on_their_way() >= self._most and not self.stopping and time.monotonic() < end:
            await asyncio.sleep(0.002)

    def on_their_way(self) -> int:
        """Messages owed that have not arrived, roughly: repeats count as arrivals."""
        to = self._served.destinations
        return len(self.acked) * len(to) - sum(len(d.arrivals) for d in to)


def arrived(served: Receiving) -> dict[Key, list[Arrival]]:
    """Return what arrived where, in the order of arrival."""
    return {(d.name, title): a for d in served.destinations for title, a in d.texts().items()}


def in_order(served: Receiving) -> bool:
    """Return whether the two events of each story arrived in their order, at each destination."""
    for destination in served.destinations:
        seen: set[str] = set()
        for arrival in destination.arrivals:
            story, _, step = arrival.title.rpartition(".")
            if step == "1" and f"{story}.0" not in seen:
                return False
            seen.add(arrival.title)
    return True


def percentile(values: Sequence[int], part: float) -> float:
    """Return a percentile in milliseconds."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] / MS
