-- Events that wait for their predecessors, and the steps of those that were judged again.

ALTER TABLE event ADD COLUMN missing TEXT;      -- one of these statuses must have come before it
ALTER TABLE event ADD COLUMN held_until INTEGER
    CHECK ((held_until IS NOT NULL) = (verdict = 'held'));
CREATE INDEX event_held ON event (held_until) WHERE verdict = 'held';
CREATE INDEX event_gap ON event (source, execution_id, verdict, occurred_at)
    WHERE reason = 'gap' AND verdict <> 'applied';

-- Only events that were judged more than once have rows here; the last is what `event` says.
CREATE TABLE judgement (
    event   INTEGER NOT NULL REFERENCES event (seq),
    number  INTEGER NOT NULL CHECK (number >= 1),
    at      INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (event, number)
) WITHOUT ROWID;

-- What the event's verdict was when the message was owed: with another one it is no longer true.
ALTER TABLE delivery ADD COLUMN verdict TEXT NOT NULL DEFAULT 'applied';
UPDATE delivery SET verdict = (SELECT e.verdict FROM event AS e WHERE e.seq = delivery.event);
