-- What people and tools did here, and the key of the links in messages.

-- One row for each act. `who` is a name as it was given, or empty; `door` the way it came (command,
-- api, page, link, signal) and `place` from where: an address, a user, a link's destination.
CREATE TABLE audit (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    act          TEXT NOT NULL CHECK (act <> ''),
    who          TEXT NOT NULL,
    door         TEXT NOT NULL CHECK (door <> ''),
    place        TEXT NOT NULL,
    -- The execution that it is about, if there is one.
    source       TEXT,
    execution_id TEXT,
    -- Otherwise: the number of a delivery or a silence, or a name; and what became of it.
    about        TEXT NOT NULL,
    result       TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_execution ON audit (source, execution_id) WHERE execution_id IS NOT NULL;
CREATE INDEX audit_act ON audit (act);

-- One key for all processes that serve the database.
CREATE TABLE link_key (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    key     BLOB NOT NULL CHECK (length(key) >= 16),
    made_at INTEGER NOT NULL
);

-- What waits for a person, the longest first.
CREATE INDEX execution_waits ON execution (since, id) WHERE category IN ('awaiting', 'paused');
