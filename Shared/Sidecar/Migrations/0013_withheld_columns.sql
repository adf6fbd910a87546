-- Columns that stay on the server, and columns that devices only read.

ALTER TABLE sync.catalog
    -- Neither captured nor served.
    ADD COLUMN except_columns text[],
    -- The columns that devices do not write, each with the roles that do: {"column": ["role"]}.
    ADD COLUMN read_only_columns json;

-- As the one with three parameters, without some columns.
CREATE FUNCTION sync.wire_columns(relation oid, key_column text, owner_column text, except_columns text[])
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    WITH RECURSIVE present AS (
        SELECT a.attname::text AS name, a.attnum AS place, lower(a.attname::text COLLATE "default") AS wire_name,
            '"' || replace(a.attname, '"', '""') || '"' AS quoted, a.atttypid AS type
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname::text <> ALL (except_columns)
    ), types AS (
        -- A column's own type and, where that is a domain, what it is made of.
        SELECT place, type FROM present
        UNION ALL
        SELECT d.place, t.typbasetype FROM types d JOIN pg_catalog.pg_type t ON t.oid = d.type AND t.typtype = 'd'
    ), shown AS (
        -- Of columns that differ only in case uploads write the first.
        SELECT DISTINCT ON (wire_name) * FROM present WHERE name IS DISTINCT FROM owner_column
        ORDER BY wire_name, place
    )
    SELECT string_agg(
        CASE WHEN (place, 'bytea'::regtype) IN (SELECT t.place, t.type FROM types t) THEN 'replace(encode(t.' || quoted || $q$, 'base64'), E'\n', '')$q$
            ELSE 't.' || quoted END || ' AS "' || replace(wire_name, '"', '""') || '"', ', ' ORDER BY place)
    FROM shown
    WHERE EXISTS (SELECT FROM present WHERE name = key_column)
        AND (owner_column IS NULL OR EXISTS (SELECT FROM present WHERE name = owner_column)));

REVOKE ALL ON FUNCTION sync.wire_columns(oid, text, text, text[]) FROM PUBLIC;
