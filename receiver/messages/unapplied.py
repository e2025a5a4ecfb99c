"""Updates that changed nothing: what to say about them, and what to do next. Pure.

They came too late, cannot be true, wait for another one, or could not be read.
"""

from __future__ import annotations

from receiver.deliveries import MessageContext
from receiver.events import Category, Verdict
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.variables import agent_name
from receiver.messages.wording import MAY, doing, stands

MAX_TITLE, MAX_AGENT_IN_TITLE, _SHORTEST_AGENT = 120, 50, 10
# Of a webhook that could not be used: the end of the title, and what to do.
_UNUSABLE = {
    "future": (
        "sent an update that is dated in the future",
        "Compare the clock of the sender with the one here.",
    ),
    "unknown_status": (
        "sent an update whose status is not known here",
        "If the sender has a new status, look for a newer version of this receiver.",
    ),
    "no_envelope": (
        "sent something that names no execution",
        "Switch off “unwrap result” at the provider.",
    ),
    "malformed": (
        "sent something that cannot be read",
        "Compare the source's `format` in routes.yaml with what the sender sends.",
    ),
}
_OTHERWISE = ("sent something", "Look at the log for the cause.")
# Of an update that came too late to matter, and of one that says nothing new.
_WHY_IGNORED = {
    "too_old": "It happened more than 14 days ago.",
    "older": "It happened before what is known already.",
    "tie": "It has the same time as the last one, and only makes sense before it.",
    "event_id": "It was sent again, and the first one counts.",
    "same_change": "It was sent again, and the first one counts.",
    "same_status": "That was known already.",
}


def unapplied_title(facts: MessageContext) -> str:
    """Write the title about an update that was not applied; a long name of an agent is cut."""
    if facts.verdict is Verdict.QUARANTINED:
        what, _ = _UNUSABLE.get(facts.verdict_reason, _OTHERWISE)
        return f"{facts.source} {what}; it cannot be used"
    words = _what_became_of_it(facts)
    room = max(MAX_TITLE - len(words), _SHORTEST_AGENT)
    return f"{agent_name(facts, min(room, MAX_AGENT_IN_TITLE))}{words}"


def _what_became_of_it(facts: MessageContext) -> str:
    """Return the words after the name of the agent."""
    standing = f" {stands(facts.execution_status)}"
    update = f"update that says {_announced(facts)}"
    if facts.verdict is Verdict.HELD:
        return f"{standing}; an {update} waits for one before it"
    if facts.verdict is Verdict.DUPLICATE:
        return f": an {update} was seen before"
    if facts.verdict is Verdict.IGNORED:
        return f": {clean(facts.event or 'an update', 40)} says nothing about the status"
    if facts.verdict is Verdict.STALE:
        return f": an {update} came too late to count"
    if facts.verdict_reason == "gap":
        # First what may be true: the end of a long title is cut.
        may = MAY[facts.status] if facts.status else "may have moved on"
        return f" {may}: an update before that is missing"
    if facts.verdict_reason == "terminal":
        return f"{standing}; a later {update} does not count"
    return f"{standing}; an {update} cannot be true and does not count"


def unapplied_sentence(facts: MessageContext) -> str:
    """Write what that means, and what to do next."""
    if facts.verdict is Verdict.QUARANTINED:
        _, advice = _UNUSABLE.get(facts.verdict_reason, _OTHERWISE)
        problem = facts.detail.get("problem") if facts.event_id is None else None
        if isinstance(problem, str):
            advice = f"{clean(problem, 200)} {advice}"
        return (
            f"{advice} Nothing was changed by it. Others like it are not announced again today:"
            " `receiver events --verdict quarantined` lists them all."
        )
    if facts.verdict is Verdict.HELD:
        return (
            f"An update says {_announced(facts)}, but {_missing(facts)} not come yet."
            " Nothing to do: the update counts as soon as the missing one comes."
        )
    if facts.verdict is Verdict.REJECTED:
        return _rejected(facts)
    because = _WHY_IGNORED.get(facts.verdict_reason, "It changes nothing.")
    return f"{because} Nothing to do: {_counts_as(facts)}."


def _rejected(facts: MessageContext) -> str:
    counts = _counts_as(facts)
    if facts.verdict_reason != "gap":
        return (
            f"Nothing changed: {counts}. If that is wrong, ask the sender: its updates contradict"
            " each other."
        )
    where = "at the link" if safe_link(facts.execution_url) else "at the sender"
    ended = facts.execution_status and facts.execution_status.category is Category.TERMINAL
    healed = "" if ended else "If the missing update still comes, this is put right by itself. "
    return (
        f"A later update says {_announced(facts)}, but {_missing(facts)} never come, so {counts}"
        f" here. Check {where} which of the two is true.\n"
        f"{healed}If it happens often, run `receiver check` where the receiver runs."
    )


def _missing(facts: MessageContext) -> str:
    """Name what should have come before, as the beginning of “… not come yet”."""
    names = " or ".join(doing(status) for status in facts.missing)
    return f"the one before it ({names}) has" if names else "several before it have"


def _counts_as(facts: MessageContext) -> str:
    standing = facts.execution_status
    if standing is None:
        return "nothing else is known of the execution"
    return f"the execution still counts as {doing(standing)}"


def _announced(facts: MessageContext) -> str:
    return doing(facts.status) if facts.status else clean(facts.event or "nothing", 40)
