-- What the sidecar refuses by itself, with an error that says what to do.

-- Stops a statement of plain SQL that would log a row which devices cannot take.
CREATE FUNCTION sync.refuse_row(state text, message text, detail text, hint text) RETURNS json
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;

-- Stops an upload whose payloads name columns that its table has and the service has not seen yet: it looks
-- at the table again and repeats the upload.
CREATE FUNCTION sync.expect_no_columns(relations text[], names text[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(relations, names) AS u(relation, name)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(u.relation)
            AND lower(a.attname::text COLLATE "default") = u.name AND a.attnum > 0 AND NOT a.attisdropped
    ) THEN
        RAISE EXCEPTION 'a payload names a column that is new' USING ERRCODE = 'OV002';
    END IF;
END $$;
