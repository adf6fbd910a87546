-- business.notes: create
WITH written AS (INSERT INTO "business"."notes" AS t ("id", "owner", "title", "at") SELECT r."KEY", $2, r."title"::text, CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at"))
SELECT $3, CASE WHEN NOT row_security_active('"business"."notes"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.notes',
            current_user), '', '') END WHERE $2::text IS NOT NULL;

-- business.notes: create, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."id" AS key FROM sync.stored_rows(NULL::"business"."notes", 'id', ARRAY(SELECT r."KEY" FROM unnest($1, $4, $5) AS r("KEY", "title", "at"))) AS t
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4, $5) AS r("KEY", "title", "at")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."notes" AS t SET "title" = r."title"::text, "at" = CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."notes" AS t ("id", "owner", "title", "at") SELECT r."KEY", $2, r."title"::text, CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."notes" AS t JOIN unnest($1, $4, $5) AS r("KEY", "title", "at") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 AND ROW(CAST(t."title" AS text), CAST(t."at" AS timestamp with time zone))::record *= ROW(CAST(r."title"::text AS text), CAST(CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END AS timestamp with time zone))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."notes"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.notes',
            current_user), '', '') END
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.notes: update
WITH updated AS (UPDATE "business"."notes" AS t SET "title" = r."title"::text, "at" = CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3), CASE WHEN NOT row_security_active('"business"."notes"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.notes',
            current_user), '', '') END WHERE $2::text IS NOT NULL;

-- business.notes: update, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."id" AS key FROM sync.stored_rows(NULL::"business"."notes", 'id', ARRAY(SELECT r."KEY" FROM unnest($1, $4, $5) AS r("KEY", "title", "at"))) AS t
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4, $5) AS r("KEY", "title", "at")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."notes" AS t SET "title" = r."title"::text, "at" = CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."notes" AS t ("id", "owner", "title", "at") SELECT r."KEY", $2, r."title"::text, CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END FROM unnest($1, $4, $5) AS r("KEY", "title", "at") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."notes" AS t JOIN unnest($1, $4, $5) AS r("KEY", "title", "at") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 AND ROW(CAST(t."title" AS text), CAST(t."at" AS timestamp with time zone))::record *= ROW(CAST(r."title"::text AS text), CAST(CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END AS timestamp with time zone))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."notes"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.notes',
            current_user), '', '') END
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.notes: delete
WITH gone AS (DELETE FROM "business"."notes" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM sync.stored_rows(NULL::"business"."notes", 'id', $1) AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2) END), CASE WHEN NOT row_security_active('"business"."notes"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.notes',
            current_user), '', '') END;

