"""Episodes: the deliveries about an execution while it stays in a status, and after it moves on.

Sent messages cause reminders. The end of an episode supersedes untrue deliveries and causes a
message about the end. Somebody may take the episode. All of this works on sets of deliveries (`d`):
each variant of a statement selects another set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.deliveries import Acknowledgement, Claim, Kind, OnlyIf, State
from receiver.routing.policy import RouteOptions
from receiver.store.records import AttemptResult, JudgedWebhook, TakeOutcome, TakeResult
from receiver.store.sql import digests
from receiver.store.sql.database import Database, Statement, Values, statement, variants
from receiver.store.sql.facts import ACKNOWLEDGED, HEARD
from receiver.store.sql.outbox import inserted, owing
from receiver.store.sql.superseded import (
    FALLEN,
    FELL_FROM,
    FIRST_ROUTE,
    IF_STUCK,
    INSTEAD_OF,
    ITS_GROUP,
    NAGGING,
    OVER,
    chosen_from,
    fell_to_it,
)

# Messages about the person who took it before, including fall-backs of such messages.
_WHO_TOOK_IT = (
    f"(d.kind = 'acknowledged' OR (d.kind = 'fallback' AND {FELL_FROM} = 'acknowledged'))"
)
# From a delivery to its episode: the execution, and the event that began it.
_EPISODE = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
# The selected deliveries: one sent message or all of a digest; the same, also if it only may have
# arrived; those of a claim that may have arrived before; those that the digest of a silence lists;
# those that a silence has just kept back, or that its digest stands for; all about an episode; all
# about an execution.
_SENT = {
    "one": "d.id = :head AND d.state = 'sent'",
    "digest": "d.digest = :head AND d.state = 'sent'",
}
_TRIED = {"one": "d.id = :head", "digest": "d.digest = :head"}
_SENT_AGAIN = {
    "one_again": "d.id = :id AND d.state = 'waiting' AND d.repeat = 1",
    "group_again": "d.destination = :destination AND d.group_key = :key"
    " AND d.state IN ('waiting', 'sending') AND d.state = 'waiting' AND d.due_at <= :until"
    " AND d.repeat = 1",
}
# Of those the ones that do not go out again once somebody took the episode. A notice says who did.
_NOT_SENT_AGAIN = {name: f"{where} AND ({NAGGING} OR {IF_STUCK})"
                   for name, where in _SENT_AGAIN.items()}  # fmt: skip
_LISTED = {"listed": "d.digest = :head AND d.silence IS NOT NULL"}
_KEPT_BACK = {
    "kept_back": "d.silence = :silence AND d.destination = :destination AND d.due_at = :at"
    " AND d.state = 'superseded'",
    "missed": "d.silence = (SELECT m.silence FROM delivery AS m WHERE m.id = :digest)"
    " AND d.destination = :destination AND d.state = 'superseded'"
    # Word that nothing was heard is no message while something was.
    f" AND (NOT {IF_STUCK} OR {HEARD} + CAST(:after AS bigint) <= :now)",
}
_OF_EPISODE = {
    "episode": "d.source = :source AND d.execution_id = :execution AND e.version = :version"
}
_OF_EXECUTION = {"execution": "d.source = :source AND d.execution_id = :execution"}
_GIVEN_UP = {
    "dead": "(d.id = :head OR d.digest = :head) AND d.state = 'dead'"
    f" AND (d.kind = 'reminder' OR NOT {FALLEN})"
}
# Nobody got a reminder that died or that a silence kept back: the next one has the same number.
_STEP = "(d.step + CASE WHEN d.state = 'sent' OR d.step = 0 THEN 1 ELSE 0 END)"
_NTH = (
    "'reminder/' || d.source || '/' || d.destination || '/' || d.event_id || '/' || d.route"
    f" || '/' || {_STEP} || CASE WHEN {_STEP} = d.step THEN '/' || d.id ELSE '' END"
)
# Its route names the destination, or another one for which that stands in.
_IS_NAMED = (
    "(d.destination IN {texts:names} OR EXISTS (SELECT 1 FROM delivery AS s WHERE s.event = d.event"
    " AND s.route = d.route AND s.destination = d.destination AND s.kind = 'fallback'"
    f" AND {FELL_FROM.replace('d.origin', 's.origin')} = 'notice'"
    f" AND {INSTEAD_OF.replace('d.origin', 's.origin')} IN {{texts:names}}))"
)
REMIND = variants(
    "remind",
    owing(
        f"{_EPISODE} WHERE d.route = :route AND {_STEP} <= :at_most AND e.version = x.version"
        " AND x.category <> 'terminal'"
        " AND ((d.kind IN ('notice', 'reminder') AND d.origin IS NULL) OR (d.kind = 'fallback'"
        f" AND {FELL_FROM} IN ('notice', 'fallback')))"
        " AND NOT EXISTS (SELECT 1 FROM acknowledgement AS a WHERE a.execution = x.id"
        " AND a.version = x.version)"
        f" AND (CAST(:anybody AS integer) = 1 OR {_IS_NAMED}) AND {{where}}",
        conflict="",
        dedup_key=_NTH, event="d.event", source="d.source", execution_id="d.execution_id",
        event_id="d.event_id", verdict="d.verdict", route="d.route", destination="d.destination",
        kind="'reminder'", order_key=_NTH, guard_version="e.version", step=_STEP,
        group_key="d.group_key", created_at=":now", owed_at="d.due_at + :every",
        due_at="d.due_at + :every",
    ),
    {**_SENT, **_KEPT_BACK, **_GIVEN_UP},
)  # fmt: skip
# A destination (`t`) was told of an episode if it was sent any message about it, even after a
# silence, or if one may have arrived (`repeat`). A notice with an origin does not count, because it
# is about a destination's failure.
_OF_IT = (
    "((d.kind IN ('notice', 'reminder', 'escalation') AND d.origin IS NULL) OR (d.kind = 'fallback'"
    f" AND {FELL_FROM} NOT IN ('acknowledged', 'resolved', 'digest')))"
    " AND d.route IN {texts:routes}"
)
_ARRIVED = "({0}.state = 'sent' OR {0}.repeat = 1)"
_WERE_TOLD = (
    f"JOIN delivery AS t ON t.id = d.id WHERE ({_ARRIVED.format('d')}"
    " OR (d.state = 'superseded' AND d.silence IS NOT NULL AND EXISTS"
    f" (SELECT 1 FROM delivery AS l WHERE l.id = d.digest AND {_ARRIVED.format('l')})))"
    f" AND {_OF_IT} AND {{where}}"
)
# Those that got the digest of a silence in place of another one, which it lists as told.
_WERE_TOLD_INSTEAD = (
    "JOIN (WITH RECURSIVE fell (listed, id) AS (SELECT d.id, f.id FROM delivery AS d"
    " JOIN event AS e ON e.seq = d.event JOIN delivery AS f ON f.origin = d.digest"
    " WHERE d.state = 'superseded' AND d.silence IS NOT NULL AND f.kind = 'fallback' AND {where}"
    " UNION ALL SELECT fell.listed, f.id FROM fell JOIN delivery AS f ON f.origin = fell.id"
    " WHERE f.kind = 'fallback') SELECT fell.listed, fell.id FROM fell) AS w ON w.listed = d.id"
    f" JOIN delivery AS t ON t.id = w.id WHERE {_ARRIVED.format('t')} AND {_OF_IT}"
)
# The digest that a fall-back stands for, also if it fell several times.
_INSTEAD = {
    "listed": "d.digest = (WITH RECURSIVE o (id, kind, origin) AS (SELECT f.id, f.kind, f.origin"
    " FROM delivery AS f WHERE f.id = :head UNION ALL SELECT f.id, f.kind, f.origin FROM o"
    " JOIN delivery AS f ON f.id = o.origin WHERE o.kind = 'fallback')"
    " SELECT o.id FROM o WHERE o.kind = 'digest')"
}
# One for each destination and episode, even if several routes told it.
_RESOLVED = "'resolved/' || e.source || '/' || t.destination || '/' || e.event_id"


def _resolving(order_key: str, were_told: str = _WERE_TOLD) -> str:
    return owing(
        f"{_EPISODE} JOIN history AS h ON h.execution = x.id AND h.version = e.version + 1"
        f" JOIN event AS n ON n.seq = h.event {were_told} AND NOT"
        f" {fell_to_it('resolved', 'n.seq')} GROUP BY t.destination, e.seq, n.seq",
        conflict="",
        dedup_key=_RESOLVED, event="n.seq", source="e.source", execution_id="e.execution_id",
        event_id="n.event_id", verdict="n.verdict", route=FIRST_ROUTE,
        destination="t.destination", kind="'resolved'", order_key=order_key,
        group_key=f"{ITS_GROUP} || '#resolved'", created_at=":now", owed_at=":now",
        due_at=":now",
    )  # fmt: skip


# If the episode ended while its message was being sent, the next notice may wait already. People
# hear of the end first: it is due earlier, and does not queue behind that notice.
_IN_ORDER = "e.source || '/' || e.execution_id"
RESOLVE = {
    **variants("resolve", _resolving(_IN_ORDER), _OF_EPISODE),
    **variants("resolve", _resolving(_RESOLVED), {**_TRIED, **_SENT_AGAIN, **_LISTED}),
}
RESOLVE_INSTEAD = {
    **variants("resolve_instead", _resolving(_IN_ORDER, _WERE_TOLD_INSTEAD), _OF_EPISODE),
    **variants("resolve_instead", _resolving(_RESOLVED, _WERE_TOLD_INSTEAD), _INSTEAD),
}
# One each time that somebody takes it, even if the same person does so again.
_TOOK = (
    "'acknowledged/' || e.source || '/' || t.destination || '/' || e.event_id || '/' || a.by"
    " || '/' || a.at"
)


def _telling_who(were_told: str) -> str:
    return owing(
        f"{_EPISODE} AND e.version = x.version"
        " JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
        # Whoever took it before the claim stands in the message itself.
        f" AND a.at > :known {were_told} GROUP BY t.destination, e.seq, a.execution, a.version",
        conflict="",
        dedup_key=_TOOK, event="e.seq", source="e.source", execution_id="e.execution_id",
        event_id="e.event_id", verdict="e.verdict", route=FIRST_ROUTE,
        destination="t.destination", kind="'acknowledged'", order_key=_IN_ORDER,
        guard_version="e.version", group_key=f"{ITS_GROUP} || '#acknowledged'",
        created_at=":now", owed_at=":now", due_at=":now",
    )  # fmt: skip


TELL_WHO = variants(
    "tell_who_took_it",
    _telling_who(_WERE_TOLD),
    {**_TRIED, **_NOT_SENT_AGAIN, **_LISTED, **_OF_EXECUTION},
)
TELL_WHO_INSTEAD = variants(
    "tell_who_took_it_instead",
    _telling_who(_WERE_TOLD_INSTEAD),
    {**_OF_EXECUTION, **_INSTEAD},
)
STANDING = statement(
    "execution_standing",
    "SELECT id, version, category FROM execution"
    " WHERE source = :source AND execution_id = :execution{lock}",
)
ACKNOWLEDGE = statement(
    "acknowledge",
    "INSERT INTO acknowledgement (execution, version, by, at)"
    " VALUES (:number, :version, :by, :at)"
    " ON CONFLICT (execution, version) DO UPDATE SET taken_from = acknowledgement.by,"
    " by = excluded.by, at = excluded.at",
)
END_NAGGING = statement(
    "end_nagging",
    "UPDATE delivery AS d SET state = 'superseded',"
    " reason = 'acknowledged by ' || CAST(:by AS text)"
    " WHERE d.source = :source AND d.execution_id = :execution AND d.state = 'waiting'"
    f" AND d.guard_version = :version AND ({NAGGING} OR {IF_STUCK}"
    f" OR (CAST(:changed AS integer) = 1 AND {_WHO_TOOK_IT}))",
)
UNLIMITED = 2**31


def tell_ends(db: Database, entries: Sequence[JudgedWebhook]) -> int:
    """Plan the messages about the episodes that these entries end; return how many."""
    added = 0
    for entry in entries:
        if entry.resolved and entry.before is not None:
            before = entry.before
            episode = {"source": before.source, "execution": before.execution_id,
                       "version": before.version}  # fmt: skip
            for insert in (RESOLVE["episode"], RESOLVE_INSTEAD["episode"]):
                added += _tell(db, insert, episode, entry.resolved, entry.judged_at)
    return added


def supersede(db: Database, entries: Sequence[JudgedWebhook]) -> None:
    """Supersede waiting deliveries about the episodes that these entries end."""
    now_at = {(e.after.source, e.after.execution_id): e.after for e in entries if e.after}
    for (source, execution), after in now_at.items():
        if after.version > 1:
            values = {"status": str(after.status), "version": after.version}
            db.change(OVER, {**values, "source": source, "execution": execution})


def follow_attempt(db: Database, claim: Claim, after: AttemptResult, which: str) -> int:
    """Plan the follow-ups of a message that was sent, died, or may have arrived; return how many.

    These are the next reminders, and messages about episodes that ended or were taken during the
    sending.
    """
    now = claim.claimed_at
    # A message says who had taken its episode when it was claimed.
    taken_at = claim.acknowledged.at if claim.acknowledged is not None else -1
    values = {
        "head": claim.delivery,
        "known": taken_at if claim.digest is None else now - 1,
    }
    # A single message has one route; a digest may have several.
    own = {claim.route: after.options[claim.route]} if claim.route in after.options else {}
    options = after.options if which == "digest" else own
    added = catch_up(db, which, values, options, now)
    if after.state is State.SENT:
        if claim.kind is Kind.DIGEST:
            digests.remind_after(db, claim.delivery, after.options, now)
        added += remind(db, which, values, options, now)
    elif after.state is State.DEAD:
        added += remind(db, "dead", values, options, now)
    if claim.digest is not None and claim.digest.silence:
        added += catch_up(db, "listed", values, after.options, now)
    return added


def catch_up(
    db: Database, which: str, values: Values, options: Mapping[str, RouteOptions], now: int
) -> int:
    """Plan messages about episodes that ended or were taken during the sending; return how many."""
    added = 0
    resolved = tuple(name for name, route_options in options.items() if route_options.resolved)
    taken = tuple(name for name, route_options in options.items() if route_options.acknowledged)
    for routes, inserts in (
        (resolved, (RESOLVE.get(which), RESOLVE_INSTEAD.get(which))),
        (taken, (TELL_WHO.get(which), TELL_WHO_INSTEAD.get(which))),
    ):
        about = {"known": -1, **values}
        added += sum(_tell(db, each, about, routes, now) for each in inserts if each and routes)
    return added


def remind(
    db: Database, which: str, values: Values, options: Mapping[str, RouteOptions], now: int
) -> int:
    """Plan the reminder after each of these deliveries; return how many."""
    added = 0
    for route, route_options in options.items():
        if route_options.remind_every is None:
            continue
        more: dict[str, Any] = {
            "route": route,
            "at_most": UNLIMITED if route_options.at_most is None else route_options.at_most,
            "now": now,
            "every": route_options.remind_every,
            "after": route_options.stuck_after or 0,
            "anybody": int(route_options.names is None),
            "names": db.as_list(list(route_options.names or ())),
        }
        added += inserted(db, REMIND[which], {**values, **more})
    return added


def acknowledge(
    db: Database, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str],
    only: OnlyIf | None,
) -> tuple[TakeResult, int]:  # fmt: skip
    """See contract.Operating.acknowledge; return also the number of new deliveries."""
    execution = {"source": source, "execution": execution_id}
    row = db.row(STANDING, execution)
    if row is None or row[2] == "terminal":
        return TakeResult(TakeOutcome.UNKNOWN if row is None else TakeOutcome.ENDED), 0
    number, version, _ = row
    before = db.row(ACKNOWLEDGED, {**execution, "version": version})
    is_new = before is None or before[0].casefold() != taken.by.casefold()
    if only is not None and only.version not in (None, version):
        return TakeResult(TakeOutcome.ENDED), 0
    if only is not None and before is not None and is_new and before[0] != only.taken_by:
        return TakeResult(TakeOutcome.TAKEN_BY_ANOTHER, Acknowledgement(*before)), 0
    values = {**execution, "number": number, "version": version, "by": taken.by, "at": taken.at}
    if is_new:
        db.change(ACKNOWLEDGE, values)
    db.change(END_NAGGING, {**values, "changed": int(is_new)})
    # Whoever was told in the meantime read there who has it.
    is_told = bool(routes) and is_new
    told = (TELL_WHO["execution"], TELL_WHO_INSTEAD["execution"]) if is_told else ()
    about = {**execution, "known": -1}
    added = sum(_tell(db, insert, about, routes, taken.at) for insert in told)
    if before is not None and not is_new:
        return TakeResult(TakeOutcome.ALREADY_TAKEN, Acknowledgement(*before)), added
    if before is None:
        return TakeResult(TakeOutcome.TAKEN, taken), added
    now = replace(taken, taken_from=before[0])
    return TakeResult(TakeOutcome.TAKEN_OVER, now), added


def _tell(db: Database, insert: Statement, values: Values, routes: Sequence[str], now: int) -> int:
    more = {"routes": db.as_list(routes), "now": now, **chosen_from(routes)}
    return inserted(db, insert, {**values, **more})
