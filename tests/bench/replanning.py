"""Time of a start, of reloads and of the end of a silence in a large store, and who waits for it.

Run it with `python -m tests.bench_replanning`. A store of 100,000 executions, of which 20,000 wait
with reminders and escalations and 40,000 run, is made once. Meanwhile an event comes every 20 ms;
how long each waits for its commit is what senders feel.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from receiver.config import routes_file
from receiver.dispatch import replanning
from receiver.dispatch.operators import list_silences
from receiver.events import Status
from receiver.intake.receive import VerifiedWebhook
from receiver.routing.silences import Silence
from receiver.store.portions import Portions
from tests.support.people import HOUR, MINUTE, Walk

BATCH, EVERY = 250, 0.02
ROUTES = """\
destinations:
  team: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s}
routes:
  - {name: conf, match: {status: awaiting_confirmation}, notify: team, remind: {every: 4h},
     escalate: [{after: 8h, notify: lead}]}
  - {name: stuck, stuck: {status: running, after: 9h}, notify: team}
"""


def fill(walk: Walk, executions: int) -> None:
    """Let executions come: two fifths have ended, a fifth waits, two fifths run."""
    of = [Status.COMPLETED, Status.COMPLETED, Status.AWAITING_CONFIRMATION, Status.RUNNING,
          Status.RUNNING]  # fmt: skip
    for begin in range(0, executions, BATCH):
        numbers = range(begin, min(begin + BATCH, executions))
        walk.come([walk.event(of[n % len(of)], f"x-{n}") for n in numbers])


@contextmanager
def events_come(walk: Walk, waited: list[float]) -> Iterator[None]:
    """Let an event come every 20 ms meanwhile, and note how long each waits (seconds)."""
    ended = threading.Event()

    def send() -> None:
        n = 0
        while not ended.wait(EVERY):
            n += 1
            event = walk.event(Status.COMPLETED, f"y-{time.time_ns()}-{n}")
            webhook = VerifiedWebhook(event.source, event, b"{}", walk.now)
            begun = time.perf_counter()
            walk.store.write_now(lambda t, items: [walk.intake.receive(t, items)], webhook)
            waited.append(time.perf_counter() - begun)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure(name: str, walk: Walk, act: Callable[[], list[float]]) -> None:
    """Print how long an act took, the longest of its transactions, and what events waited."""
    waited = list[float]()
    with events_come(walk, waited):
        begun = time.perf_counter()
        held = act()
        total = time.perf_counter() - begun
    waits = [1000 * each for each in sorted(waited)] or [0.0]
    p99 = waits[int(len(waits) * 0.99)]
    print(
        f"{name}: {total:.1f} s, {len(held)} transactions, the longest"
        f" {1000 * max(held, default=0):.0f} ms; an event waited {statistics.median(waits):.1f} ms,"
        f" p99 {p99:.0f}, at most {waits[-1]:.0f}",
        flush=True,
    )


def replanned(walk: Walk, of: replanning.Walk | None) -> list[float]:
    """Let what waits follow the rules; return how long each transaction took."""
    held = list[float]()
    place = replanning.Place() if of else None
    while of is not None and place is not None:
        due, place = replanning.look(walk.store, of, place, walk.now)
        parts = replanning.replan_in_parts(walk.store, due, of.rules, walk.now)
        held += [done.seconds for done in parts]
    return held


class Noted(Portions):
    """Portions that remember how long each took."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[float] = []

    def took(self, n: int, seconds: float) -> None:
        """Note that a portion of `n` took so long."""
        self.held.append(seconds)
        super().took(n, seconds)


def listed(walk: Walk) -> list[float]:
    """List the silences that have ended; return how long each transaction took."""
    portions = Noted()
    list_silences(walk.store, walk.now, portions)
    return portions.held


def silenced(walk: Walk) -> None:
    """Let a silence keep back what is due, as a worker does."""
    silence = Silence({"source": ("*",)}, "a storm", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(silence, walk.now))
    while walk.claim("team") is not None:
        raise AssertionError("a silence keeps everything back")
    walk.now += HOUR + MINUTE


def main() -> None:
    """Make the store, and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--executions", type=int, default=100_000)
    executions = options.parse_args().executions
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder), ROUTES)
        begun = time.perf_counter()
        fill(walk, executions)
        print(f"{executions} executions came in {time.perf_counter() - begun:.0f} s", flush=True)
        measure_all(walk)
        walk.store.close()


def measure_all(walk: Walk) -> None:
    """Measure each of them, one after the other."""

    def reload(name: str, before: str, after: str) -> None:
        old, path = walk.rules, walk.folder / "routes.yaml"
        path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
        walk.rules = routes_file.load(str(path), {})
        measure(name, walk, lambda: replanned(walk, replanning.difference(old, walk.rules)))

    measure(
        "a start that changes nothing", walk, lambda: replanned(walk, replanning.whole(walk.rules))
    )
    reload("a reload of a title", "name: stuck,", "name: stuck, title: Look,")
    reload("a reload of an escalation", "after: 8h", "after: 7h")
    reload("a reload of stuck", "after: 9h", "after: 8h")
    silenced(walk)
    measure("the end of a silence", walk, lambda: listed(walk))
