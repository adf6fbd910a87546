-- A page of a user's log as one JSON text that PostgreSQL makes, in place of rows. Variables as in floor-page.sql.
\set scope :first + :client_id
SELECT json_agg(json_build_object('server_id', p.seq, 'table_id', p.table_id, 'op', p.op, 'pk', encode(p.key, 'hex'),
    'payload', p.payload, 'server_version', p.version, 'source', p.source_no, 'source_change_id', p.source_change_id,
    'ts', p.ts))
FROM (
    SELECT l.seq, l.table_id, l.op, l.key, l.payload, l.version, l.source_no, l.source_change_id, l.ts
    FROM sync.change_log l WHERE l.scope_id = :scope AND l.seq > :after ORDER BY l.seq LIMIT :limit
) AS p;
\set after (:after + :limit) % :rows
