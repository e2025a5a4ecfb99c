"""Cost of a page: `python -m tests.bench_pages`. Figures are printed; all are of one run.

Each page of a server with a large store beside one with an empty store: the time to a whole answer
on loopback. Then webhooks on the large one, by turns alone and while somebody refreshes the first
page, and how much longer their p99 takes then. `--only webhooks` does this alone.
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
from statistics import median
from urllib.parse import urlsplit

from receiver.cli import client
from tests.bench.intake import percentile
from tests.support.grown import grow
from tests.support.live import Live, live
from tests.support.visited import ROUTES

PAGES = ("/", "/executions", "/events", "/deliveries", "/deliveries?state=dead", "/routes",
         "/silences", "/ledger")  # fmt: skip
KEEP = {"keep_bodies": "85d"}  # nothing is removed meanwhile
# Nothing is printed meanwhile, either.
QUIET_ROUTES = ROUTES.replace("paused_by_agent]", "paused_by_agent], agent: Nobody")


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


def pages(many: Live, few: Live, rounds: int) -> Iterator[str]:
    """Yield a line for each page of the large store."""
    (execution,) = many.store.executions({}, 1, None)[0]
    story = f"/executions/asteroid/{execution['execution_id']}"
    (event,) = many.store.events({}, 1, None)[0]
    more = [story, f"/events/{event['seq']}", "/executions?source=asteroid&q=a-",
            f"/events?execution_id={execution['execution_id']}", "/events?verdict=rejected",
            "/executions?category=awaiting", "/executions?q=nobody", "/executions?agent=nobody*",
            "/events?event=NONE", "/deliveries?kind=fallback"]  # fmt: skip
    for receiver in (few, many):
        times_of(receiver, PAGES, 2)  # the templates are read, what takes long has begun
    beside = times_of(few, PAGES, rounds)
    for path, times in times_of(many, [*PAGES, *more], rounds).items():
        name = path.replace(str(execution["execution_id"]), "…")
        other = f"{percentile(beside[path], 0.95):.1f}" if path in beside else "—"
        processor = processor_of(many, path, rounds) * 1000
        yield (
            f"{name:<36} p50 {percentile(times, 0.5):6.1f} ms, p95"
            f" {percentile(times, 0.95):6.1f} ms; empty store p95 {other} ms; processor"
            f" {processor:.1f} ms"
        )


def beside_pages(receiver: Live, posts: int, every: float, turns: int) -> str:
    """Post webhooks by turns alone and beside a page; return a line with the ratio of their p99.

    The ratio is the median of those of all turns: what else a machine does is the same for both
    halves of most turns.
    """
    webhooks(receiver, posts // 10)
    ratios, alone, together = [], [], []
    for _ in range(turns):
        alone.append(percentile(webhooks(receiver, posts), 0.99))
        with refreshing(receiver, every):
            together.append(percentile(webhooks(receiver, posts), 0.99))
        ratios.append(together[-1] / alone[-1])
    return (
        f"webhooks beside a page every {every:g} s: p99 x {median(ratios):.2f}"
        f" ({min(ratios):.2f} to {max(ratios):.2f} in {turns} turns;"
        f" {median(alone):.1f} ms alone, {median(together):.1f} ms together)"
    )


def wait_for_people(receiver: Live, count: int) -> None:
    """Let executions wait for a confirmation: the first page shows the fifty longest waits."""
    for n in range(count):
        for event in ("STARTED", "AWAITING_CONFIRMATION"):
            receiver.post(client.asteroid_event(f"EXECUTION_{event}", f"waits-{n}"))


def measure(
    folder: Path, rounds: int, posts: int, every: float, turns: int = 1, only: str = ""
) -> Iterator[str]:
    """Yield the lines with the figures; `folder` has the large store."""
    with (
        tempfile.TemporaryDirectory() as empty,
        live(Path(empty), QUIET_ROUTES, {}, **KEEP) as few,
        live(folder, QUIET_ROUTES, {}, **KEEP) as many,
    ):
        wait_for_people(many, 60)
        if only != "webhooks":
            yield from pages(many, few, rounds)
        if only != "pages":
            yield beside_pages(many, posts, every, turns)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_pages", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="How many executions.")
    parser.add_argument("--rounds", type=int, default=100, help="How often each page is asked for.")
    parser.add_argument("--posts", type=int, default=2_000, help="Webhooks of half a turn.")
    parser.add_argument("--turns", type=int, default=5, help="Alone, and then beside a page.")
    parser.add_argument(
        "--only", choices=("pages", "webhooks"), default="", help="Leave out the other part."
    )
    parser.add_argument("--store", help="A folder with a receiver.db that was grown before.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.store is None:
            grow(Path(folder, "receiver.db"), given.count, days=(60, 0.001))
        place = Path(given.store or folder)
        for line in measure(place, given.rounds, given.posts, 2.0, given.turns, given.only):
            print(line, flush=True)
