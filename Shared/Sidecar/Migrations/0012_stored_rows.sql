-- The tables in which PostgreSQL has stored a row of a user's otherwise than a device sent it. From then on the user's
-- devices get their own changes of these tables, too.
CREATE TABLE sync.returned_table (
    scope_id bigint NOT NULL,
    table_id smallint NOT NULL,
    PRIMARY KEY (scope_id, table_id)
);
