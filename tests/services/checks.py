"""Checks of a service: each sends through the real plugin, and says what a cell of the table says.

A check returns a cell: whether all is as it should be, and a few words. What a service has no such
thing of is a dash.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from receiver.deliveries import Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import leads_to, problems
from tests.services.described import Case, Refusal
from tests.services.messages import ID, LINK, LINKS, hostile, listed, long
from tests.services.stages import Stage

MOST_SHOWN = 60
# What notifies people at more than one service. The receiver writes other letters instead.
PINGS = r"@everyone|@here|@channel|<!\w|<@[\w&!]"


@dataclass(frozen=True)
class Cell:
    """A cell of the table."""

    is_right: bool
    shown: str


NONE = Cell(True, "—")


def right(shown: str = "✓") -> Cell:
    """Make the cell of a check that found all as it should be."""
    return Cell(True, shown)


def wrong(found: object) -> Cell:
    """Make the cell of a check that found something else."""
    return Cell(False, f"✗ {str(found)[:MOST_SHOWN]}")


# The checks, one a column.


def check(stage: Stage) -> Cell:
    """`receiver check` takes its address, refuses one that lacks a part, and shows no secret."""
    service = stage.service
    if found := problems(Destination("ops", service.address)):
        return wrong(found)
    refused = problems(Destination("ops", service.lacks))
    if not refused or service.says not in refused[0]:
        return wrong(refused or "takes an address that lacks a part")
    shown = f"{refused} {leads_to(Destination('ops', service.address))}"
    return wrong(shown) if any(secret in shown for secret in service.secrets) else right()


def success(stage: Stage) -> Cell:
    """Its yes is *delivered*, and one request had the message."""
    attempt = stage.tell(hostile(), stage.service.answer(Case.YES))
    if (attempt.outcome, attempt.detail) != (Outcome.DELIVERED, ""):
        return wrong(attempt)
    number = stage.arrived()
    return right() if number == 1 else wrong(f"{number} requests")


def permanent(stage: Stage) -> Cell:
    """Its refusal is *failed, for good*, in its words."""
    return _refused(stage, Case.REFUSES)


def wait(stage: Stage) -> Cell:
    """Its “too early” is *failed*, in its words, and tried again after the time that it names.

    ✓: it names none.
    """
    return _refused(stage, Case.WAITS)


def no_in_200(stage: Stage) -> Cell:
    """Its no in an answer of 2xx is *failed*, in its words, for good or for now.

    —: it documents none.
    """
    return _refused(stage, Case.SAYS_NO)


def _refused(stage: Stage, case: Case) -> Cell:
    refusal = stage.service.refusal(case)
    if refusal is None:
        return NONE
    attempt = stage.tell(hostile(), refusal.answer)
    is_as_said = (attempt.outcome, attempt.permanent) == (Outcome.FAILED, refusal.permanent)
    if not is_as_said or refusal.words not in attempt.detail:
        return wrong(attempt)
    if not _waits_as(attempt.retry_after, refusal):
        return wrong(f"waits {attempt.retry_after}")
    if case is Case.WAITS:
        return right("✓" if refusal.wait is None else f"{refusal.wait:g} s")
    return (
        right("for good" if refusal.permanent else "for now") if case is Case.SAYS_NO else right()
    )


def _waits_as(seconds: float | None, refusal: Refusal) -> bool:
    if refusal.wait is None or seconds is None:
        return seconds == refusal.wait
    return abs(seconds - refusal.wait) <= 2


def uncertain(stage: Stage) -> Cell:
    """A cut after the message is *uncertain*; a cut at a login or look-up before it is *failed*."""
    attempt = stage.tell_and_cut(hostile())
    if attempt.outcome is not Outcome.UNCERTAIN:
        return wrong(attempt)
    at_once, had_it = stage.tell_cut_at_once(hostile())
    wanted = Outcome.UNCERTAIN if had_it else Outcome.FAILED
    return right() if at_once.outcome is wanted and not at_once.permanent else wrong(at_once)


def secrets(stage: Stage) -> Cell:
    """None is shown, though it echoes them: plain, in base64, percent and HTML form, as sent."""
    for secret in stage.service.secrets:
        for spelling in spellings(secret):
            detail = stage.tell(hostile(), stage.refusing(f"no such key: {spelling} (E7)")).detail
            if _shows(detail, secret) or "(E7)" not in detail:
                return wrong(detail)
    attempt, sent = stage.tell_echoing(hostile())
    is_shown = any(_shows(attempt.detail, each) for each in sent)
    return wrong(attempt.detail) if is_shown or attempt.outcome is not Outcome.FAILED else right()


def spellings(secret: str) -> set[str]:
    """Return a secret as it may stand in an answer: plain, and in what services encode it in."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {
        secret, secret.upper(), quote(secret, ""), html.escape(secret), encoded,
        encoded.rstrip("="), encoded.replace("+", "-").replace("/", "_"), secret.rpartition(" ")[2],
    }  # fmt: skip


