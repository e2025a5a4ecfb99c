"""`python -m tests.bench_dispatch`: what telling people costs, and what it costs those who send.

Five figures, each a ratio within one run, all on a real `receiver serve`, real RSA-signed webhooks
and Apprise's own json:// plugin, with destinations in a process of their own (`tests.bench.hook`):

1. Deliveries per second to ten destinations, beside plain Apprise calls in ten threads that send
   the same messages to the same hook. All is owed before (`serve --no-dispatch`), then the server
   starts anew, and the time is that from the first arrival to the last.
2. From the POST of a webhook to the arrival of its message, on an idle server, in turn with single
   plain notify() calls.
3. Webhooks acknowledged per second while every destination hangs, beside the same on a server that
   sends nothing at all (`--no-dispatch`): what it owes is the same, and whatever dispatch does
   counts against it. Beside a server whose destinations answer it would be flattered, since
   sending takes the processor from intake; that figure is printed as well.
4. At a steady rate of webhooks, each owed to one of ten destinations: how many messages arrive
   meanwhile, how many are behind at the end and until when they have arrived, and the p99 of the
   answers beside that of a server that sends nothing. A webhook's time begins when it was due, so
   a sender that falls behind hides nothing. With `--busy 1` another process uses all it gets of a
   processor meanwhile.
5. The whole at full load: 64 connections post webhooks that are each owed to one of ten
   destinations. Acknowledged per second beside a server that sends nothing, and told per second,
   from the first POST to the last arrival, beside the plain Apprise of 1; with the processor time
   of server and senders for a message.

What could make the figures lie: the network is loopback, so that all time is processor time;
over a real one both sides of 1 wait more and the ratio nears 1. Hook, sender and receiver share the
machine: `hook_busy` says how much of a processor the hook had in 1, and with few processors what
it takes is missing on both sides. Plain Apprise keeps nothing: no record, no order, no deadline.
In 1 the first message of each destination begins the count, so start and import are in none. The
backlog of 1 is one message per execution and destination: nothing is superseded or waits for its
predecessor. Bounded in count; everything it starts, it stops.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from receiver.cli import client
from tests.bench.goals import AT_LEAST, AT_MOST, Goals, show
from tests.bench.hook import HERE, Arrival, Hook, processor
from tests.bench.intake import PUBLIC, drive, percentile, signed_request, start
from tests.bench.plain import Plain
from tests.support.commands import children
from tests.support.live import free_port
from tests.support.steady import Steady

DESTINATIONS = 10
Figures = dict[str, float]


def rules(hook: Hook, *, spread: bool, path: str = "to", more: str = "rate: 100000/s") -> str:
    """A routes.yaml: each failure is owed to all destinations, or, `spread`, to its agent's."""
    names = [f"d{n}" for n in range(DESTINATIONS)]
    told = (
        [f"{{name: {n}, match: {{status: failed, agent: {n}}}, notify: {n}}}" for n in names]
        if spread
        else [f"{{name: failures, match: {{status: failed}}, notify: [{', '.join(names)}]}}"]
    )
    return "\n".join(
        ["sources:", '  asteroid: {verify: {scheme: rsa-sha256, keys: ["${BENCH_PUBLIC_KEY}"]}}',
         "destinations:",
         *(f'  {n}: {{url: "json://127.0.0.1:{hook.port}/{path}/{n}", {more}}}' for n in names),
         "routes:", *(f"  - {route}" for route in told), ""]
    )  # fmt: skip


def webhooks(count: int, prefix: str) -> list[bytes]:
    """Whole HTTP requests about failures, signed beforehand, of agents d0 to d9 in turn."""
    made = []
    for number in range(count):
        body = client.asteroid_event(
            "EXECUTION_FAILED", f"{prefix}-{number}", payload={"reason": "The invoice has no date"},
            agent_id=f"d{number % DESTINATIONS}",
        )  # fmt: skip
        made.append(signed_request(body))
    return made


