"""Quiet hours: puts deliveries off to their end, and moves them when the hours or groups change.

A message that no route asks for by itself goes out when the message of the route that it stands for
would: the digest of a silence, the report of a dead delivery, a fall-back of either.
"""

from __future__ import annotations

from collections.abc import Sequence

from receiver.deliveries import Claim
from receiver.routing.policy import SendPolicy, common_key
from receiver.store.sql import outbox, silences
from receiver.store.sql.database import Database, Row, Values, statement, variants
from receiver.store.sql.outbox import ABOUT_TELLING
from receiver.store.sql.superseded import FELL_FROM

# The start of `retry_for` moves along, because a delivery that is put off does not fail.
PUT_OFF = (
    "UPDATE delivery SET owed_at = owed_at + (:to - due_at), due_at = :to, begun_at = :now,"
    " kept_by = '{by}'"
)
# Deliveries put off by the same quiet hours go out together. A message about a destination's
# failure and the digest of a silence stay messages of their own, also in place of another one.
_IS_DIGEST = (
    "(kind = 'digest' OR (kind = 'fallback'"
    f" AND {FELL_FROM.replace('d.origin', 'delivery.origin')} = 'digest'))"
)
_PUT_OFF_QUIET = (
    f"{PUT_OFF.replace('{by}', 'quiet')},"
    f" order_key = CASE WHEN {ABOUT_TELLING} THEN order_key ELSE dedup_key END,"
    f" group_key = CASE WHEN {_IS_DIGEST} OR {ABOUT_TELLING} THEN NULL"
    " ELSE CAST(:key AS text) END WHERE"
)
PUT_OFF_QUIET = statement(
    "put_off_quiet",
    f"{_PUT_OFF_QUIET} destination = :destination AND route = :route AND state = 'waiting'"
    # What is planned for later may fall into no quiet hours by then.
    " AND due_at < :to AND planned_at <= :now",
)
PUT_OFF_ONE_QUIET = statement("put_off_one_quiet", f"{_PUT_OFF_QUIET} id = :id")
_OVERDUE = "destination = :destination AND state = 'waiting' AND owed_at < :before"
ROUTES_OVERDUE = statement(
    "routes_overdue", f"SELECT DISTINCT route FROM delivery WHERE {_OVERDUE}"
)
OVERDUE_OF_ROUTE = statement(
    "overdue_of_route", f"SELECT id FROM delivery WHERE {_OVERDUE} AND route = :route ORDER BY id"
)
_BY_HOURS = (
    "destination = :destination AND state = 'waiting' AND due_at > :now AND kept_by = 'quiet'"
)
ROUTES_PUT_OFF = statement(
    "routes_put_off", f"SELECT DISTINCT route FROM delivery WHERE {_BY_HOURS}"
)
_MOVE_QUIET = (
    f"{PUT_OFF.replace('{by}', 'quiet')},"
    " group_key = CASE WHEN CAST(:key AS text) IS NULL OR group_key IS NULL"
    f" THEN group_key ELSE CAST(:key AS text) END WHERE {_BY_HOURS} AND due_at <> :to"
)
MOVE_QUIET = statement("move_quiet", f"{_MOVE_QUIET} AND route = :route")
MOVE_ONE_QUIET = statement("move_one_quiet", f"{_MOVE_QUIET} AND id = :id")
PUT_OFF_OF_ROUTE = statement(
    "put_off_of_route", f"SELECT id FROM delivery WHERE {_BY_HOURS} AND route = :route"
)
# What gathers, and what waits for the next digest of its group, follows the present rules.
_REGROUP = (
    "UPDATE delivery SET owed_at = owed_at + (u.due - due_at), due_at = u.due FROM (SELECT d.id,"
    " {due} AS due FROM delivery AS d WHERE d.destination = :destination AND d.route = :route"
    " AND d.state = 'waiting' AND d.kept_by = '{by}') AS u"
    " WHERE delivery.id = u.id AND delivery.due_at <> u.due"
)
# What follows a notice waits for the next digest only.
_GATHERED = "d.planned_at + CASE WHEN d.kind = 'notice' THEN :wait ELSE 0 END"
_NEXT_DIGEST = (
    "coalesce((SELECT g.told_at FROM digest_group AS g WHERE g.destination = d.destination"
    " AND g.key = d.group_key), 0) + :every"
)
REGATHER = statement("regather", _REGROUP.replace("{due}", _GATHERED).replace("{by}", "gathers"))
REGROUP = statement(
    "regroup",
    _REGROUP.replace(
        "{due}",
        f"CASE WHEN {_NEXT_DIGEST} > {_GATHERED} THEN {_NEXT_DIGEST} ELSE {_GATHERED} END",
    ).replace("{by}", "group"),
)
# The groups in which first messages gather, each with its first one. Where the rules group by other
# fields now, all keys are other ones, so the first of each group tells.
_GATHERS = (
    "d.destination = :destination AND d.route = :route AND d.state = 'waiting'"
    " AND d.kept_by IN ('gathers', 'group') AND d.kind = 'notice'"
)
GROUPS = statement(
    "groups_of_route",
    f"SELECT min(d.id), d.group_key FROM delivery AS d WHERE {_GATHERS}"
    " AND d.group_key IS NOT NULL GROUP BY d.group_key",
)
SUBJECTS = variants(
    "grouped_subjects",
    silences.candidates("{where}"),
    {"one": "d.id = :id", "group": f"{_GATHERS} AND d.group_key = :key"},
)
GROUP_BY = statement(
    "group_by_other_fields",
    "UPDATE delivery SET group_key = CAST(:key AS text) WHERE id IN {numbers:deliveries}",
)
# A route that is gone has no groups: what they keep back goes out.
UNGROUP = statement(
    "ungroup",
    "UPDATE delivery SET owed_at = owed_at + (planned_at - due_at), due_at = planned_at"
    " WHERE destination = :destination AND state = 'waiting' AND due_at > planned_at"
    " AND kept_by IN ('gathers', 'group') AND route NOT IN {texts:routes}",
)
MISSED = statement(
    "missed_because_of",
    "SELECT silence, destination, step, origin, route FROM delivery WHERE id = :delivery",
)
SILENCED_ROUTES = statement(
    "silenced_routes",
    "SELECT DISTINCT route FROM delivery WHERE silence = :silence AND destination = :destination"
    " AND state = 'superseded' ORDER BY route",
)


