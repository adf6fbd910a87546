-- The business tables of `oversync-dev notes`, as a team would have them: its rules are constraints.
CREATE SCHEMA IF NOT EXISTS business;

CREATE TABLE IF NOT EXISTS business.notes (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    title text NOT NULL CONSTRAINT title_of_1_to_60_characters CHECK (char_length(title) BETWEEN 1 AND 60),
    body text NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS business.tasks (
    id uuid PRIMARY KEY,
    owner_id text NOT NULL,
    note_id uuid NOT NULL REFERENCES business.notes (id) DEFERRABLE INITIALLY DEFERRED,
    text text NOT NULL,
    done boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS tasks_note ON business.tasks (note_id);
