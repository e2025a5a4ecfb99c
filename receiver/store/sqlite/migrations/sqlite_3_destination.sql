-- How fast a destination may be told, whether it fails as a whole, and what a message is about
-- that tells of another one's end.

CREATE TABLE destination (
    name         TEXT PRIMARY KEY,
    tokens       REAL NOT NULL CHECK (tokens >= 0),     -- messages it could get at once …
    counted_at   INTEGER NOT NULL,                      -- … at this time
    failures     INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- in a row
    failing      TEXT,                                  -- the order key of the first of them
    several      INTEGER NOT NULL DEFAULT 0,            -- whether others failed with it
    paused_until INTEGER,
    CHECK ((failures = 0) = (failing IS NULL))
) WITHOUT ROWID;

ALTER TABLE delivery ADD COLUMN origin INTEGER REFERENCES delivery (id);
CREATE INDEX delivery_dead ON delivery (destination) WHERE state = 'dead';
