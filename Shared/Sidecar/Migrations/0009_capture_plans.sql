-- Two questions that each capture trigger asks first. PostgreSQL plans a function in SQL anew in every
-- transaction that calls it from plpgsql, which took longer than all else that an upload's statement did; one in
-- plpgsql it plans once a session.

CREATE OR REPLACE FUNCTION sync.cascades_into(child oid, operation text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN operation <> 'INSERT' AND EXISTS (
        SELECT FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = child AND k.contype = 'f'
            AND CASE operation WHEN 'DELETE' THEN k.confdeltype = 'c'
                ELSE k.confupdtype IN ('c', 'n', 'd') OR k.confdeltype IN ('n', 'd') END);
END $$;

CREATE OR REPLACE FUNCTION sync.is_upload_statement(operation text, depth integer) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN depth = 1 AND coalesce(current_setting('oversync.writes', true), '')
        = CASE operation WHEN 'DELETE' THEN 'D' ELSE 'U' END;
END $$;
