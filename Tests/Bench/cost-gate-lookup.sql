-- Whether changes were sent before, by a look-up of all ids at once, and the insert of those that were not. Variables:
-- next, the first id, from 1; step, ids that are new each time (0: the same again, all known).
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
SELECT l.id FROM generate_series(:next::bigint, :next::bigint + 199) AS k (id)
CROSS JOIN LATERAL (
    SELECT g.id FROM bench_gate g WHERE g.source = :client_id::int AND g.id = k.id LIMIT 1
) AS l;
INSERT INTO bench_gate (source, id, body)
SELECT :client_id::int, n, 'x' FROM generate_series(:next::bigint, :next::bigint + :step::bigint - 1) AS n;
COMMIT;
\endpipeline
\set next :next + :step
