-- Who may read and write a table, by the roles of their tokens. Null: everybody. A table can be written only by
-- those who may read it.
ALTER TABLE sync.catalog
    ADD COLUMN read_roles text[],
    ADD COLUMN write_roles text[];
