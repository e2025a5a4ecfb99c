-- Alarms: telling itself fails, a source went quiet, rules did not load, signatures fail. A delivery
-- is about an event or about an alarm.

CREATE TABLE alarm (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    -- The name of a destination or a source; SOURCE/REASON for webhooks set aside; '' for the rules.
    about      TEXT NOT NULL,
    began_at   INTEGER NOT NULL,           -- when the trouble began
    raised_at  INTEGER NOT NULL,           -- when people were owed word of it
    ended_at   INTEGER,                    -- null: it lasts
    cause      TEXT NOT NULL,
    end_cause  TEXT NOT NULL DEFAULT '',   -- how it ended, if not by itself
    -- What it counts when it is raised: messages that wait, or webhooks that were refused or set aside.
    n          INTEGER NOT NULL DEFAULT 0,
    waiting    INTEGER NOT NULL DEFAULT 0, -- the messages that wait when it ends
    dead       INTEGER NOT NULL DEFAULT 0, -- those that died while it lasted
    owed       INTEGER NOT NULL DEFAULT 0  -- deliveries it owes
);
-- Once for each trouble that lasts.
CREATE UNIQUE INDEX alarm_open ON alarm (kind, about) WHERE ended_at IS NULL;
CREATE INDEX alarm_ended ON alarm (ended_at) WHERE ended_at IS NOT NULL;

-- A destination fails from its first failed attempt after the last success. `starving_since`: for
-- so long something has waited and nothing went. `last_failure`: the reason, without secrets.
ALTER TABLE destination ADD COLUMN succeeded_at INTEGER;
ALTER TABLE destination ADD COLUMN failing_since INTEGER;
ALTER TABLE destination ADD COLUMN failed_at INTEGER; -- the last failure
ALTER TABLE destination ADD COLUMN starving_since INTEGER;
ALTER TABLE destination ADD COLUMN last_failure TEXT;

-- When a source was last heard. Silence counts from `quiet_from`, and only while this program serves
-- (it was last known to at `served_at`); null: it never was heard, or nobody asks for its silence.
CREATE TABLE source (
    name       TEXT PRIMARY KEY,
    heard_at   INTEGER,
    quiet_from INTEGER,
    served_at  INTEGER
) WITHOUT ROWID;
INSERT INTO source (name, heard_at, quiet_from)
    SELECT source, max(coalesce(begun_at, received_at)), max(coalesce(begun_at, received_at))
    FROM event GROUP BY source;

-- Who had taken the episode before; null: nobody.
ALTER TABLE acknowledgement ADD COLUMN taken_from TEXT;