def _shows(detail: str, secret: str) -> bool:
    found = detail.lower()
    return any(spelling.lower() in found for spelling in spellings(secret) if len(spelling) > 5)


def text(stage: Stage) -> Cell:
    """A text that names everybody notifies nobody, its link works, and its lines are lines."""
    stage.tell(hostile(), stage.service.answer(Case.YES))
    texts = stage.texts()
    pings = "|".join(filter(None, (PINGS, stage.service.pings)))
    for each in texts:
        if found := re.search(pings, each):
            return wrong(f"pings: {found[0]}")
    if not any(_has_link(each) for each in texts):
        return wrong("the link is broken or cut")
    if stage.service.is_sms:
        return right()
    before_link = rf"(?:{stage.service.breaks})\s*\[?{re.escape(LINK)}"
    is_broken = any(re.search(before_link, each) for each in texts)
    return right() if is_broken else wrong("lines run together")


def _has_link(text: str, link: str = LINK) -> bool:
    return re.search(rf"(?<![\w/]){re.escape(link)}(?![\w\\/.-])", text) is not None


def length(stage: Stage) -> Cell:
    """The longest message, and a list of ten, arrive within its limit, with each link and id.

    ✓: no limit is documented.
    """
    found = _sent_whole(stage, long(), [LINK]) or _sent_whole(stage, listed(), LINKS)
    if found is not None:
        return found
    unit = "bytes" if stage.service.in_bytes else "characters"
    return right(f"{stage.service.limit:,} {unit}" if stage.service.limit else "✓")


def _sent_whole(stage: Stage, message: Message, links: list[str]) -> Cell | None:
    """Send a message; return what is wrong with what arrived, None if all is there."""
    attempt = stage.tell(message, stage.service.answer(Case.YES))
    if attempt.outcome is not Outcome.DELIVERED:
        return wrong(attempt)
    texts, limit = stage.texts(), stage.service.limit
    sizes = [len(each.encode()) if stage.service.in_bytes else len(each) for each in texts]
    if limit and max(sizes) > limit:
        return wrong(f"{max(sizes)} of {limit}")
    for link in links:
        # The list of an SMS has ids instead of links.
        named = link.rpartition("/")[2] if stage.service.is_sms and len(links) > 1 else link
        if not any(_has_link(each, named) for each in texts):
            return wrong(f"{named[-11:]} is broken or cut")
    # An SMS, and the line of a list, have no room to say the id twice: it stands in the link.
    others = texts if stage.service.is_sms else [each.replace(LINK, "") for each in texts]
    is_there = any(re.search(rf"{re.escape(ID)}(?!\w)", each) for each in others)
    if len(links) == 1 and not is_there:
        return wrong("the id is broken or cut")
    return None


COLUMNS: Mapping[str, Callable[[Stage], Cell]] = {
    "check": check,
    "success": success,
    "for good": permanent,
    "wait": wait,
    "no in a 200": no_in_200,
    "uncertain": uncertain,
    "secrets": secrets,
    "text": text,
    "length": length,
}
