import GRDB

/// What an app does on its device: edits of its tables, and exchanges in between.
package struct WorkingDay: Sendable {
    package enum Step: Sendable {
        case edit(String)
        case fetch, send, sync
    }

    package typealias Lines = @Sendable (Database) throws -> [String]

    /// Makes the app's tables.
    package let schema: String
    package let tables: [String]
    package let steps: [Step]
    /// The rows as lines of text, without what others write.
    package let rows: Lines
    /// The same rows as the server stores them.
    package let storedRows: Lines
    /// What others write, likewise.
    package let others: Lines

    /// What the server has of someone who never syncs, once all of it is there.
    package func editedRows() throws -> [String] {
        let database = try DatabaseQueue()
        try database.write { db in
            try db.execute(sql: schema)
            for case .edit(let sql) in steps { try db.execute(sql: sql) }
        }
        return try database.read(storedRows)
    }
}
