"""Answers: what a service says in one: yes or no, for how long, and its words for people. Pure.

Many services answer 200 and say no in the body. What `vendors` knows of a service decides; for any
other a few members are read that mean the same everywhere, and only what is plainly a no is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from receiver.destinations.apprise import waits
from receiver.destinations.apprise.vendors import UNKNOWN, Vendor, find

_MOST = 200_000
_LONGEST_TEXT = 300
_DEPTH = 4
# Members by which a service says yes or no, without case and signs in between.
_FLAGS = {"ok", "success", "successful", "succeeded", "issuccess"}
_FAULTS = {"error", "errors", "errormessage", "errmessage", "exception", "fault"}
_FAULT_CODES = {"errcode", "errorcode", "errno", "retcode", "errornumber"}
_STATES = {"status", "result", "stat", "type", "state"}
_STATUS_CODES = {"code", "status", "statuscode"}
_NO_WORDS = {"error", "fail", "failed", "failure", "err", "nok", "ko", "rejected", "denied"}
_NOTHING = {
    "", "0", "00", "0000", "false", "no", "none", "null", "ok", "success", "no error", "200",
}  # fmt: skip
# Members that are words for people, the best ones first.
_WORDS = (
    "error", "errordescription", "message", "msg", "errmsg", "errormessage", "errortext",
    "description", "detail", "details", "reason", "title", "errors", "wording", "faultstring",
    "info",
)  # fmt: skip
_MOST_WORDS = 2
# What stands before an answer: marks of byte order, and blanks.
_BEFORE = b"\xef\xbb\xbf\xff\xfe \t\r\n\f\0"
_PAGE = re.compile(
    rb"(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*"
    rb"<(?:!doctype html|html|head|title|meta|link|script|noscript|style|body|frameset)\b",
    re.IGNORECASE | re.DOTALL,
)
_PAGE_WORDS = (
    "a web page, and no answer of the service: does a login or a proxy stand before it? Look at the"
    " address of the destination"
)
# Statuses that say “too early” by themselves; 420 is that of SparkPost.
_EARLY = (420, 429, 503)
# Who says this has no objection to the message, only to its time.
_FOR_NOW = re.compile(
    r"throttl|rate.?(?:limit|exceeded)|request.limit|too.many.(?:\w+.)?(?:requests?|calls)"
    r"|too.?fast|slow.?down|(?:re)?try (?:again )?(?:after|in \d)|(?:re)?try (?:\w+ ){0,3}later"
    r"|temporarily|service.?unavailable"
    r"|internal.?error",
    re.IGNORECASE,
)
# Words of a no that no repeat mends, whoever says them.
_FOR_GOOD = re.compile(
    r"unauthori[sz]ed|not.authori[sz]ed|access.denied|permission.denied|authentication.fail"
    r"|(?:invalid|wrong|unknown|bad|expired)[ _](?:api[ _]?)?"
    r"(?:key|token|credential|signature|login|password|recipient|number|phone|chat|channel|user)"
    r"|(?:account|bot|user|channel|chat|number|key|token) (?:is |was |has been )?"
    r"(?:blocked|suspended|disabled|deleted|not found|invalid|expired)|does not exist",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Meaning of an answer. `lasting`: whether no repeat can mend it; None if only the status says.

    `unclear`: it lacks what the service says in every answer. `ended`: it wants a new login.
    `partial`: a part may have arrived. `wait`: the seconds that it asks to wait.
    """

    words: str = ""
    says_no: bool = False
    lasting: bool | None = None
    unclear: bool = False
    ended: bool = False
    partial: bool = False
    wait: float | None = None


def read(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    vendor: Vendor = UNKNOWN,
    now: float = 0.0,
) -> Reading:
    """Read the answer of a service."""
    if status in vendor.nothing:
        return Reading(vendor.nothing[status], says_no=True, lasting=True)
    accepted = 200 <= status < 300
    answer = _parsed(content, headers.get("Content-Type", ""))
    text = answer if isinstance(answer, str) else ""
    if accepted and _is_page(content, headers.get("Content-Type", ""), vendor):
        return Reading(_PAGE_WORDS, says_no=True)
    says_no = accepted and _says_no(answer, vendor)
    words = _words_for_people(answer, vendor)
    codes = {str(value) for path in vendor.codes for value in find(answer, path)}
    if accepted and not says_no:
        return Reading(words or text, unclear=vendor.always and not _has_yes(answer, vendor))
    lasting = _is_lasting(codes | set(re.findall(r"[\w-]+", text)), words or text, vendor)
    if status in vendor.early:
        lasting = False
    is_early = status in _EARLY or lasting is False
    asked = waits.asked_for(answer, words or text, headers, now)
    wait = next(asked if is_early else waits.named(answer), None)
    return Reading(
        words or text or " ".join(sorted(codes)),
        says_no,
        lasting,
        ended=status == 401 or bool(codes & vendor.ended),
        partial=status in vendor.partial,
        wait=None if wait is None else waits.bounded(wait),
    )


