-- Edits of 50 rows that are there, of one user for each client: the user's sequence and the rows' states, which is what an
-- upload updates. Variables: first, the first user's scope; rows, of each user.
\set scope :first + :client_id
\set row random(1, :rows - 50)
\startpipeline
BEGIN;
-- The wait for the disk would hide the rest; no plan of the services reads a whole table.
SET LOCAL synchronous_commit = off;
SET LOCAL enable_seqscan = off;
UPDATE sync.scope SET last_seq = last_seq + 50 WHERE scope_id = :scope;
UPDATE sync.row_state r SET version = r.version + 1, seq = r.seq + 1
FROM generate_series(:row, :row + 49) AS n
WHERE r.scope_id = :scope AND r.table_id = CASE WHEN n % 10 = 1 THEN 1 ELSE 2 END
    AND r.key = decode(md5(:scope || '-' || n), 'hex');
COMMIT;
\endpipeline
