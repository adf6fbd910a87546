import GRDB

/// The library's triggers in the app's database. Their names tell the numbers of the tables that
/// they are on, also where `_sync_tables` does not.
struct TableTriggers {
    let db: Database

    /// Lower-case names of tables by the numbers that their triggers have.
    func tables() throws -> [Int64: String] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT name, lower(tbl_name) AS tbl FROM sqlite_master
                WHERE \(Self.condition) ORDER BY name
                """)
        var tables: [Int64: String] = [:]
        for row in rows {
            guard let number = Self.number(of: try row.decode(forColumn: "name")) else { continue }
            tables[number] = try row.decode(forColumn: "tbl")
        }
        return tables
    }

    func drop() throws {
        let names = try String.fetchAll(
            db, sql: "SELECT name FROM sqlite_master WHERE \(Self.condition)")
        for name in names { try db.execute(sql: "DROP TRIGGER \(name.quotedIdentifier)") }
    }

    private static let condition = "type = 'trigger' AND name GLOB '_sync_[0-9]*_*'"
    private static let prefix = "_sync_"

    private static func number(of trigger: String) -> Int64? {
        let rest = trigger.dropFirst(prefix.count)
        guard let end = rest.firstIndex(of: "_"), let number = Int64(rest[..<end]),
            ProtocolNumber.range.contains(number)
        else { return nil }
        return number
    }
}
