-- The same when a first attempt is rolled back to the savepoint, as after a row that its table refuses.
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
SAVEPOINT attempt;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int + 400, n, 'x' FROM generate_series(:next::bigint, :next::bigint + 49) AS n;
ROLLBACK TO SAVEPOINT attempt;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int + 400, n, 'x' FROM generate_series(:next::bigint, :next::bigint + 49) AS n;
RELEASE SAVEPOINT attempt;
COMMIT;
\endpipeline
\set next :next + 50
