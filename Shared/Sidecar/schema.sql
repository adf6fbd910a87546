-- The whole layout as the migrations leave it, to be read; a test proves that it is what they make. Databases
-- are made and changed by the migrations alone.

-- The sidecar: what the sync service knows about rows, beside the business tables.
-- Hot tables carry no foreign keys of their own: each would lock its parent row once more per change.

CREATE SCHEMA sync;

-- One row: the identity of this database's history.
CREATE TABLE sync.meta (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    layout_version integer NOT NULL,
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO sync.meta (layout_version) VALUES (18);

-- The unit of isolation and ordering: today one per user. Every transaction that adds to a scope's
-- change log locks this row first and takes its sequences from it, so sequence order is commit order.
CREATE TABLE sync.scope (
    scope_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL UNIQUE,
    last_seq bigint NOT NULL DEFAULT 0,
    floor_seq bigint NOT NULL DEFAULT 0,
    -- Up to compacted_seq the log lacks compacted_count changes that compaction has removed.
    compacted_seq bigint NOT NULL DEFAULT 0,
    compacted_count bigint NOT NULL DEFAULT 0,
    -- The last change of the newest atomic upload: readers beyond it look for none.
    atomic_seq bigint NOT NULL DEFAULT 0,
    -- The tag of the change at tagged_seq. It is the last one's if tagged_seq is last_seq: plain SQL adds changes
    -- without a look at these two.
    tagged_seq bigint NOT NULL DEFAULT 0,
    last_tag bigint NOT NULL DEFAULT 0,
    -- The same of a change that compaction removed when it was the last one.
    kept_seq bigint NOT NULL DEFAULT 0,
    kept_tag bigint NOT NULL DEFAULT 0,
    -- When the change at the floor was made: a device that has not come since begins again from 0. Null: no delete was
    -- removed since this column is there.
    floor_at timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX scope_floor ON sync.scope (floor_at) WHERE floor_at IS NOT NULL;

-- The devices that ever wrote in a scope.
CREATE TABLE sync.source (
    scope_id bigint NOT NULL,
    source_no integer NOT NULL,
    device text NOT NULL,
    max_change_id bigint NOT NULL DEFAULT 0,
    last_seen timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    PRIMARY KEY (scope_id, source_no),
    UNIQUE (scope_id, device)
);
-- Few are revoked, and whoever follows a user asks which.
CREATE INDEX source_revoked ON sync.source (scope_id) WHERE revoked_at IS NOT NULL;
-- A device that a request's header names belongs to the user who used it first: found without a user. By a hash, which
-- no statement that names the scope can use instead: many users may have devices of one name.
CREATE INDEX source_device ON sync.source (hashtextextended(device, 0));

-- Devices that began at 0 when their log's floor was at floor_seq. Until it is raised again they miss nothing,
-- though their cursors are below it for a while.
CREATE TABLE sync.hydration (
    scope_id bigint NOT NULL,
    device text NOT NULL,
    floor_seq bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, device)
);

-- Numbers that devices have leased from the sequences of integer keys: first_key, first_key + step, and so on, key_count of
-- them. Nobody else gets them. The row is also what makes them safe from a crash: PostgreSQL may give a number again that
-- nextval has given in a transaction that wrote nothing.
CREATE TABLE sync.key_lease (
    scope_id bigint NOT NULL,
    device text NOT NULL,
    table_id smallint NOT NULL,
    first_key bigint NOT NULL,
    key_count integer NOT NULL,
    step bigint NOT NULL,
    leased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, device, table_id, first_key)
);
CREATE INDEX key_lease_time ON sync.key_lease (leased_at);

