-- Views that join to business tables, a look-up by key, the rows that PostgreSQL stores otherwise than devices sent
-- them, the columns that devices do not write, and what else older layouts lacked.

-- Few devices are revoked, and whoever follows a user asks which.
CREATE INDEX source_revoked ON sync.source (scope_id) WHERE revoked_at IS NOT NULL;

-- Domains made of domains.
CREATE OR REPLACE FUNCTION sync.wire_columns(relation oid, key_column text, owner_column text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    WITH RECURSIVE present AS (
        SELECT a.attname::text AS name, a.attnum AS place, lower(a.attname::text COLLATE "default") AS wire_name,
            '"' || replace(a.attname, '"', '""') || '"' AS quoted, a.atttypid AS type
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
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

-- The views keep their names and change a column's type, which takes new ones.
ALTER VIEW sync.server_change_log RENAME TO server_change_log_10;
ALTER VIEW sync.sync_row_meta RENAME TO sync_row_meta_10;
ALTER VIEW sync.sync_state RENAME TO sync_state_10;

CREATE VIEW sync.server_change_log AS
SELECT l.seq AS server_id, s.user_id, c.schema_name, c.table_name,
    CASE l.op WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE' ELSE 'DELETE' END AS op,
    CASE WHEN c.key_kind = 'uuid' THEN encode(l.key, 'hex')::uuid END AS pk_uuid, l.payload,
    d.device AS source_id, l.source_change_id, l.version AS server_version, l.ts,
    CASE WHEN c.key_kind = 'uuid' THEN encode(l.key, 'hex')::uuid::text ELSE convert_from(l.key, 'UTF8') END AS pk
FROM sync.change_log l
JOIN sync.scope s USING (scope_id)
JOIN sync.catalog c USING (table_id)
LEFT JOIN sync.source d ON d.scope_id = l.scope_id AND d.source_no = l.source_no;

CREATE VIEW sync.sync_row_meta AS
SELECT s.user_id, c.schema_name, c.table_name,
    CASE WHEN c.key_kind = 'uuid' THEN encode(r.key, 'hex')::uuid END AS pk_uuid,
    r.version AS server_version, r.deleted, l.ts AS updated_at,
    CASE WHEN c.key_kind = 'uuid' THEN encode(r.key, 'hex')::uuid::text ELSE convert_from(r.key, 'UTF8') END AS pk
FROM sync.row_state r
JOIN sync.scope s USING (scope_id)
JOIN sync.catalog c USING (table_id)
LEFT JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq;

CREATE VIEW sync.sync_state AS
SELECT s.user_id, c.schema_name, c.table_name,
    CASE WHEN c.key_kind = 'uuid' THEN encode(r.key, 'hex')::uuid END AS pk_uuid, l.payload,
    CASE WHEN c.key_kind = 'uuid' THEN encode(r.key, 'hex')::uuid::text ELSE convert_from(r.key, 'UTF8') END AS pk
FROM sync.row_state r
JOIN sync.scope s USING (scope_id)
JOIN sync.catalog c USING (table_id)
JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq
WHERE NOT r.deleted;

-- What an operator has granted on the old ones holds for the new ones. An old one that other views are made of stays
-- until the next release.
DO $$
DECLARE
    held record;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['server_change_log', 'sync_row_meta', 'sync_state'] LOOP
        FOR held IN
            SELECT a.privilege_type AS privilege,
                CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = format('sync.%I', name || '_10')::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON sync.%I TO %s', held.privilege, name, held.role);
        END LOOP;
        BEGIN
            EXECUTE format('DROP VIEW sync.%I', name || '_10');
        EXCEPTION WHEN dependent_objects_still_exist THEN
            RAISE NOTICE 'other views are made of sync.%, which is called sync.%_10 now', name, name;
        END;
    END LOOP;
END $$;

-- One row of a user by its key, with the index: in the views a key is an expression, which no index has. No row if the
-- user, the table or the key is not known; `pk` must be a uuid where the table's keys are.
CREATE FUNCTION sync.find_row(user_id text, schema_name text, table_name text, pk text)
RETURNS TABLE (pk_uuid uuid, server_version bigint, deleted boolean, updated_at timestamptz, payload json)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.key_kind = 'uuid' THEN find_row.pk::uuid END, r.version, r.deleted, l.ts, l.payload
    FROM sync.catalog c
    JOIN sync.scope s ON s.user_id = find_row.user_id
    JOIN sync.row_state r ON r.scope_id = s.scope_id AND r.table_id = c.table_id
        AND r.key = CASE WHEN c.key_kind = 'uuid' THEN uuid_send(find_row.pk::uuid)
            ELSE convert_to(find_row.pk, 'UTF8') END
    LEFT JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq
    WHERE c.schema_name = find_row.schema_name AND c.table_name = find_row.table_name;
$$;

REVOKE ALL ON FUNCTION sync.find_row(text, text, text, text) FROM PUBLIC;

-- The tables in which PostgreSQL has stored a row of a user's otherwise than a device sent it. From then on the user's
-- devices get their own changes of these tables, too.
CREATE TABLE sync.returned_table (
    scope_id bigint NOT NULL,
    table_id smallint NOT NULL,
    PRIMARY KEY (scope_id, table_id)
);

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
