"""Digests: many messages as one. Pure.

The title says which agent, what and since when. Every confirmation that still waits has a line of
its own, with what it asks and the id of its execution; together these lines always fit. Of all
others there is the number of each sort, and a line for the first few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo

from receiver.deliveries import (
    Claim,
    Digest,
    DigestItem,
    Kind,
    ListedLine,
    Message,
    MessageContext,
    Severity,
)
from receiver.events import Status
from receiver.messages import wording
from receiver.messages.digest_lines import WAITING, line_of, listed_line, marks_of, waits
from receiver.messages.follow_ups import end_severity
from receiver.messages.local_time import clock_time
from receiver.messages.notice import MAX_BODY, Notes, with_notes
from receiver.messages.sanitize import clean
from receiver.messages.unapplied import MAX_TITLE
from receiver.messages.wording import STUCK, sort_words
from receiver.routing.routes import Route

# The room for notes; the rest is for the list and the lines around it.
_NOTES = 400
# Nothing has been so since the first event of these.
_SETTLED = {"resolved", "acknowledged"}
# The heading of those of which nobody has to be told in each line that they wait for an answer.
_TO_ANSWER = "To answer:"
_SHORTEST_LINE, _LONGEST_LINE = 80, 300
_AGENT = 40

_Line = str | ListedLine


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
    texts = [line if isinstance(line, str) else line.text for line in lines]
    text = "\n".join([*texts, more] if more else texts)
    message = with_notes(
        title, text, Notes(tuple(prefaces), claim.repeat, original), _severity(digest)
    )
    listed = tuple(line for line in lines if isinstance(line, ListedLine))
    return replace(message, listed=listed, kind=_kind(digest))


def _kind(digest: Digest) -> Kind:
    """Return what a digest tells of: a list of ends alone opens nothing."""
    sorts = {sort for sort, _, _ in digest.counts}
    if not _are_all_counted(digest) or not sorts <= _SETTLED:
        return Kind.NOTICE
    return Kind.ACKNOWLEDGED if "acknowledged" in sorts else Kind.RESOLVED


def _body(digest: Digest, room: int, now: int) -> list[_Line]:
    """Write the lists; confirmations come first, because a long text is cut at its end."""
    waiting = [each for each in digest.listed if waits(each)]
    others = [each for each in digest.listed if not waits(each)]
    # The title of one agent says how many there are of each sort.
    is_said = _are_all_counted(digest) and len(_agents(digest)) == 1
    counted = [] if is_said or digest.page > 1 else _counted(digest)
    head = "To confirm or decline:" if others else ""
    lines = _lines(head, waiting, room - _length(counted), digest, now)
    lines.extend(counted)
    left = room - _length(lines)
    if left > _SHORTEST_LINE * len(others):
        if len(digest.listed) < digest.total:
            few = f"The first {len(others)} of {_n(digest.total)}:"
            return lines + _lines(few, others, left, digest, now)
        for head, part in _parts(others, is_first=not waiting):
            room = left * len(part) // len(others)
            lines += _lines(head, part, room, digest, now)
    return lines


def _parts(
    others: Sequence[DigestItem], *, is_first: bool
) -> list[tuple[str, Sequence[DigestItem]]]:
    """Divide the list into what waits for an answer and the rest, each with its heading."""
    answers = [each for each in others if waits(each, Status.PAUSED_BY_AGENT)]
    rest = [each for each in others if each not in answers]
    if is_first and not (answers and rest):
        return [("", others)]
    parts = [(_TO_ANSWER, answers), ("The others:", rest)]
    return [(head, part) for head, part in parts if part]


def _length(lines: Sequence[_Line]) -> int:
    return sum(len(line if isinstance(line, str) else line.text) + 1 for line in lines)


def _title(digest: Digest, route: Route | None, now: int, zone: tzinfo) -> str:
    since = ""
    if digest.since is not None and not {sort for sort, _, _ in digest.counts} & _SETTLED:
        comma = "," if any(sort in WAITING for sort, _, _ in digest.counts) else ""
        since = f"{comma} since {clock_time(digest.since, now, zone)}"
    page = f" ({digest.page})" if digest.page > 1 else ""
    begin = "While silenced: " if digest.silence else ""
    if all(sort.startswith(STUCK) for sort, _, _ in digest.counts):
        begin += "Stuck? "
    begin += _all_waiting(digest)
    common = _common(digest, route)
    whose = _whose(digest)
    for what in (_what(digest), f"{_n(digest.total)} updates"):
        title = f"{begin}{whose}: {what}{since}{page}"
        if len(title) <= MAX_TITLE:
            room = MAX_TITLE - len(title) - 2
            return f"{title}: {clean(common, room)}" if common and room > 20 else title
    return f"{begin}{_n(digest.total)} updates{since}{page}"


def _all_waiting(digest: Digest) -> str:
    """Count those that wait if all of them do, for more than one thing."""
    sorts = {sort for sort, _, _ in digest.counts}
    is_all = _are_all_counted(digest) and digest.page == 1 and sorts <= set(WAITING)
    return f"{_n(digest.total)} waiting: " if is_all and len(sorts) > 1 else ""


def _whose(digest: Digest) -> str:
    """Name the agents: one or two by name, more by their number."""
    agents = _agents(digest)
    if len(agents) > 2 or not _are_all_counted(digest):
        return "Several agents" if not _are_all_counted(digest) else f"{len(agents)} agents"
    return " and ".join(clean(agent or "An agent", _AGENT) for agent in agents) or "An agent"


def _what(digest: Digest) -> str:
    """Say how many of each sort, if every one is counted, the most urgent first."""
    totals: dict[str, int] = {}
    waiting = sum(waits(each) for each in digest.listed)
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
) -> list[_Line]:
    if not listed:
        return []
    each = min((room - len(head)) // len(listed) - 1, _LONGEST_LINE)
    named = len(_agents(digest)) > 1
    sorted_out = head != _TO_ANSWER and len({sort for sort, _, _ in digest.counts}) > 1
    marks = marks_of(listed)
    lines: list[_Line] = [
        listed_line(one, line_of(one, each, now, mark=mark, named=named, sorted_out=sorted_out))
        for one, mark in zip(listed, marks, strict=True)
    ]
    return [head, *lines] if head else lines


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
