"""What a destination's answer makes of an attempt: delivered, failed (for good or not), uncertain.

Uncertain is what may have arrived: the message was written, or a part of its targets took it, and
no answer says what became of it. What never left is failed, and so is what was answered with a no.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from receiver.deliveries import Attempt, Outcome

# HTTP answers that no repeat can mend: the address or the key is wrong.
PERMANENT_STATUSES = {400, 401, 403, 404, 405, 410}
# The same, said by Slack with a 200.
_PERMANENT_WORDS = re.compile(
    r"\b(?:invalid_auth|invalid_token|not_authed|token_revoked|token_expired|account_inactive"
    r"|no_service|no_team|team_disabled|channel_not_found|channel_is_archived|is_archived"
    r"|not_in_channel|action_prohibited|missing_scope|user_not_found)\b"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mail server's no: its code, the command it answers, its words."""

    code: int
    command: str
    text: str

    def __str__(self) -> str:
        return f"SMTP {self.code} to {self.command}: {self.text}"


@dataclass(slots=True)
class CallRecord:
    """What happened below Apprise during one attempt.

    `connected`: a connection came about. `written`: a message is under way and not answered.
    `elsewhere`: it goes neither by HTTP nor by SMTP, so that `written` says nothing.
    `status`, `phrase`, `answer`, `retry_after`: of the last HTTP answer; `cut_short`: its body did
    not come whole. `accepted`: how many HTTP requests got a 2xx; `taken`: how many messages a mail
    server took. `refusal`, `recipients`: its no, to a command or to single recipients.
    `asked_wait`: seconds that the plugin would sleep. `error`: why the connection failed. `said`:
    Apprise's warnings.
    """

    connected: bool = False
    written: bool = False
    elsewhere: bool = False
    status: int | None = None
    phrase: str = ""
    answer: str = ""
    retry_after: float | None = None
    cut_short: bool = False
    accepted: int = 0
    taken: int = 0
    refusal: Refusal | None = None
    recipients: list[Refusal] = field(default_factory=list)
    asked_wait: float | None = None
    error: str = ""
    said: list[str] = field(default_factory=list)


def classify(heard: CallRecord, *, done: bool, late: bool, targets: int, timeout: float) -> Attempt:
    """The attempt. `done`: Apprise says that it succeeded. `late`: the deadline ended it."""
    refused = bool(heard.recipients or heard.refusal)
    if done or (late and heard.taken >= targets and not refused):
        # A mail server that took the message and then hangs has it.
        return Attempt(Outcome.DELIVERED, "")
    attempt = _failure(heard, late=late, timeout=timeout)
    # With one target an accepted request before the one that failed was a login or the like.
    if not heard.taken and (targets == 1 or not heard.accepted):
        return attempt
    # To send again is to send again to those who have it: only worth it if it can reach the rest.
    detail = f"a part of its recipients has it, the rest does not: {attempt.detail}"
    outcome = Outcome.FAILED if attempt.permanent else Outcome.UNCERTAIN
    return Attempt(outcome, detail, 0, attempt.permanent, attempt.retry_after)


def _failure(heard: CallRecord, *, late: bool, timeout: float) -> Attempt:
    within = f"within {timeout:g} s"
    if heard.written:
        ended = f"(the connection ended: {heard.error})" if heard.error and not late else within
        return Attempt(Outcome.UNCERTAIN, f"it was sent, and no answer came {ended}")
    if heard.asked_wait is not None:
        said = f"HTTP {heard.status}. " if heard.status else ""
        detail = f"{said}It asks to wait {heard.asked_wait:.0f} s"
        return Attempt(Outcome.FAILED, detail, retry_after=heard.asked_wait)
    if heard.status is not None:
        return _http(heard, heard.status, late=late)
    if refusals := heard.recipients or ([heard.refusal] if heard.refusal else []):
        return _mail(refusals)
    if heard.elsewhere and (heard.connected or late):
        # Perhaps in threads of its own: nobody can tell how far it came.
        return Attempt(Outcome.UNCERTAIN, _said(heard) or f"no answer {within}")
    if late and heard.connected:
        return Attempt(Outcome.FAILED, f"connected, and not ready for the message {within}")
    if late:
        return Attempt(Outcome.FAILED, f"no connection {within}")
    if heard.error:
        what = "the connection failed before the message" if heard.connected else "no connection"
        return Attempt(Outcome.FAILED, f"{what}: {heard.error}")
    return Attempt(Outcome.FAILED, _said(heard) or "Apprise says that it failed, and not why")


def _http(heard: CallRecord, status: int, *, late: bool) -> Attempt:
    accepted = 200 <= status < 300
    named = f"HTTP {status} {heard.phrase}".rstrip()
    if accepted and (heard.cut_short or late):
        return Attempt(Outcome.UNCERTAIN, f"{named}, and the rest of the answer did not come")
    if 300 <= status < 400:
        detail = f"{named}: redirects are not followed, give the address it leads to"
        return Attempt(Outcome.FAILED, detail)
    told = heard.answer or (_said(heard) if accepted else "")
    permanent = status in PERMANENT_STATUSES or bool(
        accepted and _PERMANENT_WORDS.search(heard.answer)
    )
    detail = f"{named}: {told}" if told else named
    return Attempt(Outcome.FAILED, detail, permanent=permanent, retry_after=heard.retry_after)


def _mail(refusals: list[Refusal]) -> Attempt:
    permanent = all(refusal.code >= 500 for refusal in refusals)
    return Attempt(Outcome.FAILED, "; ".join(map(str, refusals[:3])), permanent=permanent)


def _said(heard: CallRecord) -> str:
    return " ".join(heard.said[:2])
