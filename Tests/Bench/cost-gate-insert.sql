-- The same by an insert that comes first and skips what is there. Variables as in cost-gate-lookup.sql.
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int + 100, n, 'x' FROM generate_series(:next::bigint, :next::bigint + 199) AS n
ON CONFLICT (source, id) DO NOTHING RETURNING id;
COMMIT;
\endpipeline
\set next :next + :step
