-- Applied events, which are nearly all, are found by the history of their execution. So intake writes
-- one page less for each: in a large file those of this index come from all over.

DROP INDEX event_execution;
CREATE INDEX event_execution ON event (source, execution_id, occurred_at)
    WHERE execution_id IS NOT NULL AND verdict <> 'applied';
