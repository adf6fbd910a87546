-- Each service connects as a role of its own, with no more rights than its statements need.

-- Databases of layout 9 and before have the Auth service's table in the schema `auth`. It moves, and a view under
-- the old name serves the previous version of Auth until the next release drops it.
DO $$
DECLARE
    holder record;
BEGIN
    IF to_regclass('oversync_auth.signing_key') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA IF NOT EXISTS oversync_auth;
    ALTER TABLE auth.signing_key SET SCHEMA oversync_auth;
    CREATE VIEW auth.signing_key AS SELECT * FROM oversync_auth.signing_key;
    -- Rights that an operator has granted on the table hold for both names.
    FOR holder IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS name,
            a.privilege_type AS privilege
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'oversync_auth.signing_key'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA oversync_auth TO %s', holder.name);
        EXECUTE format('GRANT %s ON auth.signing_key TO %s', holder.privilege, holder.name);
    END LOOP;
END $$;

-- Functions lose the EXECUTE that PostgreSQL gives to everybody: `oversync migrate` grants them to
-- the services' roles one by one. Whoever calls them now keeps the right: the roles that may enter
-- the schema, its owner, and the owners of capture functions, which call the others as their owner,
-- whoever made those.
DO $$
DECLARE
    holder record;
BEGIN
    FOR holder IN
        SELECT quote_ident(pg_get_userbyid(h.role)) AS name
        FROM (
            SELECT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = 'sync' AND a.privilege_type = 'USAGE' AND a.grantee <> 0
            UNION
            SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'sync'
            UNION
            SELECT p.proowner FROM pg_proc p
            WHERE p.pronamespace = 'sync'::regnamespace AND p.proname ~ '^capture_[0-9]+$'
        ) AS h(role)
    LOOP
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sync TO %s', holder.name);
    END LOOP;
    -- A database that lets everybody into the schema: the services of the previous version may be
    -- among them.
    IF NOT EXISTS (
        SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
        WHERE n.nspname = 'sync' AND a.privilege_type = 'USAGE' AND a.grantee = 0
    ) THEN
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sync FROM PUBLIC;
    END IF;
END $$;

-- Names mean what they mean here, whatever the caller's search_path says. Functions whose body is an SQL expression
-- (`key_text`, `wire_columns`) were bound to their operators when they were made.
ALTER FUNCTION sync.expect_rows(bigint, bigint) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION sync.cascades_into(oid, text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION sync.is_upload_statement(text, integer) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION sync.lock_scopes(text[]) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION sync.refuse_row(text, text, text, text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION sync.expect_no_columns(text[], text[]) SET search_path = pg_catalog, pg_temp;

-- What Auth may know of the sidecar.
CREATE VIEW oversync_auth.layout AS SELECT layout_version FROM sync.meta;

-- The role that each service connects as, written by `oversync migrate`.
CREATE TABLE sync.role (
    purpose text PRIMARY KEY CHECK (purpose IN ('upload', 'download', 'auth', 'maintenance')),
    name text NOT NULL,
    -- Oversync created it, and sets its password and session settings. Any other is only granted to.
    managed boolean NOT NULL
);

-- What `oversync migrate` has granted: it revokes this, and nothing else, once it is no longer needed.
CREATE TABLE sync.role_grant (
    role_name text NOT NULL,
    -- database, schema, table, sequence or function.
    kind text NOT NULL,
    object text NOT NULL,
    privilege text NOT NULL,
    PRIMARY KEY (role_name, kind, object, privilege)
);
