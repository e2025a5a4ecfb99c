"""Gate of the pages: lets visitors in, signs them in and out, and refuses other sites' forms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from receiver.audit import Act, Actor, Door, Entry
from receiver.config.settings import Settings
from receiver.messages.sanitize import clean
from receiver.web.guard import FOREIGN_HOST, Guard, host_name
from receiver.web.pages.rendering import Renderer
from receiver.web.pages.session import LASTS, Attempts, Sessions, Visitor

SESSION, NAME, NOTICE = "receiver_session", "receiver_name", "receiver_notice"
MAX_NAME, MAX_NOTICE = 80, 600
# Wrong tokens that the audit has of an hour (seconds), from anywhere.
MOST_NOTED, NOTED_WITHIN = 100, 3600.0
_YEAR = 365 * 86_400
_CLOSED = (
    "Without RECEIVER_API_TOKEN the pages answer nobody from outside this machine. Set"
    " RECEIVER_API_TOKEN and restart the server; then sign in with it here."
)
_NO_USER = (
    "The proxy in front did not say who you are. Sign in there: it has to set the header of"
    " RECEIVER_USER_HEADER."
)
_ELSEWHERE = "A page elsewhere may not change anything here. Open the page here and try again."


class Gate:
    """The check of every request to a page, by the rules of the API's guard.

    A visitor needs a session, the API's token as a bearer, or a name from a trusted proxy. Without
    a token, a loopback bind is open to this machine, unless a proxy has to say who somebody is.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        renderer: Renderer,
        note: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self._guard, self._write = guard, note
        self._refusals = Attempts(MOST_NOTED, NOTED_WITHIN)
        self._render = renderer
        token = settings.api_token
        self._sessions = Sessions(token.get_secret_value() if token else "")
        self._attempts = Attempts()
        self._user_header = settings.user_header
        self._proxies = settings.proxies
        self._public = urlsplit(settings.public_url or "")

    def admit(self, request: Request) -> Visitor | Response:
        """Return the visitor, or the page that refuses or asks to sign in."""
        if (refusal := self._refuse(request)) is not None:
            return refusal
        if (visitor := self._visitor(request)) is not None:
            return visitor
        if self._user_header and not self._guard.needs_token:
            return self._render.problem(request, 401, _NO_USER)
        if request.headers.get("hx-request"):  # a refresh: the whole page has to go there
            headers = {"HX-Redirect": _login_path(request)}
            return self._render.problem(request, 401, "Sign in.", headers)
        if request.method != "GET":
            return self._render.problem(request, 401, "Sign in first: your session is over.")
        return RedirectResponse(_login_path(request), 303)

    def login_page(self, request: Request) -> Response:
        """Ask for the token."""
        if (refusal := self._refuse(request)) is not None:
            return refusal
        if self._visitor(request) is not None:
            return RedirectResponse(own_path(request.query_params.get("next", "")), 303)
        return self._ask(request, own_path(request.query_params.get("next", "")))

    def sign_in(self, request: Request, form: Mapping[str, str]) -> Response:
        """Begin a session for whoever has the token."""
        if (refusal := self._refuse(request)) is not None:
            return refusal
        address, now = self._guard.address(request), time.monotonic()
        after = own_path(form.get("next", ""))
        if (wait := self._attempts.wait(address, now)) > 0:
            seconds = int(wait) + 1
            text = f"Too many wrong tokens came from here. Try again in {seconds} s."
            return self._ask(request, after, text, 429, {"Retry-After": str(seconds)})
        if not self._guard.is_token(form.get("token", "")):
            self._attempts.note(address, now)
            self._note_refusal(request, now)
            text = "That is not the token. It is the value of RECEIVER_API_TOKEN."
            return self._ask(request, after, text, 401)
        answer = RedirectResponse(after, 303)
        self._note(request, Act.SIGN_IN, form.get("name", ""))
        self.set_cookie(request, answer, SESSION, self._sessions.begin(int(time.time())), LASTS)
        if name := clean(form.get("name", ""), MAX_NAME):
            self.set_cookie(request, answer, NAME, quote(name), _YEAR)
        return answer

    def sign_out(self, request: Request, form: Mapping[str, str]) -> Response:
        """End the session."""
        if (refusal := self._refuse(request)) is not None:
            return refusal
        if (visitor := self._visitor(request)) is not None and visitor.has_session:
            self._note(request, Act.SIGN_OUT, visitor.name)
        self._sessions.end(request.cookies.get(SESSION, ""), int(time.time()))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(SESSION)
        return answer

    def remember_name(self, request: Request, answer: Response, name: str) -> None:
        """Keep the name of a visitor for the next form."""
        self.set_cookie(request, answer, NAME, quote(clean(name, MAX_NAME)), _YEAR)

    def back(self, request: Request, path: str, notice: str) -> Response:
        """Go on to a page, which shows a notice once."""
        answer = RedirectResponse(own_path(path), 303)
        self.set_cookie(request, answer, NOTICE, quote(notice[:MAX_NOTICE]), 30)
        return answer

    def set_cookie(
        self, request: Request, answer: Response, name: str, value: str, lasts: int
    ) -> None:
        """Set a cookie that no script and no other site's page can use."""
        answer.set_cookie(
            name, value, max_age=lasts, httponly=True, samesite="strict",
            secure=self.is_https(request),
        )  # fmt: skip

    def _note(self, request: Request, act: Act, who: str = "") -> None:
        actor = Actor(clean(who, MAX_NAME), Door.PAGE, self.address(request))
        self._write(Entry(time.time_ns(), act, actor))

    def _note_refusal(self, request: Request, now: float) -> None:
        """Write down a wrong token; of many within an hour only the first, whoever sends them."""
        if self._refusals.wait("", now) <= 0:
            self._refusals.note("", now)
            self._note(request, Act.SIGN_IN_REFUSED)

    def _visitor(self, request: Request) -> Visitor | None:
        name = clean(unquote(request.cookies.get(NAME, "")), MAX_NAME)
        if (user := self.user(request)) is not None:
            return Visitor(user, is_named_by_proxy=True)
        if self._guard.has_token(request):
            return Visitor(name)
        if not self._guard.needs_token:
            return None if self._user_header else Visitor(name)
        cookie = request.cookies.get(SESSION, "")
        if cookie and self._sessions.is_open(cookie, int(time.time())):
            return Visitor(name, has_session=True)
        return None

    def user(self, request: Request) -> str | None:
        """Return the name that a trusted proxy gives; None if there is none, or two."""
        if self._user_header is None or not self._guard.is_from_proxy(request):
            return None
        names = request.headers.getlist(self._user_header)
        return (clean(names[0], MAX_NAME) or None) if len(names) == 1 else None

    def _refuse(self, request: Request) -> Response | None:
        # With a header for names nobody gets in without one: see _visitor.
        is_named = self._user_header is not None
        if self._guard.is_closed and not is_named:
            return self._render.problem(request, 403, _CLOSED)
        if not self.is_own_host(request):
            return self._render.problem(request, 421, FOREIGN_HOST)
        if self._guard.is_from_outside(request) and not is_named:
            return self._render.problem(request, 403, _CLOSED)
        is_elsewhere = self._guard.is_change_from_elsewhere(request)
        if is_elsewhere or not self.is_own_origin(request):
            return self._render.problem(request, 403, _ELSEWHERE)
        return None

    def address(self, request: Request) -> str:
        """Return the address of a visitor."""
        return self._guard.address(request)

    def is_own_host(self, request: Request) -> bool:
        """Return whether a request names a Host of ours, or brings the token."""
        return self._guard.is_own_host(request)

    def is_public(self, request: Request) -> bool:
        """Return whether a request names the Host at which others reach this server."""
        return host_name(request) == self._public.hostname

    def is_own_origin(self, request: Request) -> bool:
        """Return whether the Origin of a change, if there is one, is this server, port included."""
        origin = request.headers.get("origin")
        if request.method in ("GET", "HEAD") or origin is None:
            return True
        own = {request.headers.get("host", "").lower(), self._public.netloc.lower()}
        return urlsplit(origin).netloc.lower() in own

    def is_https(self, request: Request) -> bool:
        """Return whether the browser speaks TLS, to this server or to the proxy in front."""
        if self._public.scheme.lower() == "https" and self.is_public(request):
            return True
        is_told = request.headers.get("x-forwarded-proto", "").strip().lower() == "https"
        return request.url.scheme == "https" or (is_told and self._guard.is_from_proxy(request))

    def _ask(
        self, request: Request, after: str, text: str = "", status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        name = clean(unquote(request.cookies.get(NAME, "")), MAX_NAME)
        content = {"next": after, "problem": text, "name": name, "title": "Sign in"}
        return self._render.page(request, "login.html", content, None, status, headers)


def own_path(path: str) -> str:
    """Return a path of this server as it is; anything else becomes the first page."""
    is_own = path.startswith("/") and path[1:2] not in ("/", "\\")
    is_plain = path.isascii() and path.isprintable() and len(path) <= 2_000 and " " not in path
    return path if is_own and is_plain and not path.startswith("/login") else "/"


def _login_path(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = own_path(raw.decode("latin-1") + query)
    return "/login" if path == "/" else f"/login?next={quote(path, safe='/')}"
