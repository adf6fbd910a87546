-- business.orders
CREATE OR REPLACE FUNCTION sync.capture_1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, MDY'
SET IntervalStyle = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = '1'
SET lc_monetary = 'C'
SET standard_conforming_strings = 'on'
SET row_security = 'off'
AS $capture$
DECLARE
    is_upload CONSTANT boolean := sync.is_upload_statement(TG_OP, pg_trigger_depth());
    own_scope bigint := -1;
    own_first bigint := 0;
    own_last bigint := -1;
    -- The registered table, also where a part of it was written to by its own name.
    registered oid := TG_RELID;
    -- Set if they are others than this function was made for.
    columns text;
    source text := CASE TG_OP WHEN 'DELETE' THEN '(SELECT r.* FROM old_rows AS r WHERE false)'
        ELSE 'new_rows' END;
    captured bigint;
BEGIN
    IF is_upload THEN
        -- All of its rows are logged already, unless something else has written to them since.
        IF coalesce(current_setting('oversync.side_effects', true), '') = ''
            AND (TG_OP = 'INSERT' OR NOT sync.cascades_into(TG_RELID, TG_OP)) THEN
            RETURN NULL;
        END IF;
        own_scope := current_setting('oversync.scope')::bigint;
        own_first := current_setting('oversync.first_seq')::bigint;
        own_last := current_setting('oversync.last_seq')::bigint;
    END IF;
    IF TG_NARGS > 0 THEN
        registered := (
            WITH RECURSIVE above AS (
                SELECT h.inhparent AS oid FROM pg_inherits h WHERE h.inhrelid = TG_RELID
                UNION SELECT h.inhparent
                FROM above JOIN pg_inherits h ON h.inhrelid = above.oid
            )
            SELECT above.oid FROM above JOIN pg_trigger t ON t.tgrelid = above.oid
                AND t.tgfoid = 'sync.capture_1'::regproc AND t.tgnargs = 0 LIMIT 1);
        IF registered IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    -- The team alters its tables before it runs `oversync migrate`.
    IF (SELECT string_agg('"' || replace(a.attname, '"', '""') || '" ' || a.atttypid, ', ' ORDER BY a.attnum)
FROM pg_attribute a WHERE a.attrelid = registered AND a.attnum > 0
    AND NOT a.attisdropped)
        <> '"id" 20, "owner" 25, "title" 25' THEN
        columns := sync.wire_columns(registered, 'id', 'owner');
        IF columns IS NULL THEN
            RAISE EXCEPTION 'the key or owner column of % has gone', TG_RELID::regclass
                USING ERRCODE = 'undefined_column',
                    HINT = 'Name the new one in oversync.yaml and run oversync migrate.';
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        source := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || TG_RELID::regclass
        FROM pg_class c WHERE c.oid = TG_RELID);
    EXECUTE format('SELECT sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %1$s AS x) AS t WHERE t."owner" IS NOT NULL) AS r))', source);
    EXECUTE format('WITH changed AS (
    SELECT ''D''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %1$s AS x) AS t WHERE t."owner" IS NOT NULL) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.orders is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.orders has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered', source)
        INTO captured USING own_scope, own_first, own_last;
    IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
        PERFORM set_config('oversync.side_effects', '1', true);
    END IF;
        RETURN NULL;
    END IF;
    IF strpos(coalesce(current_setting('oversync.nested', true), ''), format(' %s ', registered)) > 0 THEN
        columns := coalesce(columns, 't."id" AS "id", t."title" AS "title"');
        source := format('(SELECT b.* FROM %s AS b WHERE b.%I IN (' || CASE TG_OP
                WHEN 'INSERT' THEN 'SELECT r.%2$I FROM new_rows AS r'
                WHEN 'DELETE' THEN 'SELECT r.%2$I FROM old_rows AS r'
                ELSE 'SELECT r.%2$I FROM new_rows AS r UNION ALL SELECT r.%2$I FROM old_rows AS r'
            END || '))', registered::regclass, 'id');
    ELSIF pg_trigger_depth() > 1 THEN
        PERFORM set_config('oversync.nested',
            format('%s %s ', current_setting('oversync.nested', true), registered), true);
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    SELECT 'I'::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."title" AS "title") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.orders is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.orders has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    SELECT ''I''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t WHERE t."owner" IS NOT NULL) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.orders is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.orders has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM sync.lock_scopes(ARRAY(
            SELECT r.user_id FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r
            UNION SELECT r.user_id FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    (SELECT DISTINCT ON (a.user_id, a.key)
        CASE WHEN b.key IS NULL THEN 'I' ELSE 'U' END::"char" AS op, a.n, a.user_id, a.key, a.payload
    FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."title" AS "title") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS a
    LEFT JOIN (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."title" AS "title") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS b ON b.user_id = a.user_id AND b.key = a.key
    WHERE b.payload::text IS DISTINCT FROM a.payload::text
    ORDER BY a.user_id, a.key, a.n DESC)
UNION ALL
SELECT 'D', b.n, b.user_id, b.key, NULL
    FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS b
    LEFT JOIN (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS a ON a.user_id = b.user_id AND a.key = b.key
    WHERE a.key IS NULL
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.orders is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.orders has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    (SELECT DISTINCT ON (a.user_id, a.key)
        CASE WHEN b.key IS NULL THEN ''I'' ELSE ''U'' END::"char" AS op, a.n, a.user_id, a.key, a.payload
    FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t WHERE t."owner" IS NOT NULL) AS a
    LEFT JOIN (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS b ON b.user_id = a.user_id AND b.key = a.key
    WHERE b.payload::text IS DISTINCT FROM a.payload::text
    ORDER BY a.user_id, a.key, a.n DESC)
UNION ALL
SELECT ''D'', b.n, b.user_id, b.key, NULL
    FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS b
    LEFT JOIN (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t WHERE t."owner" IS NOT NULL) AS a ON a.user_id = b.user_id AND a.key = b.key
    WHERE a.key IS NULL
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.orders is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.orders has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    ELSE
        PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    SELECT 'D'::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, 'UTF8') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.orders is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.orders has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    SELECT ''D''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t WHERE t."owner" IS NOT NULL) AS r WHERE NOT EXISTS (
    SELECT FROM (SELECT t.ctid AS n, t."owner"::text AS user_id, convert_to(t."id"::text, ''UTF8'') AS key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t WHERE t."owner" IS NOT NULL) AS a WHERE a.user_id = r.user_id AND a.key = r.key)
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 1 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 1, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.orders is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.orders has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 1, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    END IF;
    IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
        PERFORM set_config('oversync.side_effects', '1', true);
    END IF;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION sync.capture_1() FROM PUBLIC;
