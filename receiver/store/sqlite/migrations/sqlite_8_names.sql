-- Names that changed. A terminal execution never changes, but what its source is called may.

DROP TRIGGER execution_terminal;
CREATE TRIGGER execution_terminal BEFORE UPDATE OF id, execution_id, status, category, since, mark,
    version, first_seen, agent_id, agent_name, execution_url, metadata, gap, assumed
    ON execution WHEN OLD.category = 'terminal'
BEGIN SELECT RAISE(ABORT, 'a terminal execution never changes'); END;

-- What goes on when its source comes back; the reason is that of store/names.py.
CREATE INDEX delivery_no_source ON delivery (source)
    WHERE state = 'superseded' AND reason = 'its source is not in routes.yaml any more';
