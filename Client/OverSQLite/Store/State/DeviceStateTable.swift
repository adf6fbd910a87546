import Foundation
import GRDB

/// `_sync_state`, the device's one row of state. No other file writes it.
struct DeviceStateTable {
    private static let name = "_sync_state"

    let db: Database

    func read() throws -> DeviceState {
        let row = try first(
            """
            user_id, source_id, cursor, "window", hydrated, next_change_id, epoch, reread,
              history_seq, history_tag, forked_at, readable, resume_at
            """)
        let epoch = try row.textIfAny("epoch")
        if let epoch, UUID(uuidString: epoch) == nil { throw row.damage("epoch", "is no UUID") }
        return DeviceState(
            userID: try row.textIfAny("user_id"), sourceID: try row.textIfAny("source_id") ?? "",
            cursor: try row.number("cursor"), window: try row.number("window"),
            isHydrated: try row.flag("hydrated"),
            nextChangeID: try row.number("next_change_id", in: ProtocolNumber.nextChangeIDs),
            epoch: epoch,
            reread: try row.textIfAny("reread") == nil ? nil : try row.word("reread"),
            history: try Self.history(row), forkedAt: try row.time("forked_at"),
            tables: try Self.tables(row), resumeAt: try row.number("resume_at"))
    }

    private static func tables(_ row: MetadataRow) throws -> TablesFingerprint? {
        guard let text = try row.textIfAny("readable") else { return nil }
        guard let tables = TablesFingerprint(text: text) else {
            throw row.damage("readable", "is no fingerprint")
        }
        return tables
    }

    private static func history(_ row: MetadataRow) throws -> HistoryPair? {
        let sequence = try row.number("history_seq")
        guard sequence > 0 else { return nil }
        let tag = try row.number("history_tag", in: .min ... .max)
        return HistoryPair(sequence: sequence, tag: UInt64(bitPattern: tag))
    }

    private func first(_ columns: String) throws -> MetadataRow {
        guard
            let row = try MetadataRow.first(
                of: Self.name, db, sql: "SELECT \(columns) FROM _sync_state")
        else { throw SyncError.damagedMetadata("\(Self.name) has no row") }
        return row
    }

    // MARK: The user and the device

    /// Gives the device a name, once, at its first start.
    func ensureSource() throws {
        try db.execute(
            sql: "UPDATE _sync_state SET source_id = ? WHERE source_id IS NULL",
            arguments: [UUID().uuidString.lowercased()])
    }

    /// Binds the database to the token's user and takes over the token's device name.
    ///
    /// Rows written before any sign-in become the first user's (hazard H7).
    func bind(to claims: TokenClaims) throws {
        let state = try read()
        if let user = claims.user, let owner = state.userID, user != owner {
            throw SyncError.differentUser(owner: owner, other: user)
        }
        if let name = claims.device, let shared = try sharedName(), name != shared {
            // The server has left out the original's changes as this device's own.
            try UnseenRows(db: db).begin()
            try beginReread(.deviceRestored, epoch: nil)
        }
        try db.execute(
            sql: """
                UPDATE _sync_state
                SET user_id = coalesce(?, user_id), source_id = coalesce(?, source_id)
                """,
            arguments: [claims.user, claims.device])
    }

    // MARK: The file

    /// The file that held this database at the last start; nil if none is recorded.
    func file() throws -> DatabaseFile? {
        try first("file").textIfAny("file").flatMap(DatabaseFile.init)
    }

    func setFile(_ file: DatabaseFile) throws {
        try db.execute(sql: "UPDATE _sync_state SET file = ?", arguments: [file.text])
    }

    /// Takes a new name, because another installation has the old one, too.
    func renameCopy() throws {
        // The original gives them to its rows.
        try KeyRanges(db: db).forget()
        try db.execute(
            sql: """
                UPDATE _sync_state SET copied_from = source_id, source_id = :name, copy_name = :name
                """, arguments: ["name": UUID().uuidString.lowercased()])
    }

    /// The name to ask tokens for: that of the device, unless an original has it, too.
    func ownName() throws -> String {
        try first(
            "CASE WHEN copied_from = source_id THEN copy_name ELSE source_id END AS source_id"
        ).textIfAny("source_id") ?? ""
    }

