-- The pace of the questions to a provider, of all processes together: one row for each key.
CREATE TABLE pace (
    -- A digest of the address and the key, which stand nowhere.
    name     TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    asked_at INTEGER NOT NULL,
    -- Up to here the time is taken: each request takes a part of it.
    taken_to INTEGER NOT NULL
);

-- Who acts on an execution at its provider: one at a time, whatever the process.
CREATE TABLE acting (
    source       TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    -- Whose turn it is, until a time (by the clock of the database); empty: nobody's.
    token        TEXT NOT NULL,
    until_at     INTEGER NOT NULL,
    -- The row of the audit about an act for which a request left, or was about to; the version of
    -- the execution then; and when the provider took it. Null: no answer was noted.
    audit        INTEGER,
    version      INTEGER,
    done_at      INTEGER,
    PRIMARY KEY (source, execution_id),
    CHECK (done_at IS NULL OR audit IS NOT NULL),
    CHECK ((audit IS NULL) = (version IS NULL))
);
