"""Views of executions. Times are instants (nanoseconds); the callers write them as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from receiver.events import Category, Status, Verdict
from receiver.routing.conditions import Condition, Subject
from receiver.store.reading import Page
from receiver.store.sql.database import Database, Statement, statement, variants
from receiver.store.sql.reads import sources_of
from receiver.store.sql.rows import mapping
from receiver.store.sql.views.paging import (
    View,
    cursor_after,
    cursor_below,
    floor_of,
    page_values,
)

EXECUTIONS_SHOWN = (
    "SELECT x.id, x.source, x.execution_id, x.status, x.category, x.since, x.first_seen,"
    " x.agent_id, x.agent_name, x.execution_url, x.metadata, x.gap, a.by AS taken_by,"
    " a.at AS taken_at, a.taken_from FROM execution AS x"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
)
EXECUTION = statement(
    "execution", f"{EXECUTIONS_SHOWN} WHERE x.source = :source AND x.execution_id = :execution"
)
_PAGE = (
    "(CAST(:source AS text) IS NULL OR x.source = :source)"
    " AND (CAST(:status AS text) IS NULL OR x.status = :status)"
    " AND (CAST(:category AS text) IS NULL OR x.category = :category)"
    " AND (CAST(:agent AS text) IS NULL OR x.agent_id LIKE :agent ESCAPE '!'"
    " OR x.agent_name LIKE :agent ESCAPE '!')"
    " AND (CAST(:q AS text) IS NULL OR {position}(x.execution_id || ' '"
    " || coalesce(x.agent_name, '') || ' ' || coalesce(x.agent_id, ''), CAST(:q AS text)) > 0)"
    " AND x.id < :after ORDER BY x.id DESC LIMIT :limit"
)
EXECUTIONS = statement("executions", f"{EXECUTIONS_SHOWN} WHERE x.id > :floor AND {_PAGE}")
# Those that have not ended are fewer, and those that wait for people are few: each has an index.
EXECUTIONS_OPEN = variants(
    "executions",
    f"{EXECUTIONS_SHOWN} WHERE {{where}} AND {_PAGE}",
    {
        "waiting": "x.id IN (SELECT id FROM execution WHERE category IN ('awaiting', 'paused'))",
        "open": "x.category <> 'terminal'",
    },
)
EXECUTIONS_OF_ONE = statement(
    "executions_of_one",
    f"{EXECUTIONS_SHOWN} WHERE x.source IN {{texts:sources}} AND x.execution_id = :execution_id"
    f" AND {_PAGE}",
)
NEWEST_EXECUTION = statement("newest_execution", "SELECT max(id) FROM execution WHERE id < :below")


def executions(
    db: Database, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None
) -> Page:
    """See contract.Listing.executions."""
    names = ("status", "category", "source", "agent", "q", "execution_id")
    values = page_values(names, conditions, limit, after)
    which = EXECUTIONS_OPEN.get(_among(conditions), EXECUTIONS)
    if "execution_id" in conditions:
        which = EXECUTIONS_OF_ONE
        values["sources"] = db.as_list(sources_of(db, conditions))
    is_search = which is EXECUTIONS and conditions
    floor = floor_of(db, NEWEST_EXECUTION, values["after"], most if is_search else None)
    values["floor"] = floor
    if (pattern := conditions.get("agent")) is None:
        records = db.records(which, values)
    else:
        records = _of_agents(db, which, values, Condition("agent", (pattern,)))
    following = cursor_after(records, limit) or cursor_below(db, NEWEST_EXECUTION, floor)
    return [execution_view(record) for record in records[:limit]], following


def _among(conditions: Mapping[str, str]) -> str:
    """Return which of EXECUTIONS_OPEN has all executions of these conditions; empty: neither."""
    category = conditions.get("category", "")
    if (status := conditions.get("status", "")) in list(Status):
        category = Status(status).category
    if category in (Category.AWAITING, Category.PAUSED):
        return "waiting"
    return "open" if category == Category.PROCESSING else ""


def _of_agents(db: Database, which: Statement, values: View, agents: Condition) -> list[View]:
    """Return as many executions as the limit whose agent fits, as in `match` of a route.

    SQL leaves out most of the others: it does not know all that `routing.conditions` knows.
    """
    found: list[View] = []
    (pattern,) = agents.patterns
    values = {**values, "agent": None if pattern.startswith("!") else _like(pattern)}
    while len(found) < values["limit"]:
        records = db.records(which, values)
        found += [record for record in records if not agents.why_not(_agent(record))]
        if len(records) < values["limit"]:
            break
        values["after"] = records[-1]["id"]
    return found[: values["limit"]]


def _like(pattern: str) -> str:
    """Write a glob for LIKE. Letters beyond ASCII have several spellings: any text stands there."""
    texts = {"*": "%", "?": "_", "%": "!%", "_": "!_", "!": "!!"}
    normal = unicodedata.normalize("NFC", pattern)
    return "".join(texts.get(c, c) if c.isascii() and c != "?" else "%" for c in normal)


def _agent(record: View) -> Subject:
    return Subject(
        "", Verdict.APPLIED, agent_id=record["agent_id"], agent_name=record["agent_name"]
    )


def execution_view(record: View) -> View:
    """Return the view of an execution from a row of EXECUTIONS_SHOWN."""
    taken = {
        "by": record["taken_by"],
        "at": record["taken_at"],
        "taken_from": record["taken_from"],
    }
    names = ("source", "execution_id", "status", "category", "since", "first_seen", "agent_id",
             "agent_name", "execution_url")  # fmt: skip
    return {
        **{name: record[name] for name in names},
        "metadata": mapping(record["metadata"]),
        "gap": bool(record["gap"]),
        "acknowledged": None if record["taken_by"] is None else taken,
    }
