-- Pages that have an atomic upload whole, and the hash of what a device sent with a change that its table refused.

-- The atomic uploads that made more than one change, each with its part of the user's log. What triggers and foreign
-- keys changed in this log meanwhile is among them: the upload locks the log until its commit.
CREATE TABLE sync.atomic_upload (
    scope_id bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_seq bigint NOT NULL,
    source_no integer NOT NULL,
    PRIMARY KEY (scope_id, last_seq)
);

-- The last change of the newest of them: readers beyond it look for none.
ALTER TABLE sync.scope ADD COLUMN atomic_seq bigint NOT NULL DEFAULT 0;

-- Of what the device sent; the payload lacks what it may not write. Null where an older version recorded it.
ALTER TABLE sync.materialize_failures ADD COLUMN content_hash bigint;
