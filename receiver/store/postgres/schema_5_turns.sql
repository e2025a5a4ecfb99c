-- The pace of questions to providers, and whose turn it is to act there.
-- Receivers of the version before go on with it.

-- The pace of the questions to a provider, of all processes together: one row for each key.
CREATE TABLE pace (
    -- A digest of the address and the key, which stand nowhere.
    name     text NOT NULL PRIMARY KEY CHECK (name <> ''),
    asked_at bigint NOT NULL,
    -- Up to here the time is taken: each request takes a part of it.
    taken_to bigint NOT NULL
);

-- Who acts on an execution at its provider: one at a time, whatever the process.
CREATE TABLE acting (
    source       text NOT NULL,
    execution_id text NOT NULL,
    -- Whose turn it is, until a time (by the clock of the database); empty: nobody's.
    token        text NOT NULL,
    until_at     bigint NOT NULL,
    -- The row of the audit about an act for which a request left, or was about to; the version of
    -- the execution then; and when the provider took it. Null: no answer was noted.
    audit        bigint,
    version      bigint,
    done_at      bigint,
    PRIMARY KEY (source, execution_id),
    CHECK (done_at IS NULL OR audit IS NOT NULL),
    CHECK ((audit IS NULL) = (version IS NULL))
);
