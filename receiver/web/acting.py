"""Acting over HTTP: a document that asks for an act at the provider, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from receiver.audit import Actor
from receiver.config.rules import Rules
from receiver.dispatch.operators import signed
from receiver.intake.reconcile.acting import Came, Wish, act
from receiver.sources.access import Act
from receiver.store.contract import Store
from receiver.web import json_views
from receiver.web.paging import json_response
from receiver.web.problem import problem, try_later

# The status of what came of an act; of everything else it is 409.
STATUSES = {
    Came.DONE: 200,
    Came.UNCERTAIN: 202,
    Came.NOT_ALLOWED: 403,
    Came.UNKNOWN: 404,
    Came.NO_ANSWER: 503,
}
_FORM = (
    'Say who does what, like {"act": "resume", "by": "Ann", "reason": "checked"}; act is one of'
    f" {', '.join(Act)}."
)


def answer(
    store: Store, rules: Rules, by: Actor, path: Mapping[str, str], content: Any
) -> Response:
    """Do what a document asks for with the execution of a path, and answer what came of it."""
    source = rules.sources.get(path["source"])
    if source is None:
        return problem(404, "routes.yaml has no such source.")
    wish = read_wish(path["execution_id"], content, by)
    if wish is None:
        return problem(422, _FORM)
    acted = act(store, rules, source, wish)
    status = STATUSES.get(acted.came, 409)
    if acted.came is Came.NO_ANSWER:
        return try_later(acted.text, int(acted.retry_after or 5))
    if acted.came not in (Came.DONE, Came.UNCERTAIN):
        return problem(status, acted.text)
    story = store.execution(source.name, wish.execution_id)
    execution = json_views.execution(story["execution"]) if story else None
    document = {"execution": execution, "outcome": acted.came, "text": acted.text}
    return json_response(document, status)


def read_wish(
    execution_id: str, content: Any, by: Actor, only: int | None = None
) -> Wish | None:  # fmt: skip
    """Return what a document or a form asks to be done with an execution; None if it is none."""
    if not isinstance(content, dict) or not {"act", "by"} <= set(content) <= {
        "act",
        "by",
        "reason",
    }:
        return None
    word, who, reason = content["act"], content["by"], content.get("reason", "")
    if not all(isinstance(text, str) for text in (word, who, reason)) or word not in list(Act):
        return None
    known = signed(replace(by, who=who), reason)
    return None if known is None else Wish(execution_id, Act(word), *known, only=only)
