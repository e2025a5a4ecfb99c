"""Claims: the choice of the next delivery.

It has to be due, still true, not silenced and not in quiet hours. Deliveries that may not go out
yet are put off, as a set, to the time of the next check.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.deliveries import Claim, Digest, Kind
from receiver.routing.policy import ESCALATIONS, RouteOptions, SendPolicy
from receiver.routing.silences import Silence
from receiver.store.records import AHEAD
from receiver.store.sql import digests, quiet, silences
from receiver.store.sql.database import Database, Row, Values, statement, variants
from receiver.store.sql.episodes import catch_up, remind
from receiver.store.sql.facts import COLUMNS, DELIVERY, HEARD, STUCK, WAITS, claimed
from receiver.store.sql.outbox import promise, release
from receiver.store.sql.reads import MAX_ID, UNBLOCKED, allowance
from receiver.store.sql.superseded import UNTRUE_ALARM, untrue
from receiver.times import SECOND

_CLAIMABLE = "state = 'waiting' AND due_at <= :now"
# What is planned for later is not asked for, whatever else let it be due.
_IS_ASKED_FOR = "(planned_at IS NULL OR planned_at <= :now)"
# The deliveries of one execution keep their order within a destination: the oldest goes first.
NEXT = statement(
    "next_claim",
    f"{DELIVERY} WHERE destination = :destination AND {_CLAIMABLE} AND {_IS_ASKED_FOR}"
    f" AND {UNBLOCKED} ORDER BY due_at, id LIMIT 1",
)
TURN = statement("turn", "SELECT {turn}")
CLAIM = statement(
    "claim",
    "UPDATE delivery SET state = 'sending', token = :token, lease_until = {now} + :lease,"
    f" digest = NULL WHERE id = :delivery AND {_CLAIMABLE} RETURNING {COLUMNS}",
)
SPEND_TOKEN = statement(
    "spend_token",
    "INSERT INTO destination (name, tokens, counted_at) VALUES (:destination, :tokens, :now)"
    " ON CONFLICT (name) DO UPDATE SET tokens = excluded.tokens, counted_at = excluded.counted_at",
)
# The state stands here twice, so that SQLite may use the index of unsettled deliveries.
_UNSETTLED = "d.state IN ('waiting', 'sending') AND d.state"
_OF_GROUP = "d.destination = :destination AND d.group_key = :key"
_GROUP = f"{_OF_GROUP} AND {_UNSETTLED} = 'waiting'"
# A digest takes what is asked for by now and gathers; nothing that is planned for later, or that
# would pass an older message about its execution.
_TOGETHER = f"{_GROUP} AND d.due_at <= :until AND d.planned_at <= :now AND {UNBLOCKED}"
# The candidates that may go out now: one delivery, or a group.
_WHICH = {"one": "d.id = :id AND d.state = 'waiting'", "group": _TOGETHER}
UNTRUE = variants("supersede_untrue", untrue("{where}"), _WHICH)
# What was put off since it was chosen is not due any more.
CANDIDATES = variants(
    "silence_candidates",
    silences.candidates("{where}"),
    {**_WHICH, "one": f"{_WHICH['one']} AND d.due_at <= :now"},
)
PUT_OFF_STUCK = variants(
    "put_off_stuck",
    "UPDATE delivery SET owed_at = owed_at + (h.heard + :after - due_at),"
    " planned_at = h.heard + :after, begun_at = h.heard, due_at = h.heard + :after"
    " + CASE WHEN group_key IS NULL THEN 0 ELSE :gathers END,"
    " kept_by = CASE WHEN group_key IS NULL THEN NULL ELSE 'gathers' END"
    f" FROM (SELECT d.id, {HEARD} AS heard"
    " FROM delivery AS d WHERE d.route = :route"
    " AND d.kind IN ('notice', 'reminder', 'fallback') AND d.guard_version IS NOT NULL"
    " AND {where}) AS h WHERE delivery.id = h.id AND h.heard + :after > :now",
    _WHICH,
)
# Messages about stuck executions that no route asks for any more.
NOT_ASKED_FOR = variants(
    "supersede_not_asked_for",
    "UPDATE delivery SET state = 'superseded',"
    " reason = 'no route ' || route || ' asks for what is stuck any more' WHERE id IN"
    " (SELECT d.id FROM delivery AS d WHERE d.kind IN ('notice', 'reminder', 'fallback')"
    f" AND d.route NOT IN {{texts:stuck}} AND {STUCK} AND {{where}})",
    _WHICH,
)
PUT_OFF_LISTED = variants("put_off_listed", digests.PUT_OFF_LISTED, _WHICH)
NOTHING_LEFT = statement(
    "nothing_left",
    "UPDATE delivery SET state = 'superseded', reason = 'what it would list waits no longer',"
    " token = NULL, lease_until = NULL WHERE id = :delivery",
)
PUT_OFF_GROUP = statement(
    "put_off_group",
    f"{quiet.PUT_OFF.replace('{by}', 'group')} WHERE id IN"
    f" (SELECT d.id FROM delivery AS d WHERE {_GROUP} AND d.due_at < :to AND d.planned_at <= :now)",
)
IS_SENT = statement(
    "group_is_sent",
    f"SELECT 1 FROM delivery AS d WHERE {_OF_GROUP} AND {_UNSETTLED} = 'sending' LIMIT 1",
)
LAST_TOLD = statement(
    "group_last_told",
    "SELECT told_at FROM digest_group WHERE destination = :destination AND key = :key",
)
ONE_TOO_MANY = statement(
    "group_one_too_many",
    "SELECT min(d.id) FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    f" WHERE {_TOGETHER} AND {WAITS} GROUP BY d.source, d.execution_id"
    " ORDER BY 1 LIMIT 1 OFFSET :most",
)
HEAD = statement(
    "group_head",
    f"SELECT min(d.id), count(*) FROM delivery AS d WHERE {_TOGETHER} AND d.id < :before",
)
# An execution counts once: all about those that have room goes out together.
CLAIM_GROUP = statement(
    "claim_group",
    "UPDATE delivery AS d SET state = 'sending', token = :token, lease_until = {now} + :lease,"
    f" digest = :head WHERE {_TOGETHER} AND (d.id < :before OR EXISTS (SELECT 1"
    " FROM delivery AS f WHERE f.source = d.source AND f.execution_id = d.execution_id"
    " AND f.destination = d.destination AND f.group_key = d.group_key"
    " AND f.state IN ('waiting', 'sending') AND f.due_at <= :until AND f.id < :before))",
)
CLAIMED = statement("claimed_delivery", f"{DELIVERY} WHERE id = :delivery")
REPEAT = statement("claimed_repeat", "SELECT max(repeat) FROM delivery WHERE token = :token")
HURRY = statement(
    "hurry",
    "UPDATE delivery SET due_at = CASE WHEN due_at > :now THEN :now ELSE due_at END"
    " WHERE id = :delivery",
)


@dataclass(slots=True)
class Request:
    """Request for deliveries (see contract.Sending.claim): the silences in force, the rate left."""

    destination: str
    policy: SendPolicy
    now: int
    until: int
    holder: str
    silences: Sequence[Silence]
    tokens: float

    def token(self) -> str:
        """Return the proof of a new claim; it begins with its holder's name."""
        return f"{self.holder}{secrets.token_hex(8)}"

    def values(self, **more: int | str | None) -> dict[str, int | str | None]:
        """Return the parameters that every statement about this claim may use."""
        lease = self.until - self.now
        return {"destination": self.destination, "now": self.now, "lease": lease, **more}


