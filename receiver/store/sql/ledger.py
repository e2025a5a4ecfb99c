"""Ledger: the counters of promises, compared with the stored rows."""

from __future__ import annotations

from typing import Any

from receiver.store.sql.database import Database, statement

PROMISED = statement("promised", "SELECT name, sum(n) FROM promised GROUP BY name")
VERDICTS = statement(
    "verdicts",
    "SELECT verdict, sum(times) FROM event WHERE reason <> 'malformed' GROUP BY verdict",
)
STATES = statement("states", "SELECT state, count(*) FROM delivery GROUP BY state")
OWING = statement(
    "owing",
    "SELECT (SELECT coalesce(sum(owed), 0) FROM event)"
    " + (SELECT coalesce(sum(owed), 0) FROM alarm)",
)
STEPS = statement(
    "steps",
    "SELECT (SELECT coalesce(sum(version), 0) FROM execution), (SELECT count(*) FROM history)",
)
PRUNED = statement("pruned", "SELECT what, name, n FROM pruned")


def ledger(db: Database) -> dict[str, Any]:
    """See contract.Reading.ledger.

    Imbalance is the sum of all differences: webhooks accepted and verdicts; messages owed and
    deliveries, in all and by event or alarm; versions of executions and steps of their histories.
    """
    with db.snapshot():
        promised = {name: int(n) for name, n in db.rows(PROMISED)}
        verdicts = {verdict: int(n) for verdict, n in db.rows(VERDICTS)}
        states = {state: int(n) for state, n in db.rows(STATES)}
        owing = int(db.value(OWING))
        ((versions, steps),) = db.rows(STEPS)
        pruned = db.rows(PRUNED)
    imbalance = (
        abs(owing - sum(states.values()))
        + abs(int(versions) - steps)
        + abs(verdicts.get("applied", 0) - steps)
    )
    # A removed row still counts with its last verdict or state.
    for what, name, n in [("event", "quarantined", promised["evicted"]), *pruned]:
        counts = verdicts if what == "event" else states
        if n:
            counts[name] = counts.get(name, 0) + n
    imbalance += abs(promised["accepted"] - sum(verdicts.values()))
    imbalance += abs(promised["owed"] - sum(states.values()))
    return {
        "accepted": promised["accepted"],
        "verdicts": verdicts,
        "owed": promised["owed"],
        "deliveries": states,
        "imbalance": imbalance,
    }