CREATE OR REPLACE TRIGGER oversync_capture_insert AFTER INSERT ON "business"."orders"
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_1();
CREATE OR REPLACE TRIGGER oversync_capture_update AFTER UPDATE ON "business"."orders"
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_1();
CREATE OR REPLACE TRIGGER oversync_capture_delete AFTER DELETE ON "business"."orders"
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_1();
CREATE OR REPLACE TRIGGER oversync_capture_truncate BEFORE TRUNCATE ON "business"."orders"
    FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_1();
UPDATE sync.catalog SET capture_fingerprint = '6c89ef2edfceeab2'
    WHERE table_id = 1;

-- business.sizes
CREATE OR REPLACE FUNCTION sync.capture_2() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO, MDY'
SET IntervalStyle = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = '1'
SET lc_monetary = 'C'
SET standard_conforming_strings = 'on'
SET row_security = 'off'
AS $capture$
DECLARE
    is_upload CONSTANT boolean := sync.is_upload_statement(TG_OP, pg_trigger_depth());
    own_scope bigint := -1;
    own_first bigint := 0;
    own_last bigint := -1;
    -- The registered table, also where a part of it was written to by its own name.
    registered oid := TG_RELID;
    -- Set if they are others than this function was made for.
    columns text;
    source text := CASE TG_OP WHEN 'DELETE' THEN '(SELECT r.* FROM old_rows AS r WHERE false)'
        ELSE 'new_rows' END;
    captured bigint;
