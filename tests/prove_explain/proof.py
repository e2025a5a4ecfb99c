"""Proves that `explain` says what will happen.

    python -m tests.prove_explain --seed 1 --events 1000

Random events come into random stores under random rules, with operators beside. Each is explained
just before it is taken: verdict, reason and flags, the held events that it settles, and every
message with its destination, time and text are as they were said. What becomes of the messages is
tried on a copy of the store, by dispatch, with a clock of its own. Explaining leaves no trace.

Exit code 1 on a difference; the seed and the event are printed.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from receiver.errors import UnreadableWebhook, UntrustedWebhook
from receiver.intake.explain import explain
from receiver.intake.receive import Receipt, malformed_webhook, read_webhook
from receiver.store.sqlite.store import SqliteStore
from receiver.times import format_time
from tests.prove_explain.worlds import body, meanwhile, rules
from tests.support.people import Walk
from tests.support.stores import shared_memory

EVENTS_OF_A_WORLD = 40
MOST = 500  # messages to a destination at once
Message = tuple[Any, ...]


class Different(AssertionError):
    """What was explained and what happened."""


def prove(seed: int, events: int, *, show: bool = False) -> Counter[str]:
    """Explain and take so many events; figures of what happened, or Different."""
    figures: Counter[str] = Counter()
    for number, begun in enumerate(range(0, events, EVENTS_OF_A_WORLD)):
        chance = random.Random(f"explain {seed} {number}")
        with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
            walk = Walk(Path(folder), rules(chance))
            try:
                walk.gets()
                sent: list[bytes] = []
                for event in range(min(EVENTS_OF_A_WORLD, events - begun)):
                    meanwhile(chance, walk)
                    walk.now += 1
                    sent.append(body(chance, event, walk.now, sent))
                    try:
                        take(walk, sent[-1], figures)
                    except Different as different:
                        where = f"seed {seed}, world {number}, event {event}: {sent[-1]!r}"
                        raise Different(f"{where}\n{different}\n{walk.text}") from None
            finally:
                walk.store.close()
        figures["events"] = begun + event + 1
        if show:
            print(f"\r{figures['events']:,} of {events:,}", end="", flush=True)
    return figures


def take(walk: Walk, content: bytes, figures: Counter[str]) -> None:
    """Explain an event, take it, and compare."""
    source, before = walk.rules.sources["s"], contents(walk.store)
    said = explain(walk.rules, source, content, walk.now, walk.store)
    agree("the store after explaining", contents(walk.store), before)
    figures[f"{said['verdict']} ({said['reason']})"] += 1
    try:
        webhook = read_webhook(source, content, None, walk.now)
    except UntrustedWebhook:
        agree("what is answered 401", (said["verdict"], said["messages"]), (None, []))
        return
    except UnreadableWebhook as unreadable:
        webhook = malformed_webhook(source, content, walk.now, str(unreadable))
    since = newest(walk.store)
    receipt: Receipt = walk.store.write_now(walk.intake.receive, webhook)
    judgement = receipt.judgement
    agree(
        "the verdict",
        (said["verdict"], said["reason"], said["flags"]),
        (judgement.verdict, judgement.reason, sorted(judgement.flags)),
    )
    agree(
        "what is settled",
        [(s["event_id"], s["verdict"], s["reason"]) for s in said["settles"]],
        [
            (s.event and s.event.event_id, s.judgement.verdict, s.judgement.reason)
            for s in receipt.settled
        ],
    )
    figures["settled"] += len(receipt.settled)
    fates = happened(walk, since)
    agree("the messages", [told(message, figures) for message in said["messages"]], fates)
    routes = [route for judged in (said, *said["settles"]) for route in judged["routes"]]
    listed = sum(len(route["destinations"]) for route in routes if not route["why_not"])
    stuck = {route["name"] for route in routes if not route["why_not"] and route["if_stuck"]}
    notices = [m for m in said["messages"] if m["kind"] == "notice" and m["route"] not in stuck]
    agree("who is told", listed, sum(not message["why_not"] for message in notices))


def told(message: dict[str, Any], figures: Counter[str]) -> Message:
    """A message as it was explained."""
    figures[str(message["kind"])] += 1
    when = "never" if message["why_not"] else "now" if message["is_now"] else "later"
    figures[f"told {when}"] += 1
    names = ("event_id", "route", "destination", "kind", "at", "why_not", "title", "body")
    return tuple(message[name] for name in names)


def happened(walk: Walk, since: int) -> list[Message]:
    """What becomes of the deliveries since that number, on a copy of the store."""
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        with (
            closing(sqlite3.connect(walk.folder / "receiver.db")) as original,
            closing(sqlite3.connect(Path(folder) / "receiver.db")) as copy,
        ):
            original.backup(copy)
        clone = Walk(Path(folder), walk.text, now=walk.now)
        clone.turned = set(walk.turned)
        try:
            fates = sent(clone, since)
        finally:
            clone.store.close()
    return [fates[number] for number in sorted(fates)]


def sent(clone: Walk, since: int) -> dict[int, Message]:
    """Send what is owed, until the fate of all deliveries since that number is known."""
    owed = {row["id"]: row["destination"] for row in deliveries(clone.store, since)}
    fates: dict[int, Message] = {}
    while waits := {name for number, name in owed.items() if number not in fates}:
        times = []
        for name in (name for name in dict.fromkeys(owed.values()) if name in waits):
            claims = 0
            while send_one(clone, name, since, owed, fates):
                claims += 1
                assert claims < MOST
            policy = clone.rules.policy_at(clone.rules.destinations[name], clone.now)
            if (due := clone.store.next_due(name, policy, clone.now)) is not None:
                times.append(due)
        if set(fates) == set(owed):
            break
        clone.now = max(min(times), clone.now + 1)
    return fates


def send_one(
    clone: Walk, name: str, since: int, owed: dict[int, str], fates: dict[int, Message]
) -> bool:
    """Send one message to a destination, if one is due; note the fates that are known by now."""
    claim = clone.claim(name)
    rows = [row for row in deliveries(clone.store, since) if row["id"] in owed]
    message = clone.record(claim) if claim is not None else None
    for row in rows:
        if row["state"] == "waiting" or row["id"] in fates:
            continue
        is_sent = row["state"] == "sending" and message is not None
        text = (message.title, message.body) if is_sent and message else (None, None)
        fates[row["id"]] = (
            row["event_id"], row["route"], row["destination"], row["kind"],
            format_time(clone.now), "" if is_sent else row["reason"], *text,
        )  # fmt: skip
    return claim is not None


def deliveries(store: SqliteStore, since: int) -> Iterator[Any]:
    """The deliveries that are newer than the number, oldest first."""
    items, _ = store.deliveries({}, 10_000, None)
    return (row for row in reversed(items) if row["id"] > since)


def newest(store: SqliteStore) -> int:
    """The number of the newest delivery."""
    items, _ = store.deliveries({}, 1, None)
    return int(items[0]["id"]) if items else 0


def contents(store: SqliteStore) -> tuple[Any, ...]:
    """The counts of all that is stored."""
    return store.ledger(), newest(store)


def agree(what: str, explained: object, real: object) -> None:
    """Raise Different unless both are the same."""
    if explained != real:
        raise Different(f"{what}\n  explained: {explained}\n  happened:  {real}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.prove_explain", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=1_000, metavar="N")
    chosen = parser.parse_args()
    try:
        figures = prove(chosen.seed, chosen.events, show=True)
    except Different as different:
        print(f"\n{different}")
        return 1
    print()
    for name, n in sorted(figures.items()):
        print(f"    {name:32} {n:>8,}")
    return 0
