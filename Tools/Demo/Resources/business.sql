-- The business tables of the demonstration: what a team has anyway. Nothing here knows of the sync service.
CREATE SCHEMA IF NOT EXISTS business;

CREATE TABLE IF NOT EXISTS business.users (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    name text NOT NULL,
    email text UNIQUE
);
CREATE TABLE IF NOT EXISTS business.posts (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    author_id uuid NOT NULL REFERENCES business.users (id) DEFERRABLE INITIALLY DEFERRED,
    title text NOT NULL,
    content text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The lists of ISO 3166-1, 3166-2, 639-3 and 4217.
CREATE TABLE IF NOT EXISTS business.countries (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    alpha_2 text NOT NULL,
    alpha_3 text NOT NULL,
    digits text NOT NULL,
    name text NOT NULL,
    official_name text,
    note text
);
CREATE TABLE IF NOT EXISTS business.subdivisions (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    country_id uuid NOT NULL REFERENCES business.countries (id) DEFERRABLE INITIALLY DEFERRED,
    parent_id uuid REFERENCES business.subdivisions (id) DEFERRABLE INITIALLY DEFERRED,
    note text
);
CREATE TABLE IF NOT EXISTS business.languages (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    alpha_3 text NOT NULL,
    name text NOT NULL,
    scope text NOT NULL,
    kind text NOT NULL,
    note text
);
CREATE TABLE IF NOT EXISTS business.currencies (
    owner_id text NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    digits text NOT NULL,
    note text,
    PRIMARY KEY (owner_id, code)
);
CREATE INDEX IF NOT EXISTS posts_author ON business.posts (author_id);
CREATE INDEX IF NOT EXISTS subdivisions_country ON business.subdivisions (country_id);
CREATE INDEX IF NOT EXISTS subdivisions_parent ON business.subdivisions (parent_id);