-- business.notes: what a creation stored
WITH found AS MATERIALIZED (
    SELECT u.seq, u.table_id, u.op, u.key, u.version, u.payload, u.source_change_id, u.content_hash, t."id" IS NOT NULL AS is_there,
        CASE WHEN t."id" IS NOT NULL AND (SELECT NOT (((CASE WHEN p."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(p."at"::float8) ELSE p."at"::timestamptz END) IS NOT DISTINCT FROM (t."at")) AND coalesce(p."at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
    FROM json_to_record(u.payload) AS p("at" text)) THEN (SELECT CASE
    WHEN pg_column_size(w.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.notes is too large for devices: '
            || '%s bytes as JSON, at most %s',
            pg_column_size(w.payload) - 4, 16777216),
        format('Key %s.', left(sync.key_text(u.key, 'uuid'), 64)), '')
    ELSE coalesce((SELECT (left(w.payload::text, -1)
    || string_agg(format(',%s:%s', to_json(b.key), b.value), '') || '}')::json
    FROM json_each(u.payload) AS b WHERE b.key <> ALL (ARRAY['id', 'title', 'at'])), w.payload) END
FROM (SELECT (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."title" AS "title", t."at" AS "at") AS w) AS payload) AS w) END AS stored
    FROM unnest($5, $6::int8[], $7::int2[], $8::"char"[], $9::bytea[], $10::int8[], $11::json[], $12::int8[], $13::int8[]) AS u(row_key, seq, table_id, op, key, version, payload, source_change_id, content_hash)
    LEFT JOIN (
        SELECT t.* FROM sync.stored_rows(NULL::"business"."notes", 'id', $5) AS t WHERE true AND t."owner" = $2
    ) AS t ON t."id" = u.row_key
), logged AS (
    INSERT INTO sync.change_log (scope_id, source_no, seq, table_id, op, key, version, payload, source_change_id, content_hash, ts)
    SELECT $1, $3, f.seq, f.table_id, f.op, f.key, f.version, coalesce(f.stored, f.payload), f.source_change_id, f.content_hash, $14 FROM found f
), noted AS (
    INSERT INTO sync.returned_table (scope_id, table_id)
    SELECT $1, 1 WHERE EXISTS (SELECT FROM found f WHERE f.stored IS NOT NULL)
    ON CONFLICT DO NOTHING
)
SELECT sync.expect_rows((SELECT count(*) FROM found f WHERE f.is_there), $4 - CASE
    WHEN (SELECT bool_and(f.is_there) FROM found f) THEN 0
    ELSE (SELECT count(*) FROM found f
        CROSS JOIN LATERAL (
            SELECT r.deleted FROM sync.row_state r WHERE r.scope_id = $1
                AND r.table_id = 1 AND r.key = f.key LIMIT 1
        ) AS r
        WHERE NOT f.is_there AND r.deleted) END)
WHERE $2 IS NOT NULL;

-- business.notes: what a update stored
WITH found AS MATERIALIZED (
    SELECT u.seq, u.table_id, u.op, u.key, u.version, u.payload, u.source_change_id, u.content_hash, t."id" IS NOT NULL AS is_there,
        CASE WHEN t."id" IS NOT NULL AND (SELECT NOT (((CASE WHEN p."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(p."at"::float8) ELSE p."at"::timestamptz END) IS NOT DISTINCT FROM (t."at")) AND coalesce(p."at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
    FROM json_to_record(u.payload) AS p("at" text)) THEN (SELECT CASE
    WHEN pg_column_size(w.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.notes is too large for devices: '
            || '%s bytes as JSON, at most %s',
            pg_column_size(w.payload) - 4, 16777216),
        format('Key %s.', left(sync.key_text(u.key, 'uuid'), 64)), '')
    ELSE coalesce((SELECT (left(w.payload::text, -1)
    || string_agg(format(',%s:%s', to_json(b.key), b.value), '') || '}')::json
    FROM json_each(u.payload) AS b WHERE b.key <> ALL (ARRAY['id', 'title', 'at'])), w.payload) END
FROM (SELECT (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."title" AS "title", t."at" AS "at") AS w) AS payload) AS w) END AS stored
    FROM unnest($5, $6::int8[], $7::int2[], $8::"char"[], $9::bytea[], $10::int8[], $11::json[], $12::int8[], $13::int8[]) AS u(row_key, seq, table_id, op, key, version, payload, source_change_id, content_hash)
    LEFT JOIN (
        SELECT t.* FROM sync.stored_rows(NULL::"business"."notes", 'id', $5) AS t WHERE true AND t."owner" = $2
    ) AS t ON t."id" = u.row_key
), logged AS (
    INSERT INTO sync.change_log (scope_id, source_no, seq, table_id, op, key, version, payload, source_change_id, content_hash, ts)
    SELECT $1, $3, f.seq, f.table_id, f.op, f.key, f.version, coalesce(f.stored, f.payload), f.source_change_id, f.content_hash, $14 FROM found f
), noted AS (
    INSERT INTO sync.returned_table (scope_id, table_id)
    SELECT $1, 1 WHERE EXISTS (SELECT FROM found f WHERE f.stored IS NOT NULL)
    ON CONFLICT DO NOTHING
)
SELECT sync.expect_rows((SELECT count(*) FROM found f WHERE f.is_there), $4 - CASE
    WHEN (SELECT bool_and(f.is_there) FROM found f) THEN 0
    ELSE (SELECT count(*) FROM found f
        CROSS JOIN LATERAL (
            SELECT r.deleted FROM sync.row_state r WHERE r.scope_id = $1
                AND r.table_id = 1 AND r.key = f.key LIMIT 1
        ) AS r
        WHERE NOT f.is_there AND r.deleted) END)
WHERE $2 IS NOT NULL;

-- business.notes: whether inserted rows are there
WITH stored AS MATERIALIZED (
    SELECT t."id" AS key FROM sync.stored_rows(NULL::"business"."notes", 'id', $1) AS t
    WHERE true AND t."owner" = $2
)
SELECT sync.expect_rows((
    SELECT count(*) FROM unnest($1) AS t("id")
    LEFT JOIN stored s ON s.key = t."id"
    WHERE s.key IS NOT NULL OR EXISTS (
        SELECT FROM sync.row_state r
        WHERE r.scope_id = $4 AND r.table_id = 1
            AND r.key = uuid_send(t."id") AND r.deleted
            AND r.seq > current_setting('oversync.last_seq')::int8)), $3)
WHERE $2::text IS NOT NULL;

-- business.notes: whether a key is another user's
SELECT EXISTS (SELECT FROM sync.stored_rows(NULL::"business"."notes", 'id', ARRAY[$1]) AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM sync.stored_rows(NULL::"business"."notes", 'id', ARRAY[$1]) AS t WHERE t."id" = $1 AND t."owner" = $2)
WHERE $2::text IS NOT NULL;

-- business.items: create
WITH written AS (INSERT INTO "business"."items" AS t ("id", "owner", "note") SELECT r."KEY", $2, CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END FROM unnest($1, $4) AS r("KEY", "note") ON CONFLICT ("id") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.items: create, whatever is there
WITH written AS (INSERT INTO "business"."items" AS t ("id", "owner", "note") SELECT r."KEY", $2, CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END FROM unnest($1, $4) AS r("KEY", "note") ON CONFLICT ("id") DO UPDATE SET "note" = excluded."note" WHERE t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.items: update
WITH updated AS (UPDATE "business"."items" AS t SET "note" = CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END FROM unnest($1, $4) AS r("KEY", "note")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- business.items: update, whatever is there
WITH updated AS (UPDATE "business"."items" AS t SET "note" = CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END FROM unnest($1, $4) AS r("KEY", "note")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."items" AS t ("id", "owner", "note") SELECT r."KEY", $2, CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END FROM unnest($1, $4) AS r("KEY", "note") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO UPDATE SET "note" = excluded."note" WHERE t."owner" = $2 RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."items" AS t JOIN unnest($1, $4) AS r("KEY", "note") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 AND ROW(CAST(t."note" AS uuid))::record *= ROW(CAST(CASE WHEN length(r."note") = 24 THEN encode(decode(r."note", 'base64'), 'hex')::uuid ELSE nullif(r."note", '')::uuid END AS uuid))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- business.items: delete
WITH gone AS (DELETE FROM "business"."items" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "business"."items" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2) END);

-- business.items: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."items" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "business"."items" AS t WHERE t."id" = $1 AND t."owner" = $2)
WHERE $2::text IS NOT NULL;

-- business.prefs: create
WITH written AS (INSERT INTO "business"."prefs" AS t ("code", "owner", "value") SELECT r."KEY", $2, r."value"::text FROM unnest($1, $4) AS r("KEY", "value"))
SELECT $3, CASE WHEN NOT row_security_active('"business"."prefs"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.prefs',
            current_user), '', '') END WHERE $2::text IS NOT NULL;

-- business.prefs: create, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."prefs", 'code', ARRAY(SELECT r."KEY" FROM unnest($1, $4) AS r("KEY", "value"))) AS t WHERE true AND t."owner" = $2
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4) AS r("KEY", "value")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."prefs" AS t SET "value" = r."value"::text FROM unnest($1, $4) AS r("KEY", "value")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND t."owner" = $2 RETURNING t."code" AS key), inserted AS (
    INSERT INTO "business"."prefs" AS t ("code", "owner", "value") SELECT r."KEY", $2, r."value"::text FROM unnest($1, $4) AS r("KEY", "value") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."prefs" AS t JOIN unnest($1, $4) AS r("KEY", "value") ON t."code" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND t."owner" = $2 AND ROW(CAST(t."value" AS text))::record *= ROW(CAST(r."value"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."prefs"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.prefs',
            current_user), '', '') END
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.prefs: update
WITH updated AS (UPDATE "business"."prefs" AS t SET "value" = r."value"::text FROM unnest($1, $4) AS r("KEY", "value")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND t."owner" = $2 RETURNING t."code" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3), CASE WHEN NOT row_security_active('"business"."prefs"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.prefs',
            current_user), '', '') END WHERE $2::text IS NOT NULL;

