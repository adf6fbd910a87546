-- The business tables of the gap checker: items, and their parts, which go with them. The sync service knows
-- of neither the cascade nor the receipts.
CREATE SCHEMA IF NOT EXISTS gap;

CREATE TABLE IF NOT EXISTS gap.items (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    n bigint NOT NULL,
    label text NOT NULL
);
CREATE TABLE IF NOT EXISTS gap.parts (
    id bigint PRIMARY KEY,
    owner_id text NOT NULL,
    item_id uuid NOT NULL REFERENCES gap.items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    n bigint NOT NULL,
    label text NOT NULL
);
CREATE INDEX IF NOT EXISTS parts_item ON gap.parts (item_id);

-- How many rows each statement of the back end has written, noted by the statement itself: a back end whose
-- connection dies at COMMIT does not know.
CREATE TABLE IF NOT EXISTS gap.receipts (
    owner_id text NOT NULL,
    written bigint NOT NULL
);
