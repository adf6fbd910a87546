-- The rows of an upload of :changes changes (a multiple of ten), set-wise, by PostgreSQL alone: one user's sequence, as
-- many log entries and row states, and posts that point to authors, ten changes to an author, in one durable transaction
-- and one round trip. Each client of pgbench is one user. Keys are as good as random and follow from the sequence, so that no statement needs another's
-- result.
\set scope :client_id + 1
\startpipeline
BEGIN;
UPDATE sync.scope SET last_seq = last_seq + :changes WHERE scope_id = :scope;
INSERT INTO sync.change_log (scope_id, source_no, seq, table_id, op, key, version, payload, source_change_id,
    content_hash)
SELECT s.scope_id, 1, n, CASE WHEN n % 10 = 1 THEN 1 ELSE 2 END, 'I', decode(md5(s.scope_id || '-' || n), 'hex'), 1,
    CASE WHEN n % 10 = 1
        THEN '{"id":"' || md5(s.scope_id || '-' || n)::uuid || '","name":"An author of some posts","email":"'
            || md5(s.scope_id || '-' || n)::uuid || '@example.org"}'
        ELSE '{"id":"' || md5(s.scope_id || '-' || n)::uuid || '","author_id":"'
            || md5(s.scope_id || '-' || n - (n + 9) % 10)::uuid || '","title":"A post of the usual kind","content":'
            || '"A few words that stand for what people write when they write a post of some length."}'
    END::json, n, n
FROM sync.scope s, generate_series(s.last_seq - :changes + 1, s.last_seq) AS n WHERE s.scope_id = :scope;
INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
SELECT s.scope_id, CASE WHEN n % 10 = 1 THEN 1 ELSE 2 END, decode(md5(s.scope_id || '-' || n), 'hex'), 1, n, false
FROM sync.scope s, generate_series(s.last_seq - :changes + 1, s.last_seq) AS n WHERE s.scope_id = :scope;
INSERT INTO business.users (id, owner_id, name, email)
SELECT md5(s.scope_id || '-' || n)::uuid, s.user_id, 'An author of some posts',
    md5(s.scope_id || '-' || n)::uuid || '@example.org'
FROM sync.scope s, generate_series(s.last_seq - :changes + 1, s.last_seq, 10) AS n WHERE s.scope_id = :scope;
INSERT INTO business.posts (id, owner_id, author_id, title, content)
SELECT md5(s.scope_id || '-' || n)::uuid, s.user_id, md5(s.scope_id || '-' || n - (n + 9) % 10)::uuid,
    'A post of the usual kind',
    'A few words that stand for what people write when they write a post of some length.'
FROM sync.scope s, generate_series(s.last_seq - :changes + 1, s.last_seq) AS n WHERE s.scope_id = :scope AND n % 10 <> 1;
COMMIT;
\endpipeline