BEGIN
    IF is_upload THEN
        -- All of its rows are logged already, unless something else has written to them since.
        IF coalesce(current_setting('oversync.side_effects', true), '') = ''
            AND (TG_OP = 'INSERT' OR NOT sync.cascades_into(TG_RELID, TG_OP)) THEN
            RETURN NULL;
        END IF;
        own_scope := current_setting('oversync.scope')::bigint;
        own_first := current_setting('oversync.first_seq')::bigint;
        own_last := current_setting('oversync.last_seq')::bigint;
    END IF;
    IF TG_NARGS > 0 THEN
        registered := (
            WITH RECURSIVE above AS (
                SELECT h.inhparent AS oid FROM pg_inherits h WHERE h.inhrelid = TG_RELID
                UNION SELECT h.inhparent
                FROM above JOIN pg_inherits h ON h.inhrelid = above.oid
            )
            SELECT above.oid FROM above JOIN pg_trigger t ON t.tgrelid = above.oid
                AND t.tgfoid = 'sync.capture_2'::regproc AND t.tgnargs = 0 LIMIT 1);
        IF registered IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    -- The team alters its tables before it runs `oversync migrate`.
    IF (SELECT string_agg('"' || replace(a.attname, '"', '""') || '" ' || a.atttypid, ', ' ORDER BY a.attnum)
FROM pg_attribute a WHERE a.attrelid = registered AND a.attnum > 0
    AND NOT a.attisdropped)
        <> '"id" 21, "label" 25' THEN
        columns := sync.wire_columns(registered, 'id', NULL);
        IF columns IS NULL THEN
            RAISE EXCEPTION 'the key or owner column of % has gone', TG_RELID::regclass
                USING ERRCODE = 'undefined_column',
                    HINT = 'Name the new one in oversync.yaml and run oversync migrate.';
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        source := (SELECT CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || TG_RELID::regclass
        FROM pg_class c WHERE c.oid = TG_RELID);
    EXECUTE format('SELECT sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %1$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r))', source);
    EXECUTE format('WITH changed AS (
    SELECT ''D''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %1$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.sizes is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.sizes has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = ''D'' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered', source)
        INTO captured USING own_scope, own_first, own_last;
    IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
        PERFORM set_config('oversync.side_effects', '1', true);
    END IF;
        RETURN NULL;
    END IF;
    IF strpos(coalesce(current_setting('oversync.nested', true), ''), format(' %s ', registered)) > 0 THEN
        columns := coalesce(columns, 't."id" AS "id", t."label" AS "label"');
        source := format('(SELECT b.* FROM %s AS b WHERE b.%I IN (' || CASE TG_OP
                WHEN 'INSERT' THEN 'SELECT r.%2$I FROM new_rows AS r'
                WHEN 'DELETE' THEN 'SELECT r.%2$I FROM old_rows AS r'
                ELSE 'SELECT r.%2$I FROM new_rows AS r UNION ALL SELECT r.%2$I FROM old_rows AS r'
            END || '))', registered::regclass, 'id');
    ELSIF pg_trigger_depth() > 1 THEN
        PERFORM set_config('oversync.nested',
            format('%s %s ', current_setting('oversync.nested', true), registered), true);
    END IF;
    IF TG_OP = 'INSERT' THEN
        PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    SELECT 'I'::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."label" AS "label") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.sizes is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.sizes has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = 'D' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    SELECT ''I''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.sizes is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.sizes has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = ''D'' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM sync.lock_scopes(ARRAY(
            SELECT r.user_id FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r
            UNION SELECT r.user_id FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    (SELECT DISTINCT ON (a.user_id, a.key)
        CASE WHEN b.key IS NULL THEN 'I' ELSE 'U' END::"char" AS op, a.n, a.user_id, a.key, a.payload
    FROM (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."label" AS "label") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS a
    LEFT JOIN (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."label" AS "label") AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS b ON b.user_id = a.user_id AND b.key = a.key
    WHERE b.payload::text IS DISTINCT FROM a.payload::text
    ORDER BY a.user_id, a.key, a.n DESC)
UNION ALL
SELECT 'D', b.n, b.user_id, b.key, NULL
    FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS b
    LEFT JOIN (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM new_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS a ON a.user_id = b.user_id AND a.key = b.key
    WHERE a.key IS NULL
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.sizes is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.sizes has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = 'D' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    (SELECT DISTINCT ON (a.user_id, a.key)
        CASE WHEN b.key IS NULL THEN ''I'' ELSE ''U'' END::"char" AS op, a.n, a.user_id, a.key, a.payload
    FROM (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS a
    LEFT JOIN (SELECT t.ctid AS n, s.user_id, o.key, (SELECT row_to_json(w.*) FROM (SELECT %1$s) AS w) AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS b ON b.user_id = a.user_id AND b.key = a.key
    WHERE b.payload::text IS DISTINCT FROM a.payload::text
    ORDER BY a.user_id, a.key, a.n DESC)
UNION ALL
SELECT ''D'', b.n, b.user_id, b.key, NULL
    FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS b
    LEFT JOIN (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS a ON a.user_id = b.user_id AND a.key = b.key
    WHERE a.key IS NULL
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.sizes is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.sizes has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = ''D'' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    ELSE
        PERFORM sync.lock_scopes(ARRAY(SELECT DISTINCT r.user_id FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r));
        IF columns IS NULL THEN
        WITH changed AS (
    SELECT 'D'::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = own_scope AND coalesce(r.seq, 0) BETWEEN own_first AND own_last
    AND (c.op <> 'D' OR r.deleted)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
        AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = 'D' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.sizes is too large for devices: %s bytes as JSON, at most %s',
            pg_column_size(n.payload) - 4, 16777216), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Keep large values outside of registered tables, and a reference to them in the row.')
    WHEN false THEN sync.refuse_row('23514',
        format('a key of business.sizes has %s bytes; devices take 1 to %s',
            octet_length(n.key), 512), format('Key (%s)=(%s).', 'id', left(sync.key_text(n.key, 'integer'), 64)),
        'Choose another key.')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = 'D' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = 'D' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered INTO captured;
    ELSE
        EXECUTE format('WITH changed AS (
    SELECT ''D''::"char" AS op, r.n, r.user_id, r.key, r.payload FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM old_rows AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS r WHERE NOT EXISTS (
    SELECT FROM (SELECT t.ctid AS n, s.user_id, o.key, NULL::json AS payload
    FROM (SELECT row_number() OVER () AS ctid, x.* FROM %2$s AS x) AS t
    JOIN sync.key_owner o ON o.table_id = 2 AND o.key = convert_to(t."id"::text, ''UTF8'')
    JOIN sync.scope s ON s.scope_id = o.scope_id) AS a WHERE a.user_id = r.user_id AND a.key = r.key)
), numbered AS (
    SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
        s.last_seq + row_number() OVER (
            PARTITION BY s.scope_id ORDER BY c.op = ''D'' DESC, c.n) AS seq
    FROM changed c
    JOIN sync.scope s ON s.user_id = c.user_id
    LEFT JOIN sync.row_state r
        ON r.scope_id = s.scope_id AND r.table_id = 2 AND r.key = c.key
    WHERE NOT (s.scope_id = $1 AND coalesce(r.seq, 0) BETWEEN $2 AND $3
    AND (c.op <> ''D'' OR r.deleted)) AND NOT (c.op = ''D'' AND coalesce(r.deleted, true))
        AND NOT (c.op = ''U'' AND coalesce(r.deleted, false) AND statement_timestamp() = (SELECT l.ts FROM sync.change_log l
            WHERE l.scope_id = s.scope_id AND l.seq = r.seq))
), logged AS (
    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
        source_change_id, content_hash)
    SELECT n.scope_id, n.seq, 2, n.op, n.key, n.version, CASE WHEN n.op = ''D'' THEN NULL
    WHEN pg_column_size(n.payload) - 4 > 16777216 THEN sync.refuse_row(''54000'',
        format(''a row of business.sizes is too large for devices: %%s bytes as JSON, at most %%s'',
            pg_column_size(n.payload) - 4, 16777216), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Keep large values outside of registered tables, and a reference to them in the row.'')
    WHEN false THEN sync.refuse_row(''23514'',
        format(''a key of business.sizes has %%s bytes; devices take 1 to %%s'',
            octet_length(n.key), 512), format(''Key (%%s)=(%%s).'', ''id'', left(sync.key_text(n.key, ''integer''), 64)),
        ''Choose another key.'')
    ELSE n.payload END,
        0, n.seq, 0
    FROM numbered n
), stated AS (
    INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
    SELECT n.scope_id, 2, n.key, n.version, n.seq, n.op = ''D'' FROM numbered n
    ON CONFLICT (scope_id, table_id, key) DO UPDATE
    SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
), advanced AS (
    UPDATE sync.scope s SET last_seq = n.last_seq
    FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
    WHERE s.scope_id = n.scope_id
), disowned AS (
    DELETE FROM sync.key_owner o USING numbered n
    WHERE n.op = ''D'' AND o.table_id = 2 AND o.key = n.key
)
SELECT count(*) FROM numbered', columns, source)
            INTO captured USING own_scope, own_first, own_last;
    END IF;
    END IF;
    IF captured > 0 AND coalesce(current_setting('oversync.writes', true), '') <> '' THEN
        PERFORM set_config('oversync.side_effects', '1', true);
    END IF;
    RETURN NULL;
END $capture$;
REVOKE ALL ON FUNCTION sync.capture_2() FROM PUBLIC;
CREATE OR REPLACE TRIGGER oversync_capture_insert AFTER INSERT ON "business"."sizes"
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_2();
CREATE OR REPLACE TRIGGER oversync_capture_update AFTER UPDATE ON "business"."sizes"
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_2();
CREATE OR REPLACE TRIGGER oversync_capture_delete AFTER DELETE ON "business"."sizes"
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_2();
CREATE OR REPLACE TRIGGER oversync_capture_truncate BEFORE TRUNCATE ON "business"."sizes"
    FOR EACH STATEMENT EXECUTE FUNCTION sync.capture_2();
UPDATE sync.catalog SET capture_fingerprint = 'b275af53537cfa47'
    WHERE table_id = 2;