    /// The device's name in the original, if the token gives this copy the same name.
    func sharedName() throws -> String? {
        try first("CASE WHEN copied_from = source_id THEN copied_from END AS copied_from")
            .textIfAny("copied_from")
    }

    /// Records that no other installation has this device's name.
    func forgetOriginal() throws {
        try db.execute(sql: "UPDATE _sync_state SET copied_from = NULL")
    }

    func setUser(_ userID: String) throws {
        try db.execute(sql: "UPDATE _sync_state SET user_id = ?", arguments: [userID])
    }

    /// Starts over as a new device without a user. The log and `folded` keep their numbers.
    func reset() throws {
        try KeyRanges(db: db).forget()
        try db.execute(
            sql: """
                UPDATE _sync_state SET user_id = NULL, source_id = NULL, next_change_id = 1,
                  cursor = 0, window = 0, hydrated = 0, epoch = NULL, reread = NULL,
                  reached = 0, local_until = 0, history_seq = 0, history_tag = 0, forked_at = 0,
                  compared_at = 0, copied_from = NULL, copy_name = NULL, readable = NULL,
                  resume_at = 0
                """)
        try ensureSource()
    }

    // MARK: The log

    /// Moves the cursor forward over applied pages, in their transaction (hazard C6). Nothing else
    /// moves it forward. Only ``readAgain()``, ``beginReread(_:epoch:)``, ``beginOpening()`` and
    /// ``reset()`` move it back, always to the log's start.
    ///
    /// Where tables that were opened have been read, it goes on where the others are. If the
    /// server ends their window before that, as it does within a large atomic upload, all tables
    /// are read from there.
    func advance(over page: DownloadPage, highestOwnChange: Int64) throws {
        if !page.hasMore { try SyncedTables(db: db).finishOpening() }
        try db.execute(
            sql: """
                UPDATE _sync_state
                SET cursor = max(cursor, :after, CASE
                    WHEN :hydrated AND :until >= resume_at THEN resume_at ELSE 0 END),
                  resume_at = CASE WHEN :hydrated THEN 0 ELSE resume_at END, window = :window,
                  reached = max(reached, :after), hydrated = max(hydrated, :hydrated),
                  next_change_id = max(next_change_id, :next)
                """,
            arguments: [
                "after": page.nextAfter, "window": page.hasMore ? page.windowUntil : 0,
                "hydrated": !page.hasMore, "until": page.windowUntil,
                "next": highestOwnChange &+ 1,
            ])
    }

    /// Makes the next fetch read the log from its start.
    func readAgain() throws {
        try db.execute(
            sql: "UPDATE _sync_state SET cursor = 0, window = 0, hydrated = 0, resume_at = 0")
    }

    /// Starts to read opened tables from the log's start. On a device that has read the log, only
    /// they are read, up to here. Otherwise the reading that is under way starts over.
    func beginOpening() throws {
        try db.execute(
            sql: """
                UPDATE _sync_state SET window = 0, cursor = 0, resume_at = CASE
                  WHEN hydrated AND reread IS NULL THEN max(cursor, resume_at) ELSE 0 END
                """)
    }

    /// Goes on where all tables are read to, though the reading of some has not come so far.
    func endOpening() throws {
        try db.execute(
            sql: """
                UPDATE _sync_state SET cursor = resume_at, window = 0, resume_at = 0
                WHERE resume_at > 0
                """)
    }

    func setTables(_ tables: TablesFingerprint) throws {
        try db.execute(sql: "UPDATE _sync_state SET readable = ?", arguments: [tables.text])
    }

    /// Makes the next fetch ask which tables the user may read.
    func forgetTables() throws { try db.execute(sql: "UPDATE _sync_state SET readable = NULL") }

    /// Starts a reread at the log's start. The reason `newHistory` is kept over a later one.
    ///
    /// A new history assigns the sequences again, so what proved the old history is forgotten.
    /// After other reasons it stays: rows that the server loses meanwhile must not pass for deleted
    /// ones.
    ///
    /// - Parameter epoch: the server's epoch; nil keeps the known one.
    func beginReread(_ reason: RereadReason, epoch: String?) throws {
        // The server may have given them to others since.
        if reason != .historyPruned { try KeyRanges(db: db).forget() }
        try db.execute(
            sql: """
                UPDATE _sync_state SET cursor = 0, window = 0, hydrated = 0, resume_at = 0,
                  epoch = coalesce(:epoch, epoch),
                  reached = CASE WHEN :reason = :lost THEN 0 ELSE reached END,
                  local_until = CASE WHEN :reason = :lost THEN 0 ELSE local_until END,
                  history_seq = CASE WHEN :reason = :lost THEN 0 ELSE history_seq END,
                  reread = CASE WHEN reread = :lost THEN reread ELSE :reason END
                """,
            arguments: [
                "epoch": epoch, "lost": RereadReason.newHistory.rawValue, "reason": reason.rawValue,
            ])
    }

