"""Kept plugins: a thread keeps its plugin between messages, but no message may feel an earlier one.

A plugin keeps sessions, tokens and looked-up ids, which save a login for each message. What else it
keeps is made anew before each message. After a refusal the whole plugin is made anew, because the
refused thing may be what it keeps: an ended session, or the id of a room that is gone.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from receiver.destinations.apprise.vendors import WITHOUT_REQUESTS, name_of
from receiver.destinations.outcome import PASSING_REFUSALS, counted
from receiver.destinations.record import CallRecord


class TransactionId(int):
    """An id that is another one each time it is written.

    Matrix takes a message with an id that it knows for a repetition, and stores nothing. The
    plugin counts them only after a success, and with an access token not at all.
    """

    def __str__(self) -> str:
        return uuid4().hex

    def __format__(self, spec: str) -> str:
        return str(self)

    def __add__(self, other: int) -> TransactionId:
        return self


def make_ready(plugin: Any) -> None:
    """Make anew what the plugin keeps of earlier messages, before the next one."""
    if not hasattr(plugin, "transaction_id"):
        return
    plugin.transaction_id = TransactionId()
    if plugin.password and not plugin.user:
        # It is an access token. Else the plugin takes it itself, together with an id that stays.
        plugin.access_token = plugin.password
        # The picture and the text would have one id, so that only the picture would arrive.
        plugin.include_image = False


def forget_quietly(kind: type) -> None:
    """Let the plugins of a class be thrown away without a request.

    Some log out in `__del__`: in any thread, whenever memory is tidied, for as long as the service
    likes. Their session ends at the service by its age.
    """
    for owner in kind.__mro__:
        if "__del__" in vars(owner) and name_of(owner) not in WITHOUT_REQUESTS:
            del owner.__del__  # type: ignore[attr-defined]


def is_outdated(record: CallRecord) -> bool:
    """Return whether the answer may be about something that the plugin keeps."""
    answer = counted(record)
    status = answer.status or 0
    return answer.ended or (400 <= status < 500 and status not in PASSING_REFUSALS)


def is_logged_out(record: CallRecord) -> bool:
    """Return whether each try of the message was refused, the last for the lack of a login.

    Some plugins log in again by themselves, and some of them then try it with the old session.
    """
    own = [exchange for exchange in record.exchanges if exchange.own]
    is_refused = all(not exchange.is_accepted and not exchange.written for exchange in own)
    is_one_session = len({exchange.login for exchange in own}) == 1
    return counted(record).ended and is_refused and is_one_session
