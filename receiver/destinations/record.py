"""Record: the facts of one attempt, as the probes observe them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mail server's refusal: its code, the refused command, its words."""

    code: int
    command: str
    text: str

    def __str__(self) -> str:
        return f"SMTP {self.code} to {self.command}: {self.text}"


@dataclass(slots=True)
class Exchange:
    """Request by HTTP and its answer. `own`: it carries the message, and is no login or the like.

    `may_be_own`: it may stand for the message without its words, if no other request has them.

    `written`: it was written and not answered yet. `whole`: its answer has come with all of its
    body. `says_no`: the body refuses, whatever the status is. `lasting`: whether a repeat can mend
    what it says; None if only the status tells. `unclear`: it lacks what the service says in every
    answer. `ended`: a new login may mend it. `partial`: it refuses, and a part may have arrived.
    `login` tells the logins in their headers apart. The others are those of CallRecord.
    """

    own: bool = True
    may_be_own: bool = True
    login: int = 0
    written: bool = False
    status: int | None = None
    phrase: str = ""
    answer: str = ""
    retry_after: float | None = None
    whole: bool = False
    error: str = ""
    says_no: bool = False
    lasting: bool | None = None
    unclear: bool = False
    ended: bool = False
    partial: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the service has taken it."""
        is_yes = self.status is not None and 200 <= self.status < 300
        return is_yes and not (self.says_no or self.unclear)


@dataclass(slots=True)
class CallRecord:
    """The observations of the probes below Apprise during one attempt.

    Connections. `connected`: one was made. `error`: the failure of the last one. `written`: a
    message was written and not answered yet. `untraced`: the plugin speaks neither HTTP nor SMTP
    through the probes, so that `written` means nothing.

    HTTP. `exchanges`: all requests. `status`, `phrase`, `answer` (its words for people),
    `retry_after` (seconds), `says_no`, `lasting`, `unclear`, `ended`, `partial`: of the answer that
    counts.
    `cut_short`: its body is incomplete. `own`: it is about the message itself. `accepted`: the
    number of requests of the message with a yes.

    SMTP. `mails_taken`: the number of accepted messages. `refusal`: of a command.
    `refused_recipients`: of single recipients. `unsendable`: the reason why no repeat can send it.

    Apprise. `wanted_wait`: the seconds that the plugin wanted to sleep. `warnings`: its log.

    Here. `lacking`: this process had no descriptor, thread or memory left for it.
    """

    connected: bool = False
    written: bool = False
    untraced: bool = False
    exchanges: list[Exchange] = field(default_factory=list)
    own: bool = True
    status: int | None = None
    phrase: str = ""
    answer: str = ""
    retry_after: float | None = None
    cut_short: bool = False
    says_no: bool = False
    lasting: bool | None = None
    unclear: bool = False
    ended: bool = False
    partial: bool = False
    accepted: int = 0
    mails_taken: int = 0
    refusal: Refusal | None = None
    refused_recipients: list[Refusal] = field(default_factory=list)
    unsendable: str = ""
    wanted_wait: float | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)
    lacking: bool = False
