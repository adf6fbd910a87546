-- Plain SQL is captured with the columns that a table has at the moment, whether or not `oversync migrate` has
-- run since they changed.

-- How a row `t` of a table is shown to devices: the items of a SELECT, each column under its wire name, but the
-- owner's. NULL if the key or the owner column is not there. `WireRendering` writes the same.
CREATE FUNCTION sync.wire_columns(relation oid, key_column text, owner_column text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    WITH present AS (
        SELECT a.attname::text AS name, a.attnum AS place, lower(a.attname::text COLLATE "default") AS wire_name,
            '"' || replace(a.attname, '"', '""') || '"' AS quoted,
            a.atttypid = 'bytea'::regtype OR t.typbasetype = 'bytea'::regtype AS is_bytea
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
    ), shown AS (
        -- Of columns that differ only in case uploads write the first.
        SELECT DISTINCT ON (wire_name) * FROM present WHERE name IS DISTINCT FROM owner_column
        ORDER BY wire_name, place
    )
    SELECT string_agg(
        CASE WHEN is_bytea THEN 'replace(encode(t.' || quoted || $q$, 'base64'), E'\n', '')$q$
            ELSE 't.' || quoted END || ' AS "' || replace(wire_name, '"', '""') || '"', ', ' ORDER BY place)
    FROM shown
    WHERE EXISTS (SELECT FROM present WHERE name = key_column)
        AND (owner_column IS NULL OR EXISTS (SELECT FROM present WHERE name = owner_column)));