@dataclass
class Server:
    """A `receiver serve` in a folder, as a process of its own."""

    checkout: Path
    folder: str
    rules: str
    parser: str
    arguments: tuple[str, ...] = ()

    @contextmanager
    def running(self, *more: str) -> Iterator[Server]:
        """It runs, and is stopped at the end."""
        os.makedirs(self.folder, exist_ok=True)
        Path(self.folder, "routes.yaml").write_text(self.rules, "utf-8")
        self.port = free_port()
        environ = {
            "RECEIVER_PORT": str(self.port), "BENCH_PUBLIC_KEY": PUBLIC, "RECEIVER_DRAIN": "1",
            "RECEIVER_HTTP": self.parser, "PYTHONPATH": str(self.checkout),
        }  # fmt: skip
        command = [sys.executable, "-m", "receiver", "serve", *self.arguments, *more]
        self.process: subprocess.Popen[bytes] = start(command, self.port, environ, self.folder)
        try:
            yield self
        finally:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def post(self, waiting: list[bytes], connections: int = 32) -> float:
        """Post these webhooks; how many were acknowledged per second."""
        return asyncio.run(drive(self.port, waiting, connections))[0]


@dataclass
class Bench:
    """The hook, plain Apprise, and what is asked for. `kept` ends the servers that parts share."""

    given: argparse.Namespace
    folder: str
    hook: Hook
    plain: Plain
    kept: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    arrived: set[Arrival] = field(default_factory=set)
    twice: int = 0

    def server(self, name: str, text: str, *arguments: str) -> Server:
        checkout = Path(self.given.checkout).absolute()
        folder = os.path.join(self.folder, name)
        return Server(checkout, folder, text, self.given.http, arguments)

    def shared(self, *arguments: str) -> Server:
        """A running server whose destinations answer; the same one for the same arguments."""
        name = "-".join(["answering", *arguments])
        if name not in self.servers:
            server = self.server(name, rules(self.hook, spread=True), *arguments)
            self.servers[name] = self.kept.enter_context(server.running())
        return self.servers[name]

    def take(self, count: int) -> list[Arrival]:
        """Return what arrived, and count messages that arrived more than once."""
        arrived = self.hook.take(count)
        for one in arrived:
            same = one._replace(at=0)
            self.twice += same in self.arrived
            self.arrived.add(same)
        return sorted(arrived, key=lambda one: one.at)

    def url(self, path: str) -> str:
        """Where plain Apprise sends what arrived at a path: the same hook."""
        return f"json://127.0.0.1:{self.hook.port}/plain{path}"


def per_second(arrived: Sequence[Arrival]) -> float:
    """From the first arrival to the last."""
    return (len(arrived) - 1) / ((arrived[-1].at - arrived[0].at) / 1e9)


def rate(bench: Bench) -> Figures:
    """1: deliveries per second beside plain Apprise."""
    found: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(value)

    for number in range(bench.given.rounds):
        arrived = owed_and_sent(bench, number, note)
        messages: dict[str, list[tuple[str, str]]] = {}
        for one in arrived:
            messages.setdefault(bench.url(one.path), []).append((one.title, one.body))
        # What is made and imported before the first call is not measured, as with ours.
        bench.plain.send({url: [("warm-up", f"{number}")] for url in messages})
        bench.take(len(messages))
        took = bench.plain.send(messages)
        again = bench.take(len(arrived))
        note(plain_per_s=per_second(again), plain_cpu_ms=took.processor * 1000 / len(again))
    pairs = zip(found["per_s"], found["plain_per_s"], strict=True)
    medians = {f"dispatch_{name}": statistics.median(of) for name, of in found.items()}
    return {"dispatch_ratio": statistics.median(mine / other for mine, other in pairs), **medians}


def owed_and_sent(bench: Bench, number: int, note) -> list[Arrival]:  # type: ignore[no-untyped-def]
    """A round of ours: owe everything, start anew, and what arrived."""
    count = bench.given.count
    server = bench.server(f"rate-{number}", rules(bench.hook, spread=False))
    with server.running("--no-dispatch"):
        server.post(webhooks(count, f"rate-{number}"))
    hooked = bench.hook.processor()
    with server.running():
        first = bench.take(1)
        at, used = time.monotonic_ns(), processor(server.process.pid)
        arrived = first + bench.take(count * DESTINATIONS - len(first))
        used = processor(server.process.pid) - used
    seconds = (arrived[-1].at - arrived[0].at) / 1e9
    since = sum(one.at > at for one in arrived)
    note(
        per_s=per_second(arrived), cpu_ms=used * 1000 / max(since, 1),
        hook_busy=(bench.hook.processor() - hooked) / seconds,
    )  # fmt: skip
    return arrived


