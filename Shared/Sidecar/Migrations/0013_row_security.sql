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
