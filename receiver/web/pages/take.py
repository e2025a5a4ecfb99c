"""Taking by a link: the page that a message's link opens, for people without a login.

The signature of the link is all that it needs, and it opens one episode (one stay of an execution
in one status). Machines fetch links, too: only a form of this page changes something.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from receiver.audit import Actor, Door
from receiver.config.live_rules import LiveRules
from receiver.deliveries import OnlyIf
from receiver.dispatch.operators import acknowledge, take
from receiver.events import Status
from receiver.intake.reconcile.acting import Came, act, fitting
from receiver.links import Fault, Links, Ticket, form_token, mark_of, read
from receiver.messages.sanitize import person
from receiver.sources.access import Act
from receiver.store.contract import Store
from receiver.store.records import TakeOutcome
from receiver.web.acting import STATUSES, read_wish
from receiver.web.guard import FOREIGN_HOST
from receiver.web.pages.gate import NAME, Gate
from receiver.web.pages.rendering import POLICY, Renderer
from receiver.web.pages.session import WITHIN, Attempts
from receiver.web.pages.views import question_of

Form = Mapping[str, str]
TAKER, BROWSER = "receiver_taker", "receiver_take"
# Links that open nothing, of one address within a minute.
MOST_WRONG = 30
_DAY = 86_400
HEADERS = {
    "Content-Security-Policy": POLICY.replace("script-src 'self'", "script-src 'none'"),
    # The address is what opens the page: no other page and no log of one learns it.
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
_FRESH = (
    "If it still waits, a newer message about it, such as a reminder, has a link that works; people"
    " who can sign in find it on the page Now, too."
)
_PROBLEMS = {
    Fault.FORGED: (
        404, "This link does not work",
        "It is not one of ours as it stands. Copy the whole link from the message, and nothing"
        " else.",
    ),
    Fault.OTHER_KEY: (
        404, "This link does not work any more",
        f"It was signed with a key that is not in use here. {_FRESH}",
    ),
    Fault.EXPIRED: (
        410, "This link has expired",
        f"A link works for 7 days. {_FRESH}",
    ),
}  # fmt: skip
_GONE = (
    410, "This is not kept any more",
    "What this link was about ended long ago, or the database was restored from a backup. A newer"
    " message, if there is one, has a link that works.",
)  # fmt: skip
_NO_NAME = "Write your name, so that the others know who takes it."
_NOT_RESUMED = "This link is for taking it only: resume it at the provider."
_NOT_SHOWN = (
    "Nothing is changed yet: this form was made for another browser, so press the button again."
)
_FROM_ELSEWHERE = (
    403, "Nothing was changed",
    "Another page sent this. Open the link from the message and press the button there.",
)  # fmt: skip


class TakePage:
    """The page of a link, and its form."""

    def __init__(
        self, store: Store, in_force: LiveRules[object], gate: Gate, renderer: Renderer,
        links: Links,
    ) -> None:  # fmt: skip
        self._store, self._in_force = store, in_force
        self._gate, self._render, self._links = gate, renderer, links
        self._wrong = Attempts(MOST_WRONG)
        # The path of the public address, which a proxy in front may leave on.
        self.prefix = urlsplit(links.public_url).path.rstrip("/")

    def show(self, request: Request) -> Response:
        """Show what waits and a button. It changes nothing."""
        token = _token_of(request)
        if token.endswith("/") and "/" not in (whole := token.rstrip("/")) and whole:
            # Something that makes links of texts took a sign along.
            return RedirectResponse("../" * (len(token) - len(whole)) + whole, 307, HEADERS)
        about = self._about(request)
        if isinstance(about, Response):
            return about
        return self._page(request, about)

    def take(self, request: Request, form: Form) -> Response:
        """Take the episode, or take it over from the person whom the form names."""
        about = self._about(request)
        if isinstance(about, Response):
            return about
        if self._is_from_elsewhere(request):
            return self._problem(request, *_FROM_ELSEWHERE)
        if not self._is_own_form(request, form):
            if about["is_over"]:
                return self._page(request, about)
            return self._page(request, about, _NOT_SHOWN, 403, given=person(form.get("name", "")))
        by = self._gate.user(request) or form.get("name", "")
        if form.get("act"):
            return self._resume(request, about, by, form)
        only = OnlyIf(about["version"], form.get("over") or None)
        rules, now = self._in_force.rules, time.time_ns()
        actor = self._actor(request, about, by)
        item = take(about["source"], about["execution_id"], actor, rules, now, only)
        if item is None:
            return self._page(request, about, _NO_NAME, 422)
        result = self._store.write_now(acknowledge, item)
        if result.outcome in (TakeOutcome.ENDED, TakeOutcome.UNKNOWN):
            return self.show(request)
        if result.outcome is TakeOutcome.TAKEN_BY_ANOTHER:
            now_about = self._about(request)
            if isinstance(now_about, Response):
                return now_about
            answer = self._page(request, now_about, "", 409, given=item.taken.by)
            return self._named(request, answer, item.taken.by)
        if not _browser(request):
            # It keeps no cookies, so the page would not know afterwards who looks.
            taken = self._store.taking(about["delivery"]) or about
            return self._page(request, {**about, **taken}, given=item.taken.by)
        # Relative: the proxy in front may know this address by a longer path.
        answer = RedirectResponse(_token_of(request), 303, HEADERS)
        return self._named(request, answer, item.taken.by)

    def _named(self, request: Request, answer: Response, name: str) -> Response:
        """Let a browser that keeps cookies remember the name that somebody wrote."""
        if _browser(request):
            self._set_cookie(request, answer, TAKER, quote(name), 365 * _DAY)
        return answer

    def _resume(
        self, request: Request, about: Mapping[str, Any], by: str, form: Form
    ) -> Response:  # fmt: skip
        """Let what waits go on, at its provider, where the route of the message allows it."""
        rules = self._in_force.rules
        if not self._may_resume(about):
            return self._page(request, about, _NOT_RESUMED, 403)
        content = {"act": Act.RESUME.value, "by": by, "reason": form.get("reason", "")}
        actor = self._actor(request, about, by)
        wish = read_wish(about["execution_id"], content, actor, about["version"])
        if wish is None:
            return self._page(request, about, _NO_NAME, 422)
        acted = act(self._store, rules, rules.sources[about["source"]], wish)
        about = self._store.taking(about["delivery"]) or about
        status = STATUSES.get(acted.came, 409)
        answer = self._page(request, about, acted.text, status, is_good=acted.came is Came.DONE)
        return self._named(request, answer, wish.by.who)

    def _may_resume(self, about: Mapping[str, Any]) -> bool:
        """Return whether the message's route and the source let this link resume."""
        rules = self._in_force.rules
        routes = (route for route in rules.routes if route.name == about["route"])
        acts = fitting(rules.sources.get(about["source"]), Status(about["status"]))
        return any(route.act for route in routes) and Act.RESUME in acts

    def _actor(self, request: Request, about: Mapping[str, Any], by: str) -> Actor:
        sent_to = f"sent to {about['destination']}, {self._gate.address(request)}"
        return Actor(by, Door.LINK, sent_to)

    def _about(self, request: Request) -> Mapping[str, Any] | Response:
        """Return what the link is about, or the page that says why it opens nothing."""
        if not self._gate.is_own_host(request):
            return self._problem(request, 421, "This is another server's address", FOREIGN_HOST)
        ticket = read(_token_of(request), self._links.keys, time.time_ns())
        if isinstance(ticket, Fault):
            return self._refuse(request, ticket)
        about = self._store.taking(ticket.delivery)
        if about is None or not _is_about(ticket, about):
            return self._problem(request, *_GONE)
        return {**about, "delivery": ticket.delivery}

    def _refuse(self, request: Request, fault: Fault) -> Response:
        """Say why a link opens nothing; whoever guesses is told to wait."""
        if fault is Fault.EXPIRED:
            return self._problem(request, *_PROBLEMS[fault])
        address, now = self._gate.address(request), time.monotonic()
        if (wait := self._wrong.wait(address, now)) > 0:
            seconds = min(int(wait) + 1, int(WITHIN))
            text = f"Too many links that do not work came from here. Try again in {seconds} s."
            headers = {"Retry-After": str(seconds)}
            return self._problem(request, 429, "Try again later", text, headers)
        self._wrong.note(address, now)
        return self._problem(request, *_PROBLEMS[fault])

    def _page(
        self, request: Request, about: Mapping[str, Any], alert: str = "", status: int = 200, *,
        is_good: bool = False, given: str = "",
    ) -> Response:  # fmt: skip
        name = self._name(request) or given
        taken = about["acknowledged"]
        known = name if status == 200 else self._name(request)
        is_mine = taken is not None and taken["by"].casefold() == known.casefold()
        browser = _browser(request) or secrets.token_urlsafe(16)
        content = {
            "title": "Take it", "about": about, "up": "../", "name": name,
            "execution": about["execution"],
            "is_named_by_proxy": self._gate.user(request) is not None, "is_mine": is_mine,
            "question": question_of(about["detail"]), "alert": alert,
            "can_resume": self._may_resume(about), "is_good": is_good,
            "form_token": self._form_token(request, browser, self._links.keys[0]),
        }  # fmt: skip
        if about["is_over"] and not alert:
            status = 410
        answer = self._render.page(request, "take.html", content, None, status, HEADERS)
        self._set_cookie(request, answer, BROWSER, browser, 7 * _DAY)
        return answer

    def _problem(
        self, request: Request, status: int, title: str, text: str,
        headers: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        up = "../" * (_token_of(request).count("/") + 1)
        content = {"title": title, "text": text, "about": None, "up": up}
        all_headers = {**HEADERS, **(headers or {})}
        return self._render.page(request, "take.html", content, None, status, all_headers)

    def _name(self, request: Request) -> str:
        """Return the name of whoever looks, as far as it is known."""
        given = request.cookies.get(TAKER) or request.cookies.get(NAME, "")
        return self._gate.user(request) or person(unquote(given))

    def _is_own_form(self, request: Request, form: Form) -> bool:
        """Return whether this browser was shown this form.

        One that keeps no cookies shows that it has a form of this link: with that it can act only
        in a name that it writes itself, unless it says that the form comes from here.
        """
        given = form.get("form", "")
        browser = _browser(request)
        if not browser:
            site = request.headers.get("sec-fetch-site")
            if self._gate.user(request) is not None and site != "same-origin":
                return False
            browser = given.partition(".")[0]
        return any(
            hmac.compare_digest(
                given.encode("utf-8", "replace"), self._form_token(request, browser, key).encode()
            )
            for key in self._links.keys
        )

    def _form_token(self, request: Request, browser: str, key: bytes) -> str:
        return f"{browser}.{form_token(key, _token_of(request), browser)}"

    def _is_from_elsewhere(self, request: Request) -> bool:
        """Return whether a browser says that another site's page sent a form.

        This page sends no referrer, so its own forms may come without an origin (`null`).
        """
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return True
        origin = request.headers.get("origin", "null")
        return origin != "null" and not self._gate.is_own_origin(request)

    def _set_cookie(
        self, request: Request, answer: Response, name: str, value: str, lasts: int
    ) -> None:
        """Set a cookie of this page alone. Lax: it comes along when a link leads here."""
        is_public = self._gate.is_public(request)
        path = f"{self.prefix if is_public else ''}/take"
        answer.set_cookie(
            name, value, max_age=lasts, path=path, httponly=True, samesite="lax",
            secure=self._gate.is_https(request),
        )  # fmt: skip


def _token_of(request: Request) -> str:
    token: str = request.path_params["token"]
    return token


def _browser(request: Request) -> str:
    return request.cookies.get(BROWSER, "")[:100]


def _is_about(ticket: Ticket, about: Mapping[str, Any]) -> bool:
    """Return whether the message with this number is still the one of the link."""
    mark = mark_of(about["source"], about["execution_id"], about["version"], about["destination"])
    return hmac.compare_digest(mark, ticket.mark)
