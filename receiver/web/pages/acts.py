"""Acts of the pages: what a form changes, through the same acts as the API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import tzinfo
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from receiver.audit import Act, Actor, Door, Entry
from receiver.config.live_rules import LiveRules
from receiver.config.silence_request import match_of, read_silence
from receiver.deliveries import OnlyIf
from receiver.dispatch.operators import (
    Noted,
    acknowledge,
    add_silence_noted,
    expire_silence_noted,
    in_words,
    redeliver_all_noted,
    redeliver_noted,
    take,
    write_down,
)
from receiver.dispatch.trial import Trials
from receiver.errors import ConfigurationError
from receiver.intake.explain import explain
from receiver.intake.reconcile.acting import Came, act
from receiver.messages.sanitize import person
from receiver.store.contract import Store
from receiver.store.records import TakeOutcome
from receiver.web.acting import STATUSES, read_wish
from receiver.web.pages.gate import Gate
from receiver.web.pages.lists import Lists
from receiver.web.pages.rendering import Renderer
from receiver.web.pages.session import Visitor
from receiver.web.pages.views import Views
from receiver.web.pages.words import OUTCOMES, counted, in_form
from receiver.web.paging import whole_number

Form = Mapping[str, str]


class Acts:
    """The endpoints of the forms, for visitors whom the gate has let in."""

    def __init__(
        self, store: Store, in_force: LiveRules[object], gate: Gate, renderer: Renderer,
        views: Views, lists: Lists, trials: Trials, public_url: str | None, zone: tzinfo,
    ) -> None:  # fmt: skip
        self._store, self._in_force, self._trials = store, in_force, trials
        self._gate, self._render, self._views, self._lists = gate, renderer, views, lists
        self._public_url, self._zone = public_url or "", zone

    def take(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Take the present episode of an execution."""
        source, execution_id = form.get("source", ""), form.get("execution_id", "")
        name, now = _name(visitor, form), time.time_ns()
        by = self._actor(request, name)
        only = OnlyIf(whole_number(form.get("version", "")), form.get("over") or None)
        claim = take(source, execution_id, by, self._in_force.rules, now, only)
        if claim is None:
            return self._wrong(request, visitor, "Write your name, so that others know who it is.")
        result = self._store.write_now(acknowledge, claim)
        self._views.people.forget()
        if result.outcome is TakeOutcome.UNKNOWN:
            return self._wrong(
                request, visitor, "There is no such execution: find it under Executions.", 404
            )
        path = f"/executions/{quote(source, safe='')}/{quote(execution_id, safe='')}"
        if result.outcome is TakeOutcome.ENDED:
            return self._gate.back(request, path, self._moved_on(source, execution_id))
        words = in_words(claim, result, time.time_ns())
        return self._named(request, visitor, name, self._gate.back(request, path, words))

    def _moved_on(self, source: str, execution_id: str) -> str:
        """Say why what a form is about cannot be taken any more."""
        story = self._store.execution(source, execution_id)
        if story is None or story["execution"]["category"] == "terminal":
            return "It has ended: there is nothing to take."
        return "Nothing has changed: it moved on meanwhile. Below is how it stands now."

    def act(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Do something with an execution at its provider. The form is the second click."""
        name, execution_id = _name(visitor, form), form.get("execution_id", "")
        rules = self._in_force.rules
        source = rules.sources.get(form.get("source", ""))
        if source is None:
            return self._wrong(request, visitor, "routes.yaml has no such source.", 404)
        content = {"act": form.get("act"), "by": name, "reason": form.get("reason", "")}
        wish = read_wish(execution_id, content, self._actor(request, name))
        if wish is None:
            return self._wrong(request, visitor, "Choose what to do, and write your name.")
        acted = act(self._store, rules, source, wish)
        self._views.people.forget()
        if acted.came is Came.DONE:
            path = f"/executions/{quote(source.name, safe='')}/{quote(execution_id, safe='')}"
            back = self._gate.back(request, path, acted.text)
            return self._named(request, visitor, name, back)
        return self._wrong(request, visitor, acted.text, STATUSES.get(acted.came, 409))

    def redeliver(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Give a dead message a new chance."""
        number = whole_number(form.get("id", ""))
        is_waiting = None
        if number is not None:
            entry = self._entry(request, visitor, Act.REDELIVER, f"delivery {number}")
            is_waiting = self._store.write_now(redeliver_noted, Noted((number, entry.at), entry))
        if is_waiting is None:
            return self._wrong(
                request, visitor, "There is no such message: find it under Messages.", 404
            )
        words = f"Message {number} is sent again now." if is_waiting else (
            f"Message {number} was not given up any more: nothing has changed."
        )  # fmt: skip
        return self._gate.back(request, form.get("back", "/deliveries"), words)

    def redeliver_all(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Give all dead messages of a destination a new chance."""
        name = form.get("destination", "")
        if name not in self._in_force.rules.destinations:
            return self._wrong(request, visitor, "routes.yaml has no such destination.", 404)
        entry = self._entry(request, visitor, Act.REDELIVER, name)
        count = self._store.write_now(redeliver_all_noted, Noted((name, entry.at), entry))
        back = form.get("back", "/deliveries")
        return self._gate.back(
            request,
            back,
            f"Sent again now: {counted(count, 'message')} to {name}.",
        )

    def test(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Send a marked test message now."""
        destination = self._in_force.rules.destinations.get(form.get("destination", ""))
        if destination is None:
            return self._wrong(request, visitor, "routes.yaml has no such destination.", 404)
        by = f"{visitor.name or 'somebody'} through the pages"
        attempt = self._trials.try_destination(destination, by)
        if attempt is None:
            return self._wrong(request, visitor, "Another test of it is under way: wait.", 409)
        entry = self._entry(request, visitor, Act.TEST, destination.name)
        write_down(self._store, entry.with_result(str(attempt.outcome)))
        detail = f": {attempt.detail}" if attempt.detail else ""
        words = f"Test message to {destination.name}: {OUTCOMES[attempt.outcome]}{detail}"
        return self._gate.back(request, "/", f"{words} ({attempt.duration_ms} ms).")

    def silence(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Add a silence."""
        now, name, rules = time.time_ns(), _name(visitor, form), self._in_force.rules
        fields = [f"{key}={form[key]}" for key in ("source", "agent", "status") if form.get(key)]
        others = [line.strip() for line in form.get("other", "").splitlines() if line.strip()]
        content = {
            "reason": form.get("reason", "").strip(), "by": name,
            "for": form.get("for", "").strip(),
            **({"from": form["from"].strip()} if form.get("from", "").strip() else {}),
        }  # fmt: skip
        try:
            content["match"] = match_of([*fields, *others])  # type: ignore[assignment]
            silence = read_silence(content, now, rules.sources, rules.destinations)
        except ConfigurationError as error:
            problems = tuple(in_form(each) for each in error.problems)
            return self._lists.silences_with(request, visitor, form, problems)
        entry = Entry(now, Act.SILENCE, self._actor(request, name), result=silence.reason)
        number = self._store.write_now(add_silence_noted, Noted((silence, now), entry))
        answer = self._gate.back(request, "/silences", f"Silence {number} is kept.")
        return self._named(request, visitor, name, answer)

    def end_silence(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """End a silence now."""
        number = whole_number(form.get("id", ""))
        is_ended = None
        if number is not None:
            entry = self._entry(request, visitor, Act.END_SILENCE, str(number))
            is_ended = self._store.write_now(expire_silence_noted, Noted((number, entry.at), entry))
        if is_ended is None:
            return self._wrong(
                request, visitor, "There is no such silence: find it under Silences.", 404
            )
        words = f"Silence {number} is over now." if is_ended else f"Silence {number} was over."
        return self._gate.back(request, "/silences", words)

    def try_event(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Say what would become of a written event. Nothing is stored or sent."""
        rules = self._in_force.rules
        source = rules.sources.get(form.get("source", ""))
        if source is None:
            return self._views.routes(request, visitor, None, form, "Choose a source.")
        body = form.get("body", "").encode("utf-8", "replace")
        tried = explain(
            rules, source, body, time.time_ns(), self._store, self._public_url, self._zone
        )
        return self._views.routes(request, visitor, tried, form)

    def _actor(self, request: Request, who: str) -> Actor:
        return Actor(person(who), Door.PAGE, self._gate.address(request))

    def _entry(self, request: Request, visitor: Visitor, act: Act, about: str) -> Entry:
        return Entry(time.time_ns(), act, self._actor(request, visitor.name), about=about)

    def _named(self, request: Request, visitor: Visitor, name: str, answer: Response) -> Response:
        """Remember the name that a visitor wrote, for the next form."""
        if name and not visitor.is_named_by_proxy:
            self._gate.remember_name(request, answer, name)
        return answer

    def _wrong(self, request: Request, visitor: Visitor, text: str, status: int = 422) -> Response:
        return self._render.problem(request, status, text, visitor=visitor)


def _name(visitor: Visitor, form: Form) -> str:
    """Return who acts: whom the proxy names, or the name in the form."""
    return visitor.name if visitor.is_named_by_proxy else person(form.get("name", ""))