-- What devices say of themselves, for administrators: nothing is decided by it. A device that does not say anything has
-- no row.
CREATE TABLE sync.device_report (
    scope_id bigint NOT NULL,
    device text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    -- When the device last said something of itself, and what. Both null where only a token was rejected.
    reported_at timestamptz,
    report json,
    -- When a token of the device with a good signature was last rejected, and why.
    rejected_at timestamptz,
    rejection text,
    PRIMARY KEY (scope_id, device)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- The registered tables, written by `oversync migrate` from oversync.yaml.
CREATE TABLE sync.catalog (
    table_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    key_kind text NOT NULL CHECK (key_kind IN ('uuid', 'text', 'integer')),
    key_column text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('table', 'sidecar')),
    owner_column text,
    removed_at timestamptz,
    -- What `oversync migrate` made to capture plain SQL: tells whether it still fits the table's columns.
    capture_fingerprint text,
    -- Who may read and write, by the roles of their tokens. Null: everybody. A table can be written only by
    -- those who may read it.
    read_roles text[],
    write_roles text[],
    -- Neither captured nor served.
    except_columns text[],
    -- The columns that devices do not write, each with the roles that do: {"column": ["role"]}.
    read_only_columns json,
    -- Its policies decide about uploads.
    row_security boolean NOT NULL DEFAULT false,
    -- Who else may read and write, by the names of users and devices: [{"role": "…", "user": "…", "device": "…"}].
    read_patterns json,
    write_patterns json,
    UNIQUE (schema_name, table_name)
);

