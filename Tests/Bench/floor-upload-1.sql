-- The rows of an upload of one change, an author, by PostgreSQL alone: one durable transaction and one round trip. Each
-- client of pgbench is one user; those of floor-upload.sql are others.
\set scope :client_id + 33
\startpipeline
BEGIN;
UPDATE sync.scope SET last_seq = last_seq + 1 WHERE scope_id = :scope;
INSERT INTO sync.change_log (scope_id, source_no, seq, table_id, op, key, version, payload, source_change_id,
    content_hash)
SELECT scope_id, 1, last_seq, 1, 'I', decode(md5(scope_id || '-' || last_seq), 'hex'), 1,
    ('{"id":"' || md5(scope_id || '-' || last_seq)::uuid || '","name":"An author of some posts","email":"'
        || md5(scope_id || '-' || last_seq)::uuid || '@example.org"}')::json, last_seq, last_seq
FROM sync.scope WHERE scope_id = :scope;
INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
SELECT scope_id, 1, decode(md5(scope_id || '-' || last_seq), 'hex'), 1, last_seq, false
FROM sync.scope WHERE scope_id = :scope;
INSERT INTO business.users (id, owner_id, name, email)
SELECT md5(scope_id || '-' || last_seq)::uuid, user_id, 'An author of some posts',
    md5(scope_id || '-' || last_seq)::uuid || '@example.org'
FROM sync.scope WHERE scope_id = :scope;
COMMIT;
\endpipeline
