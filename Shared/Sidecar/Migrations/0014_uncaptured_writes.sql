-- Writes that capture triggers do not see: those of sessions with session_replication_role = replica, and of
-- replications. Triggers that run in that mode alone record the tables.

-- Tables that were written to without capture, until a comparison of all their rows shows that devices have them. Its
-- key means nothing on another server that this table is replicated to, and meets none there.
CREATE TABLE sync.uncaptured_write (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    table_id smallint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    -- A comparison has begun since: later writers make a row of their own.
    is_seen boolean NOT NULL DEFAULT false
);

-- Records the table that a statement is about to write to without capture. Its arguments: the table's number, and for
-- a part of the table a word more. Writers of one table share a row, and none waits for another: whoever begins a
-- comparison leaves the rows alone that are locked.
CREATE FUNCTION sync.record_uncaptured() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    registered CONSTANT smallint := TG_ARGV[0];
    done CONSTANT text := coalesce(current_setting('oversync.uncaptured', true), '');
BEGIN
    -- ALTER TABLE ... ENABLE TRIGGER ALL lets the triggers run in every session.
    IF current_setting('session_replication_role') <> 'replica' OR strpos(done, format(' %s+ ', registered)) > 0 THEN
        RETURN NULL;
    END IF;
    -- The trigger for each row is for writers that run no statement triggers, as replications do.
    IF strpos(done, format(' %s ', registered)) = 0 THEN
        PERFORM set_config('oversync.uncaptured', format('%s %s ', done, registered), true);
    END IF;
    IF TG_LEVEL = 'STATEMENT' AND EXISTS (
        SELECT FROM pg_trigger t
        WHERE t.tgrelid = TG_RELID AND t.tgenabled = 'A'
            AND t.tgname ^@ ('oversync_capture_' || lower(TG_OP))
            AND t.tgfoid = to_regproc('sync.capture_' || registered)::oid)
    THEN
        RETURN NULL;
    END IF;
    -- A part that was detached keeps its triggers until the next `oversync migrate`.
    IF TG_NARGS > 1 AND NOT EXISTS (
        WITH RECURSIVE above AS (
            SELECT h.inhparent AS oid FROM pg_inherits h WHERE h.inhrelid = TG_RELID
            UNION SELECT h.inhparent FROM above JOIN pg_inherits h ON h.inhrelid = above.oid
        )
        SELECT FROM above JOIN pg_trigger t ON t.tgrelid = above.oid AND t.tgnargs = 0
            AND t.tgfoid = to_regproc('sync.capture_' || registered)::oid)
    THEN
        RETURN NULL;
    END IF;
    -- With an older snapshot the lock could end the writer's transaction.
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        PERFORM FROM sync.uncaptured_write w
        WHERE w.table_id = registered AND NOT w.is_seen LIMIT 1 FOR SHARE SKIP LOCKED;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') OR NOT FOUND THEN
        INSERT INTO sync.uncaptured_write (table_id) VALUES (registered);
    END IF;
    PERFORM set_config('oversync.uncaptured',
        format('%s %s+ ', current_setting('oversync.uncaptured', true), registered), true);
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION sync.record_uncaptured() FROM PUBLIC;
