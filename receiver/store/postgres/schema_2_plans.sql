-- When a rule asks for a delivery, apart from when it is next looked at (`due_at`) and from what
-- keeps it back until then.

-- Waiting never changes it. Null: it was settled before it was noted.
ALTER TABLE delivery ADD COLUMN planned_at bigint;
-- While it waits: 'quiet' hours, its group 'gathers' or was told lately ('group'), a 'retry'. Null:
-- nothing keeps it back, and it is due when it is planned.
ALTER TABLE delivery ADD COLUMN kept_by text;

UPDATE delivery SET
    kept_by = CASE
        WHEN group_key = 'quiet/' || due_at OR (group_key IS NULL AND tries = 0 AND due_at > created_at
            AND (kind IN ('digest', 'alarm') OR (kind = 'notice' AND origin IS NOT NULL)))
            THEN 'quiet'
        WHEN tries > 0 THEN 'retry'
        WHEN kind IN ('reminder', 'escalation') OR substr(dedup_key, 1, 6) = 'stuck/' THEN NULL
        WHEN group_key IS NOT NULL AND due_at > created_at THEN 'gathers'
    END
    WHERE state = 'waiting';
UPDATE delivery SET
    planned_at = CASE
        WHEN kind IN ('reminder', 'escalation') OR substr(dedup_key, 1, 6) = 'stuck/' THEN CASE
            WHEN kept_by IS NULL AND state = 'waiting' THEN due_at
            WHEN kept_by = 'quiet' THEN created_at
            ELSE least(owed_at, due_at) END
        ELSE created_at
    END
    WHERE state IN ('waiting', 'sending');
-- Each escalation has a time of its own, so a digest of notices does not take it along.
UPDATE delivery SET group_key = group_key || '#escalation'
    WHERE state = 'waiting' AND kind = 'escalation' AND group_key IS NOT NULL
    AND kept_by IS NULL;

-- What rules for people are applied to again when they change: executions that have not ended.
CREATE INDEX execution_open ON execution (id) WHERE category <> 'terminal';
