"""Outcomes: an attempt is delivered, failed (for good or not) or uncertain.

It is uncertain if the message may have arrived: it was written, or a part of its targets took it,
and no answer says more. It is failed if the message never left, or if the answer was a refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from receiver.deliveries import Attempt, Outcome

# HTTP answers that no repeat can mend: the address or the key is wrong.
PERMANENT_STATUSES = {400, 401, 403, 404, 405, 410}
# The same in Slack's words, with a 200.
_PERMANENT_WORDS = re.compile(
    r"\b(?:invalid_auth|invalid_token|not_authed|token_revoked|token_expired|account_inactive"
    r"|no_service|no_team|team_disabled|channel_not_found|channel_is_archived|is_archived"
    r"|not_in_channel|action_prohibited|missing_scope|user_not_found)\b"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mail server's refusal: its code, the refused command, its words."""

    code: int
    command: str
    text: str

    def __str__(self) -> str:
        return f"SMTP {self.code} to {self.command}: {self.text}"


@dataclass(slots=True)
class CallRecord:
    """The observations of the probes below Apprise during one attempt.

    Connections. `connected`: one was made. `error`: the failure of the last one. `written`: a
    message was written and not answered yet. `untraced`: the plugin speaks neither HTTP nor SMTP
    through the probes, so that `written` means nothing.

    HTTP. `status`, `phrase`, `answer` (its words for people), `retry_after` (seconds): of the last
    answer. `cut_short`: its body is incomplete. `accepted`: the number of requests with a 2xx.

    SMTP. `mails_taken`: the number of accepted messages. `refusal`: of a command.
    `refused_recipients`: of single recipients.

    Apprise. `wanted_wait`: the seconds that the plugin wanted to sleep. `warnings`: its log.
    """

    connected: bool = False
    written: bool = False
    untraced: bool = False
    status: int | None = None
    phrase: str = ""
    answer: str = ""
    retry_after: float | None = None
    cut_short: bool = False
    accepted: int = 0
    mails_taken: int = 0
    refusal: Refusal | None = None
    refused_recipients: list[Refusal] = field(default_factory=list)
    wanted_wait: float | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)


def classify(
    record: CallRecord, *, done: bool, late: bool, targets: int, timeout: float
) -> Attempt:
    """Return the outcome of an attempt, from the record of its call.

    `done`: Apprise reports success. `late`: the deadline (`timeout` seconds) ended it. `targets`:
    the number of targets in the URL.
    """
    refused = bool(record.refused_recipients or record.refusal)
    if done or (late and record.mails_taken >= targets and not refused):
        # A mail server that hangs after it took the message has it.
        return Attempt(Outcome.DELIVERED, "")
    attempt = _failure(record, late=late, timeout=timeout)
    # With one target, an accepted request before the failed one was a login or the like.
    if not record.mails_taken and (targets == 1 or not record.accepted):
        return attempt
    # A repeat reaches even those who have it, so it must be able to reach the rest.
    detail = f"a part of its recipients has it, the rest does not: {attempt.detail}"
    outcome = Outcome.FAILED if attempt.permanent else Outcome.UNCERTAIN
    return Attempt(outcome, detail, 0, attempt.permanent, attempt.retry_after)


def _failure(record: CallRecord, *, late: bool, timeout: float) -> Attempt:
    within = f"within {timeout:g} s"
    if record.written:
        ended = f"(the connection ended: {record.error})" if record.error and not late else within
        return Attempt(Outcome.UNCERTAIN, f"it was sent, and no answer came {ended}")
    if record.wanted_wait is not None:
        status = f"HTTP {record.status}. " if record.status else ""
        detail = f"{status}It asks to wait {record.wanted_wait:.0f} s"
        return Attempt(Outcome.FAILED, detail, retry_after=record.wanted_wait)
    if record.status is not None:
        return _http_attempt(record, record.status, late=late)
    if refusals := record.refused_recipients or ([record.refusal] if record.refusal else []):
        return _mail_attempt(refusals)
    if record.untraced and (record.connected or late):
        # It may use threads of its own, so the probes cannot tell how far it came.
        return Attempt(Outcome.UNCERTAIN, _warnings_of(record) or f"no answer {within}")
    if late and record.connected:
        return Attempt(Outcome.FAILED, f"connected, and not ready for the message {within}")
    if late:
        return Attempt(Outcome.FAILED, f"no connection {within}")
    if record.error:
        what = "the connection failed before the message" if record.connected else "no connection"
        return Attempt(Outcome.FAILED, f"{what}: {record.error}")
    return Attempt(
        Outcome.FAILED, _warnings_of(record) or "Apprise says that it failed, and not why"
    )


def _http_attempt(record: CallRecord, status: int, *, late: bool) -> Attempt:
    accepted = 200 <= status < 300
    named = f"HTTP {status} {record.phrase}".rstrip()
    if accepted and (record.cut_short or late):
        return Attempt(Outcome.UNCERTAIN, f"{named}, and the rest of the answer did not come")
    if 300 <= status < 400:
        detail = f"{named}: redirects are not followed, give the address it leads to"
        return Attempt(Outcome.FAILED, detail)
    words = record.answer or (_warnings_of(record) if accepted else "")
    permanent = status in PERMANENT_STATUSES or bool(
        accepted and _PERMANENT_WORDS.search(record.answer)
    )
    detail = f"{named}: {words}" if words else named
    return Attempt(Outcome.FAILED, detail, permanent=permanent, retry_after=record.retry_after)


def _mail_attempt(refusals: list[Refusal]) -> Attempt:
    permanent = all(refusal.code >= 500 for refusal in refusals)
    return Attempt(Outcome.FAILED, "; ".join(map(str, refusals[:3])), permanent=permanent)


def _warnings_of(record: CallRecord) -> str:
    return " ".join(record.warnings[:2])