def put_off(db: Database, policy: SendPolicy, delivery: int, route: str, values: Values) -> bool:
    """Put a delivery off if quiet hours keep it back, with the others of its route.

    Return whether they do.
    """
    end = quiet_until(db, policy, delivery, route)
    if end is None:
        return False
    which = PUT_OFF_QUIET if route in policy.options else PUT_OFF_ONE_QUIET
    key = None if policy.alone else f"quiet/{end}"
    more = {"to": end, "key": key, "route": route, "id": delivery}
    db.change(which, {**values, **more})
    return True


def expire_overdue(
    db: Database, destination: str, policy: SendPolicy, reason: str, now: int
) -> list[Claim]:
    """See contract.Sending.expire_overdue.

    What waits behind another message, or for the end of a pause, was at no claim yet.
    """
    if any(each.quiet_until for each in (policy.other, *policy.options.values())):
        values = {"destination": destination, "now": now, "before": policy.overdue}
        for (route,) in db.rows(ROUTES_OVERDUE, values):
            those = db.rows(OVERDUE_OF_ROUTE, {**values, "route": route})
            # Those of a route that is in force are put off together.
            for (delivery,) in those[:1] if route in policy.options else those:
                put_off(db, policy, delivery, route, values)
    return outbox.expire_overdue(db, destination, policy.overdue, reason, now)


def recheck(db: Database, destination: str, policy: SendPolicy, now: int) -> None:
    """See contract.Sending.recheck_quiet."""
    values = {"destination": destination, "now": now}
    for (route,) in db.rows(ROUTES_PUT_OFF, values):
        if route in policy.options:
            end = policy.options_for(route).quiet_until
            db.change(MOVE_QUIET, {**values, "route": route, **_moved_to(end, now)})
            continue
        for (delivery,) in db.rows(PUT_OFF_OF_ROUTE, {**values, "route": route}):
            end = quiet_until(db, policy, delivery, route)
            db.change(MOVE_ONE_QUIET, {**values, "id": delivery, **_moved_to(end, now)})


def regroup(db: Database, destination: str, policy: SendPolicy) -> None:
    """Let what groups keep back wait as long as the rules in force say, and no longer."""
    for route, options in policy.options.items():
        values = {"destination": destination, "route": route, "wait": options.wait}
        if options.group_by:
            _group_by(db, destination, route, options.group_by)
        db.change(REGATHER, values)
        db.change(REGROUP, {**values, "every": options.every})
    routes = db.as_list(list(policy.options))
    db.change(UNGROUP, {"destination": destination, "routes": routes})


def _group_by(db: Database, destination: str, route: str, fields: Sequence[str]) -> None:
    """Let first messages that gather share what the group asks for now."""
    of = {"destination": destination, "route": route}
    for first, key in db.rows(GROUPS, of):
        if key in _by_key(route, fields, db.rows(SUBJECTS["one"], {"id": first})):
            continue
        others = db.rows(SUBJECTS["group"], {**of, "key": key})
        for other, deliveries in _by_key(route, fields, others).items():
            db.change(GROUP_BY, {"key": other, "deliveries": db.as_list(deliveries)})


def _by_key(route: str, fields: Sequence[str], rows: Sequence[Row]) -> dict[str, list[int]]:
    """Return the deliveries of `silences.candidates` by the key of their group."""
    found: dict[str, list[int]] = {}
    for delivery, _, died, *subject in rows:
        about = silences.stored_subject(died, *subject)
        found.setdefault(common_key(route, fields, about), []).append(delivery)
    return found


def _moved_to(end: int | None, now: int) -> dict[str, int | str | None]:
    """Return until when quiet hours that end then keep a delivery back, and its group."""
    return {"to": now, "key": None} if end is None else {"to": end, "key": f"quiet/{end}"}


def quiet_until(db: Database, policy: SendPolicy, delivery: int, route: str) -> int | None:
    """Return the end of the quiet hours that keep a delivery back; None: none do.

    A message that no route asks for by itself goes out when the message of the route that it stands
    for would. A digest of several goes out with the first of them.
    """
    routes = [route] if route in policy.options else _stands_for(db, delivery)
    ends = [policy.options_for(each).quiet_until for each in routes]
    return None if None in ends else min(end for end in ends if end is not None)


def _stands_for(db: Database, delivery: int) -> list[str]:
    """Return the routes whose messages a delivery lists, repeats or reports as dead."""
    while True:
        ((silence, destination, _, origin, route),) = db.rows(MISSED, {"delivery": delivery})
        if silence is not None:
            values = {"silence": silence, "destination": destination}
            return [name for (name,) in db.rows(SILENCED_ROUTES, values)] or [route]
        if origin is None:
            return [route]
        delivery = origin
