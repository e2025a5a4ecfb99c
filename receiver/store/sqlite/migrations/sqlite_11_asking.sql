-- The present status was learnt by asking the provider: its webhook may still come.
ALTER TABLE execution ADD COLUMN polled INTEGER NOT NULL DEFAULT 0;
-- What was learnt so, for the alarm that webhooks are missing.
CREATE INDEX event_polled ON event (received_at)
    WHERE verdict = 'applied' AND flags LIKE '%polled%';