def request(
    db: Database, destination: str, policy: SendPolicy, now: int, until: int, holder: str,
    anyway: bool,
) -> Request | None:  # fmt: skip
    """Ask for the turn of a destination; None if it is another process's, or it is paused."""
    release(db, now)
    if not db.hold(TURN, {"destination": destination}):
        return None  # another process claims for it just now
    tokens, paused_until = allowance(db, destination, policy, now)
    if paused_until > now and not anyway:
        return None
    return Request(destination, policy, now, until, holder, silences.active(db, now), tokens)


def claim(db: Database, request: Request) -> Claim | None:
    """Claim the next delivery; see contract.Sending.claim."""
    if request.tokens < 1:
        return None
    # Each round takes one or puts at least one off, so this ends.
    while (row := db.row(NEXT, request.values())) is not None:
        if (taken := _take(db, request, row)) is not None:
            request.tokens -= 1
            db.change_later(SPEND_TOKEN, request.values() | {"tokens": request.tokens})
            return taken
    return None


def _take(db: Database, request: Request, row: Row) -> Claim | None:
    """Take the delivery, or the digest it belongs to; None if it may not go out now or at all."""
    delivery, route, tries, kind = row[0], row[1], row[2], row[7]
    group_key, alarm = row[12], row[13]
    options = request.policy.options_for(route)
    if kind == Kind.DIGEST and not tries:
        _remind_missed(db, request, delivery)
    if quiet.put_off(db, request.policy, delivery, route, request.values()):
        return None
    if alarm is not None:  # no silence and no digest is about alarms
        db.change(UNTRUE_ALARM, {"id": delivery})
        return _claim_one(db, request, delivery)
    if group_key is None or request.policy.alone:
        _sift(db, request, "one", {"id": delivery})
        return _claim_one(db, request, delivery)
    gathers = 0 if group_key.endswith(ESCALATIONS) else options.wait
    group = request.values(key=group_key, until=request.now + gathers)
    if (wait := _told_until(db, request, group, options)) is not None:
        db.change(PUT_OFF_GROUP, {**group, "to": wait})
        return None
    _sift(db, request, "group", group)
    return _claim_group(db, request, group)


