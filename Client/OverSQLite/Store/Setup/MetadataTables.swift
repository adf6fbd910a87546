import GRDB

/// The tables with the library's metadata. They are in the app's database, and so part of its
/// transactions.
enum MetadataTables {
    /// Increases when the tables below change.
    static let format = 12
    /// The first format of a library that spells references as keys are spelled here.
    static let spelledReferences = 5

    /// Creates what is missing. Throws if the database has a newer format than this code knows.
    ///
    /// - Returns: the format that was found; the current one for new tables.
    @discardableResult
    static func create(in db: Database) throws -> Int {
        try checkComplete(db)
        try db.execute(sql: tables)
        try db.execute(
            sql:
                "INSERT INTO _sync_state (id, format) SELECT 1, ? WHERE NOT EXISTS (SELECT 1 FROM _sync_state)",
            arguments: [format])
        let state = try MetadataRow.first(
            of: "_sync_state", db, sql: "SELECT format FROM _sync_state")
        let found = Int(try state?.number("format") ?? 0)
        guard found <= format else { throw SyncError.newerMetadata(format: found) }
        if found < format { try upgrade(db, from: found) }
        // Not among the tables: it names a column that an older table gets above.
        try db.execute(
            sql: """
                CREATE INDEX IF NOT EXISTS _sync_exact ON _sync_extra (tbl) WHERE exact IS NOT NULL
                """)
        try RowStatusView.create(in: db)
        return found
    }

    /// Tables that every format since 4 has, and that hold what is nowhere else.
    private static let essential = [
        "_sync_state", "_sync_tables", "_sync_log", "_sync_absent", "_sync_rows", "_sync_pending",
        "_sync_sent", "_sync_held", "_sync_unseen", "_sync_extra",
    ]

    /// Refuses a database in which a table is missing: an empty one in its place would forget what
    /// is pending, or whose rows these are.
    private static func checkComplete(_ db: Database) throws {
        let found = try essential.filter { try db.tableExists($0) }
        if found.isEmpty {
            // Without the tables, what triggers have recorded is gone. All rows count as new.
            return try TableTriggers(db: db).drop()
        }
        guard found.contains("_sync_state"),
            let state = try MetadataRow.first(
                of: "_sync_state", db, sql: "SELECT format FROM _sync_state")
        else { throw SyncError.damagedMetadata("_sync_state has no row") }
        // Older formats get the tables that they lack.
        guard try state.number("format") == format,
            let missing = essential.first(where: {
                !found.contains($0)
            })
        else { return }
        throw SyncError.damagedMetadata("the table \(missing) is missing")
    }

    /// Format 2 added the server's epoch, format 3 tables that come and go, format 4 reports of
    /// conflicts and edits of tables that are not synced at present, format 5 an index of keys that
    /// are spelled otherwise than on the wire, the causes of held rows, and the database's file,
    /// format 6 tables that were rebuilt, format 7 stored rows that are held, and the end of what
    /// a local migration changes, format 8 what proves the server's history, format 9 what rows add
    /// to digests, format 10 which tables the user may read, format 11 when an
    /// edit was first pending, format 12 numbers for new rows that the server has leased to this
    /// device.
    private static func upgrade(_ db: Database, from found: Int) throws {
        if found < 2 {
            try db.execute(
                sql: """
                    ALTER TABLE _sync_state ADD COLUMN epoch TEXT;
                    ALTER TABLE _sync_state ADD COLUMN reread TEXT;
                    """)
        }
        if found < 3 {
            try db.execute(
                sql: "ALTER TABLE _sync_tables ADD COLUMN is_absent INTEGER NOT NULL DEFAULT 0")
        }
        if found < 5 {
            // A table that is older than the column may have been made just now.
            for (table, column) in [
                ("_sync_held", "cause"), ("_sync_state", "file"), ("_sync_state", "copied_from"),
                ("_sync_state", "copy_name"),
                ("_sync_extra", "exact"),
            ] where try !db.columns(in: table).contains(where: { $0.name == column }) {
                try db.execute(sql: "ALTER TABLE \(table) ADD COLUMN \(column) TEXT")
            }
        }
        try addColumns(to: db)
        try db.execute(sql: "UPDATE _sync_state SET format = ?", arguments: [format])
    }

