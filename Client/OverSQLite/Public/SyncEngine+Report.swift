import Foundation
import GRDB

/// For people who find out why a device does not sync.
extension SyncEngine {
    /// Rows of each kind that a report lists.
    static let reportedRows = 20

    /// A text about the engine: status, tables, what is pending, rejected and held, and the last
    /// requests with the names under which the server's logs have them.
    ///
    /// It holds the user's and the device's names, tables, keys and error messages. It holds no
    /// token, and no values of rows but for what an error message quotes.
    ///
    /// - Throws: a database error, as `SyncError`.
    public func report() async throws -> String {
        try await SyncReport(session: session).text()
    }

    /// Files for support: the report, the schema of the database with its triggers, and the state
    /// of the library's own tables, without values of rows.
    ///
    /// ```swift
    /// let folder = URL.temporaryDirectory.appending(path: "support")
    /// try await engine.supportBundle().write(to: folder)
    /// ```
    ///
    /// - Throws: a database error, as `SyncError`.
    public func supportBundle() async throws -> SupportBundle {
        try await SyncReport(session: session).bundle()
    }
}

/// Files for support. See ``SyncEngine/supportBundle()``.
public struct SupportBundle: Sendable, Hashable {
    /// The texts of the files by name: `report.txt`, `schema.sql` and `metadata.txt`.
    public let files: [String: String]

    /// Writes the files into a folder, which is created if it is missing.
    ///
    /// - Parameter folder: files of these names in it are replaced.
    /// - Throws: Foundation's errors of files.
    public func write(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, text) in files {
            try Data(text.utf8).write(to: folder.appending(path: name), options: .atomic)
        }
    }
}

/// Makes the text of ``SyncEngine/report()``.
private struct SyncReport {
    let session: SyncSession

    /// What one snapshot of the database says.
    private struct Facts {
        let state: DeviceState
        let comparedAt: Double
        let rejected: [RejectedChange]
        let held: [HeldRow]
        let tables: [String]
        let sqlite: String
    }

    func text() async throws -> String {
        let facts = try await facts()
        let status = session.board.status
        return """
            OverSQLite, metadata format \(MetadataTables.format), SQLite \(facts.sqlite)
            made          \(session.configuration.clock.now.formatted(.iso8601))
            gateway       \(session.configuration.gateway.absoluteString)
            schema        \(session.configuration.schema)
            user          \(facts.state.userID ?? "none")
            device        \(facts.state.sourceID)
            \(lines(of: status))
            log           \(log(facts.state))
            compared      \(time(facts.comparedAt))

            Notices
            \(list(status.notices.map(\.description)))

            Tables
            \(list(facts.tables))

            Rejected changes
            \(list(facts.rejected.map(line), of: status.rejectedCount))

            Held rows
            \(list(facts.held.map(line), of: status.heldCount))

            Requests, newest last
            \(list(session.journal.entries.map(\.text)))
            """
    }

    func bundle() async throws -> SupportBundle {
        let (schema, metadata) = try await session.read { db in
            (
                try String.fetchAll(
                    db, sql: "SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL"
                ).joined(separator: "\n\n"), try Self.metadata(db)
            )
        }
        return SupportBundle(files: [
            "report.txt": try await text() + "\n", "schema.sql": schema + "\n",
            "metadata.txt": metadata + "\n",
        ])
    }

    private func facts() async throws -> Facts {
        let catalog = session.catalog
        _ = try await session.write { db in try ChangeLog(db: db, catalog: catalog).fold() }
        // The app's writes do not wait for what follows.
        return try await session.read { db in
            let table = DeviceStateTable(db: db)
            return Facts(
                state: try table.read(), comparedAt: try table.comparedAt(),
                rejected: try PendingQueue(db: db).rejected(catalog),
                held: try HeldRows(db: db).all(catalog),
                tables: try catalog.tables.map { try Self.line(of: $0, db) },
                sqlite: try String.fetchOne(db, sql: "SELECT sqlite_version()") ?? "?")
        }
    }

    private static func line(of table: TableSchema, _ db: Database) throws -> String {
        func count(_ name: String, _ condition: String = "true") throws -> Int {
            try Int.fetchOne(
                db, sql: "SELECT count(*) FROM \(name) WHERE tbl = ? AND \(condition)",
                arguments: [table.id]) ?? 0
        }
        let rows =
            try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table.name.quotedDatabaseIdentifier)")
            ?? 0
        let pending = try count("_sync_pending")
        let rejected = try count("_sync_pending", "reason IS NOT NULL")
        let known = try count("_sync_rows")
        let held = try count("_sync_held")
        return "\(table.name): \(rows) rows, \(known) known to the server, \(pending) pending "
            + "(\(rejected) rejected), \(held) held"
    }

    /// The one row of state, and how many rows each of the library's tables has.
    private static func metadata(_ db: Database) throws -> String {
        let state = try Row.fetchOne(db, sql: "SELECT * FROM _sync_state")
        var lines = state.map { row in row.map { "\($0): \($1)" } } ?? ["_sync_state has no row"]
        let names = try String.fetchAll(
            db,
            sql: """
                SELECT name FROM sqlite_master
                WHERE type = 'table' AND name GLOB '_sync_*' ORDER BY name
                """)
        for name in names {
            let rows = try Int.fetchOne(
                db, sql: "SELECT count(*) FROM \(name.quotedDatabaseIdentifier)")
            lines.append("\(name): \(rows ?? 0) rows")
        }
        return lines.joined(separator: "\n")
    }

    private func lines(of status: SyncStatus) -> String {
        let error = status.lastError.map { "\($0); advice: \($0.advice)" } ?? "none"
        return """
            status        \(status.state), \(status.isSynced ? "synced" : "not synced")
            pending       \(status.pendingCount), of them rejected \(status.rejectedCount)
            held          \(status.heldCount)
            last synced   \(status.lastSynced?.formatted(.iso8601) ?? "never")
            last error    \(error)
            """
    }

    private func log(_ state: DeviceState) -> String {
        let reread = state.reread.map { ", is read again: \($0.rawValue)" } ?? ""
        return "read to \(max(state.cursor, state.resumeAt)), "
            + (state.isHydrated ? "once to its end" : "never to its end yet")
            + ", epoch \(state.epoch ?? "unknown")" + reread
    }

    private func line(_ change: RejectedChange) -> String {
        let retry = change.retryAt.map { ", tried again at \($0.formatted(.iso8601))" } ?? ""
        return "\(change.table) \(change.key): \(change.reason)"
            + (change.message.map { " (\($0))" } ?? "") + retry
    }

    private func line(_ row: HeldRow) -> String {
        "\(row.table) \(row.key): \(row.cause.rawValue) (\(row.reason)); advice: \(row.advice)"
    }

    private func time(_ seconds: Double) -> String {
        seconds > 0 ? Date(timeIntervalSince1970: seconds).formatted(.iso8601) : "never"
    }

    /// - Parameter total: how many there are, if the lines may be a part of them.
    private func list(_ lines: [String], of total: Int? = nil) -> String {
        if lines.isEmpty { return "  none" }
        let shown = total == nil ? lines[...] : lines.prefix(SyncEngine.reportedRows)
        let rest = lines.count - shown.count
        return (shown.map { "  " + $0 } + (rest > 0 ? ["  and \(rest) more"] : []))
            .joined(separator: "\n")
    }
}