def _told_until(db: Database, request: Request, group: Values, options: RouteOptions) -> int | None:
    """Return the end of the group's wait after its last digest, or during one; None: no wait."""
    if str(group["key"]).endswith(ESCALATIONS):
        return None  # each has a time of its own
    if db.row(IS_SENT, group):
        return request.now + SECOND
    row = db.row(LAST_TOLD, group)
    wait = None if row is None else int(row[0]) + options.every
    return wait if wait is not None and wait > request.now else None


def _sift(db: Database, request: Request, which: str, values: Values) -> None:
    """Supersede or put off deliveries that may not go out: untrue, silenced, or no longer stuck."""
    now = request.now
    # Whoever may have got it before learns of the end.
    ended = catch_up(db, f"{which}_again", values, request.policy.options, now)
    promise(db, "owed", ended)
    db.change_later(UNTRUE[which], values)
    # First what is not stuck any more, or a silence would list it as if it were.
    stuck = {
        route: options.stuck_after
        for route, options in request.policy.options.items()
        if options.stuck_after is not None
    }
    db.change_later(NOT_ASKED_FOR[which], {**values, "stuck": db.as_list(list(stuck))})
    for route, after in stuck.items():
        more = {"route": route, "after": after, "now": now, "ahead": now + AHEAD}
        more["gathers"] = request.policy.options_for(route).wait
        db.change_later(PUT_OFF_STUCK[which], {**values, **more})
    for route, options in request.policy.options.items():
        if options.remind_every is not None:
            every = {"route": route, "every": options.remind_every, "now": now}
            db.change_later(PUT_OFF_LISTED[which], {**values, **every})
    if request.silences and silences.supersede_silenced(
        db, request.silences, CANDIDATES[which], {**values, "now": now}, now
    ):
        _remind_silenced(db, request)


