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
REVOKE ALL ON FUNCTION sync.lease_keys(bigint, text, smallint, regclass, integer, bigint, bigint) FROM PUBLIC;
