"""Worlds by chance: rules, what a sender says under them, and what operators do meanwhile."""

from __future__ import annotations

import json
import random
from typing import Any

from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.times import format_time
from tests.support.people import HOUR, MINUTE, SECOND, Walk

AGENTS = ("agent-1", "agent-2", "agent-3")
EXECUTIONS = ("a", "b", "c", "d", "x/1")
# Each stands for a route; the names in capitals are replaced by chance.
ROUTES = (
    "match: {category: [awaiting, paused]}, notify: TO, resolved: true, remind: {every: 15m}MORE",
    "match: {status: awaiting_confirmation}, notify: TO, escalate: [{after: 1h, notify: ONE}],"
    " acknowledged: true, resolved: true, title: '{{ agent_name }} {{ waited }} {{ status }}'",
    "match: {category: terminal}, notify: TOMORE",
    "match: {category: terminal, agent: agent-2}, notify: TO, stop: true",
    "match: {status: running}, notify: TO, resolved: trueMORE",
    "match: {verdict: [held, stale, rejected]}, notify: TOMORE",
    "match: {verdict: quarantined}, notify: TO",
    "match: {agent: agent-1}, stuck: {status: [running, paused], after: 2h}, notify: ONE",
)
MORE = (
    "", "", "", ", urgent: true",
    ", group: {by: [agent], wait: 1m, every: 10m}",
    ', quiet: {from: "12:00", to: "13:30", tz: UTC}',
)  # fmt: skip


def rules(chance: random.Random) -> str:
    """The text of a routes.yaml."""
    source = "verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}, format: plain"
    options = [
        f"agents: [{', '.join(chance.sample(AGENTS, 2))}]",
        "observes: [paused, awaiting_confirmation, completed, failed, cancelled]",
        "gaps: apply",
        "gap_timeout: 2m",
    ]
    chosen = [option for option in options if chance.random() < 0.4]
    quiet = ', quiet: {from: "22:00", to: "07:00", tz: Europe/Berlin}'
    lines = ["sources:", f"  s: {{{', '.join([source, *chosen])}}}", "destinations:"]
    for name in "abc":
        rate = chance.choice(("1000/s", "1000/s", "2/m"))
        lines.append(
            f"  {name}: {{url: console://, rate: {rate}{quiet if chance.random() < 0.3 else ''}}}"
        )
    lines.append("routes:")
    for number, text in enumerate(chance.sample(ROUTES, chance.randint(4, len(ROUTES)))):
        to = f"[{', '.join(chance.sample('abc', chance.randint(1, 3)))}]"
        text = text.replace("MORE", chance.choice(MORE)).replace("TO", to)
        lines.append(f"  - {{name: r{number}, {text.replace('ONE', chance.choice('abc'))}}}")
    return "\n".join([*lines, ""])


def body(chance: random.Random, number: int, now: int, sent: list[bytes]) -> bytes:
    """What the sender says next, which it may have said before."""
    form = chance.random()
    if sent and form < 0.1:
        return chance.choice(sent)
    if form < 0.13:
        return chance.choice((b"{", b'{"a": 1}', b'{"event_id": "q", "status": "running"}'))
    content: dict[str, Any] = {
        "event_id": f"e-{number}",
        "execution_id": chance.choice(EXECUTIONS),
        "status": chance.choice([*Status, *(["running", "paused", "awaiting_confirmation"] * 4)]),
        "occurred_at": format_time(now - chance.choice((0, 0, 0, 0, SECOND, 7 * MINUTE, HOUR))),
        "agent_id": chance.choice(AGENTS),
        "agent_name": chance.choice(("Invoice agent", "Mail agent")),
        "reason": chance.choice(("about to pay", "", "<!channel> {{ x }}")),
    }
    if form < 0.16:
        content["status"] = "dancing"
    if form > 0.97:
        content["occurred_at"] = format_time(now + HOUR)
    return json.dumps(content).encode()


def meanwhile(chance: random.Random, walk: Walk) -> None:
    """Let time pass, messages go out, waits end, and operators do something."""
    walk.passes(chance.choice((0, 1, SECOND, 20 * SECOND, MINUTE, 16 * MINUTE, HOUR, 3 * HOUR)))
    if chance.random() < 0.5:
        walk.do(lambda transaction: walk.intake.expire(transaction, [walk.now]))
    for name in "abc":
        if chance.random() < 0.6:
            walk.gets(name)
    form = chance.random()
    if form < 0.08:
        match = chance.choice((
            {"status": ("running", "completed")}, {"agent": ("agent-1",)},
            {"verdict": ("rejected",)}, {"verdict": ("quarantined",)},
        ))  # fmt: skip
        span = chance.choice((MINUTE, HOUR, 8 * HOUR))
        silence = Silence(match, "maintenance", "Ann", walk.now, walk.now + span)
        walk.do(lambda transaction: transaction.add_silence(silence, walk.now))
    elif form < 0.14:
        walk.acknowledge("Ann", chance.choice(EXECUTIONS))
    elif form < 0.18:
        walk.restart()
