-- Pages that have an atomic upload whole, and the hash of what a device sent with a change that its table refused.

-- The atomic uploads that made more than one change, each with its part of the user's log. What triggers and foreign
-- keys changed in this log meanwhile is among them: the upload locks the log until its commit.
CREATE TABLE sync.atomic_upload (
    scope_id bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    source_no integer NOT NULL,
    PRIMARY KEY (scope_id, last_seq)
);

-- The last change of the newest of them: readers beyond it look for none.
ALTER TABLE sync.scope ADD COLUMN atomic_seq bigint NOT NULL DEFAULT 0;

-- Of what the device sent; the payload lacks what it may not write. Null where an older version recorded it.
ALTER TABLE sync.materialize_failures ADD COLUMN content_hash bigint;

-- Tables whose row-level security policies decide about uploads.

ALTER TABLE sync.catalog ADD COLUMN row_security boolean NOT NULL DEFAULT false;

-- A retry shows the same roles to the policies.
ALTER TABLE sync.materialize_failures ADD COLUMN roles text[];

-- The rows of a registered table with some values in a column, whatever its policies hide from the caller: an upload must
-- tell a row that is hidden from one that is gone. It takes the table by its row type, which a view or a table as the
-- result type would keep the team from changing: `stored_rows(NULL::app.notes, 'id', keys)`.
CREATE FUNCTION sync.stored_rows(relation anyelement, column_name text, vals anycompatiblearray) RETURNS SETOF anyelement
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    found oid;
BEGIN
    SELECT r.oid INTO found
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_class r ON r.oid = t.typrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
    JOIN sync.catalog c ON c.schema_name = n.nspname AND c.table_name = r.relname
        AND c.mode = 'table' AND c.removed_at IS NULL
    WHERE t.oid = pg_typeof(relation);
    IF found IS NULL THEN
        RAISE EXCEPTION '% is not a registered table', pg_typeof(relation) USING ERRCODE = 'undefined_table';
    END IF;
    IF row_security_active(found) THEN
        RAISE EXCEPTION 'row-level security hides rows of % from %', found::regclass, current_user
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('Run ALTER TABLE %s NO FORCE ROW LEVEL SECURITY.', found::regclass);
    END IF;
    RETURN QUERY EXECUTE format('SELECT t.* FROM %s AS t WHERE t.%I = ANY ($1)', found::regclass, column_name) USING vals;
END $$;
REVOKE ALL ON FUNCTION sync.stored_rows(anyelement, text, anycompatiblearray) FROM PUBLIC;

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
-- a part of the table a word more. Writers of one table share a row, and none waits for another: a comparison that
-- begins leaves the rows alone that are locked.
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

-- Tags of changes, by which a device and a server find out that they tell different histories.

ALTER TABLE sync.scope
    -- The tag of the change at tagged_seq. It is the last one's if tagged_seq is last_seq: plain SQL adds changes
    -- without a look at these two.
    ADD COLUMN tagged_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_tag bigint NOT NULL DEFAULT 0,
    -- The same of a change that compaction removed when it was the last one.
    ADD COLUMN kept_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN kept_tag bigint NOT NULL DEFAULT 0;

-- The tag of a change: tells it from any other at its sequence. `TaggedChange` computes the same.
CREATE FUNCTION sync.change_tag(
    seq bigint, op "char", version bigint, source_change_id bigint, content_hash bigint, ts timestamptz, key bytea
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substring(sha256(
    int8send(seq) || charsend(op) || int8send(version) || int8send(source_change_id) || int8send(content_hash)
        || timestamptz_send(ts) || key) FROM 1 FOR 8), 'hex'))::bit(64)::bigint;

REVOKE ALL ON FUNCTION sync.change_tag(bigint, "char", bigint, bigint, bigint, timestamptz, bytea) FROM PUBLIC;
