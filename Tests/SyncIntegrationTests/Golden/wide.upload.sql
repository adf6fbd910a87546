-- business.everything: create
WITH written AS (INSERT INTO "business"."everything" AS t ("id", "owner_id", "other_id", "title", "mood", "code", "short_name", "small", "number", "large", "price", "ratio", "exact", "done", "photo", "day", "at", "local_at", "clock", "duration", "doc", "docb", "words", "address") SELECT r."KEY", $2::text::uuid, CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END, r."title", r."mood", r."code", r."short_name", r."small", r."number", r."large", r."price", r."ratio", r."exact", r."done", CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END, r."day", CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END, r."local_at", r."clock", r."duration", r."doc", r."docb", r."words", r."address" FROM json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid) ON CONFLICT ("id") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.everything: create, whatever is there
WITH written AS (INSERT INTO "business"."everything" AS t ("id", "owner_id", "other_id", "title", "mood", "code", "short_name", "small", "number", "large", "price", "ratio", "exact", "done", "photo", "day", "at", "local_at", "clock", "duration", "doc", "docb", "words", "address") SELECT r."KEY", $2::text::uuid, CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END, r."title", r."mood", r."code", r."short_name", r."small", r."number", r."large", r."price", r."ratio", r."exact", r."done", CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END, r."day", CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END, r."local_at", r."clock", r."duration", r."doc", r."docb", r."words", r."address" FROM json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid) ON CONFLICT ("id") DO UPDATE SET "other_id" = excluded."other_id", "title" = excluded."title", "mood" = excluded."mood", "code" = excluded."code", "short_name" = excluded."short_name", "small" = excluded."small", "number" = excluded."number", "large" = excluded."large", "price" = excluded."price", "ratio" = excluded."ratio", "exact" = excluded."exact", "done" = excluded."done", "photo" = excluded."photo", "day" = excluded."day", "at" = excluded."at", "local_at" = excluded."local_at", "clock" = excluded."clock", "duration" = excluded."duration", "doc" = excluded."doc", "docb" = excluded."docb", "words" = excluded."words", "address" = excluded."address" WHERE t."owner_id" = $2::text::uuid RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.everything: update
WITH updated AS (UPDATE "business"."everything" AS t SET "other_id" = CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END, "title" = r."title", "mood" = r."mood", "code" = r."code", "short_name" = r."short_name", "small" = r."small", "number" = r."number", "large" = r."large", "price" = r."price", "ratio" = r."ratio", "exact" = r."exact", "done" = r."done", "photo" = CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END, "day" = r."day", "at" = CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END, "local_at" = r."local_at", "clock" = r."clock", "duration" = r."duration", "doc" = r."doc", "docb" = r."docb", "words" = r."words", "address" = r."address" FROM json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid)
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner_id" = $2::text::uuid RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- business.everything: update, whatever is there
WITH updated AS (UPDATE "business"."everything" AS t SET "other_id" = CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END, "title" = r."title", "mood" = r."mood", "code" = r."code", "short_name" = r."short_name", "small" = r."small", "number" = r."number", "large" = r."large", "price" = r."price", "ratio" = r."ratio", "exact" = r."exact", "done" = r."done", "photo" = CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END, "day" = r."day", "at" = CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END, "local_at" = r."local_at", "clock" = r."clock", "duration" = r."duration", "doc" = r."doc", "docb" = r."docb", "words" = r."words", "address" = r."address" FROM json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid)
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner_id" = $2::text::uuid RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."everything" AS t ("id", "owner_id", "other_id", "title", "mood", "code", "short_name", "small", "number", "large", "price", "ratio", "exact", "done", "photo", "day", "at", "local_at", "clock", "duration", "doc", "docb", "words", "address") SELECT r."KEY", $2::text::uuid, CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END, r."title", r."mood", r."code", r."short_name", r."small", r."number", r."large", r."price", r."ratio", r."exact", r."done", CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END, r."day", CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END, r."local_at", r."clock", r."duration", r."doc", r."docb", r."words", r."address" FROM json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid) WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO UPDATE SET "other_id" = excluded."other_id", "title" = excluded."title", "mood" = excluded."mood", "code" = excluded."code", "short_name" = excluded."short_name", "small" = excluded."small", "number" = excluded."number", "large" = excluded."large", "price" = excluded."price", "ratio" = excluded."ratio", "exact" = excluded."exact", "done" = excluded."done", "photo" = excluded."photo", "day" = excluded."day", "at" = excluded."at", "local_at" = excluded."local_at", "clock" = excluded."clock", "duration" = excluded."duration", "doc" = excluded."doc", "docb" = excluded."docb", "words" = excluded."words", "address" = excluded."address" WHERE t."owner_id" = $2::text::uuid RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."everything" AS t JOIN json_to_recordset($1) AS r("other_id" text, "title" business.title, "mood" business.mood, "code" character(3), "short_name" character varying(40), "small" smallint, "number" integer, "large" bigint, "price" numeric(10,2), "ratio" real, "exact" double precision, "done" boolean, "photo" text, "day" date, "at" text, "local_at" timestamp without time zone, "clock" time without time zone, "duration" interval, "doc" json, "docb" jsonb, "words" text[], "address" inet, "KEY" uuid) ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner_id" = $2::text::uuid AND ROW(CAST(t."other_id" AS uuid), CAST(t."title" AS business.title), CAST(t."mood" AS business.mood), CAST(t."code" AS character(3)), CAST(t."short_name" AS character varying(40)), CAST(t."small" AS smallint), CAST(t."number" AS integer), CAST(t."large" AS bigint), CAST(t."price" AS numeric(10,2)), CAST(t."ratio" AS real), CAST(t."exact" AS double precision), CAST(t."done" AS boolean), CAST(t."photo" AS bytea), CAST(t."day" AS date), CAST(t."at" AS timestamp with time zone), CAST(t."local_at" AS timestamp without time zone), CAST(t."clock" AS time without time zone), CAST(t."duration" AS interval), CAST(t."doc" AS json), CAST(t."docb" AS jsonb), CAST(t."words" AS text[]), CAST(t."address" AS inet))::record *= ROW(CAST(CASE WHEN length(r."other_id") = 24 THEN encode(decode(r."other_id", 'base64'), 'hex')::uuid ELSE nullif(r."other_id", '')::uuid END AS uuid), CAST(r."title" AS business.title), CAST(r."mood" AS business.mood), CAST(r."code" AS character(3)), CAST(r."short_name" AS character varying(40)), CAST(r."small" AS smallint), CAST(r."number" AS integer), CAST(r."large" AS bigint), CAST(r."price" AS numeric(10,2)), CAST(r."ratio" AS real), CAST(r."exact" AS double precision), CAST(r."done" AS boolean), CAST(CASE WHEN length(r."photo") = 36 AND r."photo" LIKE '________-____-____-____-____________' THEN uuid_send(r."photo"::uuid) ELSE decode(r."photo", 'base64') END AS bytea), CAST(r."day" AS date), CAST(CASE WHEN r."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(r."at"::float8) ELSE r."at"::timestamptz END AS timestamp with time zone), CAST(r."local_at" AS timestamp without time zone), CAST(r."clock" AS time without time zone), CAST(r."duration" AS interval), CAST(r."doc" AS json), CAST(r."docb" AS jsonb), CAST(r."words" AS text[]), CAST(r."address" AS inet))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- business.everything: delete
WITH gone AS (DELETE FROM "business"."everything" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner_id" = $2::text::uuid RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "business"."everything" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner_id" = $2::text::uuid) END);

-- business.everything: what a creation stored
WITH found AS MATERIALIZED (
    SELECT u.seq, u.table_id, u.op, u.key, u.version, u.payload, u.source_change_id, u.content_hash, t."id" IS NOT NULL AS is_there,
        CASE WHEN t."id" IS NOT NULL AND (SELECT NOT ((p."title" COLLATE "C") IS NOT DISTINCT FROM (t."title"::text COLLATE "C"))
                OR NOT ((p."code" COLLATE "C") IS NOT DISTINCT FROM (CASE WHEN t."code" IS NOT NULL THEN concat(t."code") COLLATE "C" END))
                OR NOT ((p."short_name" COLLATE "C") IS NOT DISTINCT FROM (t."short_name"::text COLLATE "C"))
                OR NOT CASE WHEN p."price" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."price"::numeric) IS NOT DISTINCT FROM (t."price"::text::numeric)) ELSE ((p."price"::numeric) IS NOT DISTINCT FROM (t."price")) END
                OR NOT CASE WHEN p."ratio" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."ratio"::numeric) IS NOT DISTINCT FROM (t."ratio"::text::numeric)) ELSE ((p."ratio"::real) IS NOT DISTINCT FROM (t."ratio")) END
                OR NOT CASE WHEN p."exact" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."exact"::numeric) IS NOT DISTINCT FROM (t."exact"::text::numeric)) ELSE ((p."exact"::double precision) IS NOT DISTINCT FROM (t."exact")) END
                OR NOT (((p."day"::date) IS NOT DISTINCT FROM (t."day")) AND coalesce(p."day" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9]', true))
                OR NOT (((CASE WHEN p."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(p."at"::float8) ELSE p."at"::timestamptz END) IS NOT DISTINCT FROM (t."at")) AND coalesce(p."at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
                OR NOT (((p."local_at"::timestamp without time zone) IS NOT DISTINCT FROM (t."local_at")) AND coalesce(p."local_at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9][0-9.:]*\s*(z|[+-][0-9]|(?!bc)[a-z])', true))
                OR NOT (((p."clock"::time without time zone) IS NOT DISTINCT FROM (t."clock")) AND coalesce(p."clock" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9][0-9.:]*\s*(z|[+-][0-9]|(?!bc)[a-z])|[0-9]-[0-9]', true))
                OR NOT ((((p."duration"::interval)::text COLLATE "C") IS NOT DISTINCT FROM ((t."duration")::text COLLATE "C")) AND coalesce(p."duration" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
                OR NOT ((to_jsonb(p."words")) IS NOT DISTINCT FROM (to_jsonb(t."words")))
                OR NOT ((p."address") IS NOT DISTINCT FROM (t."address"))
                OR NOT (((u.payload ->> 'serial_number')) IS NOT DISTINCT FROM (to_json(t."serial_number") #>> '{}'))
                OR NOT (((u.payload ->> 'doubled')) IS NOT DISTINCT FROM (to_json(t."doubled") #>> '{}'))
    FROM json_to_record(u.payload) AS p("title" text, "code" text, "short_name" text, "price" text, "ratio" text, "exact" text, "day" text, "at" text, "local_at" text, "clock" text, "duration" text, "words" text[], "address" inet)) THEN (SELECT CASE
    WHEN pg_column_size(w.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.everything is too large for devices: '
            || '%s bytes as JSON, at most %s',
            pg_column_size(w.payload) - 4, 16777216),
        format('Key %s.', left(sync.key_text(u.key, 'uuid'), 64)), '')
    ELSE coalesce((SELECT (left(w.payload::text, -1)
    || string_agg(format(',%s:%s', to_json(b.key), b.value), '') || '}')::json
    FROM json_each(u.payload) AS b WHERE b.key <> ALL (ARRAY['id', 'other_id', 'title', 'mood', 'code', 'short_name', 'small', 'number', 'large', 'price', 'ratio', 'exact', 'done', 'photo', 'day', 'at', 'local_at', 'clock', 'duration', 'doc', 'docb', 'words', 'address', 'serial_number', 'doubled'])), w.payload) END
FROM (SELECT (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."other_id" AS "other_id", t."title" AS "title", t."mood" AS "mood", t."code" AS "code", t."short_name" AS "short_name", t."small" AS "small", t."number" AS "number", t."large" AS "large", t."price" AS "price", t."ratio" AS "ratio", t."exact" AS "exact", t."done" AS "done", replace(encode(t."photo", 'base64'), E'\n', '') AS "photo", t."day" AS "day", t."at" AS "at", t."local_at" AS "local_at", t."clock" AS "clock", t."duration" AS "duration", t."doc" AS "doc", t."docb" AS "docb", t."words" AS "words", t."address" AS "address", t."serial_number" AS "serial_number", t."doubled" AS "doubled") AS w) AS payload) AS w) END AS stored
    FROM unnest($5, $6::int8[], $7::int2[], $8::"char"[], $9::bytea[], $10::int8[], $11::json[], $12::int8[], $13::int8[]) AS u(row_key, seq, table_id, op, key, version, payload, source_change_id, content_hash)
    LEFT JOIN LATERAL (
        SELECT t.* FROM "business"."everything" AS t
        WHERE t."id" = u.row_key AND t."owner_id" = $2::text::uuid LIMIT 1
    ) AS t ON true
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

-- business.everything: what a update stored
WITH found AS MATERIALIZED (
    SELECT u.seq, u.table_id, u.op, u.key, u.version, u.payload, u.source_change_id, u.content_hash, t."id" IS NOT NULL AS is_there,
        CASE WHEN t."id" IS NOT NULL AND (SELECT NOT ((p."title" COLLATE "C") IS NOT DISTINCT FROM (t."title"::text COLLATE "C"))
                OR NOT ((p."code" COLLATE "C") IS NOT DISTINCT FROM (CASE WHEN t."code" IS NOT NULL THEN concat(t."code") COLLATE "C" END))
                OR NOT ((p."short_name" COLLATE "C") IS NOT DISTINCT FROM (t."short_name"::text COLLATE "C"))
                OR NOT CASE WHEN p."price" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."price"::numeric) IS NOT DISTINCT FROM (t."price"::text::numeric)) ELSE ((p."price"::numeric) IS NOT DISTINCT FROM (t."price")) END
                OR NOT CASE WHEN p."ratio" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."ratio"::numeric) IS NOT DISTINCT FROM (t."ratio"::text::numeric)) ELSE ((p."ratio"::real) IS NOT DISTINCT FROM (t."ratio")) END
                OR NOT CASE WHEN p."exact" ~ '^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN ((p."exact"::numeric) IS NOT DISTINCT FROM (t."exact"::text::numeric)) ELSE ((p."exact"::double precision) IS NOT DISTINCT FROM (t."exact")) END
                OR NOT (((p."day"::date) IS NOT DISTINCT FROM (t."day")) AND coalesce(p."day" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9]', true))
                OR NOT (((CASE WHEN p."at" ~ '^-?[0-9]+(\.[0-9]+)?$' THEN to_timestamp(p."at"::float8) ELSE p."at"::timestamptz END) IS NOT DISTINCT FROM (t."at")) AND coalesce(p."at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
                OR NOT (((p."local_at"::timestamp without time zone) IS NOT DISTINCT FROM (t."local_at")) AND coalesce(p."local_at" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9][0-9.:]*\s*(z|[+-][0-9]|(?!bc)[a-z])', true))
                OR NOT (((p."clock"::time without time zone) IS NOT DISTINCT FROM (t."clock")) AND coalesce(p."clock" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday|[0-9]:[0-9][0-9.:]*\s*(z|[+-][0-9]|(?!bc)[a-z])|[0-9]-[0-9]', true))
                OR NOT ((((p."duration"::interval)::text COLLATE "C") IS NOT DISTINCT FROM ((t."duration")::text COLLATE "C")) AND coalesce(p."duration" !~* '[.,][0-9]{6}0*[1-9]|now|today|tomorrow|yesterday', true))
                OR NOT ((to_jsonb(p."words")) IS NOT DISTINCT FROM (to_jsonb(t."words")))
                OR NOT ((p."address") IS NOT DISTINCT FROM (t."address"))
                OR NOT (((u.payload ->> 'serial_number')) IS NOT DISTINCT FROM (to_json(t."serial_number") #>> '{}'))
                OR NOT (((u.payload ->> 'doubled')) IS NOT DISTINCT FROM (to_json(t."doubled") #>> '{}'))
    FROM json_to_record(u.payload) AS p("title" text, "code" text, "short_name" text, "price" text, "ratio" text, "exact" text, "day" text, "at" text, "local_at" text, "clock" text, "duration" text, "words" text[], "address" inet)) THEN (SELECT CASE
    WHEN pg_column_size(w.payload) - 4 > 16777216 THEN sync.refuse_row('54000',
        format('a row of business.everything is too large for devices: '
            || '%s bytes as JSON, at most %s',
            pg_column_size(w.payload) - 4, 16777216),
        format('Key %s.', left(sync.key_text(u.key, 'uuid'), 64)), '')
    ELSE coalesce((SELECT (left(w.payload::text, -1)
    || string_agg(format(',%s:%s', to_json(b.key), b.value), '') || '}')::json
    FROM json_each(u.payload) AS b WHERE b.key <> ALL (ARRAY['id', 'other_id', 'title', 'mood', 'code', 'short_name', 'small', 'number', 'large', 'price', 'ratio', 'exact', 'done', 'photo', 'day', 'at', 'local_at', 'clock', 'duration', 'doc', 'docb', 'words', 'address', 'serial_number', 'doubled'])), w.payload) END
FROM (SELECT (SELECT row_to_json(w.*) FROM (SELECT t."id" AS "id", t."other_id" AS "other_id", t."title" AS "title", t."mood" AS "mood", t."code" AS "code", t."short_name" AS "short_name", t."small" AS "small", t."number" AS "number", t."large" AS "large", t."price" AS "price", t."ratio" AS "ratio", t."exact" AS "exact", t."done" AS "done", replace(encode(t."photo", 'base64'), E'\n', '') AS "photo", t."day" AS "day", t."at" AS "at", t."local_at" AS "local_at", t."clock" AS "clock", t."duration" AS "duration", t."doc" AS "doc", t."docb" AS "docb", t."words" AS "words", t."address" AS "address", t."serial_number" AS "serial_number", t."doubled" AS "doubled") AS w) AS payload) AS w) END AS stored
    FROM unnest($5, $6::int8[], $7::int2[], $8::"char"[], $9::bytea[], $10::int8[], $11::json[], $12::int8[], $13::int8[]) AS u(row_key, seq, table_id, op, key, version, payload, source_change_id, content_hash)
    LEFT JOIN LATERAL (
        SELECT t.* FROM "business"."everything" AS t
        WHERE t."id" = u.row_key AND t."owner_id" = $2::text::uuid LIMIT 1
    ) AS t ON true
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

-- business.everything: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."everything" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "business"."everything" AS t WHERE t."id" = $1 AND t."owner_id" = $2::text::uuid)
WHERE $2::text IS NOT NULL;