-- business.prefs: update, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."prefs", 'code', ARRAY(SELECT r."KEY" FROM unnest($1, $4) AS r("KEY", "value"))) AS t WHERE true AND t."owner" = $2
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4) AS r("KEY", "value")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."prefs" AS t SET "value" = r."value"::text FROM unnest($1, $4) AS r("KEY", "value")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND t."owner" = $2 RETURNING t."code" AS key), inserted AS (
    INSERT INTO "business"."prefs" AS t ("code", "owner", "value") SELECT r."KEY", $2, r."value"::text FROM unnest($1, $4) AS r("KEY", "value") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."prefs" AS t JOIN unnest($1, $4) AS r("KEY", "value") ON t."code" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND t."owner" = $2 AND ROW(CAST(t."value" AS text))::record *= ROW(CAST(r."value"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."prefs"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.prefs',
            current_user), '', '') END
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.prefs: delete
WITH gone AS (DELETE FROM "business"."prefs" AS t USING unnest($1) AS k(key) WHERE t."code" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::text IS NOT NULL AND t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM sync.stored_rows(NULL::"business"."prefs", 'code', $1) AS t JOIN unnest($1) AS k(key) ON t."code" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::text IS NOT NULL AND t."owner" = $2) END), CASE WHEN NOT row_security_active('"business"."prefs"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.prefs',
            current_user), '', '') END;

