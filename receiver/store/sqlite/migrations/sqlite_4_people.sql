-- What people are told in the course of an episode (one stay of an execution in one status, by its
-- version), what goes out together, who took it, and what operators do not want to be told of.

-- Conditions as in `match`. What it kept back is listed once, when it ends.
CREATE TABLE silence (
    id         INTEGER PRIMARY KEY,
    match      TEXT NOT NULL,
    reason     TEXT NOT NULL CHECK (reason <> ''),
    by         TEXT NOT NULL CHECK (by <> ''),
    created_at INTEGER NOT NULL,
    from_at    INTEGER NOT NULL,
    until_at   INTEGER NOT NULL,
    listed_at  INTEGER,
    CHECK (listed_at >= until_at)
);
CREATE INDEX silence_open ON silence (until_at) WHERE listed_at IS NULL;

CREATE TABLE acknowledgement (
    execution INTEGER NOT NULL REFERENCES execution (id),
    version   INTEGER NOT NULL,
    by        TEXT NOT NULL CHECK (by <> ''),
    at        INTEGER NOT NULL,
    PRIMARY KEY (execution, version),
    FOREIGN KEY (execution, version) REFERENCES history (execution, version)
) WITHOUT ROWID;

-- When a destination was last told of a group.
CREATE TABLE digest_group (
    destination TEXT NOT NULL,
    key         TEXT NOT NULL,
    told_at     INTEGER NOT NULL,
    PRIMARY KEY (destination, key)
) WITHOUT ROWID;
CREATE INDEX digest_group_told ON digest_group (told_at);

ALTER TABLE delivery ADD COLUMN step INTEGER NOT NULL DEFAULT 0 CHECK (step >= 0);
ALTER TABLE delivery ADD COLUMN group_key TEXT;
-- The delivery whose message told of it, itself included; null: its own message.
ALTER TABLE delivery ADD COLUMN digest INTEGER REFERENCES delivery (id);
ALTER TABLE delivery ADD COLUMN silence INTEGER REFERENCES silence (id)
    CHECK (silence IS NULL OR state = 'superseded' OR kind = 'digest')
    CHECK (kind <> 'digest' OR silence IS NOT NULL)
    CHECK (kind NOT IN ('reminder', 'escalation') OR (guard_version IS NOT NULL AND step > 0));

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
