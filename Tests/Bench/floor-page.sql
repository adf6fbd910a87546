-- A page of a user's log as plain rows, by PostgreSQL alone. Each client of pgbench reads one user's log from its start
-- to its end, again and again. Variables: first, the first user's scope; rows, of each log; limit, of a page; after, 0.
\set scope :first + :client_id
SELECT l.seq, l.table_id, l.op, l.key, l.payload, l.version, l.source_no, l.source_change_id, l.ts
FROM sync.change_log l
WHERE l.scope_id = :scope AND l.seq > :after
ORDER BY l.seq LIMIT :limit;
\set after (:after + :limit) % :rows