    /// Adds the columns of the formats from 6 on, also before the first start of this version.
    static func addColumns(to db: Database) throws {
        for (table, column) in [
            ("_sync_tables", "rebuilt"), ("_sync_state", "reached"),
            ("_sync_state", "local_until"), ("_sync_held", "is_stored"),
            ("_sync_state", "history_seq"), ("_sync_state", "history_tag"),
            ("_sync_state", "forked_at"), ("_sync_state", "compared_at"),
            ("_sync_state", "resume_at"), ("_sync_tables", "access"),
        ] where try !db.columns(in: table).contains(where: { $0.name == column }) {
            try db.execute(
                sql: "ALTER TABLE \(table) ADD COLUMN \(column) INTEGER NOT NULL DEFAULT 0")
        }
        for table in ["_sync_rows", "_sync_held"]
        where try !db.columns(in: table).contains(where: { $0.name == "term" }) {
            try db.execute(sql: "ALTER TABLE \(table) ADD COLUMN term INTEGER")
        }
        if try !db.columns(in: "_sync_pending").contains(where: { $0.name == "added" }) {
            try db.execute(sql: "ALTER TABLE _sync_pending ADD COLUMN added INTEGER")
        }
        if try !db.columns(in: "_sync_state").contains(where: { $0.name == "readable" }) {
            try db.execute(sql: "ALTER TABLE _sync_state ADD COLUMN readable TEXT")
        }
    }

