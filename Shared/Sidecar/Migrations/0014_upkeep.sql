-- Jobs that run by themselves: which process runs one now, and when it was last done.

CREATE TABLE sync.lease (
    name text PRIMARY KEY,
    holder text NOT NULL,
    -- A holder renews its lease; after this another process may take it.
    expires_at timestamptz NOT NULL,
    done_at timestamptz,
    -- Where the next run goes on: the last scope that was verified.
    position bigint NOT NULL DEFAULT 0
);

-- Deletes the oldest rows of the audit, and none of the last thirty days: the maintenance role cannot delete its own
-- recent rows.
CREATE FUNCTION sync.prune_audit(age_seconds double precision, most bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH old AS (
        SELECT id FROM sync.audit
        WHERE at < now() - make_interval(secs => greatest(age_seconds, 30 * 86400.0))
        ORDER BY at LIMIT most
    ), gone AS (
        DELETE FROM sync.audit a USING old WHERE a.id = old.id RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

REVOKE ALL ON FUNCTION sync.prune_audit(double precision, bigint) FROM PUBLIC;

-- Metrics count the refused changes that nobody has dealt with every half minute, and look for the oldest.
CREATE INDEX materialize_failures_open ON sync.materialize_failures (first_seen) WHERE resolved_at IS NULL;

-- What each user uses of its quotas. Both stay empty while quotas are off.

-- The bytes that a row counts with in its user's use. Null: it does not count, or was not counted yet.
ALTER TABLE sync.row_state ADD COLUMN counted_bytes integer;

-- The live rows of a user, and the bytes of their newest payloads, as its log was at counted_seq. Upload counts what was
-- added since, whoever added it: the sums are always those of row_state.counted_bytes.
CREATE TABLE sync.usage (
    scope_id bigint PRIMARY KEY,
    counted_seq bigint NOT NULL,
    live_rows bigint NOT NULL,
    payload_bytes bigint NOT NULL
) WITH (fillfactor = 50);

-- The quotas that Upload was started with last, as text; NULL for what it does not limit. Of its settings nobody may read
-- more.
CREATE FUNCTION sync.quotas() RETURNS TABLE (rows text, bytes text, devices text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.settings ->> 'OVERSYNC_QUOTA_ROWS', c.settings ->> 'OVERSYNC_QUOTA_BYTES',
        c.settings ->> 'OVERSYNC_QUOTA_DEVICES'
    FROM sync.service_configuration c WHERE c.service = 'oversync-upload';
$$;
REVOKE ALL ON FUNCTION sync.quotas() FROM PUBLIC;