def latency(bench: Bench) -> Figures:
    """2: from POST to arrival beside one notify()."""
    mine, calls, reached = list[float](), list[float](), list[float]()
    server = bench.shared()
    for request in webhooks(bench.given.singles, "latency"):
        posted = time.monotonic_ns()
        server.post([request], 1)
        (one,) = bench.take(1)
        mine.append((one.at - posted) / 1e9)
        took = bench.plain.send({bench.url(one.path): [(one.title, one.body)]})
        (again,) = bench.take(1)
        calls += took.calls
        reached.append((again.at - took.began[0]) / 1e9)
    # The first of each destination makes its objects, on both sides.
    kept = slice(min(DESTINATIONS, len(mine) - 1), None)
    p50, call = percentile(mine[kept], 0.5), percentile(calls[kept], 0.5)
    return {
        "arrival_ratio": p50 / call,
        "arrival_p50_ms": p50,
        "arrival_p99_ms": percentile(mine[kept], 0.99),
        "arrival_plain_call_p50_ms": call,
        "arrival_plain_p50_ms": percentile(reached[kept], 0.5),
    }


def hanging(bench: Bench) -> Figures:
    """3: intake while every destination hangs."""
    hangs = rules(bench.hook, spread=True, path="hang", more="rate: 100000/s, timeout: 60s")
    servers = {
        "hanging": bench.server("hanging", hangs),
        "none": bench.shared("--no-dispatch"),
        "answering": bench.shared(),
    }
    rates: dict[str, list[float]] = {name: [] for name in servers}
    count = bench.given.webhooks
    with servers["hanging"].running():
        for number in range(bench.given.rounds + 1):
            for name in list(servers)[:: -1 if number % 2 else 1]:
                posted = servers[name].post(webhooks(count, f"{name}-{number}"), 64)
                if name == "answering":
                    bench.take(count)
                elif name == "hanging" and number == 0:
                    bench.take(min(count, DESTINATIONS))  # from here on each of them hangs
                rates[name] += [posted] if number else []

    def ratio(other: str) -> float:
        pairs = zip(rates["hanging"], rates[other], strict=True)
        return statistics.median(mine / others for mine, others in pairs)

    return {
        "hanging_ratio": ratio("none"),
        "hanging_ratio_answering": ratio("answering"),
        **{f"hanging_{name}_per_s": statistics.median(of) for name, of in rates.items()},
    }


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes use all they get of a processor."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def beside(bench: Bench) -> Figures:
    """4: intake and dispatch at once, at several rates."""
    with busy(bench.given.busy):
        return _beside(bench)


def _beside(bench: Bench) -> Figures:
    found: Figures = {}
    for per_s in [bench.given.at[0], *bench.given.at]:  # the first time warms both up
        took: dict[str, list[float]] = {"with": [], "without": []}
        rows: dict[str, list[float]] = {"sent_per_s": [], "behind": [], "drained_s": []}
        for number in range(bench.given.rounds):
            for name in ("with", "without")[:: -1 if number % 2 else 1]:
                took[name] += steadily(bench, per_s, rows if name == "with" else None)
        of = f"at_{per_s:g}"
        p99 = {name: percentile(values, 0.99) for name, values in took.items()}
        found[f"{of}_p99_ratio"] = p99["with"] / p99["without"]
        for name, values in took.items():
            found[f"{of}_{name}_p50_ms"] = percentile(values, 0.5)
            found[f"{of}_{name}_p99_ms"] = p99[name]
        found |= {f"{of}_{name}": statistics.median(values) for name, values in rows.items()}
    return found


