"""Plain Apprise as one would write it, in a process of its own: what dispatch is compared with.

One Apprise object per address, its throttle off, each used by one thread; the threads share the
messages of a round and keep nothing of what became of them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import NamedTuple

from tests.bench.hook import Companion


class Round(NamedTuple):
    """What a round took: processor seconds, and the seconds of each call of its first thread."""

    processor: float
    calls: list[float]
    began: list[int]


class Plain(Companion):
    """The process, seen from the outside. `pooled`: with Apprise's own pool of threads."""

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__("tests.bench.plain", "pooled" if pooled else "direct")

    def send(self, messages: dict[str, list[tuple[str, str]]]) -> Round:
        """Send (title, body) to addresses, a thread for each; RuntimeError if one failed."""
        answer = json.loads(self.ask(json.dumps(messages)))
        if answer["failed"]:
            raise RuntimeError(f"{answer['failed']} plain notifications failed")
        return Round(answer["processor"], answer["calls"], answer["began"])


def main(how: str) -> None:
    """Answer each line, a round of messages, with what it took."""
    import apprise

    made: dict[str, apprise.Apprise] = {}

    def object_for(url: str) -> apprise.Apprise:
        if url not in made:
            # Without its pool of six threads, which all objects of a process share, it is faster.
            asset = apprise.AppriseAsset()
            if how != "pooled":
                asset = apprise.AppriseAsset(service_timeout=0)
            made[url] = apprise.Apprise(asset=asset)
            made[url].add(url)
            made[url][0].request_rate_per_sec = 0
        return made[url]

    def send(url: str, messages: list[tuple[str, str]], calls: list[float], began: list[int],
             failed: list[str]) -> None:  # fmt: skip
        notifier = made[url]
        for title, body in messages:
            began.append(time.monotonic_ns())
            if not notifier.notify(title=title, body=body):
                failed.append(title)
            calls.append((time.monotonic_ns() - began[-1]) / 1e9)

    for line in sys.stdin:
        asked = json.loads(line)
        calls: list[list[float]] = [[] for _ in asked]
        began: list[list[int]] = [[] for _ in asked]
        failed: list[str] = []
        threads = [
            threading.Thread(target=send, args=(url, messages, calls[n], began[n], failed))
            for n, (url, messages) in enumerate(asked.items())
            if object_for(url)
        ]
        used = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answer = {"processor": time.process_time() - used, "calls": calls[0], "began": began[0],
                  "failed": len(failed)}  # fmt: skip
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
