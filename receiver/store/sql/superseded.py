"""Superseded deliveries: they must not be sent any more, because they are no longer true.

A move of an execution ends the waiting deliveries about the previous episode. Each claim checks
again that the execution still has the status, the event still has its verdict, nobody has taken the
episode, and a dead delivery that the message is about is still dead.
"""

from __future__ import annotations

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


def untrue(where: str) -> str:
    """Return the UPDATE that supersedes untrue deliveries, with the reason."""
    return (
        "UPDATE delivery SET state = 'superseded', reason = u.reason"
        f" FROM ({_UNTRUE} AND {where}) AS u WHERE delivery.id = u.id"
    )
