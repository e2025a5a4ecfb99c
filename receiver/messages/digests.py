"""Digests: many messages as one. Pure.

The title says which agent, what and since when. Every confirmation that still waits has a line of
its own, with what it asks and the id of its execution; together these lines always fit. Of all
others there is the number of each sort, and a line for the first few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

from receiver.deliveries import Claim, Digest, DigestItem, Kind, Message, MessageContext, Severity
from receiver.events import Status, Verdict
from receiver.messages import wording
from receiver.messages.follow_ups import end_severity, ended_how, new_wait, taken_by, waits_since
from receiver.messages.local_time import clock_time
from receiver.messages.notice import MAX_BODY, Notes, with_notes
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.unapplied import MAX_TITLE
from receiver.messages.variables import agent_name, why
from receiver.messages.wording import STUCK, doing, sort_words
from receiver.routing.routes import Route

# The room for notes; the rest is for the list and the lines around it.
_NOTES = 400
# Nothing has been so since the first event of these.
_SETTLED = {"resolved", "acknowledged"}
_SHORTEST_LINE, _LONGEST_LINE = 80, 300
_AGENT = 40


def digest_message(
    claim: Claim,
    digest: Digest,
    route: Route | None,
    now: int,
    public_url: str = "",
    zone: tzinfo = UTC,
) -> Message:
    """Write the message of a digest. `public_url` is the address of the details, if any."""
    original = claim.origin if claim.kind is Kind.FALLBACK else None
    title = _title(digest, route, now, zone)
    prefaces = []
    if digest.silence:
        prefaces.append(f"The silence is over: {clean(digest.silence, 200)}")
    elif (claim.group_key or "").startswith("quiet/"):
        prefaces.append("They waited for the end of the quiet hours.")
    more = f"All of them: {public_url.rstrip('/')}/" if public_url else ""
    lines = _body(digest, MAX_BODY - _NOTES - len(more), now)
    text = "\n".join([*lines, more] if more else lines)
    return with_notes(
        title, text, Notes(tuple(prefaces), claim.repeat, original), _severity(digest)
    )


def _body(digest: Digest, room: int, now: int) -> list[str]:
    """Write the lists; confirmations come first, because a long text is cut at its end."""
    waiting = [each for each in digest.listed if _waits(each)]
    others = [each for each in digest.listed if not _waits(each)]
    # The title of one agent says how many there are of each sort.
    is_said = _are_all_counted(digest) and len(_agents(digest)) == 1
    counted = [] if is_said or digest.page > 1 else _counted(digest)
    head = "Waiting for confirmation:" if others else ""
    lines = _lines(head, waiting, room - _length(counted), digest, now)
    lines += counted
    left = room - _length(lines)
    if left > _SHORTEST_LINE * len(others):
        few = f"The first {len(others)} of {_n(digest.total)}:"
        if len(digest.listed) == digest.total:
            few = "The others:" if waiting else ""
        lines += _lines(few, others, left, digest, now)
    return lines


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _title(digest: Digest, route: Route | None, now: int, zone: tzinfo) -> str:
    since = ""
    if digest.since is not None and not {sort for sort, _, _ in digest.counts} & _SETTLED:
        since = f" since {clock_time(digest.since, now, zone)}"
    page = f" ({digest.page})" if digest.page > 1 else ""
    begin = "While silenced: " if digest.silence else ""
    if all(sort.startswith(STUCK) for sort, _, _ in digest.counts):
        begin += "Stuck? "
    common = _common(digest, route)
    whose = _whose(digest)
    for what in (_what(digest), f"{_n(digest.total)} updates"):
        title = f"{begin}{whose}: {what}{since}{page}"
        if len(title) <= MAX_TITLE:
            room = MAX_TITLE - len(title) - 2
            return f"{title}: {clean(common, room)}" if common and room > 20 else title
    return f"{begin}{_n(digest.total)} updates{since}{page}"


def _whose(digest: Digest) -> str:
    """Name the agents: one or two by name, more by their number."""
    agents = _agents(digest)
    if len(agents) > 2 or not _are_all_counted(digest):
        return "Several agents" if not _are_all_counted(digest) else f"{len(agents)} agents"
    return " and ".join(clean(agent or "An agent", _AGENT) for agent in agents) or "An agent"


def _what(digest: Digest) -> str:
    """Say how many of each sort, if every one is counted, the most urgent first."""
    totals: dict[str, int] = {}
    waiting = sum(_waits(each) for each in digest.listed)
    for sort, _, n in digest.counts:
        kind = STUCK if sort.startswith(STUCK) else sort
        totals[kind] = totals.get(kind, 0) + n
    if waiting and digest.page > 1:
        return f"{_n(waiting)} {sort_words('awaiting_confirmation', waiting)}"
    if not _are_all_counted(digest):
        they = f", {_n(waiting)} {sort_words('awaiting_confirmation', waiting)}" if waiting else ""
        return f"{_n(digest.total)} updates{they}"
    first = sorted(totals, key=lambda sort: sort != "awaiting_confirmation")
    return ", ".join(
        f"no news of {_n(totals[sort])}"
        if sort == STUCK
        else f"{_n(totals[sort])} {sort_words(sort, totals[sort])}"
        for sort in first
    )


def _common(digest: Digest, route: Route | None) -> str:
    """Return the words that all of a group have in common, besides agent and status."""
    names = route.group.by if route is not None and route.group is not None else ()
    if not digest.listed or digest.silence:
        return ""
    facts = digest.listed[0].facts
    values = [
        _group_value(facts, name) for name in names if name not in ("agent", "status", "source")
    ]
    return " · ".join(value for value in values if value)


def _group_value(facts: MessageContext, name: str) -> str:
    kind, _, key = name.partition(".")
    members: Mapping[str, object] = facts.metadata if kind == "metadata" else facts.detail
    value = members.get(key or kind)
    if value is None or isinstance(value, (dict, list)):
        return ""
    return f"{key} {clean(value, 40)}" if key else clean(value, 80)


def _agents(digest: Digest) -> list[str]:
    return list(dict.fromkeys(agent for _, agent, _ in digest.counts))


def _are_all_counted(digest: Digest) -> bool:
    return sum(n for _, _, n in digest.counts) == digest.total


def _counted(digest: Digest) -> list[str]:
    """Write the number of messages of each sort, then the number of all others."""
    lines = [
        f"{_n(n)} × {clean(agent or 'An agent', 60)}: {sort_words(sort, n)}"
        for sort, agent, n in digest.counts
    ]
    others = digest.total - sum(n for _, _, n in digest.counts)
    return [*lines, f"{_n(others)} × others"] if others else lines


def _lines(
    head: str, listed: Sequence[DigestItem], room: int, digest: Digest, now: int
) -> list[str]:
    if not listed:
        return []
    each = min((room - len(head)) // len(listed) - 1, _LONGEST_LINE)
    named = len(_agents(digest)) > 1
    sorted_out = len({sort for sort, _, _ in digest.counts}) > 1
    lines = [_line(one, each, now, named=named, sorted_out=sorted_out) for one in listed]
    return [head, *lines] if head else lines


def _line(item: DigestItem, room: int, now: int, *, named: bool, sorted_out: bool) -> str:
    """Write a line about an execution: what it asks or why, its state, the link, its id.

    The id always fits, by itself or inside the link; the words get the room that it leaves. `named`
    adds its agent, and `sorted_out` what it does: other lines have others.
    """
    facts = item.facts
    key = clean(facts.execution_id or facts.event_id or facts.source, room - 2)
    link = safe_link(facts.execution_url)
    state = [agent_name(facts, 30)] if named else []
    state += _state(item, now) or ([_does(facts)] if sorted_out else [])
    fixed = clean(" · ".join(each for each in state if each), max(room - len(key) - 5, 1))
    words = _words(item)
    where = key if not link else link if key in link else f"{link} · {key}"
    # The link is worth more than the end of the words, but not more than all of them.
    if len(where) + len(fixed) + min(len(words), 25) + 8 > room:
        where = key
    left = room - len(where) - len(fixed) - 8
    shown = clean(words, left) if left > 8 else ""
    parts = [shown, fixed if len(fixed) > 1 else "", where]
    return f"· {' · '.join(part for part in parts if part)}"


def _does(facts: MessageContext) -> str:
    return doing(facts.status) if facts.status and facts.verdict is Verdict.APPLIED else ""


def _words(item: DigestItem) -> str:
    """Return what an execution asks, or why it did what it did."""
    if item.begun is not None and (asked := why(item.begun)):
        return asked
    return why(item.facts) or _without_words(item.facts)


def _without_words(facts: MessageContext) -> str:
    outcome = wording.outcome_of(facts)
    return f"outcome {clean(outcome, 60)}" if outcome else ""


def _state(item: DigestItem, now: int) -> list[str]:
    """Describe where it stands, in a few words each."""
    facts = item.facts
    if _waits(item):
        nags = {Kind.REMINDER: f"reminder {item.step}", Kind.ESCALATION: "escalated"}
        waits = f"for {waits_since(facts, now)}" if facts.occurred_at is not None else ""
        words = [waits, nags.get(item.kind, ""), "stuck? no news" if item.stuck else ""]
        return [each for each in words if each]
    if item.kind is Kind.RESOLVED:
        parts = [ended_how(facts), taken_by(item.taken_by), new_wait(facts)]
        return [each for each in parts if each]
    if item.over:
        again = " again" if facts.status is facts.execution_status else ""
        return [f"over: now {doing(facts.execution_status)}{again}"]
    if item.stuck and item.kind is not Kind.ACKNOWLEDGED:
        return [f"stuck? {doing(facts.status)} for {waits_since(facts, now)}, no news"]
    if item.taken or item.kind is Kind.ACKNOWLEDGED:
        return [f"{clean(item.taken_by or 'somebody', 40)} takes care of it"]
    if facts.verdict is not Verdict.APPLIED:
        return [f"says {doing(facts.status)}"] if facts.status else []
    return []


def _waits(item: DigestItem) -> bool:
    """Return whether somebody still has to confirm it."""
    facts = item.facts
    return (
        facts.status is Status.AWAITING_CONFIRMATION
        and facts.execution_status is Status.AWAITING_CONFIRMATION
        and facts.verdict is Verdict.APPLIED
        and item.kind is not Kind.ACKNOWLEDGED
        and not item.over
        and not item.taken
    )


def _severity(digest: Digest) -> Severity:
    """Return the gravest of its messages, by their sorts and by those that it lists."""
    found = [wording.severity_of_sort(sort) for sort, _, _ in digest.counts]
    for item in digest.listed:
        if item.kind is Kind.RESOLVED:
            found.append(end_severity(item.facts))
        elif not (item.over or item.taken or item.kind is Kind.ACKNOWLEDGED):
            found.append(wording.severity(item.facts))
    return wording.gravest(found)


def _n(number: int) -> str:
    return f"{number:,}"
