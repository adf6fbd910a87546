-- order.select: create
WITH written AS (INSERT INTO "order"."select" AS t ("group", "user", "it's ""quoted"" here", "Größe", "a%b", ":name") SELECT r."KEY", $2::text::character varying, r."it's ""quoted"" here"::text, r."größe"::integer, r."a%b"::text, r.":name"::text FROM unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name") ON CONFLICT ("user", "group") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- order.select: create, whatever is there
WITH written AS (INSERT INTO "order"."select" AS t ("group", "user", "it's ""quoted"" here", "Größe", "a%b", ":name") SELECT r."KEY", $2::text::character varying, r."it's ""quoted"" here"::text, r."größe"::integer, r."a%b"::text, r.":name"::text FROM unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name") ON CONFLICT ("user", "group") DO UPDATE SET "it's ""quoted"" here" = excluded."it's ""quoted"" here", "Größe" = excluded."Größe", "a%b" = excluded."a%b", ":name" = excluded.":name" WHERE t."user" = $2::text::character varying RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- order.select: update
WITH updated AS (UPDATE "order"."select" AS t SET "it's ""quoted"" here" = r."it's ""quoted"" here"::text, "Größe" = r."größe"::integer, "a%b" = r."a%b"::text, ":name" = r.":name"::text FROM unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name")
WHERE t."group" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND t."user" = $2::text::character varying RETURNING t."group" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- order.select: update, whatever is there
WITH updated AS (UPDATE "order"."select" AS t SET "it's ""quoted"" here" = r."it's ""quoted"" here"::text, "Größe" = r."größe"::integer, "a%b" = r."a%b"::text, ":name" = r.":name"::text FROM unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name")
WHERE t."group" = r."KEY" AND length(r."KEY") BETWEEN 0 AND 512 AND t."user" = $2::text::character varying RETURNING t."group" AS key), inserted AS (
    INSERT INTO "order"."select" AS t ("group", "user", "it's ""quoted"" here", "Größe", "a%b", ":name") SELECT r."KEY", $2::text::character varying, r."it's ""quoted"" here"::text, r."größe"::integer, r."a%b"::text, r.":name"::text FROM unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("user", "group") DO UPDATE SET "it's ""quoted"" here" = excluded."it's ""quoted"" here", "Größe" = excluded."Größe", "a%b" = excluded."a%b", ":name" = excluded.":name" WHERE t."user" = $2::text::character varying RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "order"."select" AS t JOIN unnest($1, $4, $5, $6, $7) AS r("KEY", "it's ""quoted"" here", "größe", "a%b", ":name") ON t."group" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND length(r."KEY") BETWEEN 0 AND 512 AND t."user" = $2::text::character varying AND ROW(CAST(t."it's ""quoted"" here" AS text), CAST(t."Größe" AS integer), CAST(t."a%b" AS text), CAST(t.":name" AS text))::record *= ROW(CAST(r."it's ""quoted"" here"::text AS text), CAST(r."größe"::integer AS integer), CAST(r."a%b"::text AS text), CAST(r.":name"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- order.select: delete
WITH gone AS (DELETE FROM "order"."select" AS t USING unnest($1) AS k(key) WHERE t."group" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::text IS NOT NULL AND t."user" = $2::text::character varying RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "order"."select" AS t JOIN unnest($1) AS k(key) ON t."group" = k.key AND length(k.key) BETWEEN 0 AND 512 AND $2::text IS NOT NULL AND t."user" = $2::text::character varying) END);

-- order.a_table_whose_name_is_longer_than_most_names_are: create
WITH written AS (INSERT INTO "order"."a_table_whose_name_is_longer_than_most_names_are" AS t ("id", "user", "parent_of_this_row_in_the_same_table", "group", "country") SELECT r."KEY", $2::text::character varying, CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END, r."group"::text, r."country"::text FROM unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country") ON CONFLICT ("id") DO NOTHING RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: create, whatever is there
WITH written AS (INSERT INTO "order"."a_table_whose_name_is_longer_than_most_names_are" AS t ("id", "user", "parent_of_this_row_in_the_same_table", "group", "country") SELECT r."KEY", $2::text::character varying, CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END, r."group"::text, r."country"::text FROM unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country") ON CONFLICT ("id") DO UPDATE SET "parent_of_this_row_in_the_same_table" = excluded."parent_of_this_row_in_the_same_table", "group" = excluded."group", "country" = excluded."country" WHERE t."user" = $2::text::character varying RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE $2::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: update
WITH updated AS (UPDATE "order"."a_table_whose_name_is_longer_than_most_names_are" AS t SET "parent_of_this_row_in_the_same_table" = CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END, "group" = r."group"::text, "country" = r."country"::text FROM unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."user" = $2::text::character varying RETURNING t."id" AS key)
SELECT sync.expect_rows((SELECT count(*) FROM updated), $3) WHERE $2::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: update, whatever is there
WITH updated AS (UPDATE "order"."a_table_whose_name_is_longer_than_most_names_are" AS t SET "parent_of_this_row_in_the_same_table" = CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END, "group" = r."group"::text, "country" = r."country"::text FROM unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country")
WHERE t."id" = r."KEY" AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."user" = $2::text::character varying RETURNING t."id" AS key), inserted AS (
    INSERT INTO "order"."a_table_whose_name_is_longer_than_most_names_are" AS t ("id", "user", "parent_of_this_row_in_the_same_table", "group", "country") SELECT r."KEY", $2::text::character varying, CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END, r."group"::text, r."country"::text FROM unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country") WHERE (SELECT count(*) FROM updated) < $3
        AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")
    ON CONFLICT ("id") DO UPDATE SET "parent_of_this_row_in_the_same_table" = excluded."parent_of_this_row_in_the_same_table", "group" = excluded."group", "country" = excluded."country" WHERE t."user" = $2::text::character varying RETURNING 1 AS key
)
SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
    + (SELECT count(*) FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS t JOIN unnest($1, $4, $5, $6) AS r("KEY", "parent_of_this_row_in_the_same_table", "group", "country") ON t."id" = r."KEY"
WHERE (SELECT count(*) FROM updated) < $3 AND r."KEY" BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND t."user" = $2::text::character varying AND ROW(CAST(t."parent_of_this_row_in_the_same_table" AS uuid), CAST(t."group" AS text), CAST(t."country" AS text))::record *= ROW(CAST(CASE WHEN length(r."parent_of_this_row_in_the_same_table") = 24 THEN encode(decode(r."parent_of_this_row_in_the_same_table", 'base64'), 'hex')::uuid ELSE nullif(r."parent_of_this_row_in_the_same_table", '')::uuid END AS uuid), CAST(r."group"::text AS text), CAST(r."country"::text AS text))::record
    AND NOT EXISTS (SELECT FROM updated u WHERE u.key = r."KEY")), $3)
WHERE $2::text IS NOT NULL AND set_config('oversync.rows_inserted',
    (SELECT count(*) FROM inserted)::text, true) IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: delete
WITH gone AS (DELETE FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS t USING unnest($1) AS k(key) WHERE t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."user" = $2::text::character varying RETURNING 1 AS key)
SELECT sync.expect_rows((SELECT count(*) FROM gone),
    CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
    ELSE (SELECT count(*) FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS t JOIN unnest($1) AS k(key) ON t."id" = k.key AND k.key BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND $2::text IS NOT NULL AND t."user" = $2::text::character varying) END);

-- order.a_table_whose_name_is_longer_than_most_names_are: whether a key is another user's
SELECT EXISTS (SELECT FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS t WHERE t."id" = $1) AND NOT EXISTS (SELECT FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS t WHERE t."id" = $1 AND t."user" = $2::text::character varying)
WHERE $2::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: parents of the key a_table_whose_name_is_longer__parent_of_this_row_in_the_sa_fkey
SELECT k.n::int8 FROM unnest($2::uuid[]) WITH ORDINALITY AS k(v0, n)
CROSS JOIN LATERAL (
    SELECT FROM "order"."a_table_whose_name_is_longer_than_most_names_are" AS p
    WHERE p."id" = k.v0 AND p."user" = $1::text::character varying LIMIT 1
) AS found
WHERE $1::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: parents of the key a_table_whose_name_is_longer_than_most_names_ar_user_group_fkey
SELECT k.n::int8 FROM unnest($2::text[]) WITH ORDINALITY AS k(v0, n)
CROSS JOIN LATERAL (
    SELECT FROM "order"."select" AS p
    WHERE p."group" = k.v0 AND p."user" = $1::text::character varying AND p."user" = $1::text::character varying LIMIT 1
) AS found
WHERE $1::text IS NOT NULL;

-- order.a_table_whose_name_is_longer_than_most_names_are: parents of the key a_table_whose_name_is_longer_than_most_names_are_country_fkey
SELECT k.n::int8 FROM unnest($2::text[]) WITH ORDINALITY AS k(v0, n)
CROSS JOIN LATERAL (
    SELECT FROM "order"."countries" AS p
    WHERE p."code" = k.v0 LIMIT 1
) AS found
WHERE $1::text IS NOT NULL;
