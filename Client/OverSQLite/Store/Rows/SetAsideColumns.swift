import Foundation
import GRDB
import WireJSON

/// Values of columns that the server has and this app's schema does not (hazard H8).
///
/// They are sent back with every upload of the row. Otherwise an old app's edit would erase what a
/// newer app wrote.
struct SetAsideColumns {
    private static let name = "_sync_extra"

    let db: Database

    func store(_ object: [UInt8]?, _ table: TableSchema, _ key: DeviceRowKey) throws {
        guard let object else { return }
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_extra (tbl, key, payload) VALUES (?, ?, ?)
                ON CONFLICT (tbl, key) DO UPDATE SET payload = excluded.payload
                """
        ).execute(arguments: [table.id, key.wire, String(decoding: object, as: UTF8.self)])
    }

    /// The stored object; nil if the row has none.
    func object(_ table: TableSchema, _ key: DeviceRowKey) throws -> [UInt8]? {
        let statement = try db.cachedStatement(
            sql: "SELECT payload FROM _sync_extra WHERE tbl = ? AND key = ?")
        return try MetadataRow.first(of: Self.name, statement, [table.id, key.wire]).map {
            try Self.object($0)
        }
    }

    /// The object of a row, whose grammar is checked: it goes back in uploads as it is.
    private static func object(_ row: MetadataRow) throws -> [UInt8] {
        let object = Array(try row.text("payload").utf8)
        let isObject = object.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes, rules: JSONRules(refusesDuplicateKeys: false))
            return (try? reader.skipValue())?.kind == .object && (try? reader.expectEnd()) != nil
        }
        guard isObject else { throw row.damage("payload", "is not a JSON object") }
        return object
    }

    /// Keeps the JSON of values that the row's columns cannot give back, with the values that the
    /// columns hold instead: as long as a column holds that value, nobody has edited it.
    ///
    /// - Parameter stored: the row as it is in the table.
    func storeExact(
        _ values: [ExactValue], as stored: RowValues, _ table: TableSchema, _ key: DeviceRowKey
    ) throws {
        var object: [String: [String]] = [:]
        for value in values {
            guard let now = stored[value.column] else { continue }
            object[value.column] = [SQLLiteral.text(of: now), value.wire]
        }
        guard !object.isEmpty else {
            return try db.cachedStatement(
                sql: """
                    UPDATE _sync_extra SET exact = NULL
                    WHERE tbl = ? AND key = ? AND exact IS NOT NULL
                    """
            ).execute(arguments: [table.id, key.wire])
        }
        let text = String(decoding: try JSONEncoder().encode(object), as: UTF8.self)
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_extra (tbl, key, payload, exact) VALUES (?, ?, '{}', ?)
                ON CONFLICT (tbl, key) DO UPDATE SET exact = excluded.exact
                """
        ).execute(arguments: [table.id, key.wire, text])
    }

    /// The JSON of values as it came, by column, with the literal of what the column holds
    /// instead.
    func exact(_ table: TableSchema, _ key: DeviceRowKey) throws -> [String: KeptValue] {
        let statement = try db.cachedStatement(
            sql: "SELECT exact FROM _sync_extra WHERE tbl = ? AND key = ?")
        guard let row = try MetadataRow.first(of: Self.name, statement, [table.id, key.wire]),
            let text = try row.textIfAny("exact")
        else { return [:] }
        guard
            let object = try? JSONDecoder().decode(
                [String: [String]].self, from: Data(text.utf8))
        else { throw row.damage("exact", "is not a list of values") }
        return object.compactMapValues { pair in
            pair.count == 2 ? KeptValue(literal: pair[0], wire: Array(pair[1].utf8)) : nil
        }
    }

    /// A value of the server, and what the column holds instead.
    struct KeptValue {
        /// An SQL literal.
        let literal: String
        /// JSON.
        let wire: [UInt8]

        /// Whether a column still holds what the value became when it was written.
        func isStill(_ value: DatabaseValue) -> Bool { SQLLiteral.text(of: value) == literal }
    }

    func hasExact() throws -> Bool {
        try Int.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM _sync_extra WHERE exact IS NOT NULL LIMIT 1"))
            != nil
    }

    /// Moves values into columns that the table has gained. Runs at start, as a write of the
    /// library.
    ///
    /// If the values do not fit a row, or not yet, the row is downloaded again, like every row that
    /// the table refuses.
    func unpack(_ columns: [Column], of table: TableSchema) throws {
        guard !columns.isEmpty else { return }
        let rows = try MetadataRow.all(
            of: Self.name, db, sql: "SELECT key, payload FROM _sync_extra WHERE tbl = ?",
            [table.id])
        let writer = try RowWriter(db, table)
        for row in rows {
            let key = DeviceRowKey(wire: try row.text("key"))
            guard let known = try KnownRows(db: db).find(table, key), !known.row.isDeleted else {
                continue
            }
            let local = table.keyForm.spelled(known.spelling, for: key)
            let object = try Self.object(row)
            do {
                try db.inSavepoint {
                    try ApplyMode(db: db).during {
                        try unpack(columns, of: object, into: writer, local: local)
                    }
                    if db.hasOpenForeignKeys { throw Unfit() }
                    return .commit
                }
            } catch let error where Self.isOfTheRow(error) {
                try readAgain(table, key)
            }
        }
        try forget(columns, of: table)
    }

    /// A parent is missing, perhaps only until the commit.
    private struct Unfit: Error {}

    private static func isOfTheRow(_ error: any Error) -> Bool {
        error is RowFlaw || error is Unfit
            || (error as? DatabaseError)?.isOfTheRow == true
    }

    private func readAgain(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try KnownRows(db: db).forgetVersion(table, key)
        try DeviceStateTable(db: db).readAgain()
    }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_extra") }

    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_extra WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    /// Removes values that have a column now. Otherwise they would be written again, outdated, with
    /// the next new column.
    private func forget(_ columns: [Column], of table: TableSchema) throws {
        let paths = columns.map { "$.\"\($0.wireName)\"" }
        let marks = databaseQuestionMarks(count: paths.count)
        try db.execute(
            sql: "UPDATE _sync_extra SET payload = json_remove(payload, \(marks)) WHERE tbl = ?",
            arguments: StatementArguments(paths) + [table.id])
        try db.execute(
            sql: "DELETE FROM _sync_extra WHERE tbl = ? AND payload = '{}' AND exact IS NULL",
            arguments: [table.id])
    }

    private func unpack(
        _ columns: [Column], of object: [UInt8], into writer: RowWriter,
        local: DatabaseValue
    ) throws {
        let table = writer.table
        let names = try object.withUnsafeBufferPointer { try writer.values(of: $0) }
        for column in columns where names[column.wireName] != nil {
            try db.execute(
                sql: """
                    UPDATE OR ABORT \(table.quotedName) SET \(column.name.quotedIdentifier) = ?
                    WHERE \(table.quotedKey) = ?
                    """,
                arguments: [names[column.wireName] ?? .null, local])
        }
    }
}
