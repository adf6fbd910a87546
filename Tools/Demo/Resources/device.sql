-- The same tables on a device: no owner, keys as an app would choose them.
CREATE TABLE IF NOT EXISTS countries (
    id TEXT PRIMARY KEY NOT NULL,
    alpha_2 TEXT NOT NULL UNIQUE,
    alpha_3 TEXT NOT NULL,
    digits TEXT NOT NULL,
    name TEXT NOT NULL,
    official_name TEXT,
    note TEXT
);
CREATE TABLE IF NOT EXISTS subdivisions (
    id BLOB PRIMARY KEY NOT NULL,
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    country_id TEXT NOT NULL REFERENCES countries (id),
    parent_id BLOB REFERENCES subdivisions (id),
    note TEXT
);
CREATE TABLE IF NOT EXISTS languages (
    id TEXT PRIMARY KEY NOT NULL,
    alpha_3 TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    kind TEXT NOT NULL,
    note TEXT
);
CREATE TABLE IF NOT EXISTS currencies (
    code TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    digits TEXT NOT NULL,
    note TEXT
);
CREATE INDEX IF NOT EXISTS subdivisions_country ON subdivisions (country_id);
CREATE INDEX IF NOT EXISTS subdivisions_parent ON subdivisions (parent_id);
