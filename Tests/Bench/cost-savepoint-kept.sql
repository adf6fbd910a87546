-- The same with a savepoint, which is released.
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
SAVEPOINT attempt;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int + 300, n, 'x' FROM generate_series(:next::bigint, :next::bigint + 49) AS n;
RELEASE SAVEPOINT attempt;
COMMIT;
\endpipeline
\set next :next + 50
