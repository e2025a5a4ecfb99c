"""Cost of a page: `python -m tests.bench_pages`. Figures are printed; all are of one run.

Each page of a server with a large store beside one with an empty store: the time to a whole answer
on loopback. Then webhooks on the large one, alone and while somebody refreshes the first page.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from receiver.cli import client
from tests.bench.intake import percentile
from tests.support.grown import grow
from tests.support.live import Live, live
from tests.support.visited import ROUTES

PAGES = ("/", "/executions", "/events", "/deliveries", "/deliveries?state=dead", "/routes",
         "/silences", "/ledger")  # fmt: skip
KEEP = {"keep_bodies": "85d"}  # nothing is removed meanwhile


def times_of(receiver: Live, paths: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Ask for each page so many times, in turn; return the seconds of each answer."""
    times: dict[str, list[float]] = {path: [] for path in paths}
    at = urlsplit(receiver.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
    for _ in range(rounds):
        for path in paths:
            begin = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            times[path].append(time.perf_counter() - begin)
            assert answer.status == 200, path
    connection.close()
    return times


def processor_of(receiver: Live, path: str, rounds: int) -> float:
    """Return the processor time of a page (seconds), that of asking for it included.

    Other processes of a loaded machine do not count in it.
    """
    begin = time.process_time()
    times_of(receiver, [path], rounds)
    return (time.process_time() - begin) / rounds


def webhooks(receiver: Live, count: int) -> list[float]:
    """Post webhooks one after the other; return the seconds of each answer."""
    times = []
    for n in range(count):
        body = client.asteroid_event("EXECUTION_STARTED", f"bench-{time.time_ns()}-{n}")
        begin = time.perf_counter()
        receiver.post(body)
        times.append(time.perf_counter() - begin)
    return times


@contextmanager
def refreshing(receiver: Live, every: float) -> Iterator[None]:
    """Ask for the first page every so many seconds."""
    is_over = threading.Event()

    def refresh() -> None:
        while not is_over.wait(every):
            times_of(receiver, ["/"], 1)

    thread = threading.Thread(target=refresh)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def measure(folder: Path, rounds: int, posts: int, every: float) -> list[str]:
    """Return the lines with the figures; `folder` has the large store."""
    lines = []
    with (
        tempfile.TemporaryDirectory() as empty,
        live(Path(empty), ROUTES, {}, **KEEP) as few,
        live(folder, ROUTES, {}, **KEEP) as many,
    ):
        (execution,) = many.store.executions({}, 1, None)[0]
        story = f"/executions/asteroid/{execution['execution_id']}"
        (event,) = many.store.events({}, 1, None)[0]
        more = [story, f"/events/{event['seq']}", "/executions?source=asteroid&q=a-"]
        for receiver in (few, many):
            times_of(receiver, PAGES, 2)  # the templates are read, what takes long has begun
        beside = times_of(few, PAGES, rounds)
        for path, times in times_of(many, [*PAGES, *more], rounds).items():
            name = "/executions/…" if path == story else path
            other = f"{percentile(beside[path], 0.95):.1f}" if path in beside else "—"
            processor = processor_of(many, path, rounds) * 1000
            lines.append(
                f"{name:<36} p50 {percentile(times, 0.5):6.1f} ms, p95"
                f" {percentile(times, 0.95):6.1f} ms; empty store p95 {other} ms; processor"
                f" {processor:.1f} ms"
            )
        alone = webhooks(many, posts)
        with refreshing(many, every):
            together = webhooks(many, posts)
        lines.append(
            f"webhooks: p99 {percentile(alone, 0.99):.1f} ms alone,"
            f" {percentile(together, 0.99):.1f} ms beside a page every {every:g} s"
        )
    return lines


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_pages", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="How many executions.")
    parser.add_argument("--rounds", type=int, default=100, help="How often each page is asked for.")
    parser.add_argument("--posts", type=int, default=2_000, help="How many webhooks.")
    parser.add_argument("--store", help="A folder with a receiver.db that was grown before.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.store is None:
            grow(Path(folder, "receiver.db"), given.count, days=(60, 0.001))
        place = Path(given.store or folder)
        print("\n".join(measure(place, given.rounds, given.posts, 2.0)))
