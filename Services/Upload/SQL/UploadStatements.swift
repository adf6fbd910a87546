import Model
import Postgres
import Sidecar

/// The fixed statements of an upload. Others are in `ReadStatements` and `ScopeStatements`.
///
/// They are planned once a session, perhaps while the tables are empty, and must be as fast when
/// those hold millions of rows: look-ups stand in LATERAL with a LIMIT, so the planner can only
/// probe the index for each.
///
/// Each names its scope by number (`$1`) and user (`$2`), and finds nothing where the two do not
/// belong together (`NamedScope`). The reads are sent after `LockScope` without waiting for its
/// answer, so each checks for itself. `appendLog`, `appendLogOfDevices`, `insertRowState`,
/// `writeRowState`, `recordFailure` and the writes of business rows name the number alone: they are sent after
/// `LockScope` has answered in the same transaction, and its lock keeps the scope the user's until
/// that ends.
package enum UploadStatements {
    /// At this level whatever the role or the database is set to: what is read under the lock of
    /// the scope must be what was committed before the lock was taken.
    package static let begin = Statement(
        name: "upload_begin", sql: "BEGIN ISOLATION LEVEL READ COMMITTED")
    package static let commit = Statement(name: "upload_commit", sql: "COMMIT")
    package static let rollback = Statement(name: "upload_rollback", sql: "ROLLBACK")
    package static let savepoint = Statement(name: "upload_savepoint", sql: "SAVEPOINT attempt")
    package static let rollbackToSavepoint = Statement(
        name: "upload_rollback_to", sql: "ROLLBACK TO SAVEPOINT attempt")
    package static let releaseSavepoint = Statement(
        name: "upload_release", sql: "RELEASE SAVEPOINT attempt")
    package static let deferConstraints = Statement(
        name: "upload_defer", sql: "SET CONSTRAINTS ALL DEFERRED")
    package static let checkConstraints = Statement(
        name: "upload_check", sql: "SET CONSTRAINTS ALL IMMEDIATE")

    /// Settings of this transaction alone, so that they also hold behind a transaction pooler: its
    /// timeouts, and that its commit waits for the disk (promise P1) even where the database says
    /// that none needs to. A stricter setting, which waits for replicas, stays;
    /// `oversync.durability` remembers it.
    package static let configure = Statement(
        name: "upload_configure", sql: "SELECT \(settings)", parameters: [.text, .text, .text])

    private static let settings = """
        set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
            set_config('idle_in_transaction_session_timeout', $3, true),
            set_config('oversync.durability', set_config('synchronous_commit',
                CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
                    ELSE current_setting('synchronous_commit') END, true), true)
        """

    /// What the service sends and reads is UTF-8, whatever a trigger of the team's has set.
    private static let restoreEncoding = "set_config('client_encoding', 'UTF8', true)"

    /// Undoes what a trigger of the team's has set, for the commit (promise P1) and for what is
    /// read. Stands in each statement that reads how the log ends after the writes.
    static let restoreSettings = """
        set_config('synchronous_commit',
            COALESCE(NULLIF(current_setting('oversync.durability', true), ''), 'on'), true),
            \(restoreEncoding)
        """

    /// The same, and who writes, for the policies of the team's tables (`PolicyClaims`). Only where
    /// a table is registered with `row_security: true`; then for every upload, as a trigger of any
    /// table may write to that one.
    package static let configureWithClaims = Statement(
        name: "upload_configure_with_claims",
        sql: "SELECT \(settings), set_config('request.jwt.claims', $4, true)",
        parameters: [.text, .text, .text, .text])

    /// Announces the writes to the capture triggers: which rows they will find logged already, and what kind
    /// of statement follows (`U` upserts, then `D` deletes). Also shortens the wait for locks.
    package static let enterWrites = Statement(
        name: "upload_enter_writes",
        sql: """
            SELECT set_config('lock_timeout', $1, true), set_config('oversync.scope', $2, true),
                set_config('oversync.first_seq', $3, true), set_config('oversync.last_seq', $4, true),
                set_config('oversync.writes', 'U', true)
            """,
        parameters: [.text, .text, .text, .text])
    /// Shortens the statements and the waits for locks of one attempt, until its savepoint is
    /// rolled back or the next attempt has its own.
    package static let boundAttempt = Statement(
        name: "upload_bound_attempt",
        sql: """
            SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)
            """,
        parameters: [.text, .text])
    package static let enterDeletes = Statement(
        name: "upload_enter_deletes", sql: "SELECT set_config('oversync.writes', 'D', true)")

    /// Upserts follow deletes that went first.
    package static let enterUpserts = Statement(
        name: "upload_enter_upserts", sql: "SELECT set_config('oversync.writes', 'U', true)")

    /// From here on the transaction renders rows as capture does, whatever its session, or a
    /// trigger, has set.
    package static let renderAsCapture = Statement(
        name: "upload_render_as_capture",
        sql: "SELECT \(RenderingSettings.assignments), \(restoreEncoding)")

    /// Stops the transaction, with `UnseenColumns.state`, if a table has a column that the service has not seen.
    package static let expectNoColumns = Statement(
        name: "upload_expect_no_columns", sql: "SELECT sync.expect_no_columns($1, $2)",
        parameters: [.textArray, .textArray])

    /// Stops the transaction unless the user's log ends at `$3`: the writes before have caused
    /// others.
    package static let expectHead = Statement(
        name: "upload_expect_head",
        sql: """
            SELECT sync.expect_rows(s.last_seq, $3), \(restoreSettings) FROM sync.scope s
            WHERE \(NamedScope.condition("s"))
            """,
        parameters: [.int8, .text, .int8])

    package static let advanceScope = Statement(
        name: "upload_advance_scope",
        sql: """
            UPDATE sync.scope AS s SET last_seq = $3, tagged_seq = $3, last_tag = $4
            WHERE \(NamedScope.condition("s"))
            """,
        parameters: [.int8, .text, .int8, .int8])

    package static let appendLog = Statement(
        name: "upload_append_log",
        sql: """
            INSERT INTO sync.change_log (scope_id, source_no, \(LogRows.columns), ts)
            SELECT $1, $2, u.*, \(LogRows.time(from: 3))
            FROM unnest(\(LogRows.arguments(from: 3))) AS u
            """,
        parameters: [.int8, .int4] + LogRows.types)

    /// The same for changes of several devices: `$2` has a number for each.
    package static let appendLogOfDevices = Statement(
        name: "upload_append_log_of_devices",
        sql: """
            INSERT INTO sync.change_log (scope_id, source_no, \(LogRows.columns), ts)
            SELECT $1, u.*, \(LogRows.time(from: 3))
            FROM unnest($2::int4[], \(LogRows.arguments(from: 3))) AS u
            """,
        parameters: [.int8, .int4Array] + LogRows.types)

    /// For rows that have no state yet: under the scope's lock nobody else gives them one, so
    /// PostgreSQL need not look for a conflict first.
    package static let insertRowState = Statement(
        name: "upload_insert_rows", sql: insertingRowState, parameters: rowStateTypes)

    package static let writeRowState = Statement(
        name: "upload_write_rows",
        sql: """
            \(insertingRowState)
            ON CONFLICT (scope_id, table_id, key) DO UPDATE
            SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
            """,
        parameters: rowStateTypes)

    private static let insertingRowState = """
        INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
        SELECT $1, u.* FROM unnest($2::int2[], $3::bytea[], $4::int8[], $5::int8[], $6::bool[]) AS u
        """
    private static let rowStateTypes: [PostgresType] = [
        .int8, .int2Array, .byteaArray, .int8Array, .int8Array, .boolArray,
    ]

    /// Records which part of the log an atomic upload made, from `$3` to the end, device `$4`: a
    /// page has all of it or nothing. It follows all writes, so that what these caused is part of
    /// it. A single change needs no record.
    package static let recordAtomicUpload = Statement(
        name: "upload_record_atomic",
        sql: """
            WITH recorded AS (
                INSERT INTO sync.atomic_upload (scope_id, first_seq, last_seq, source_no)
                SELECT $1, $3, s.last_seq, $4 FROM sync.scope s
                WHERE \(NamedScope.condition("s")) AND s.last_seq > $3
                ON CONFLICT (scope_id, last_seq) DO UPDATE
                SET first_seq = excluded.first_seq, source_no = excluded.source_no
                RETURNING last_seq
            )
            UPDATE sync.scope AS s SET atomic_seq = n.last_seq FROM recorded n
            WHERE \(NamedScope.condition("s"))
            """,
        parameters: [.int8, .text, .int8, .int4])

    package static let recordFailure = Statement(
        name: "upload_record_failure",
        sql: """
            INSERT INTO sync.materialize_failures (scope_id, table_id, key, attempted_version, op, payload,
                source_no, source_change_id, sqlstate, error, content_hash,
                roles)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            ON CONFLICT (scope_id, table_id, key, attempted_version) DO UPDATE
            SET retry_count = sync.materialize_failures.retry_count + 1, op = excluded.op,
                payload = excluded.payload, source_no = excluded.source_no,
                source_change_id = excluded.source_change_id, sqlstate = excluded.sqlstate,
                error = excluded.error, content_hash = excluded.content_hash,
                roles = excluded.roles, resolved_at = NULL,
                -- Another edit of the row is young, however old the one is that it replaces.
                first_seen = CASE
                    WHEN sync.materialize_failures.content_hash = excluded.content_hash
                    THEN sync.materialize_failures.first_seen ELSE now() END
            """,
        parameters: [
            .int8, .int2, .bytea, .int8, .char, .json, .int4, .int8, .text, .text, .int8,
            .textArray,
        ])

    /// A device was given the first page of a log that deletes were removed from, and will come back with cursors
    /// below its floor. Download, which may not write, asks for it (`NoteHydration`).
    /// It finds the scope by its user: it is rare, and one scope's.
    package static let noteHydration = Statement(
        name: "upload_note_hydration",
        sql: """
            INSERT INTO sync.hydration (scope_id, device, floor_seq)
            SELECT scope_id, $2, $3 FROM sync.scope WHERE user_id = $1
            ON CONFLICT (scope_id, device) DO UPDATE
            SET floor_seq = excluded.floor_seq, started_at = excluded.started_at
            WHERE hydration.floor_seq <> excluded.floor_seq
                OR hydration.started_at < excluded.started_at - interval '1 hour'
            """,
        parameters: [.text, .text, .int8])

    /// All of them, for the test that prepares each on a real server.
    package static let all =
        [
            begin, commit, rollback, savepoint, rollbackToSavepoint, releaseSavepoint,
            deferConstraints,
            checkConstraints, configure, configureWithClaims, enterWrites, boundAttempt,
            enterDeletes,
            enterUpserts,
            renderAsCapture, ReadHead.statement, ReadUniqueIndex.statement, ReadEpoch.statement,
            FindScope.statement, LockScope.statement, LockScopeOfPair.statement, UserScope.create,
            ReadSource.statement, CreateSource.statement, ReadKnownChanges.statement,
            ReadRowStates.statement, CountUsage.statement,
            ReadPayloads.statement, ReadTaggedChange.statement,
            expectNoColumns, expectHead,
            advanceScope, appendLog, appendLogOfDevices, insertRowState, writeRowState,
            recordAtomicUpload,
            recordFailure, noteHydration, ReadErrorLog.statement,
        ] + DeviceStatements.all + KeyLeaseStatements.all + MeasuringStatements.all
}