-- business.prefs: whether inserted rows are there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."prefs", 'code', $1) AS t
    WHERE true AND t."owner" = $2
)
SELECT sync.expect_rows((
    SELECT count(*) FROM unnest($1) AS t("code")
    LEFT JOIN stored s ON s.key = t."code"
    WHERE s.key IS NOT NULL OR EXISTS (
        SELECT FROM sync.row_state r
        WHERE r.scope_id = $4 AND r.table_id = 3
            AND r.key = convert_to(t."code"::text, 'UTF8') AND r.deleted
            AND r.seq > current_setting('oversync.last_seq')::int8)), $3)
WHERE $2::text IS NOT NULL;

-- business.tags: create
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."tags", 'code', ARRAY(SELECT r."KEY" FROM unnest($1, $4) AS r("KEY", "label"))) AS t
), written AS (INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label")), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, convert_to(t."code"::text, 'UTF8'), $2 FROM (SELECT r."KEY" AS "code" FROM unnest($1, $4) AS r("KEY", "label") WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")) AS t
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT $3, CASE WHEN NOT row_security_active('"business"."tags"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.tags',
            current_user), '', '') END WHERE $2::int8 IS NOT NULL;

-- business.tags: create, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."tags", 'code', ARRAY(SELECT r."KEY" FROM unnest($1, $4) AS r("KEY", "label"))) AS t
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4) AS r("KEY", "label")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."tags" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."code" AS key), inserted AS (
    INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, convert_to(t."code"::text, 'UTF8'), $2 FROM (SELECT m.key AS "code" FROM missing m) AS t
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."tags" AS t JOIN unnest($1, $4) AS r("KEY", "label") ON t."code" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) AND ROW(CAST(t."label" AS text))::record *= ROW(CAST(r."label"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."tags"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.tags',
            current_user), '', '') END
