"""Lines of digests: what one message among many says, with what tells it from its like. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from receiver.deliveries import DigestItem, Kind, ListedLine, MessageContext
from receiver.events import Status, Verdict
from receiver.messages import wording
from receiver.messages.follow_ups import ended_how, new_wait, waits_since
from receiver.messages.local_time import age
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.variables import agent_name, telling_mark, why
from receiver.messages.wording import doing

# Of executions that ask somebody something.
WAITING = (Status.AWAITING_CONFIRMATION, Status.PAUSED_BY_AGENT)


def marks_of(listed: Sequence[DigestItem]) -> list[str]:
    """Return for each line what tells it from the lines with the same words, if there are any."""
    same: dict[str, list[MessageContext]] = {}
    for item in listed:
        same.setdefault(_words(item), []).append(item.facts)
    return [telling_mark(item.facts, same[_words(item)]) for item in listed]


def line_of(
    item: DigestItem, room: int, now: int, *, mark: str, named: bool, sorted_out: bool
) -> str:
    """Write a line about an execution: what it asks or why, its mark, state, link, id.

    The id always fits, by itself or inside the link; the words get the room that it leaves. `named`
    adds its agent, and `sorted_out` what it does: other lines have others. The `mark` stands where
    there is room for it beside the link.
    """
    facts = item.facts
    key = clean(facts.execution_id or facts.event_id or facts.source, room - 2)
    link = safe_link(facts.execution_url)
    state = [agent_name(facts, 30)] if named else []
    state += _state(item, now) or [_does(facts) if sorted_out else "", _age(facts, now)]
    words = _words(item)
    where = key if not link else link if key in link else f"{link} · {key}"
    marked = " · ".join(each for each in (mark, *state) if each)
    is_room = len(where) + len(marked) + min(len(words), 25) + 8 <= room
    fixed = marked if is_room and where != key and not where.endswith(f" · {key}") else ""
    fixed = fixed or " · ".join(each for each in state if each)
    fixed = clean(fixed, max(room - len(key) - 5, 1))
    # The link is worth more than the end of the words, but not more than all of them.
    if len(where) + len(fixed) + min(len(words), 25) + 8 > room:
        where = key
    left = room - len(where) - len(fixed) - 8
    shown = clean(words, left) if left > 8 else ""
    parts = [shown, fixed if len(fixed) > 1 else "", where]
    return f"· {' · '.join(part for part in parts if part)}"


def listed_line(item: DigestItem, text: str) -> ListedLine:
    """Return a line with its parts; `text` is the line as `line_of` writes it."""
    facts = item.facts
    key = clean(facts.execution_id or facts.event_id or facts.source)
    name = f"{item.kind}/{item.step}/{facts.source}/{facts.event_id or facts.received_at}"
    return ListedLine(text, _words(item), safe_link(facts.execution_url), key, name)


def _age(facts: MessageContext, now: int) -> str:
    """Write how long ago the event was; of an execution that still waits, for how long it does."""
    if facts.occurred_at is None:
        return ""
    is_wait = facts.status in WAITING and facts.execution_status in (None, facts.status)
    return f"for {waits_since(facts, now)}" if is_wait else age(facts.occurred_at, now)


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
    if waits(item):
        nags = {Kind.REMINDER: f"reminder {item.step}", Kind.ESCALATION: "escalated"}
        length = f"for {waits_since(facts, now)}" if facts.occurred_at is not None else ""
        words = [length, nags.get(item.kind, ""), "stuck? no news" if item.stuck else ""]
        return [each for each in words if each]
    if item.kind is Kind.RESOLVED:
        parts = [ended_how(facts), wording.taken_by(item.taken_by, 80), new_wait(facts)]
        return [each for each in parts if each]
    if item.over:
        again = " again" if facts.status is facts.execution_status else ""
        return [f"over: now {doing(facts.execution_status)}{again}"]
    if item.stuck and item.kind is not Kind.ACKNOWLEDGED:
        since = waits_since(facts, now)
        return [f"stuck? no news, last known as {doing(facts.status)} for {since}"]
    if item.taken or item.kind is Kind.ACKNOWLEDGED:
        return [wording.takes_care(item.taken_by, 40)]
    if facts.verdict is not Verdict.APPLIED:
        return [f"says {doing(facts.status)}"] if facts.status else []
    return []


def waits(item: DigestItem, status: Status = Status.AWAITING_CONFIRMATION) -> bool:
    """Return whether somebody still has to confirm it, or to do what another status waits for."""
    facts = item.facts
    return (
        facts.status is status
        and facts.execution_status is status
        and facts.verdict is Verdict.APPLIED
        and item.kind is not Kind.ACKNOWLEDGED
        and not item.over
        and not item.taken
    )
