-- Compaction: what it has removed, and who reads what it left from the start.

-- Up to compacted_seq the log lacks compacted_count changes that compaction has removed.
ALTER TABLE sync.scope
    ADD COLUMN compacted_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN compacted_count bigint NOT NULL DEFAULT 0;

-- Devices that began at 0 when their log's floor was at floor_seq. Until it is raised again they miss nothing,
-- though their cursors are below it for a while.
CREATE TABLE sync.hydration (
    scope_id bigint NOT NULL,
    device text NOT NULL,
    floor_seq bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, device)
);