-- Every applied change, in the order of its scope. `oversync migrate --partitions` splits it by scope, and so the states of
-- rows.
CREATE TABLE sync.change_log (
    scope_id bigint NOT NULL,
    seq bigint NOT NULL,
    table_id smallint NOT NULL,
    op "char" NOT NULL CHECK (op IN ('I', 'U', 'D')),
    key bytea NOT NULL,
    version bigint NOT NULL,
    payload json,
    source_no integer NOT NULL,
    source_change_id bigint NOT NULL,
    content_hash bigint NOT NULL,
    ts timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (scope_id, seq),
    CONSTRAINT change_log_payload_by_op CHECK ((op = 'D') = (payload IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
-- Not unique: an edit that a device sends again under its old change id becomes that change's successor.
CREATE INDEX change_log_change_id ON sync.change_log (scope_id, source_no, source_change_id);

-- What each row is now. Its payload is that of its newest change.
CREATE TABLE sync.row_state (
    scope_id bigint NOT NULL,
    table_id smallint NOT NULL,
    key bytea NOT NULL,
    version bigint NOT NULL,
    seq bigint NOT NULL,
    deleted boolean NOT NULL,
    -- The bytes that it counts with in its user's use. Null: it does not count, or was not counted yet.
    counted_bytes integer,
    PRIMARY KEY (scope_id, table_id, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The live rows of a user, and the bytes of their newest payloads, as its log was at counted_seq. Upload counts what was
-- added since, whoever added it: the sums are always those of row_state.counted_bytes. Empty while quotas are off.
CREATE TABLE sync.usage (
    scope_id bigint PRIMARY KEY,
    counted_seq bigint NOT NULL,
    live_rows bigint NOT NULL,
    payload_bytes bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- The tables in which PostgreSQL has stored a row of a user's otherwise than a device sent it. From then on the user's
-- devices get their own changes of these tables, too.
CREATE TABLE sync.returned_table (
    scope_id bigint NOT NULL,
    table_id smallint NOT NULL,
    PRIMARY KEY (scope_id, table_id)
);

-- The atomic uploads that made more than one change, each with its part of the user's log. What triggers and foreign
-- keys changed in this log meanwhile is among them: the upload locks the log until its commit.
CREATE TABLE sync.atomic_upload (
    scope_id bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    source_no integer NOT NULL,
    PRIMARY KEY (scope_id, last_seq)
);

-- Who a row of a table without an owner column belongs to: the first user whose change created its key.
CREATE TABLE sync.key_owner (
    table_id smallint NOT NULL,
    key bytea NOT NULL,
    scope_id bigint NOT NULL,
    PRIMARY KEY (table_id, key)
);

-- Changes that a business table refused. They are in no log; the device keeps them.
CREATE TABLE sync.materialize_failures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope_id bigint NOT NULL,
    table_id smallint NOT NULL,
    key bytea NOT NULL,
    attempted_version bigint NOT NULL,
    op "char" NOT NULL CHECK (op IN ('I', 'U', 'D')),
    payload json,
    source_no integer NOT NULL,
    source_change_id bigint NOT NULL,
    sqlstate text NOT NULL,
    error text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    retry_count integer NOT NULL DEFAULT 0,
    next_retry_at timestamptz,
    resolved_at timestamptz,
    -- Of what the device sent; the payload lacks what it may not write. Null where an older version recorded it.
    content_hash bigint,
    -- Of the token that sent it, where policies decide.
    roles text[],
    UNIQUE (scope_id, table_id, key, attempted_version)
);
-- Metrics count those that nobody has dealt with every half minute, and look for the oldest.
CREATE INDEX materialize_failures_open ON sync.materialize_failures (first_seen) WHERE resolved_at IS NULL;

-- Tables that were written to without capture, until a comparison of all their rows shows that devices have them. Its
-- key means nothing on another server that this table is replicated to, and meets none there.
CREATE TABLE sync.uncaptured_write (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    table_id smallint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    -- A comparison has begun since: later writers make a row of their own.
    is_seen boolean NOT NULL DEFAULT false
);

-- The audit: who did what with power, from where, and what came of it. Append-only.
CREATE TABLE sync.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    -- begun, done, refused or failed.
    outcome text NOT NULL,
    details json,
    -- What kind of name the actor is: role, token, client or service. Null where an older version wrote the row.
    actor_kind text,
    -- Who signed the actor's token, where that is known.
    issuer text,
    -- A client's address, or the user and name of a machine.
    host text,
    -- The role of the session that wrote the row.
    database_role text DEFAULT session_user,
    -- Why it was refused or failed, or more about what was done.
    code text,
    -- The rows of one action that took several transactions.
    operation uuid
);
-- For pruning, and for reading what is new.
CREATE INDEX audit_at ON sync.audit (at);

-- The settings that each service last started with, but for secrets, so that a change is seen.
CREATE TABLE sync.service_configuration (
    service text PRIMARY KEY,
    -- By name, as text.
    settings jsonb,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

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

-- Functions: names mean what they mean here, whatever the caller's search_path says; those whose body is an SQL
-- expression were bound to their operators when they were made. Only roles that they are granted to may call them.

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

-- Stops a transaction whose statement met fewer rows than the change log says it must have.
CREATE FUNCTION sync.expect_rows(actual bigint, expected bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION 'a business table took % of % rows', actual, expected USING ERRCODE = 'OV001';
    END IF;
    RETURN actual;
END $$;

-- Changes made by plain SQL. Statement triggers on registered tables (generated by `oversync migrate`, one
-- function a table, `sync.capture_<table_id>`) append what they see to the change log of the row's user.

-- Whether a statement on a table may be PostgreSQL's own work on behalf of a foreign key. In plpgsql, as the next
-- one: a function in SQL would be planned anew in every transaction.
CREATE FUNCTION sync.cascades_into(child oid, operation text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN operation <> 'INSERT' AND EXISTS (
        SELECT FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = child AND k.contype = 'f'
            AND CASE operation WHEN 'DELETE' THEN k.confdeltype = 'c'
                ELSE k.confupdtype IN ('c', 'n', 'd') OR k.confdeltype IN ('n', 'd') END);
END $$;

-- Whether a statement trigger runs for a statement that an upload sent itself. The upload says which kind it
-- is sending (`U` upserts, then `D` deletes); what its statements cause in turn is of the other kind, or
-- nested in a trigger of the team's.
CREATE FUNCTION sync.is_upload_statement(operation text, depth integer) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN depth = 1 AND coalesce(current_setting('oversync.writes', true), '')
        = CASE operation WHEN 'DELETE' THEN 'D' ELSE 'U' END;
END $$;

-- Locks the logs of some users against each other, in one order for all, creating those that are missing.
CREATE FUNCTION sync.lock_scopes(users text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO sync.scope (user_id)
    SELECT u FROM unnest(users) AS u
    WHERE NOT EXISTS (SELECT FROM sync.scope s WHERE s.user_id = u)
    ORDER BY u
    ON CONFLICT (user_id) DO NOTHING;
    PERFORM FROM sync.scope WHERE user_id = ANY (users) ORDER BY scope_id FOR NO KEY UPDATE;
END $$;

-- How a row `t` of a table is shown to devices: the items of a SELECT, each column under its wire name, but the
-- owner's. NULL if the key or the owner column is not there. `WireRendering` writes the same.
CREATE FUNCTION sync.wire_columns(relation oid, key_column text, owner_column text) RETURNS text
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

-- Stops a statement of plain SQL that would log a row which devices cannot take.
CREATE FUNCTION sync.refuse_row(state text, message text, detail text, hint text) RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;

-- Stops an upload whose payloads name columns that its table has and the service has not seen yet: it looks
-- at the table again and repeats the upload.
CREATE FUNCTION sync.expect_no_columns(relations text[], names text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

-- The tag of a change: tells it from any other at its sequence. `TaggedChange` computes the same.
CREATE FUNCTION sync.change_tag(
    seq bigint, op "char", version bigint, source_change_id bigint, content_hash bigint, ts timestamptz, key bytea
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substring(sha256(
    int8send(seq) || charsend(op) || int8send(version) || int8send(source_change_id) || int8send(content_hash)
        || timestamptz_send(ts) || key) FROM 1 FOR 8), 'hex'))::bit(64)::bigint;

-- A service adds rows, and does not choose their number, time and role: one that was broken into could take the numbers
-- of rows to come, and so keep them from being written.
CREATE FUNCTION sync.stamp_audit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'sync.audit'::regclass), 'MEMBER') THEN
        NEW.id := nextval(pg_get_serial_sequence('sync.audit', 'id'));
        NEW.at := now();
        NEW.database_role := session_user;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON sync.audit FOR EACH ROW EXECUTE FUNCTION sync.stamp_audit();

-- Records the settings that a service starts with. Only a difference from the last ones goes into the audit: replicas
-- that start at once take turns, and the first tells. True if it has.
CREATE FUNCTION sync.record_configuration(service_name text, host_name text, given jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former jsonb;
    differences json;
BEGIN
    INSERT INTO sync.service_configuration (service) VALUES (service_name) ON CONFLICT DO NOTHING;
    SELECT c.settings INTO former FROM sync.service_configuration c WHERE c.service = service_name FOR UPDATE;
    IF former = given THEN
        RETURN false;
    END IF;
    UPDATE sync.service_configuration SET settings = given, recorded_at = now() WHERE service = service_name;
    SELECT json_object_agg(name, json_build_object('from', f.value, 'to', g.value) ORDER BY name) INTO differences
    FROM jsonb_each_text(coalesce(former, '{}')) AS f(name, value)
    FULL JOIN jsonb_each_text(given) AS g(name, value) USING (name)
    WHERE f.value IS DISTINCT FROM g.value;
    INSERT INTO sync.audit (actor, actor_kind, host, action, target, outcome, code, details)
    VALUES (service_name, 'service', host_name, 'configuration.change', service_name, 'done',
        CASE WHEN former IS NULL THEN 'first' ELSE 'changed' END, differences);
    RETURN true;
END $$;

-- The quotas that Upload was started with last, as text; NULL for what it does not limit. Of its settings nobody may read
-- more.
CREATE FUNCTION sync.quotas() RETURNS TABLE (rows text, bytes text, devices text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.settings ->> 'OVERSYNC_QUOTA_ROWS', c.settings ->> 'OVERSYNC_QUOTA_BYTES',
        c.settings ->> 'OVERSYNC_QUOTA_DEVICES'
    FROM sync.service_configuration c WHERE c.service = 'oversync-upload';
$$;

-- A stored key as the wire writes it.
CREATE FUNCTION sync.key_text(key bytea, kind text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN kind = 'uuid' THEN encode(key, 'hex')::uuid::text ELSE convert_from(key, 'UTF8') END;

-- The same facts under the names that people and older tools know.
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

-- The newest rows of the audit, for administrators: what reads for them gets no right on the table itself.
CREATE FUNCTION sync.read_audit(wanted_action text, before_id bigint, most integer) RETURNS SETOF sync.audit
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM sync.audit a
    WHERE (wanted_action = '' OR a.action = wanted_action) AND (before_id = 0 OR a.id < before_id)
    ORDER BY a.id DESC LIMIT most;
$$;

-- Takes up to `wanted` numbers between `lowest` and `highest` from a sequence for a device, and records them. Fewer, or
-- none, where the sequence ends. Numbers that others take meanwhile leave gaps: each part without a gap is a row.
CREATE FUNCTION sync.lease_keys(
    scope bigint, leased_by text, table_number smallint, sequence regclass, wanted integer, lowest bigint, highest bigint
) RETURNS TABLE (first_number bigint, number_count integer, increment bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    distance bigint;
    number bigint;
    numbers bigint[] := '{}';
BEGIN
    SELECT q.seqincrement INTO distance FROM pg_sequence q WHERE q.seqrelid = sequence AND NOT q.seqcycle;
    IF NOT FOUND THEN wanted := 0; END IF;
    -- One call after another, as INSERT does: setval would race with those of plain SQL.
    BEGIN
        FOR turn IN 1..wanted LOOP
            number := nextval(sequence);
            EXIT WHEN number NOT BETWEEN lowest AND highest;
            -- Devices cannot store it: their triggers see it in place of a missing key.
            CONTINUE WHEN number = -1;
            numbers := numbers || number;
        END LOOP;
    EXCEPTION WHEN sequence_generator_limit_exceeded THEN
        -- What was taken before counts.
        NULL;
    END;
    RETURN QUERY
    WITH part AS (
        SELECT (array_agg(n.number ORDER BY n.place))[1] AS first_key, count(*)::integer AS key_count
        FROM unnest(numbers) WITH ORDINALITY AS n (number, place)
        GROUP BY n.number::numeric - distance::numeric * n.place
    )
    -- A sequence that was restored may give a number again.
    INSERT INTO sync.key_lease AS l (scope_id, device, table_id, first_key, key_count, step)
    SELECT scope, leased_by, table_number, p.first_key, p.key_count, distance FROM part p
    ON CONFLICT (scope_id, device, table_id, first_key) DO UPDATE
    SET key_count = excluded.key_count, step = excluded.step, leased_at = excluded.leased_at
    RETURNING l.first_key, l.key_count, l.step;
END $$;

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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sync FROM PUBLIC;

-- The Auth service's own tables. No other service's role may read them.

CREATE SCHEMA oversync_auth;

-- Keys that sign tokens. The private half is sealed (AES-256-GCM) with the service's master key, so that
-- a copy of the database signs nothing.
CREATE TABLE oversync_auth.signing_key (
    kid text PRIMARY KEY,
    algorithm text NOT NULL CHECK (algorithm = 'ES256'),
    public_key bytea NOT NULL,
    sealed_private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Signs from then on; until then it is only published, so that verifiers know it in time.
    active_from timestamptz NOT NULL DEFAULT now(),
    -- No longer published after that.
    retires_at timestamptz
);

-- What Auth may know of the sidecar.
CREATE VIEW oversync_auth.layout AS SELECT layout_version FROM sync.meta;

-- What Auth may add to the audit. Time and role are not its to choose.
CREATE VIEW oversync_auth.audit AS
SELECT actor, actor_kind, issuer, host, action, target, outcome, code, details, operation FROM sync.audit;

-- The same for Auth, which enters no other schema.
CREATE FUNCTION oversync_auth.record_configuration(host_name text, given jsonb) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN sync.record_configuration('oversync-auth', host_name, given);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA oversync_auth FROM PUBLIC;
