"""Acting: does for a person what the source allows: resume, cancel or pause an execution.

The provider is asked before, so that nobody acts on what is over, and after, so that the effect is
stored; both go the way of every question. Between them there is one request, whatever comes of it,
and it stands in the audit before it leaves.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import StrEnum

from receiver import audit
from receiver.config.rules import Rules
from receiver.errors import StorageUnavailable
from receiver.events import Category, Execution, Status
from receiver.intake.reconcile.asker import Asked, Asker
from receiver.intake.reconcile.by_hand import asking
from receiver.intake.reconcile.pacing import Pace
from receiver.intake.reconcile.provider import Outcome, Reply
from receiver.intake.reconcile.turns import HeldTurn, turn_at
from receiver.sources.access import Act
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.store.contract import Store

log = logging.getLogger("receiver.reconcile")

DID = {Act.RESUME: "resumed", Act.CANCEL: "cancelled", Act.PAUSE: "paused"}
_WAITING = (Category.PAUSED, Category.AWAITING)
_UNDER_WAY = "Somebody acts on it at this moment: look again in some seconds."


class Came(StrEnum):
    """Outcome of an act that somebody asked for."""

    DONE = "done"
    UNCERTAIN = "uncertain"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN = "unknown"
    ENDED = "ended"
    MOVED = "moved"
    UNFIT = "unfit"
    ASKED_ALREADY = "asked_already"
    UNDER_WAY = "under_way"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Wish:
    """Wish of somebody to do something with an execution, and why.

    `only`: as long as the execution has this version, so that a link acts on its own wait alone.
    """

    execution_id: str
    act: Act
    by: audit.Actor
    reason: str = ""
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """The result of a wish. `status` is the last that is known, `text` says all in our words.

    `retry_after`: the seconds after which it may be tried again.
    """

    came: Came
    text: str
    status: Status | None = None
    retry_after: float | None = None


def act(store: Store, rules: Rules, source: Source, wish: Wish) -> Acted:
    """Do what somebody wishes, if the source allows it and the execution is in the state for it.

    At most one request leaves that is no question.
    """
    if source.api is None or wish.act not in source.acts:
        return Acted(Came.NOT_ALLOWED, _not_allowed(source, wish))
    with turn_at(store, source, wish.execution_id, source.api.timeout) as held:
        if held is None:
            return Acted(Came.UNDER_WAY, _UNDER_WAY)
        with asking(store, rules, source) as (asker, pace):
            return _act(store, source, Questions(asker, pace), wish, held)


def fitting(source: Source | None, status: Status) -> list[Act]:
    """Return what people may do from here with an execution in a status."""
    if source is None or source.api is None or _has_ended(status):
        return []
    return [each for each in Act if each in source.acts and _fits(each, status)]


class Questions:
    """The questions and the request of an act. They count for the rate, which delays none."""

    def __init__(self, asker: Asker, pace: Pace) -> None:
        self._asker, self._pace = asker, pace

    def ask(self, execution_id: str) -> Asked:
        """Ask about an execution and store what that teaches."""
        self._count()
        return self._asker.ask(execution_id, self._count)

    def ask_again(self, execution_id: str) -> Asked:
        """Do the same after the request: whatever goes wrong now, the request has left."""
        try:
            self._count()  # the request itself
            return self.ask(execution_id)
        except StorageUnavailable as error:
            return Asked(Outcome.FAILED, detail=str(error))

    def post(self, path: str) -> Reply:
        """Act; the reply is `uncertain` if the act may have happened."""
        return self._asker.post(path)

    def _count(self) -> bool:
        self._pace.reserve()
        return True


def _act(store: Store, source: Source, questions: Questions, wish: Wish, held: HeldTurn) -> Acted:
    asked = questions.ask(wish.execution_id)
    if asked.outcome is not Outcome.ANSWERED or asked.answer is None or asked.detail:
        return _in_vain(asked.outcome, asked.detail, asked.retry_after)
    stored = _stored(store, source, wish)
    refusal = _why_not(wish, asked, stored, held.turn)
    if refusal is not None:
        return refusal
    entry = audit.Entry(
        time.time_ns(), audit.Act(str(wish.act)), wish.by, source.name, wish.execution_id,
        wish.reason, audit.BEGUN,
    )  # fmt: skip
    if not held.begin(entry, stored.version if stored else 0):
        return Acted(Came.UNDER_WAY, _UNDER_WAY)
    log.info(
        "execution.act source=%s execution_id=%r act=%s door=%s",
        source.name, wish.execution_id, wish.act, wish.by.door,
    )  # fmt: skip
    reply = questions.post(APIS[source.format].act_path(wish.execution_id, wish.act))
    after = questions.ask_again(wish.execution_id)
    acted = _result(wish, reply, after, stored)
    held.end(str(acted.came))
    return acted


def _why_not(wish: Wish, asked: Asked, stored: Execution | None, turn: audit.Turn) -> Acted | None:
    """Return why a wish cannot be done now; None if it can.

    The answer may be older than a webhook that came meanwhile: the wish has to fit both.
    """
    assert asked.answer is not None
    statuses = [asked.answer.status, *([stored.status] if stored else [])]
    for status in statuses:
        if status is not None and status.category is Category.TERMINAL:
            text = f"{wish.execution_id} has ended: it is {status}. Nothing was done."
            return Acted(Came.ENDED, text, status)
    now = stored.status if stored else asked.answer.status
    if wish.only is not None and (stored is None or stored.version != wish.only):
        return Acted(Came.MOVED, f"It moved on: it is {now} now. Nothing was done.", now)
    for status in statuses:
        if not _fits(wish.act, status):
            word = status or asked.answer.word
            return Acted(Came.UNFIT, f"{wish.execution_id} is {word}: {_RULES[wish.act]}", status)
    is_pending = turn.pending is not None and turn.version == (stored.version if stored else 0)
    pending = Act(str(turn.pending)) if is_pending else None
    if pending in (wish.act, Act.CANCEL):
        text = (
            f"{turn.who} {DID[pending]} it a moment ago, and the effect has not come yet:"
            " look again in a minute."
        )
        return Acted(Came.ASKED_ALREADY, text, now)
    return None


_RULES = {
    Act.RESUME: "only what is paused or waits can be resumed. Nothing was done.",
    Act.PAUSE: "only what runs can be paused. Nothing was done.",
    Act.CANCEL: "nothing was done.",
}


def _fits(wanted: Act, status: Status | None) -> bool:
    if wanted is Act.RESUME:
        return status is not None and status.category in _WAITING
    return status is Status.RUNNING if wanted is Act.PAUSE else True


def _result(wish: Wish, reply: Reply, after: Asked, stored: Execution | None) -> Acted:
    """Say what came of the request, by its reply and by what the provider says afterwards."""
    status = after.answer.status if after.answer else stored.status if stored else None
    name = wish.execution_id
    now = f"The provider now says {status}." if after.answer else "It could not be asked again."
    if reply.outcome in (Outcome.ANSWERED, Outcome.UNREADABLE):  # a 2xx, whatever its body
        text = f"{wish.by.who} {DID[wish.act]} {name}. {now}"
        if status is not None and _fits(wish.act, status) and not _has_ended(status):
            text += " The effect comes as an update."
        return Acted(Came.DONE, text, status)
    if reply.outcome is Outcome.UNCERTAIN:
        text = (
            f"The request left, but {reply.detail}: it may have happened. {now} Look again before"
            " you repeat it."
        )
        return Acted(Came.UNCERTAIN, text, status)
    if status is not None and _has_ended(status):
        return Acted(Came.ENDED, f"{name} has ended: it is {status}. Nothing was done.", status)
    if reply.outcome is Outcome.REFUSED:
        text = f"The provider did not do it: {reply.detail}. {now}"
        return Acted(Came.REFUSED, text, status)
    return _in_vain(reply.outcome, reply.detail, reply.retry_after)


def _has_ended(status: Status) -> bool:
    return status.category is Category.TERMINAL


def _in_vain(outcome: Outcome, detail: str, retry_after: float | None) -> Acted:
    """Say that the provider did not answer, or does not know the execution."""
    if outcome is Outcome.NOT_FOUND:
        text = "The provider does not know such an execution: check its id. Nothing was done."
        return Acted(Came.UNKNOWN, text)
    if outcome is Outcome.ANSWERED:
        return Acted(Came.UNKNOWN, f"Nothing was done: {detail}.")
    to_do = "check `api.key` of its source" if outcome is Outcome.KEY_REFUSED else "try again later"
    text = f"The provider was asked in vain: {detail}. Nothing was done: {to_do}."
    return Acted(Came.NO_ANSWER, text, retry_after=retry_after)


def _not_allowed(source: Source, wish: Wish) -> str:
    return (
        f"Source {source.name} does not allow to {wish.act} from here: `act` in routes.yaml lists"
        " what people may do, and needs an `api` with a key."
    )


def _stored(store: Store, source: Source, wish: Wish) -> Execution | None:
    return store.standing(source.name, [wish.execution_id]).get(wish.execution_id)