    /// Records the latest change that an answer tells, in the transaction that applies the answer.
    /// A later one that is known already stays.
    func record(_ history: HistoryPair?) throws {
        guard let history else { return }
        try db.cachedStatement(
            sql: """
                UPDATE _sync_state SET history_seq = :sequence, history_tag = :tag
                WHERE history_seq < :sequence
                """
        ).execute(arguments: [
            "sequence": history.sequence, "tag": Int64(bitPattern: history.tag),
        ])
    }

    /// Forgets what proved the server's history: the server cannot tell any more.
    func forgetHistory() throws {
        try db.execute(sql: "UPDATE _sync_state SET history_seq = 0")
    }

    /// Records when a reread began because the server's history was another one.
    func setForked(at time: Double) throws {
        try db.execute(sql: "UPDATE _sync_state SET forked_at = ?", arguments: [time])
    }

    /// When rows were last compared with the server's, in seconds since 1970; 0: never.
    func comparedAt() throws -> Double {
        try first("compared_at").time("compared_at")
    }

    func setCompared(at time: Double) throws {
        try db.execute(sql: "UPDATE _sync_state SET compared_at = ?", arguments: [time])
    }

    func endReread() throws { try db.execute(sql: "UPDATE _sync_state SET reread = NULL") }

    func setEpoch(_ epoch: String) throws {
        try db.execute(sql: "UPDATE _sync_state SET epoch = ?", arguments: [epoch])
    }

    /// Continues where the server knows this device to be: with change ids that the server has not
    /// seen, and including the device's own changes in downloads from now on.
    func continueFrom(_ standing: Standing) throws {
        // Rows that the server has may have them.
        try KeyRanges(db: db).forget()
        try db.execute(
            sql: """
                UPDATE _sync_state SET next_change_id = max(next_change_id, ?), window = 0,
                  cursor = CASE WHEN resume_at > 0 THEN 0 ELSE cursor END, resume_at = 0,
                  hydrated = 0, epoch = ?
                """, arguments: [standing.nextChangeID, standing.epoch])
    }

    // MARK: Values for this device only

    /// The sequence up to which rows keep values that the app gave them for this device only; 0 if
    /// it gave none.
    func localUntil() throws -> Int64 {
        try first("local_until").number("local_until")
    }

    /// Records that the app changes rows for this device only. When the log is read again, they
    /// keep what it writes.
    func keepLocalValues() throws {
        try db.execute(sql: "UPDATE _sync_state SET local_until = max(cursor, reached)")
    }

    // MARK: Numbers

    /// - Throws: `SyncError.deviceUsedUp` if there is none left; `SyncError.damagedMetadata`.
    func takeChangeID() throws -> Int64 {
        let statement = try db.cachedStatement(
            sql: """
                UPDATE _sync_state SET next_change_id = next_change_id + 1
                RETURNING next_change_id
                """)
        // SQLite counts text as 0.
        let next = ProtocolNumber.nextChangeIDs
        guard let row = try MetadataRow.first(of: Self.name, statement) else {
            throw SyncError.damagedMetadata("\(Self.name) has no row")
        }
        let after = try row.number(
            "next_change_id", in: (next.lowerBound + 1)...(next.upperBound + 1))
        guard after <= next.upperBound else { throw SyncError.deviceUsedUp }
        return after - 1
    }

    func cursor() throws -> Int64 {
        try first("cursor").number("cursor")
    }

    /// The last touch that was folded into the queue.
    func folded() throws -> Int64 {
        try first("folded").number("folded")
    }

    func setFolded(_ sequence: Int64) throws {
        try db.execute(sql: "UPDATE _sync_state SET folded = ?", arguments: [sequence])
    }
}
