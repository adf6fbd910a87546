import GRDB
import OverSQLiteTestSupport

@testable import OverSQLite

/// An insert, an update and a delete of each of two tables, folded and not, that were not sent. No
/// repair of the library's tables may lose one.
enum UnsentEdits {
    private enum Kind: Int, CaseIterable {
        case insert, update, delete
    }

    private struct Edit {
        let table: String
        let column: String
        let kind: Kind
        let isFolded: Bool

        var key: String {
            OverSQLiteUnitTests.key(
                (table == "users" ? 20 : 40) + kind.rawValue * 2 + (isFolded ? 1 : 0))
        }

        var name: String { "\(isFolded ? "folded" : "unfolded") \(kind) of \(table)" }

        func row(_ value: String) -> String { #"{"id":"\#(key)","\#(column)":"\#(value)"}"# }
    }

    private static let all = [("users", "name"), ("posts", "title")].flatMap { table, column in
        Kind.allCases.flatMap { kind in
            [true, false].map {
                Edit(table: table, column: column, kind: kind, isFolded: $0)
            }
        }
    }

    /// The rows before the edits, on the server.
    static func prepare(_ gateway: InMemoryGateway) {
        for edit in all where edit.kind != .insert {
            gateway.write(edit.table, edit.key, edit.row("before"))
        }
    }

    /// Makes the edits on a device that has the rows.
    static func make(_ database: DatabaseQueue, _ engine: SyncEngine) async throws {
        for isFolded in [true, false] {
            for edit in all where edit.isFolded == isFolded {
                let (table, column) = (edit.table, edit.column)
                let sql =
                    switch edit.kind {
                    case .insert: "INSERT INTO \(table) (\(column), id) VALUES ('after', ?)"
                    case .update: "UPDATE \(table) SET \(column) = 'after' WHERE id = ?"
                    case .delete: "DELETE FROM \(table) WHERE id = ?"
                    }
                try await database.write { try $0.execute(sql: sql, arguments: [edit.key]) }
            }
            // Folds what there is so far.
            if isFolded { _ = try await engine.pendingChanges() }
        }
    }

    /// The edits that the server does not have.
    static func missing(_ gateway: InMemoryGateway) -> [String] {
        all.filter { edit in
            let row = gateway.rows(edit.table)[edit.key]
            return edit.kind == .delete ? row != nil : row?.contains("after") != true
        }.map(\.name)
    }
}
