-- What operators must know of the tables and of what keeps vacuum from its work, and settings that keep hot tables in
-- shape.

-- When the change at the floor was made: a device that has not come since begins again from 0. Null: no delete was removed
-- since this column is there.
ALTER TABLE sync.scope ADD COLUMN floor_at timestamptz;
CREATE INDEX scope_floor ON sync.scope (floor_at) WHERE floor_at IS NOT NULL;

-- The bytes of a row of each table and partition, on average, as ANALYZE found them last. PostgreSQL shows statistics to
-- those who may read the column; services have no rights on partitions.
CREATE FUNCTION sync.row_widths() RETURNS TABLE (relation oid, width double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid, sum(s.avg_width * (1 - s.null_frac))
    FROM pg_catalog.pg_stats s
    JOIN pg_catalog.pg_class c ON c.relname = s.tablename AND c.relnamespace = 'sync'::regnamespace
    WHERE s.schemaname = 'sync' AND NOT s.inherited
    GROUP BY c.oid;
$$;

-- What keeps vacuum from removing rows that have died since: sessions, prepared transactions, standbys and slots. `age`
-- counts transactions. `seconds` is null where the owner may not see it: of other roles' sessions members of pg_monitor do.
CREATE FUNCTION sync.vacuum_holders() RETURNS TABLE (kind text, name text, age bigint, seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN a.backend_type = 'walsender' THEN 'standby' ELSE 'session' END, a.pid::text,
        greatest(age(a.backend_xid), age(a.backend_xmin))::bigint,
        extract(epoch FROM clock_timestamp() - a.xact_start)::double precision
    FROM pg_catalog.pg_stat_activity a
    WHERE a.pid <> pg_backend_pid() AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
        AND (a.datid IS NULL OR a.datname = current_database())
        AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
    UNION ALL
    SELECT 'prepared transaction', p.gid, age(p.transaction)::bigint,
        extract(epoch FROM clock_timestamp() - p.prepared)::double precision
    FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database()
    UNION ALL
    SELECT 'slot', s.slot_name::text, age(s.xmin)::bigint, NULL
    FROM pg_catalog.pg_replication_slots s WHERE s.xmin IS NOT NULL;
$$;

REVOKE ALL ON FUNCTION sync.row_widths(), sync.vacuum_holders() FROM PUBLIC;

-- The state of each table of the sidecar, a row for each partition of those that have any. All of it is what PostgreSQL
-- has counted or estimated: no table is read.
CREATE VIEW sync.health AS
SELECT coalesce(p.relname, c.relname)::text AS table_name,
    CASE WHEN p.oid IS NOT NULL THEN c.relname::text END AS partition,
    pg_table_size(c.oid) AS table_bytes, pg_indexes_size(c.oid) AS index_bytes,
    -- Null before the first ANALYZE or VACUUM.
    CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS estimated_rows,
    pg_stat_get_live_tuples(c.oid) AS live_rows, pg_stat_get_dead_tuples(c.oid) AS dead_rows,
    -- Autovacuum comes when there are more dead rows.
    (coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::double precision)
        + coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::double precision)
        * greatest(c.reltuples, 0))::bigint AS vacuum_above_rows,
    -- What the rows do not take of the pages, beyond the share that the fillfactor leaves free. An estimate, without TOAST
    -- and indexes; null before the first ANALYZE.
    CASE WHEN c.reltuples >= 0 AND w.width IS NOT NULL THEN greatest(0, pg_relation_size(c.oid)
        - ceil(greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)) * (8 * ceil((24 + w.width) / 8) + 4)
            / ((b.bytes - 24) * coalesce(o.fill, 100) / 100)) * b.bytes)::bigint END AS bloat_bytes,
    -- The share of pages of which an index alone tells who may see their rows.
    CASE WHEN c.relpages > 0 THEN least(1, c.relallvisible::double precision / c.relpages) END AS index_only_share,
    pg_stat_get_tuples_inserted(c.oid) AS inserted_rows, pg_stat_get_tuples_updated(c.oid) AS updated_rows,
    -- Updates that changed no index.
    pg_stat_get_tuples_hot_updated(c.oid) AS hot_updated_rows, pg_stat_get_tuples_deleted(c.oid) AS deleted_rows,
    greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS last_vacuum,
    greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
LEFT JOIN sync.row_widths() w ON w.relation = c.oid
CROSS JOIN (SELECT current_setting('block_size')::integer AS bytes) AS b
CROSS JOIN LATERAL (
    SELECT max(t.option_value) FILTER (WHERE t.option_name = 'fillfactor')::double precision AS fill,
        max(t.option_value) FILTER (WHERE t.option_name = 'autovacuum_vacuum_threshold')::double precision
            AS threshold,
        max(t.option_value) FILTER (WHERE t.option_name = 'autovacuum_vacuum_scale_factor')::double precision
            AS scale
    FROM pg_options_to_table(c.reloptions) AS t
) AS o
WHERE c.relnamespace = 'sync'::regnamespace AND c.relkind = 'r';

-- What concerns the whole database, one row: for how long the oldest transaction has been open; how many transactions have
-- begun since what keeps vacuum from its work, and what that is; when the changes at the oldest and newest floor were made.
CREATE VIEW sync.database_health AS
WITH holders AS MATERIALIZED (SELECT h.kind, h.name, h.age, h.seconds FROM sync.vacuum_holders() AS h)
SELECT (SELECT max(h.seconds) FROM holders h) AS oldest_transaction_seconds,
    f.age AS held_transactions, f.kind AS held_by, f.name AS held_by_name,
    (SELECT min(s.floor_at) FROM sync.scope s) AS oldest_floor_at,
    (SELECT max(s.floor_at) FROM sync.scope s) AS newest_floor_at
FROM (VALUES (true)) AS one (is_one)
LEFT JOIN (
    SELECT h.kind, h.name, h.age FROM holders h
    ORDER BY h.age DESC NULLS LAST, h.seconds DESC NULLS LAST LIMIT 1
) AS f ON true;

-- Settings of hot tables, but for those that somebody has made already. Room in each page lets an update stay in it, so
-- that no index changes. Autovacuum comes after a twentieth of the rows instead of a fifth, so that each time it has little
-- to do; to the log also after as many new ones.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT c.oid::regclass AS relation,
            string_agg(format('%s = %s', w.option, w.value), ', ' ORDER BY w.place) AS options
        FROM (VALUES
            (1, 'scope', 'autovacuum_vacuum_scale_factor', '0.05'),
            (2, 'usage', 'autovacuum_vacuum_scale_factor', '0.05'),
            (3, 'device_report', 'fillfactor', '70'),
            (4, 'device_report', 'autovacuum_vacuum_scale_factor', '0.05'),
            (5, 'change_log', 'autovacuum_vacuum_scale_factor', '0.05'),
            (6, 'change_log', 'autovacuum_vacuum_insert_scale_factor', '0.05'),
            (7, 'row_state', 'autovacuum_vacuum_scale_factor', '0.05')
        ) AS w (place, table_name, option, value)
        JOIN pg_catalog.pg_class c ON c.relnamespace = 'sync'::regnamespace AND c.relkind = 'r'
        LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
        LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
        WHERE coalesce(p.relname, c.relname) = w.table_name
            AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) AS t WHERE t.option_name = w.option)
        GROUP BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s SET (%s)', wanted.relation, wanted.options);
    END LOOP;
END $$;
