-- Who may read and write a table, by the roles of their tokens, and how far logs were compacted.

-- Null: everybody. A table can be written only by those who may read it.
ALTER TABLE sync.catalog
    ADD COLUMN read_roles text[],
    ADD COLUMN write_roles text[];

-- Up to here the log may lack changes that later ones of their rows have made useless.
ALTER TABLE sync.scope ADD COLUMN compacted_seq bigint NOT NULL DEFAULT 0;
