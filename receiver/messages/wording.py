"""Wording: statuses in everyday words, and what a message is to people (its severity). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from receiver.deliveries import MessageContext, Severity
from receiver.events import NOBODY, Status, Verdict
from receiver.messages.sanitize import clean

# Of an execution that stays there: "it is …", "it has been …".
DOING = {
    Status.STARTING: "starting",
    Status.RUNNING: "running",
    Status.PAUSED: "paused",
    Status.PAUSED_BY_AGENT: "waiting for an answer",
    Status.AWAITING_CONFIRMATION: "waiting for confirmation",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
# Of an execution of which something is known: "Invoice agent …".
STANDS = {
    **{status: f"is {word}" for status, word in DOING.items()},
    Status.PAUSED_BY_AGENT: "waits for an answer",
    Status.AWAITING_CONFIRMATION: "waits for confirmation",
    Status.COMPLETED: "already completed",
    Status.FAILED: "already failed",
    Status.CANCELLED: "was already cancelled",
}
# Of an execution of which an update says so that does not count: "Invoice agent …".
MAY = {
    **{status: f"may be {word}" for status, word in DOING.items()},
    Status.COMPLETED: "may have completed",
    Status.FAILED: "may have failed",
    Status.CANCELLED: "may have been cancelled",
}
# What a person has to do about an execution that waits: "Ann has to … now".
TO_DO = {
    Status.PAUSED: "resume it",
    Status.PAUSED_BY_AGENT: "answer",
    Status.AWAITING_CONFIRMATION: "confirm or decline",
}
# What somebody did who ended its wait.
GOES_ON = {
    Status.PAUSED: "resumed",
    Status.PAUSED_BY_AGENT: "answered",
    Status.AWAITING_CONFIRMATION: "confirmed",
}
# What nobody has done yet, of an execution that still waits, and what to do if one may.
UNDONE = {
    Status.PAUSED: "resumed it",
    Status.PAUSED_BY_AGENT: "answered",
    Status.AWAITING_CONFIRMATION: "confirmed or declined",
}
DECIDE = {
    Status.PAUSED: "resume it",
    Status.PAUSED_BY_AGENT: "answer",
    Status.AWAITING_CONFIRMATION: "decide",
}
NOT_NEEDED = {
    Status.PAUSED: "Nobody has to resume it any more.",
    Status.PAUSED_BY_AGENT: "Nobody has to answer any more.",
    Status.AWAITING_CONFIRMATION: "Nobody has to confirm it any more.",
}
# The beginning of a sort of messages about stuck executions; a status follows.
STUCK = "stuck/"
# The words after a number of executions, for one and for several.
_SORTS = {
    "starting": ("is starting", "are starting"),
    "running": ("started", "started"),
    "paused": ("was paused", "were paused"),
    "paused_by_agent": ("to answer", "to answer"),
    "awaiting_confirmation": ("to confirm or decline", "to confirm or decline"),
    "completed": ("completed", "completed"),
    "failed": ("failed", "failed"),
    "cancelled": ("was cancelled", "were cancelled"),
    "resolved": ("is settled", "are settled"),
    "acknowledged": ("is taken care of", "are taken care of"),
    "over": ("is over by now", "are over by now"),
    "held": ("update waits for an earlier one", "updates wait for earlier ones"),
    "stale": ("update came too late to count", "updates came too late to count"),
    "rejected": ("update does not count", "updates do not count"),
}
_OTHER_SORT = ("webhook could not be used", "webhooks could not be used")
_WITHOUT_SUCCESS = {"failure", "failed", "error"}
_BY_WEIGHT = (Severity.FAILURE, Severity.WARNING, Severity.INFO, Severity.SUCCESS)


def doing(status: Status | None) -> str:
    """Describe the state of an execution in a status."""
    return DOING[status] if status else "not known"


def stands(status: Status | None) -> str:
    """Describe what an execution is known to do, as the end of a sentence about its agent."""
    return STANDS[status] if status else "is not known"


def outcome_of(facts: MessageContext) -> str:
    """Return the provider's word for how a finished execution went, in lower case."""
    outcome = facts.detail.get("outcome")
    return outcome.strip().lower() if isinstance(outcome, str) else ""


def is_without_success(facts: MessageContext) -> bool:
    """Return whether the provider says of a completed execution that it did not succeed."""
    return facts.status is Status.COMPLETED and outcome_of(facts) in _WITHOUT_SUCCESS


def severity(facts: MessageContext) -> Severity:
    """Return what the news about an event is to people.

    An execution that completed without success has failed for all that people care about. Of any
    other outcome only the team knows how good it is, so somebody should look.
    """
    if facts.verdict is not Verdict.APPLIED:
        return Severity.WARNING
    if facts.status is Status.COMPLETED and (outcome := outcome_of(facts)):
        if is_without_success(facts):
            return Severity.FAILURE
        return Severity.SUCCESS if outcome == "success" else Severity.WARNING
    return severity_of(facts.status)


def severity_of(status: Status | None) -> Severity:
    """Return what a status is to people, if no more is known."""
    if status is Status.FAILED:
        return Severity.FAILURE
    waits = status in (Status.AWAITING_CONFIRMATION, Status.PAUSED_BY_AGENT)
    return Severity.WARNING if waits else Severity.INFO


def gravest(severities: Iterable[Severity]) -> Severity:
    """Return the one that people have to see first."""
    return min(severities, key=_BY_WEIGHT.index, default=Severity.INFO)


def severity_of_sort(sort: str) -> Severity:
    """Return what a sort of messages in a digest is to people, if no more is known."""
    if sort == "resolved":
        return Severity.SUCCESS
    if sort in ("over", "acknowledged"):
        return Severity.INFO
    if sort in set(Status):
        return severity_of(Status(sort))
    return Severity.WARNING


def sort_words(sort: str, n: int) -> str:
    """Name a sort in the words that follow a number of executions."""
    if sort.startswith(STUCK):
        return f"no news, last known as {doing(Status(sort.removeprefix(STUCK)))}"
    return _SORTS.get(sort, _OTHER_SORT)[n != 1]


def takes_care(person: str, most: int) -> str:
    """Say who takes care of an episode, in so many characters of the name; or that it is gone."""
    if person == NOBODY:
        return "its provider no longer knows it, so it has ended there"
    return f"{clean(person or 'somebody', most)} takes care of it"


def taken_by(person: str, most: int) -> str:
    """Say who had taken the episode that ended; empty for nobody."""
    return f"{clean(person, most)} had taken it" if person and person != NOBODY else ""


def take_line(url: str, taker: str = "") -> str:
    """Say where somebody takes what waits, or takes it over from whoever has; empty without."""
    return f"Take it{' over' if taker else ''}: {url}" if url else ""
