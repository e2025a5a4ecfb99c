-- What was removed because it had been kept for long enough: counted by the verdict of events and
-- the state of deliveries, so that the ledger still holds what was promised against what became of it.

CREATE TABLE pruned (
    what TEXT NOT NULL CHECK (what IN ('event', 'delivery')),
    name TEXT NOT NULL,
    n    INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (what, name)
) WITHOUT ROWID;

-- What is old enough is found without looking at what is not.
CREATE INDEX event_body ON event (received_at) WHERE body IS NOT NULL;
CREATE INDEX event_unapplied ON event (received_at) WHERE verdict <> 'applied';
CREATE INDEX execution_ended ON execution (since) WHERE category = 'terminal';

-- A row that goes is looked for in every table that may refer to it; without these by reading all
-- of the table, for each row.
CREATE INDEX history_event ON history (event);
CREATE INDEX delivery_event ON delivery (event);
CREATE INDEX delivery_origin ON delivery (origin) WHERE origin IS NOT NULL;
CREATE INDEX delivery_silence ON delivery (silence, kind) WHERE silence IS NOT NULL;
