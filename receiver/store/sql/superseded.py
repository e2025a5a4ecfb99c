"""Superseded deliveries: they must not be sent any more, because they are no longer true.

A move of an execution ends the waiting deliveries about the previous episode. Each claim checks
again that the execution still has the status, the event still has its verdict, nobody has taken the
episode, and a dead delivery that the message is about is still dead.

Here stand also the fragments that say what a delivery stands for, and which route tells on.
"""

from __future__ import annotations

from collections.abc import Sequence

from receiver.routing.policy import ESCALATIONS
from receiver.store.sql.database import statement

# The kind of the message that a fall-back (`d`) stands for, also if it fell several times.
FELL_FROM = (
    "(WITH RECURSIVE o (kind, origin) AS (SELECT f.kind, f.origin FROM delivery AS f"
    " WHERE f.id = d.origin UNION ALL SELECT f.kind, f.origin FROM o JOIN delivery AS f"
    " ON f.id = o.origin WHERE o.kind = 'fallback') SELECT o.kind FROM o"
    " WHERE o.kind <> 'fallback')"
)
# The destination for which it was meant first.
INSTEAD_OF = (
    "(WITH RECURSIVE o (kind, origin, destination) AS (SELECT f.kind, f.origin, f.destination"
    " FROM delivery AS f WHERE f.id = d.origin UNION ALL SELECT f.kind, f.origin, f.destination"
    " FROM o JOIN delivery AS f ON f.id = o.origin WHERE o.kind = 'fallback')"
    " SELECT o.destination FROM o WHERE o.kind <> 'fallback')"
)
# Of several routes that told a destination of an episode the first one in the file tells on. These
# fragments choose it among grouped messages, and its group; see `chosen_from`.
_MARK = "\n"
_PLACE = "{position}(CAST(:order AS text), :mark || d.route || :mark)"
_NAME_AT = f"min({_PLACE}) + 1"
FIRST_ROUTE = (
    f"substr(CAST(:order AS text), {_NAME_AT},"
    f" {{position}}(substr(CAST(:order AS text), {_NAME_AT}), :mark) - 1)"
)
# Whoever was told of several together after quiet hours hears of them together again.
_KEY_ORDER = (
    f"CASE WHEN substr(d.group_key, 1, 6) = 'quiet/' THEN 1000000 ELSE 1000000 + {_PLACE} END"
)
# Escalations come at their own times, but what follows them is of the group of their route.
ITS_GROUP = (
    f"nullif(substr(min(CAST({_KEY_ORDER} AS text)"
    f" || coalesce(replace(d.group_key, '{ESCALATIONS}', ''), '')), 8), '')"
)
# Others got a dead message (`d`) in its place.
FALLEN = "EXISTS (SELECT 1 FROM delivery AS f WHERE f.origin = d.id AND f.kind = 'fallback')"
# Reminders and escalations, including fall-backs of them.
NAGGING = (
    "(d.kind IN ('reminder', 'escalation') OR (d.kind = 'fallback'"
    f" AND {FELL_FROM} IN ('reminder', 'escalation')))"
)
# Words that nothing is heard of an execution, which somebody may have taken meanwhile.
IF_STUCK = "substr(d.dedup_key, 1, 6) = 'stuck/'"
# It was told that the episode is over which a missed message (`m`) is about.
END_HEARD = (
    "EXISTS (SELECT 1 FROM delivery AS d JOIN event AS e ON e.seq = d.event JOIN execution AS x"
    " ON x.source = e.source AND x.execution_id = e.execution_id JOIN history AS h"
    " ON h.execution = x.id AND h.version = e.version + 1 JOIN delivery AS r ON r.event = h.event"
    " AND r.kind = 'resolved' AND r.destination = d.destination WHERE d.id = m.id"
    " AND d.kind NOT IN ('resolved', 'acknowledged') AND (r.state = 'sent' OR r.repeat = 1))"
)
OVER = statement(
    "episode_over",
    "UPDATE delivery SET state = 'superseded', reason = (SELECT 'no longer ' || e.status"
    " || ': now ' || CAST(:status AS text)"
    " || CASE WHEN e.status = CAST(:status AS text) THEN ' again' ELSE '' END"
    " FROM event AS e WHERE e.seq = delivery.event)"
    " WHERE source = :source AND execution_id = :execution AND state = 'waiting'"
    " AND guard_version < :version",
)
# A message about dead deliveries is untrue: the dead one has another chance, or, if it is no
# fall-back, nothing at that destination is dead any more.
_ANOTHER_CHANCE = (
    "(CASE WHEN d.kind = 'fallback' THEN o.state <> 'dead' ELSE NOT EXISTS (SELECT 1"
    " FROM delivery AS dead WHERE dead.state = 'dead' AND dead.destination = o.destination) END)"
)
# The reason why a delivery (`d`) must not be sent any more; `e` is its event, `x` the execution.
_UNTRUE = (
    f"SELECT d.id, CASE WHEN o.id IS NOT NULL AND {_ANOTHER_CHANCE}"
    " THEN o.destination || ' got another chance'"
    " WHEN e.verdict <> d.verdict"
    " THEN 'no longer ' || d.verdict || ': now ' || e.verdict || ' (' || e.reason || ')'"
    " WHEN x.version <> d.guard_version THEN 'no longer ' || e.status || ': now ' || x.status"
    " || CASE WHEN e.status = x.status THEN ' again' ELSE '' END"
    " ELSE 'acknowledged by ' || a.by END AS reason"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = d.guard_version"
    " LEFT JOIN delivery AS o ON o.id = d.origin"
    f" WHERE d.kind <> 'digest' AND ((o.id IS NOT NULL AND {_ANOTHER_CHANCE})"
    " OR e.verdict <> d.verdict OR x.version <> d.guard_version"
    f" OR (a.by IS NOT NULL AND ({NAGGING} OR {IF_STUCK})))"
)
# Word of an alarm that is over, or of the end of one that nobody there may have heard of.
UNTRUE_ALARM = statement(
    "supersede_untrue_alarm",
    "UPDATE delivery SET state = 'superseded', reason = CASE WHEN step = 0"
    " THEN 'it was over before it could be sent' ELSE 'nobody there was told that it began' END"
    " WHERE id = :id AND state = 'waiting' AND CASE WHEN step = 0 THEN EXISTS (SELECT 1"
    " FROM alarm AS a WHERE a.id = delivery.alarm AND a.ended_at IS NOT NULL)"
    " ELSE NOT EXISTS (SELECT 1 FROM delivery AS r WHERE r.alarm = delivery.alarm"
    " AND r.destination = delivery.destination AND r.step = 0"
    " AND (r.state = 'sent' OR r.repeat = 1)) END",
)


def fell_to_it(kind: str, event: str) -> str:
    """Return the condition that a destination (`t`) has such a message in place of another one."""
    fell_from = FELL_FROM.replace("d.origin", "s.origin")
    return (
        f"EXISTS (SELECT 1 FROM delivery AS s WHERE s.event = {event} AND s.kind = 'fallback'"
        " AND s.destination = t.destination AND s.state IN ('waiting', 'sending', 'sent')"
        f" AND {fell_from} = '{kind}')"
    )


def chosen_from(routes: Sequence[str]) -> dict[str, str]:
    """Return the parameters of FIRST_ROUTE and ITS_GROUP for routes in the order of the file."""
    return {"order": _MARK + _MARK.join(routes) + _MARK, "mark": _MARK}


def untrue(where: str) -> str:
    """Return the UPDATE that supersedes untrue deliveries, with the reason."""
    return (
        "UPDATE delivery SET state = 'superseded', reason = u.reason"
        f" FROM ({_UNTRUE} AND {where}) AS u WHERE delivery.id = u.id"
    )
