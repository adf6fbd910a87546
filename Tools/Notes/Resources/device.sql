-- The tables that sync.
CREATE TABLE IF NOT EXISTS notes (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY NOT NULL,
    note_id TEXT NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    done BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS tasks_note ON tasks (note_id);

-- Stays on this device: the numbers that commands use for rows, and conflicts to look at.
CREATE TABLE IF NOT EXISTS numbers (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS conflicts (
    id TEXT NOT NULL,
    field TEXT NOT NULL,
    here TEXT NOT NULL,
    there TEXT NOT NULL,
    PRIMARY KEY (id, field)
);
