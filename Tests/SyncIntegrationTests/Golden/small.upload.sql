-- business.notes: create
WITH written AS (INSERT INTO "business"."notes" AS t ("id", "owner", "title", "stars") SELECT r."KEY", $2, r."title"::text, r."stars"::integer FROM unnest($1, $4, $5) AS r("KEY", "title", "stars") ON CONFLICT ("id") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.notes: create, whatever is there
WITH written AS (INSERT INTO "business"."notes" AS t ("id", "owner", "title", "stars") SELECT r."KEY", $2, r."title"::text, r."stars"::integer FROM unnest($1, $4, $5) AS r("KEY", "title", "stars") ON CONFLICT ("id") DO UPDATE SET "title" = excluded."title", "stars" = excluded."stars" WHERE t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- business.notes: update
WITH updated AS (UPDATE "business"."notes" AS t SET "title" = r."title"::text, "stars" = r."stars"::integer FROM unnest($1, $4, $5) AS r("KEY", "title", "stars")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- business.notes: update, whatever is there
WITH updated AS (UPDATE "business"."notes" AS t SET "title" = r."title"::text, "stars" = r."stars"::integer FROM unnest($1, $4, $5) AS r("KEY", "title", "stars")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 RETURNING t."id" AS key), inserted AS (
    INSERT INTO "business"."notes" AS t ("id", "owner", "title", "stars") SELECT r."KEY", $2, r."title"::text, r."stars"::integer FROM unnest($1, $4, $5) AS r("KEY", "title", "stars") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO UPDATE SET "title" = excluded."title", "stars" = excluded."stars" WHERE t."owner" = $2 RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."notes" AS t JOIN unnest($1, $4, $5) AS r("KEY", "title", "stars") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."owner" = $2 AND ROW(CAST(t."title" AS text), CAST(t."stars" AS integer))::record *= ROW(CAST(r."title"::text AS text), CAST(r."stars"::integer AS integer))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- business.notes: delete
WITH gone AS (DELETE FROM "business"."notes" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2 RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "business"."notes" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."owner" = $2) END);

-- business.notes: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."notes" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "business"."notes" AS t WHERE t."id" = $1 AND t."owner" = $2)
WHERE $2::text IS NOT NULL;

-- business.tags: create
WITH written AS (INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") ON CONFLICT ("code") DO NOTHING RETURNING convert_to(t."code"::text, 'UTF8') AS key), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM written w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::int8 IS NOT NULL;

-- business.tags: create, whatever is there
WITH written AS (INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") ON CONFLICT ("code") DO NOTHING RETURNING convert_to(t."code"::text, 'UTF8') AS key), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM written w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::int8 IS NOT NULL;

-- business.tags: update
WITH updated AS (UPDATE "business"."tags" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."code" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::int8 IS NOT NULL;

-- business.tags: update, whatever is there
WITH updated AS (UPDATE "business"."tags" AS t SET "label" = r."label"::text FROM unnest($1, $4) AS r("KEY", "label")
WHERE t."code" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) RETURNING t."code" AS key), inserted AS (
    INSERT INTO "business"."tags" AS t ("code", "label") SELECT r."KEY", r."label"::text FROM unnest($1, $4) AS r("KEY", "label") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("code") DO NOTHING RETURNING convert_to(t."code"::text, 'UTF8') AS key
), owned AS (
    INSERT INTO sync.key_owner (table_id, key, scope_id)
    SELECT 2, w.key, $2 FROM inserted w
    ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "business"."tags" AS t JOIN unnest($1, $4) AS r("KEY", "label") ON t."code" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2) AND ROW(CAST(t."label" AS text))::record *= ROW(CAST(r."label"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::int8 IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

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
    ELSE (SELECT count(*) FROM "business"."tags" AS t JOIN unnest($1) AS k(key) ON t."code" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::int8 IS NOT NULL AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2)) END);

-- business.tags: whether a key is another user's
SELECT EXISTS (SELECT FROM "business"."tags" AS t WHERE t."code" = $1) AND NOT EXISTS (SELECT FROM "business"."tags" AS t WHERE t."code" = $1 AND EXISTS (
    SELECT FROM sync.key_owner o
    WHERE o.table_id = 2 AND o.key = convert_to(t."code"::text, 'UTF8')
        AND o.scope_id = $2))
WHERE $2::int8 IS NOT NULL;
