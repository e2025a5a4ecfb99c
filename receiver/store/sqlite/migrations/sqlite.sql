-- Times are nanoseconds since 1970 (UTC). What must never be false is a CHECK or a UNIQUE.

-- One row per authentic webhook; a repeated event id has one more row, which counts (`times`).
CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,
    source       TEXT NOT NULL,
    event_id     TEXT,                       -- null: could not be read
    repeated     INTEGER NOT NULL DEFAULT 0 CHECK (repeated IN (0, 1)),
    times        INTEGER NOT NULL DEFAULT 1 CHECK (times >= 1),
    execution_id TEXT,
    event        TEXT,
    status       TEXT,
    occurred_at  INTEGER,
    received_at  INTEGER NOT NULL,
    verdict      TEXT NOT NULL CHECK (verdict IN ('applied', 'held', 'duplicate', 'stale',
                                                  'rejected', 'ignored', 'quarantined')),
    reason       TEXT NOT NULL,
    flags        TEXT NOT NULL DEFAULT '',
    agent_id     TEXT,
    agent_name   TEXT,
    execution_url TEXT,
    metadata     TEXT,
    detail       TEXT,
    version      INTEGER,                    -- of the execution after it was applied
    owed         INTEGER NOT NULL DEFAULT 0, -- deliveries it owes
    body         BLOB,
    CHECK ((verdict = 'applied') = (version IS NOT NULL)),
    CHECK (verdict = 'quarantined' OR event_id IS NOT NULL),
    CHECK (repeated = (reason = 'event_id'))
);
-- A quarantined event does not keep its id: a corrected repeat is judged anew.
CREATE UNIQUE INDEX event_id ON event (source, event_id, repeated) WHERE verdict <> 'quarantined';
CREATE INDEX event_execution ON event (source, execution_id, occurred_at)
    WHERE execution_id IS NOT NULL;
CREATE INDEX event_quarantined ON event (seq) WHERE verdict = 'quarantined';

CREATE TABLE execution (
    id           INTEGER PRIMARY KEY,
    source       TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    status       TEXT NOT NULL,
    category     TEXT NOT NULL CHECK (category IN ('processing', 'paused', 'awaiting', 'terminal')),
    since        INTEGER NOT NULL,
    mark         INTEGER NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    first_seen   INTEGER NOT NULL,
    agent_id     TEXT,
    agent_name   TEXT,
    execution_url TEXT,
    metadata     TEXT,
    gap          INTEGER NOT NULL DEFAULT 0,
    assumed      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, execution_id),
    CHECK (mark >= since)
);

-- A terminal execution never changes, whoever writes.
CREATE TRIGGER execution_terminal BEFORE UPDATE ON execution WHEN OLD.category = 'terminal'
BEGIN SELECT RAISE(ABORT, 'a terminal execution never changes'); END;

CREATE TABLE history (
    execution       INTEGER NOT NULL REFERENCES execution (id),
    version         INTEGER NOT NULL,
    event           INTEGER NOT NULL REFERENCES event (seq),
    status          TEXT NOT NULL,
    previous_status TEXT,
    previous_since  INTEGER,
    applied_at      INTEGER NOT NULL,
    PRIMARY KEY (execution, version)
) WITHOUT ROWID;

CREATE TABLE delivery (
    id            INTEGER PRIMARY KEY,
    dedup_key     TEXT NOT NULL UNIQUE,
    event         INTEGER NOT NULL REFERENCES event (seq),
    source        TEXT NOT NULL,
    execution_id  TEXT,
    event_id      TEXT,
    route         TEXT NOT NULL,
    destination   TEXT NOT NULL,
    kind          TEXT NOT NULL,
    order_key     TEXT NOT NULL,
    guard_version INTEGER,
    state         TEXT NOT NULL DEFAULT 'waiting'
                  CHECK (state IN ('waiting', 'sending', 'sent', 'superseded', 'dead')),
    reason        TEXT NOT NULL DEFAULT '',
    title         TEXT,
    body          TEXT,
    created_at    INTEGER NOT NULL,
    owed_at       INTEGER NOT NULL,          -- start of retry_for; a redelivery starts it anew
    due_at        INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    tries         INTEGER NOT NULL DEFAULT 0, -- attempts since owed_at
    repeat        INTEGER NOT NULL DEFAULT 0,
    lease_until   INTEGER,
    token         TEXT,
    CHECK ((state = 'sending') = (token IS NOT NULL)),
    CHECK ((state = 'sending') = (lease_until IS NOT NULL))
);
CREATE INDEX delivery_due ON delivery (destination, due_at, id) WHERE state = 'waiting';
CREATE INDEX delivery_order ON delivery (destination, order_key, id)
    WHERE state IN ('waiting', 'sending');
CREATE INDEX delivery_lease ON delivery (lease_until) WHERE state = 'sending';
CREATE INDEX delivery_execution ON delivery (source, execution_id) WHERE execution_id IS NOT NULL;
CREATE INDEX delivery_state ON delivery (state, id) WHERE state IN ('waiting', 'sending', 'dead');

CREATE TABLE attempt (
    delivery    INTEGER NOT NULL REFERENCES delivery (id),
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('delivered', 'failed', 'uncertain')),
    detail      TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- What was promised, counted as it is promised; the ledger holds it against the rows.
CREATE TABLE promised (
    name TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO promised (name, n) VALUES ('accepted', 0), ('owed', 0), ('evicted', 0);