def _remind_silenced(db: Database, request: Request) -> None:
    """Plan the next reminders: a silence keeps messages back, but does not end an episode."""
    for silence in request.silences:
        values = request.values(silence=silence.id, at=request.now)
        options = request.policy.options
        promise(db, "owed", remind(db, "kept_back", values, options, request.now))


def _remind_missed(db: Database, request: Request, digest: int) -> None:
    """Do the same for what a silence kept back at its end; its reminders come at their own time."""
    values = request.values(digest=digest, ahead=request.now + AHEAD)
    promise(db, "owed", remind(db, "missed", values, request.policy.options, request.now))


def _claim_one(db: Database, request: Request, delivery: int) -> Claim | None:
    """Take this delivery, if it can still be claimed."""
    token = request.token()
    row = db.row(CLAIM, request.values(token=token, delivery=delivery))
    if row is None:
        return None
    claim = claimed(db, row)
    kind = claim.origin.kind if claim.origin and claim.kind is Kind.FALLBACK else claim.kind
    if kind is Kind.DIGEST and request.policy.alone:
        _dissolve(db, request, claim)
        return None
    if kind is Kind.DIGEST:
        _watch_again(db, request, claim)
        missed = _missed(db, claim)
        claim = replace(claim, digest=missed)
        if missed.total == 0 or (missed.page > 1 and not missed.listed):
            db.change(NOTHING_LEFT, {"delivery": delivery})
            return None
    return replace(claim, token=token, claimed_at=request.now)


def _claim_group(db: Database, request: Request, group: Values) -> Claim | None:
    """Take the due deliveries of the group; take a single one as an ordinary message."""
    too_many = db.row(ONE_TOO_MANY, {**group, "most": silences.PAGE})
    token = request.token()
    before = MAX_ID if too_many is None else too_many[0]
    together = {**group, "before": before, "token": token}
    ((head, n),) = db.rows(HEAD, together)
    if n < 2:
        return None if head is None else _claim_only(db, request, head)
    db.change_later(CLAIM_GROUP, {**together, "head": head})
    claim = claimed(db, db.rows(CLAIMED, {"delivery": head})[0])
    return replace(
        claim,
        token=token,
        claimed_at=request.now,
        repeat=bool(db.value(REPEAT, {"token": token})),
        digest=digests.gathered(db, head),
    )


def _claim_only(db: Database, request: Request, delivery: int) -> Claim | None:
    """Take the only one left of a group, even if it is due a moment later than now."""
    db.change_later(HURRY, {"now": request.now, "delivery": delivery})
    return _claim_one(db, request, delivery)


def _dissolve(db: Database, request: Request, claim: Claim) -> None:
    """Let each message that the digest of a silence would list go out alone."""
    if claim.kind is Kind.DIGEST:
        digests.remind_after(db, claim.delivery, request.policy.options, request.now)
        silences.dissolve(db, claim.delivery, request.now)
        return
    silence, missed_by, _ = _silence_of(db, claim)
    promise(db, "owed", silences.dissolve_instead(db, claim, silence, missed_by, request.now))


def _watch_again(db: Database, request: Request, claim: Claim) -> None:
    """Let a digest not say that nothing is heard of what something was heard of since."""
    silence, missed_by, _ = _silence_of(db, claim)
    digests.watch_again(db, silence, missed_by, request.policy.options, request.now)


def _missed(db: Database, claim: Claim) -> Digest:
    """Return the digest of the messages that a silence kept back from the original destination."""
    silence, destination, step = _silence_of(db, claim)
    # A fall-back missed none of these messages itself, so it gets no number.
    number = claim.delivery if claim.kind is Kind.DIGEST else None
    return digests.silenced(db, number, silence, destination, step)


def _silence_of(db: Database, claim: Claim) -> tuple[int, str, int]:
    """Return the silence that a digest is about, who missed its messages, and the page."""
    delivery = claim.delivery
    while True:
        ((silence, destination, step, origin, _),) = db.rows(quiet.MISSED, {"delivery": delivery})
        if silence is not None:
            return silence, destination, step
        delivery = origin
