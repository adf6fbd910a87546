-- Fifty rows in a transaction, by one statement and without a savepoint. Variable: next, the first id, from 1.
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int + 200, n, 'x' FROM generate_series(:next::bigint, :next::bigint + 49) AS n;
COMMIT;
\endpipeline
\set next :next + 50
