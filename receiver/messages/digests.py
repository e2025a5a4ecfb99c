"""Digests: many messages as one, with the number of each sort and the first few. Pure.

Every confirmation that still waits has a line of its own, with the id of its execution. Together
these lines always fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from receiver.deliveries import Claim, Digest, DigestItem, Kind, Message, MessageContext
from receiver.events import Status, Verdict
from receiver.messages.follow_ups import doing_what, ended_how, new_wait, waits_since
from receiver.messages.notice import MAX_BODY, with_notes
from receiver.messages.sanitize import clean, safe_link
from receiver.times import span

# The room for notes and for the lines around the list.
_AROUND = 700
STUCK = "stuck/"
_SORT_WORDS = {"awaiting_confirmation": "waiting for confirmation", "over": "over by now"}
_SHORTEST_LINE, _LONGEST_LINE = 60, 300


def digest_message(claim: Claim, digest: Digest, public_url: str, now: int) -> Message:
    """Write the message of a digest. `public_url` is the address of the details, if any."""
    original = claim.origin if claim.kind is Kind.FALLBACK else None
    prefaces = []
    if digest.silence:
        prefaces.append(f"The silence is over: {clean(digest.silence, 200)}")
    waiting = [each for each in digest.listed if _waits(each)]
    others = [each for each in digest.listed if not _waits(each)]
    # Confirmations come first, because a long text is cut at its end.
    lines = _lines("Waiting for confirmation:", waiting, MAX_BODY - _AROUND, now)
    if digest.page == 1:
        lines += _counted(digest)
    room = MAX_BODY - _AROUND - sum(len(line) + 1 for line in lines)
    if room > _SHORTEST_LINE * len(others):
        few = f"The first {len(others)}:" if len(others) < digest.total else "They are:"
        lines += _lines(few, others, room, now)
    if public_url:
        lines.append(f"All of them: {public_url.rstrip('/')}/")
    return with_notes(
        _title(digest), prefaces, "\n".join(lines), repeat=claim.repeat, instead_of=original
    )


def _title(digest: Digest) -> str:
    waiting = sum(_waits(each) for each in digest.listed)
    they_wait = f"{waiting} wait{'s' if waiting == 1 else ''} for confirmation"
    if digest.silence:
        more = f" ({digest.page})" if digest.page > 1 else ""
        one = digest.total == 1
        return f"{_n(digest.total)} update{' was' if one else 's were'} silenced{more}"
    stuck = "Stuck? " if all(sort.startswith(STUCK) for sort, _, _ in digest.counts) else ""
    if waiting == digest.total:
        return stuck + they_wait
    if len(digest.counts) == 1:
        sort, agent, n = digest.counts[0]
        return f"{stuck}{clean(agent or 'An agent', 60)}: {_n(n)} {_sort_words(sort)}"
    return f"{stuck}{_n(digest.total)} updates" + (f", {they_wait}" if waiting else "")


def _counted(digest: Digest) -> list[str]:
    """Write the number of messages of each sort, then the number of all others."""
    lines = [
        f"{_n(n)} × {_sort_words(status)}: {clean(agent or 'An agent', 60)}"
        for status, agent, n in digest.counts
    ]
    others = digest.total - sum(n for _, _, n in digest.counts)
    return [*lines, f"{_n(others)} × others"] if others else lines


def _lines(head: str, listed: Sequence[DigestItem], room: int, now: int) -> list[str]:
    if not listed:
        return []
    each = min(room // len(listed) - 1, _LONGEST_LINE)
    return [head, *(_line(one, each, now) for one in listed)]


def _line(listed: DigestItem, room: int, now: int) -> str:
    """Write a line about an execution: agent, start of the stay, link if it fits, reason."""
    facts = listed.facts
    agent = clean(facts.agent_name or facts.agent_id or "An agent", 30)
    parts = [f"· {clean(facts.execution_id or facts.event_id or facts.source, room - 45)}", agent]
    if _waits(listed) and facts.occurred_at is not None:
        parts.append(f"for {span(now - facts.occurred_at)}")
        if listed.kind is Kind.REMINDER:
            parts.append(f"reminder {listed.step}")
        elif listed.kind is Kind.ESCALATION:
            parts.append("escalated")
        if listed.stuck:
            parts.append("stuck? nothing heard")
    elif listed.kind is Kind.RESOLVED:
        parts += [ended_how(facts), *filter(None, [new_wait(facts)])]
    elif listed.over:
        again = " again" if facts.status is facts.execution_status else ""
        parts.append(f"over: now {facts.execution_status}{again}")
    elif listed.stuck and listed.kind is not Kind.ACKNOWLEDGED:
        parts.append(f"stuck? {doing_what(facts)} for {waits_since(facts, now)}, nothing heard")
    elif listed.taken:
        parts.append("somebody takes care of it")
    line = clean(" · ".join(parts), room)
    for more in (safe_link(facts.execution_url), _reason(facts)):
        left = room - len(line) - 3
        if more and (len(more) <= left or (left > 20 and "://" not in more)):
            line = f"{line} · {clean(more, left)}"
    return line


def _reason(facts: MessageContext) -> str:
    reason = facts.detail.get("reason") or facts.detail.get("outcome")
    return clean(reason, 200) if isinstance(reason, str) else ""


def _waits(listed: DigestItem) -> bool:
    """Return whether somebody still has to confirm it."""
    facts = listed.facts
    return (
        facts.status is Status.AWAITING_CONFIRMATION
        and facts.execution_status is Status.AWAITING_CONFIRMATION
        and facts.verdict is Verdict.APPLIED
        and listed.kind is not Kind.ACKNOWLEDGED
        and not listed.over
        and not listed.taken
    )


def _sort_words(sort: str) -> str:
    """Name a sort in the words that follow a number of executions."""
    status = sort.removeprefix(STUCK)
    if status != sort:
        return f"{_SORT_WORDS.get(status, status)}, nothing heard"
    return _SORT_WORDS.get(status, status) or "set aside"


def _n(number: int) -> str:
    return f"{number:,}"