def steadily(bench: Bench, per_s: float, rows: dict[str, list[float]] | None) -> list[float]:
    """A round at a steady rate, what became of the messages in `rows`; seconds of each answer."""
    server = bench.shared() if rows is not None else bench.shared("--no-dispatch")
    count = max(int(per_s * bench.given.seconds), 1)
    posts, began = Steady(server.port, per_s), time.monotonic_ns()
    asyncio.run(posts.run(webhooks(count, f"steady-{began}")))
    ended = time.monotonic_ns()
    if rows is not None:
        arrived = bench.take(count)
        late = sum(one.at > ended for one in arrived)
        rows["sent_per_s"].append((count - late) / ((ended - posts.began) / 1e9))
        rows["behind"].append(late)
        rows["drained_s"].append(max(arrived[-1].at - ended, 0) / 1e9)
    return posts.since_due


def whole(bench: Bench) -> Figures:
    """5: intake and dispatch at full load."""
    took: dict[str, list[float]] = {name: [] for name in (
        "acked_per_s", "alone_per_s", "told_per_s", "plain_per_s", "cpu_us", "senders_cpu_us",
    )}  # fmt: skip
    for number in range(-1, bench.given.rounds):  # the first round warms all of them up
        count = bench.given.webhooks if number >= 0 else min(bench.given.webhooks, 200)
        server, alone = bench.shared(), bench.shared("--no-dispatch")
        used, by_senders = processor(server.process.pid), processor_of_senders(server)
        began = time.monotonic_ns()
        acked = server.post(webhooks(count, f"whole-{began}"), 64)
        arrived = bench.take(count)
        used, by_senders = (
            processor(server.process.pid) - used, processor_of_senders(server) - by_senders
        )  # fmt: skip
        intake = alone.post(webhooks(count, f"alone-{began}"), 64)
        messages: dict[str, list[tuple[str, str]]] = {}
        for one in arrived:
            messages.setdefault(bench.url(one.path), []).append((one.title, one.body))
        bench.plain.send(messages)
        plain = per_second(bench.take(count))
        told = count / ((arrived[-1].at - began) / 1e9)
        figures = (acked, intake, told, plain, used * 1e6 / count, by_senders * 1e6 / count)
        for name, value in zip(took, figures, strict=True):
            took[name] += [value] if number >= 0 else []

    def ratio(mine: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(took[mine], took[other], strict=True))

    return {
        "whole_acked_ratio": ratio("acked_per_s", "alone_per_s"),
        "whole_told_ratio": ratio("told_per_s", "plain_per_s"),
        **{f"whole_{name}": statistics.median(of) for name, of in took.items()},
    }


def processor_of_senders(server: Server) -> float:
    """Seconds of processor time that the senders of a server have used."""
    return sum(processor(each) for each in children(server.process.pid))


PARTS = {"rate": rate, "latency": latency, "hanging": hanging, "beside": beside, "whole": whole}


def measure(given: argparse.Namespace) -> Figures:
    """All figures that are asked for; `twice` is how many messages arrived more than once."""
    with (
        tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder,
        Hook() as hook,
        Plain(pooled=given.pooled) as plain,
        ExitStack() as kept,
    ):
        bench = Bench(given, folder, hook, plain, kept)
        found: Figures = {}
        for name in given.only or PARTS:
            found |= PARTS[name](bench)
        return {**found, "twice": bench.twice}


def arguments() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", choices=list(PARTS))
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=200, help="webhooks owed to ten in a round")
    parser.add_argument("--singles", type=int, default=100, help="webhooks on an idle server")
    parser.add_argument("--webhooks", type=int, default=2_000, help="in a round of hanging")
    parser.add_argument("--at", type=float, nargs="*", default=[100, 200, 300])
    parser.add_argument("--seconds", type=float, default=4, help="of a round beside intake")
    parser.add_argument("--busy", type=int, default=0, help="processes that work beside 4")
    parser.add_argument("--pooled", action="store_true", help="plain Apprise with its own pool")
    parser.add_argument("--checkout", default=str(HERE), help="measure another checkout")
    parser.add_argument("--json", action="store_true")
    return parser


def goals(given: argparse.Namespace) -> Goals:
    """Return the goals by figure."""
    return {
        "arrival_ratio": (AT_MOST, 2.0),
        "dispatch_ratio": (AT_LEAST, 1.5),
        "at_300_p99_ratio": (AT_MOST, 4.0 if given.busy else 1.5),
    }


def main() -> None:
    given = arguments().parse_args()
    show(measure(given), goals(given), as_json=given.json)