    private static let tables = """
        -- What this device knows about itself; one row.
        CREATE TABLE IF NOT EXISTS _sync_state (
          id INTEGER PRIMARY KEY CHECK (id = 1),
          format INTEGER NOT NULL,
          user_id TEXT,
          source_id TEXT,
          next_change_id INTEGER NOT NULL DEFAULT 1,
          -- Position in the feed, moved only with the rows it stands for.
          cursor INTEGER NOT NULL DEFAULT 0,
          -- The furthest that the cursor has been.
          reached INTEGER NOT NULL DEFAULT 0,
          -- Up to here, rows keep what the app has written for this device only; 0: it has not.
          local_until INTEGER NOT NULL DEFAULT 0,
          -- End of the window being read, 0 between windows.
          window INTEGER NOT NULL DEFAULT 0,
          -- 1 once the first window has been read to its end.
          hydrated INTEGER NOT NULL DEFAULT 0,
          -- Last entry of _sync_log that _sync_pending knows of.
          folded INTEGER NOT NULL DEFAULT 0,
          -- The identity of the server's history; NULL until it was asked for.
          epoch TEXT,
          -- Why the feed is being read from its start again; NULL if it is not.
          reread TEXT,
          -- The latest change that an answer told of, and its tag; 0: none.
          history_seq INTEGER NOT NULL DEFAULT 0,
          history_tag INTEGER NOT NULL DEFAULT 0,
          -- When a reread began because the server had lost changes (seconds since 1970);
          -- 0: never.
          forked_at REAL NOT NULL DEFAULT 0,
          -- When rows were last compared with the server's (seconds since 1970); 0: never.
          compared_at REAL NOT NULL DEFAULT 0,
          -- What the server's answers say of the tables that the user may read; NULL until asked.
          readable TEXT,
          -- While opened tables are read from the feed's start: how far the others are; 0: not so.
          resume_at INTEGER NOT NULL DEFAULT 0,
          -- The file that holds this database, to notice a copy.
          file TEXT,
          -- The device's name in the database that this one is a copy of; NULL if it is none.
          copied_from TEXT,
          -- The name that this copy has taken instead.
          copy_name TEXT
        );
        CREATE TABLE IF NOT EXISTS _sync_tables (
          id INTEGER PRIMARY KEY,
          name TEXT NOT NULL UNIQUE,
          -- Names of the columns the triggers were made for.
          columns TEXT NOT NULL DEFAULT '',
          -- 1 while the app does not sync the table, whose changes then go past unread; 2 if the server has begun
          -- another history since.
          is_absent INTEGER NOT NULL DEFAULT 0,
          -- 1 while the server does not let the user read the table; 2 if it has begun another
          -- history since; 3 once it does again, until the table is read.
          access INTEGER NOT NULL DEFAULT 0,
          -- 1 once the app has made the table anew, until its rows are compared; 2 if the app has
          -- said that the new values are for this device only, until the next start; 3 if a repair
          -- has lost touches of it, until the next start.
          rebuilt INTEGER NOT NULL DEFAULT 0
        );
        -- Rows the app has touched, in order. The last entry always stays, so that numbers never repeat.
        CREATE TABLE IF NOT EXISTS _sync_log (
          seq INTEGER PRIMARY KEY,
          tbl INTEGER NOT NULL,
          key,
          kind INTEGER NOT NULL DEFAULT 0,
          image TEXT
        );
        -- Touches of tables that the app does not sync at present, the first of each row: for their return.
        CREATE TABLE IF NOT EXISTS _sync_absent (
          seq INTEGER PRIMARY KEY,
          tbl INTEGER NOT NULL,
          key,
          kind INTEGER NOT NULL,
          image TEXT,
          UNIQUE (tbl, key, kind)
        );
        -- Holds a row only inside a transaction that writes server rows.
        CREATE TABLE IF NOT EXISTS _sync_applying (mode INTEGER PRIMARY KEY);
        -- The version of each row that this device last saw.
        CREATE TABLE IF NOT EXISTS _sync_rows (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          version INTEGER NOT NULL,
          deleted INTEGER NOT NULL,
          -- The key as the row spells it, where that differs from the wire.
          local,
          -- What this version adds to its table's digest; NULL for a deletion, and where it is not
          -- known: for what this device has written itself.
          term INTEGER,
          PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID;
        -- The rows whose key is spelled otherwise, for references to them.
        CREATE INDEX IF NOT EXISTS _sync_spelled ON _sync_rows (tbl, key) WHERE local IS NOT NULL;
        -- One entry per row with edits the server has not confirmed.
        CREATE TABLE IF NOT EXISTS _sync_pending (
          seq INTEGER PRIMARY KEY,
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          local,
          op TEXT NOT NULL CHECK (op IN ('INSERT', 'UPDATE', 'DELETE')),
          base INTEGER NOT NULL,
          -- The row at version `base`.
          image TEXT,
          -- The row as it was last sent, if it was edited after.
          sent_image TEXT,
          -- Number of the last touch: differs whenever the content may.
          revision INTEGER NOT NULL,
          -- Why the server refused it, and when to try again (seconds since 1970; NULL: not by itself).
          reason TEXT,
          message TEXT,
          attempts INTEGER NOT NULL DEFAULT 0,
          retry_at REAL,
          -- Since when the row is pending (seconds since 1970, by SQLite's clock).
          added INTEGER,
          UNIQUE (tbl, key)
        );
        -- What was sent under which change id and never answered.
        CREATE TABLE IF NOT EXISTS _sync_sent (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          change_id INTEGER NOT NULL,
          revision INTEGER NOT NULL,
          base INTEGER NOT NULL,
          op TEXT NOT NULL,
          PRIMARY KEY (tbl, key, change_id)
        ) WITHOUT ROWID;
        -- Server rows that this database could not take yet, newest version of each.
        CREATE TABLE IF NOT EXISTS _sync_held (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          version INTEGER NOT NULL,
          payload TEXT,
          reason TEXT NOT NULL,
          -- What kind of reason it is; NULL for rows that older versions held.
          cause TEXT,
          -- 1 if it is what the server has stored of the version that the device wrote.
          is_stored INTEGER NOT NULL DEFAULT 0,
          -- As in _sync_rows.
          term INTEGER,
          PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID;
        -- While the feed is read again: the rows it has yet to show, or has shown in an older version only.
        CREATE TABLE IF NOT EXISTS _sync_unseen (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          seen INTEGER,
          gone INTEGER,
          PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID;
        -- Versions of rows that the server had confirmed and has lost. Touches up to `until` are
        -- the library's own, made to send the rows again; -1: the app had edited the row.
        CREATE TABLE IF NOT EXISTS _sync_lost (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          version INTEGER NOT NULL,
          until INTEGER NOT NULL,
          PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID;
        -- Reports of conflicts in which something of this device's was given up, until the app has seen them.
        CREATE TABLE IF NOT EXISTS _sync_conflicts (
          id INTEGER PRIMARY KEY,
          tbl TEXT NOT NULL,
          key TEXT NOT NULL,
          outcome TEXT NOT NULL,
          columns TEXT NOT NULL,
          -- The values given up, as in an image.
          lost TEXT NOT NULL
        );
        -- The tables for whose new rows the device leases numbers: how many at a time, and when it
        -- last did (seconds since 1970; 0: never).
        CREATE TABLE IF NOT EXISTS _sync_key_leases (
          tbl INTEGER PRIMARY KEY,
          size INTEGER NOT NULL,
          leased_at REAL NOT NULL
        );
        -- Leased numbers that no row has yet: next, next + step, and so on. They belong to the
        -- device and the history that they were leased in.
        CREATE TABLE IF NOT EXISTS _sync_key_ranges (
          id INTEGER PRIMARY KEY,
          tbl INTEGER NOT NULL,
          next INTEGER NOT NULL,
          step INTEGER NOT NULL,
          remaining INTEGER NOT NULL,
          source_id TEXT NOT NULL,
          epoch TEXT NOT NULL
        );
        -- Values of columns that only the server has; they go back with the row's next upload.
        CREATE TABLE IF NOT EXISTS _sync_extra (
          tbl INTEGER NOT NULL,
          key TEXT NOT NULL,
          payload TEXT NOT NULL,
          -- Values that a column of this database cannot give back, and what it holds instead.
          exact TEXT,
          PRIMARY KEY (tbl, key)
        ) WITHOUT ROWID;
        """
}