def _is_page(content: bytes, kind: str, vendor: Vendor) -> bool:
    """Return whether an answer is a web page of something that stands before the service."""
    start = content[:_MOST].lstrip(_BEFORE).replace(b"\0", b"")  # which UTF-16 has between letters
    if vendor.pages or (vendor.own_pages and re.match(vendor.own_pages.encode(), start)):
        return False
    # Some call XML so; it says by itself what it is.
    is_markup = "text/html" in kind.lower() and start[:1] == b"<" and start[:5] != b"<?xml"
    return is_markup or _PAGE.match(start) is not None


def _parsed(content: bytes, kind: str) -> Any:
    """Return an answer as JSON or members of XML, or as a short text; empty if it is neither."""
    start = content[:_MOST].lstrip(_BEFORE)
    if start[:1] in (b"{", b"["):
        try:
            return json.loads(start)
        except (ValueError, RecursionError):
            return ""
    if start[:1] == b"<":
        is_html = re.match(rb"<!doctype|<html|<h\d|<p\b|<body", start.lower())
        is_page = "text/html" in kind or is_html
        return "" if is_page else _xml_members(start.decode("utf-8", "replace"))
    if "html" in kind or len(start) > _LONGEST_TEXT:
        return ""
    return start.decode("utf-8", "replace")


def _xml_members(text: str) -> dict[str, str]:
    """Return the texts of the elements that hold no others."""
    return dict(re.findall(r"<(?:\w+:)?(\w+)[^<>]*>([^<>]+)</", text))


def _says_no(answer: Any, vendor: Vendor) -> bool:
    if isinstance(answer, str):
        no_text = vendor.no_text
        return bool(no_text) and re.search(no_text, answer.strip()) is not None
    by_rules = _breaks_rules(answer, vendor)
    if by_rules is not None:
        return by_rules
    if isinstance(answer, list):
        members = [item for item in answer if isinstance(item, Mapping)]
        return bool(members) and all(_is_plain_no(item) for item in members)
    return isinstance(answer, Mapping) and _is_plain_no(answer)


def _breaks_rules(answer: Any, vendor: Vendor) -> bool | None:
    """Return whether an answer is a no by what the service documents; None if that says nothing."""
    yes = [value in vendor.yes[path] for path in vendor.yes for value in find(answer, path)]
    no = [value in vendor.no[path] for path in vendor.no for value in find(answer, path)]
    there = [next(find(answer, path), None) is not None for path in vendor.needs]
    if any(no):
        return True
    return not (all(yes) and all(there)) if yes or there else None


def _has_yes(answer: Any, vendor: Vendor) -> bool:
    """Return whether an answer has a member, or is a text, by which the service says yes or no."""
    if isinstance(answer, str):
        return bool(vendor.no_text and answer.strip())
    return any(True for path in vendor.yes for _ in find(answer, path))


def _is_plain_no(members: Mapping[str, Any]) -> bool:
    """Return whether members say no that mean the same everywhere."""
    return any(_means_no(_plain(name), value) for name, value in members.items())


def _means_no(name: str, value: Any) -> bool:
    text = value.strip().lower() if isinstance(value, str) else ""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if name in _FLAGS and (value is False or number == 0 or text in {"false", "no", *_NO_WORDS}):
        return True
    if name in _FAULTS:
        return bool(value) and (not isinstance(value, str) or text not in _NOTHING)
    if name in _FAULT_CODES:
        return bool(number) or text not in _NOTHING
    if name in _STATES and (text in _NO_WORDS or value is False):
        return True
    return name in _STATUS_CODES and number is not None and 400 <= number < 600


def _plain(name: object) -> str:
    return re.sub(r"[\W_]", "", str(name)).lower()


def _words_for_people(answer: Any, vendor: Vendor) -> str:
    """Return the words for people: where the service has them, or where most have them."""
    if isinstance(answer, str):
        return ""
    paths = vendor.words
    found = [str(value) for path in paths for value in find(answer, path) if _is_text(value)]
    texts = found or list(_texts(answer))
    distinct = [text for text in dict.fromkeys(" ".join(text.split()) for text in texts) if text]
    return " ".join(distinct[:_MOST_WORDS])


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts for people in an answer. Others stay out: a session's token may be there."""
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for item in value[:_MOST_WORDS]:
            yield from [item] if isinstance(item, str) else _texts(item, depth + 1)
    elif isinstance(value, Mapping):
        members = {_plain(name): item for name, item in value.items()}
        for name in (name for name in _WORDS if name in members):
            item = members[name]
            if isinstance(item, str):
                yield item
            elif isinstance(item, Mapping) and name == "errors":
                yield from _of_fields(item)
            else:
                yield from _texts(item, depth + 1)


def _of_fields(errors: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is said about each field: {"errors": {"to": ["is not valid"]}}."""
    for name, said in errors.items():
        first = said[0] if isinstance(said, list) and said else said
        if isinstance(first, str):
            yield f"{name}: {first}"


def _is_lasting(codes: Iterable[str], words: str, vendor: Vendor) -> bool | None:
    found = set(codes)
    if found & vendor.passing or _FOR_NOW.search(words):
        return False
    return True if found & vendor.lasting or _FOR_GOOD.search(words) else None