WHERE $2::int8 IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.tags: update
WITH updated AS (UPDATE "business"."tags" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."code" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3), CASE WHEN NOT row_security_active('"business"."tags"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.tags',
            current_user), '', '') END WHERE $2::int8 IS NOT NULL;

-- business.tags: update, whatever is there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."tags", 'code', ARRAY(SELECT r."KEY" FROM unnest($1, $4) AS r("KEY", "label"))) AS t
), missing AS MATERIALIZED (
    SELECT r."KEY" AS key FROM unnest($1, $4) AS r("KEY", "label")
    WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = r."KEY")
), updated AS (UPDATE "business"."tags" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."code" AS key), inserted AS (
    INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") WHERE EXISTS (SELECT FROM missing m WHERE m.key = r."KEY")
), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, convert_to(t."code"::text, 'UTF8'), $2 FROM (SELECT m.key AS "code" FROM missing m) AS t
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
    + (SELECT count(*) FROM (SELECT FROM "business"."tags" AS t JOIN unnest($1, $4) AS r("KEY", "label") ON t."code" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) AND ROW(CAST(t."label" AS text))::record *= ROW(CAST(r."label"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY") FOR UPDATE OF t) AS same), $3), CASE WHEN NOT row_security_active('"business"."tags"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.tags',
            current_user), '', '') END
WHERE $2::int8 IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM missing)::text, true) IS NOT NULL;

-- business.tags: delete
WITH gone AS (DELETE FROM "business"."tags" AS t USING unnest($1) AS k(key) WHERE t."code" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::int8 IS NOT NULL AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING convert_to(t."code"::text, 'UTF8') AS key), disowned AS (
    DELETE FROM sync.key_owner o USING gone
    WHERE o.table_id = 2 AND o.key = gone.key
)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM sync.stored_rows(NULL::"business"."tags", 'code', $1) AS t JOIN unnest($1) AS k(key) ON t."code" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::int8 IS NOT NULL AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2)) END), CASE WHEN NOT row_security_active('"business"."tags"') THEN
        sync.refuse_row('OV005',
        format('the policies of %s do not apply to %s', 'business.tags',
            current_user), '', '') END;

-- business.tags: whether inserted rows are there
WITH stored AS MATERIALIZED (
    SELECT t."code" AS key FROM sync.stored_rows(NULL::"business"."tags", 'code', $1) AS t
    WHERE true AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2)
)
SELECT sync.expect_rows((
    SELECT count(*) FROM unnest($1) AS t("code")
    LEFT JOIN stored s ON s.key = t."code"
    WHERE s.key IS NOT NULL OR EXISTS (
        SELECT FROM sync.row_state r
        WHERE r.scope_id = $4 AND r.table_id = 2
            AND r.key = convert_to(t."code"::text, 'UTF8') AND r.deleted
            AND r.seq > current_setting('oversync.last_seq')::int8)), $3)
WHERE $2::int8 IS NOT NULL;

-- business.tags: whether a key is another user's
SELECT EXISTS (SELECT FROM sync.stored_rows(NULL::"business"."tags", 'code', ARRAY[$1]) AS t WHERE t."code" = $1) AND NOT EXISTS (SELECT FROM sync.stored_rows(NULL::"business"."tags", 'code', ARRAY[$1]) AS t WHERE t."code" = $1 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2))
WHERE $2::int8 IS NOT NULL;

-- business.items: parents of the key items_note_fkey
SELECT k.n::int8 FROM unnest($2::uuid[]) WITH ORDINALITY AS k(v0, n)
WHERE $1::text IS NOT NULL AND EXISTS (
    SELECT FROM sync.stored_rows(NULL::"business"."notes", 'id', $2::uuid[]) AS p WHERE p."id" = k.v0 AND p."owner" = $1);
