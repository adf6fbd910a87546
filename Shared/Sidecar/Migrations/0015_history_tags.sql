-- Tags of changes, by which a device and a server find out that they tell different histories.

ALTER TABLE sync.scope
    -- The tag of the change at tagged_seq. It is the last one's if tagged_seq is last_seq: plain SQL adds changes
    -- without a look at these two.
    ADD COLUMN tagged_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_tag bigint NOT NULL DEFAULT 0,
    -- The same of a change that compaction removed when it was the last one.
    ADD COLUMN kept_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN kept_tag bigint NOT NULL DEFAULT 0;

-- The tag of a change: tells it from any other at its sequence. `TaggedChange` computes the same.
CREATE FUNCTION sync.change_tag(
    seq bigint, op "char", version bigint, source_change_id bigint, content_hash bigint, ts timestamptz, key bytea
) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substring(sha256(
    int8send(seq) || charsend(op) || int8send(version) || int8send(source_change_id) || int8send(content_hash)
        || timestamptz_send(ts) || key) FROM 1 FOR 8), 'hex'))::bit(64)::bigint;

REVOKE ALL ON FUNCTION sync.change_tag(bigint, "char", bigint, bigint, bigint, timestamptz, bytea) FROM PUBLIC;
