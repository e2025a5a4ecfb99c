-- When what waits began to wait. That happened, so it lies ahead only of a clock that was set back;
-- when it is due was planned, and says nothing about clocks. See store.Transaction.set_back.

-- Null: when it was owed. Else after an attempt, put off, with a new chance, counted anew.
ALTER TABLE delivery ADD COLUMN begun_at INTEGER;
-- Null: when it was received. Else held since then, because the clock was set back.
ALTER TABLE event ADD COLUMN begun_at INTEGER;
-- Null: when it was last sent something.
ALTER TABLE destination ADD COLUMN paused_at INTEGER;

UPDATE delivery SET begun_at = max(created_at, coalesce((SELECT max(a.at) FROM attempt AS a
    WHERE a.delivery IN (delivery.id, delivery.digest)), 0))
    WHERE state = 'waiting' AND attempts > 0;
