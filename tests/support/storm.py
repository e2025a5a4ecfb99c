"""A storm: thousands of failures of one agent in a minute, and how few messages tell of all.

`python -m tests.storm` runs it, also with a destination that fails for a while, and prints what it
took. The suite runs the same.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from receiver.events import Status
from receiver.times import SECOND
from tests.support.people import DELIVERED, FAILED, MINUTE, Told, Walk, counted
from tests.support.stores import shared_memory

ROUTES = """\
destinations:
  ops: {url: console://, retry_for: 10d}
routes:
  - name: failures
    match: {status: failed}
    notify: ops
    group: {by: [agent, status], wait: 30s, every: 5m}
"""


@dataclass(frozen=True)
class Figures:
    """What it took: messages, the sum of what they say they stand for, the longest transactions.

    `grown` is what dispatch allocated at most, above what it had before, in bytes.
    """

    messages: int
    counted: int
    claim_ms: float
    record_ms: float
    grown: int


def storm(walk: Walk, failures: int, *, fails_until: int = 0) -> Figures:
    """Let that many failures come within a minute; the destination fails until that second."""
    told: list[Told] = []
    worst = {"claim": 0.0, "record": 0.0, "grown": 0.0}

    def look() -> None:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        while True:
            begin = time.perf_counter()
            claim = walk.claim("ops")
            claimed = time.perf_counter()
            if claim is None:
                break
            down = walk.now < begins + fails_until * SECOND
            message = walk.record(claim, FAILED if down else DELIVERED)
            worst["claim"] = max(worst["claim"], claimed - begin)
            worst["record"] = max(worst["record"], time.perf_counter() - claimed)
            if not down:
                told.append(Told("ops", message, claim))
        worst["grown"] = max(worst["grown"], tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()

    begins, sent = walk.now, 0
    for second in range(1, 61):
        walk.now = max(begins + second * SECOND, walk.now)
        due = failures * second // 60
        walk.come([walk.event(Status.FAILED, f"x-{n}") for n in range(sent, due)])
        sent = due
        look()
    while walk.pending():
        walk.passes(30 * SECOND)
        look()
        assert walk.now < begins + 600 * MINUTE
    assert walk.store.ledger()["imbalance"] == 0
    return Figures(
        len(told), sum(map(counted, told)), worst["claim"] * 1000, worst["record"] * 1000,
        int(worst["grown"]),
    )  # fmt: skip


def main() -> None:
    """Run it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--failures", type=int, default=10_000)
    failures = parser.parse_args().failures
    for fails_until in (0, 600):
        with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
            walk, begin = Walk(Path(folder), ROUTES), time.perf_counter()
            of = storm(walk, failures, fails_until=fails_until)
            walk.store.close()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{failures:,} failures in a minute, the destination fails for {fails_until} s:"
            f" {of.messages} messages that account for {of.counted:,};"
            f" longest claim {of.claim_ms:.0f} ms, record {of.record_ms:.0f} ms;"
            f" dispatch allocated {of.grown / 2**20:.1f} MiB at most, resident {resident} MiB;"
            f" {time.perf_counter() - begin:.1f} s in all"
        )


if __name__ == "__main__":
    main()