-- SQLite cannot drop NOT NULL from a column, so the table is made anew.
CREATE TABLE delivery_7 (
    id            INTEGER PRIMARY KEY,
    dedup_key     TEXT NOT NULL UNIQUE,
    event         INTEGER REFERENCES event (seq),
    alarm         INTEGER REFERENCES alarm (id),
    source        TEXT NOT NULL,
    execution_id  TEXT,
    event_id      TEXT,
    verdict       TEXT NOT NULL DEFAULT 'applied',
    route         TEXT NOT NULL,
    destination   TEXT NOT NULL,
    kind          TEXT NOT NULL,
    order_key     TEXT NOT NULL,
    guard_version INTEGER,
    origin        INTEGER REFERENCES delivery_7 (id),
    step          INTEGER NOT NULL DEFAULT 0 CHECK (step >= 0),
    group_key     TEXT,
    -- The delivery whose message told of it, itself included; null: its own message.
    digest        INTEGER REFERENCES delivery_7 (id),
    silence       INTEGER REFERENCES silence (id),
    state         TEXT NOT NULL DEFAULT 'waiting'
                  CHECK (state IN ('waiting', 'sending', 'sent', 'superseded', 'dead')),
    reason        TEXT NOT NULL DEFAULT '',
    title         TEXT,
    body          TEXT,
    created_at    INTEGER NOT NULL,
    owed_at       INTEGER NOT NULL,          -- start of retry_for; a redelivery starts it anew
    due_at        INTEGER NOT NULL,
    begun_at      INTEGER,                   -- null: when it was owed
    attempts      INTEGER NOT NULL DEFAULT 0,
    tries         INTEGER NOT NULL DEFAULT 0, -- attempts since owed_at
    repeat        INTEGER NOT NULL DEFAULT 0,
    lease_until   INTEGER,
    token         TEXT,
    CHECK ((state = 'sending') = (token IS NOT NULL)),
    CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CHECK ((event IS NULL) = (alarm IS NOT NULL)),
    CHECK (silence IS NULL OR state = 'superseded' OR kind = 'digest'),
    CHECK (kind <> 'digest' OR silence IS NOT NULL),
    CHECK (kind NOT IN ('reminder', 'escalation') OR (guard_version IS NOT NULL AND step > 0)),
    CHECK (kind <> 'alarm' OR alarm IS NOT NULL)
);
INSERT INTO delivery_7 (id, dedup_key, event, source, execution_id, event_id, verdict, route,
    destination, kind, order_key, guard_version, origin, step, group_key, digest, silence, state,
    reason, title, body, created_at, owed_at, due_at, begun_at, attempts, tries, repeat, lease_until,
    token)
    SELECT id, dedup_key, event, source, execution_id, event_id, verdict, route,
    destination, kind, order_key, guard_version, origin, step, group_key, digest, silence, state,
    reason, title, body, created_at, owed_at, due_at, begun_at, attempts, tries, repeat, lease_until,
    token FROM delivery;
DROP TABLE delivery;
ALTER TABLE delivery_7 RENAME TO delivery;

CREATE INDEX delivery_due ON delivery (destination, due_at, id) WHERE state = 'waiting';
CREATE INDEX delivery_order ON delivery (destination, order_key, id)
    WHERE state IN ('waiting', 'sending');
CREATE INDEX delivery_lease ON delivery (lease_until) WHERE state = 'sending';
CREATE INDEX delivery_execution ON delivery (source, execution_id) WHERE execution_id IS NOT NULL;
CREATE INDEX delivery_state ON delivery (state, id) WHERE state IN ('waiting', 'sending', 'dead');
CREATE INDEX delivery_dead ON delivery (destination) WHERE state = 'dead';
-- At most one reminder waits for each route, destination and episode (its first event).
CREATE UNIQUE INDEX delivery_reminder ON delivery (event, route, destination)
    WHERE kind = 'reminder' AND state IN ('waiting', 'sending');
-- What is no longer true once an execution moves.
CREATE INDEX delivery_episode ON delivery (source, execution_id, guard_version)
    WHERE state = 'waiting' AND guard_version IS NOT NULL;
CREATE INDEX delivery_group ON delivery (destination, group_key, state, due_at)
    WHERE group_key IS NOT NULL AND state IN ('waiting', 'sending');
CREATE INDEX delivery_token ON delivery (token) WHERE token IS NOT NULL;
CREATE INDEX delivery_silenced ON delivery (silence, destination, due_at)
    WHERE silence IS NOT NULL AND state = 'superseded';
CREATE INDEX delivery_digest ON delivery (digest) WHERE digest IS NOT NULL;
CREATE INDEX delivery_event ON delivery (event);
-- The last report that another destination does not get its messages.
CREATE INDEX delivery_report ON delivery (destination, order_key, id)
    WHERE kind = 'notice' AND origin IS NOT NULL;
CREATE INDEX delivery_alarm ON delivery (alarm) WHERE alarm IS NOT NULL;
CREATE INDEX delivery_origin ON delivery (origin) WHERE origin IS NOT NULL;
CREATE INDEX delivery_silence ON delivery (silence, kind) WHERE silence IS NOT NULL;
