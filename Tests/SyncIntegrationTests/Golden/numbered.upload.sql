-- business.orders: create
WITH written AS (INSERT INTO "business"."orders" AS t ("id", "owner", "title") OVERRIDING SYSTEM VALUE SELECT r."KEY", $2, r."title"::text FROM unnest($1, $4) AS r("KEY", "title") ON CONFLICT ("id") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.orders: create, whatever is there
WITH written AS (INSERT INTO "business"."orders" AS t ("id", "owner", "title") OVERRIDING SYSTEM VALUE SELECT r."KEY", $2, r."title"::text FROM unnest($1, $4) AS r("KEY", "title") ON CONFLICT ("id") DO UPDATE SET "title" = excluded."title" WHERE t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.orders: update
WITH updated AS (UPDATE "business"."orders" AS t SET "title" = r."title"::text FROM unnest($1, $4) AS r("KEY", "title")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND t."owner" = $2 RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- business.orders: update, whatever is there
WITH updated AS (UPDATE "business"."orders" AS t SET "title" = r."title"::text FROM unnest($1, $4) AS r("KEY", "title")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND t."owner" = $2 RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."orders" AS t ("id", "owner", "title") OVERRIDING SYSTEM VALUE SELECT r."KEY", $2, r."title"::text FROM unnest($1, $4) AS r("KEY", "title") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO UPDATE SET "title" = excluded."title" WHERE t."owner" = $2 RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."orders" AS t JOIN unnest($1, $4) AS r("KEY", "title") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND t."owner" = $2 AND ROW(CAST(t."title" AS text))::record *= ROW(CAST(r."title"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- business.orders: delete
WITH gone AS (DELETE FROM "business"."orders" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND $2::text IS NOT NULL AND t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "business"."orders" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND $2::text IS NOT NULL AND t."owner" = $2) END);

-- business.orders: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."orders" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "business"."orders" AS t WHERE t."id" = $1 AND t."owner" = $2)
WHERE $2::text IS NOT NULL;

-- business.sizes: create
WITH written AS (INSERT INTO "business"."sizes" AS t ("id", "label") OVERRIDING SYSTEM VALUE SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") ON CONFLICT ("id") DO NOTHING RETURNING convert_to(t."id"::text, 'UTF8') AS key), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM written w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::int8 IS NOT NULL;

-- business.sizes: create, whatever is there
WITH written AS (INSERT INTO "business"."sizes" AS t ("id", "label") OVERRIDING SYSTEM VALUE SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") ON CONFLICT ("id") DO NOTHING RETURNING convert_to(t."id"::text, 'UTF8') AS key), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM written w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::int8 IS NOT NULL;

-- business.sizes: update
WITH updated AS (UPDATE "business"."sizes" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::int8 IS NOT NULL;

-- business.sizes: update, whatever is there
WITH updated AS (UPDATE "business"."sizes" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."sizes" AS t ("id", "label") OVERRIDING SYSTEM VALUE SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO NOTHING RETURNING convert_to(t."id"::text, 'UTF8') AS key
), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM inserted w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."sizes" AS t JOIN unnest($1, $4) AS r("KEY", "label") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2) AND ROW(CAST(t."label" AS text))::record *= ROW(CAST(r."label"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::int8 IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- business.sizes: delete
WITH gone AS (DELETE FROM "business"."sizes" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND $2::int8 IS NOT NULL AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING convert_to(t."id"::text, 'UTF8') AS key), disowned AS (
    DELETE FROM sync.key_owner o USING gone
    WHERE o.table_id = 2 AND o.key = gone.key
)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "business"."sizes" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '-9223372036854775808'::int8 AND '9223372036854775807'::int8 AND $2::int8 IS NOT NULL AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2)) END);

-- business.sizes: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."sizes" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "business"."sizes" AS t WHERE t."id" = $1 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."id"::text, 'UTF8')
        AND o.scope_id = $2))
WHERE $2::int8 IS NOT NULL;
