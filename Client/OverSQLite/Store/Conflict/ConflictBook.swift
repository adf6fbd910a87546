import GRDB

/// Reports of conflicts in which a value written on this device was lost. They are kept in the
/// database until the app dismisses them, so that nothing a person wrote is lost because nobody was
/// listening.
struct ConflictBook {
    /// The number of reports to keep. Older ones are deleted.
    static let limit = 1000

    let db: Database

    /// Keeps those of a transaction's reports that contain lost values.
    func record(_ reports: [ConflictReport]) throws {
        let losses = reports.filter { !$0.lost.isEmpty }
        if losses.isEmpty { return }
        let statement = try db.cachedStatement(
            sql:
                "INSERT INTO _sync_conflicts (tbl, key, outcome, columns, lost) VALUES (?, ?, ?, ?, ?)"
        )
        for report in losses {
            try statement.execute(arguments: [
                report.table, report.key, report.outcome.rawValue, Self.text(report.columns),
                RowImage.text(of: report.lost),
            ])
        }
        try db.execute(
            sql:
                "DELETE FROM _sync_conflicts WHERE id <= (SELECT max(id) FROM _sync_conflicts) - ?",
            arguments: [Self.limit])
    }

    /// All kept reports, oldest first.
    func all() throws -> [ConflictReport] {
        try MetadataRow.all(
            of: "_sync_conflicts", db,
            sql: "SELECT tbl, key, outcome, columns, lost FROM _sync_conflicts ORDER BY id"
        ).compactMap { row in
            guard let outcome = ConflictReport.Outcome(rawValue: try row.text("outcome")) else {
                return nil
            }
            return ConflictReport(
                table: try row.text("tbl"), key: try row.text("key"), outcome: outcome,
                columns: Self.names(in: try row.text("columns")),
                lost: RowImage.values(of: try row.text("lost")) ?? [:])
        }
    }

    func forget(_ report: ConflictReport) throws {
        try db.execute(
            sql:
                "DELETE FROM _sync_conflicts WHERE tbl = ? AND key = ? AND outcome = ? AND lost = ?",
            arguments: [
                report.table, report.key, report.outcome.rawValue, RowImage.text(of: report.lost),
            ])
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_conflicts") }

    // One name per line, as in `_sync_tables`.
    private static func text(_ columns: [String]) -> String { columns.joined(separator: "\n") }

    private static func names(in text: String) -> [String] {
        text.split(separator: "\n").map(String.init)
    }
}
