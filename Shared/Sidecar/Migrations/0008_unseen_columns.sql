-- The look-up of columns that a service has not seen yet probes the index, whatever the planner makes of arrays that it
-- knows nothing of: as a join it read the columns of the whole database.
CREATE OR REPLACE FUNCTION sync.expect_no_columns(relations text[], names text[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(relations, names) AS u(relation, name)
        CROSS JOIN LATERAL (
            SELECT FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = to_regclass(u.relation) AND a.attnum > 0 AND NOT a.attisdropped
                AND lower(a.attname::text COLLATE "default") = u.name
            LIMIT 1
        ) AS present
    ) THEN
        RAISE EXCEPTION 'a payload names a column that is new' USING ERRCODE = 'OV002';
    END IF;
END $$;
