import GRDB

/// A row of one of the library's own tables.
///
/// Whatever the disk holds, reading ends in a value within its bounds or in
/// `SyncError.damagedMetadata`. GRDB's subscripts would end the process where a value is of another
/// kind than the code expects, and with it the app, at every start.
struct MetadataRow {
    private let table: String
    private let row: Row

    private init(_ table: String, _ row: Row) {
        self.table = table
        self.row = row
    }

    // MARK: Queries

    static func all(
        of table: String, _ db: Database, sql: String, _ arguments: StatementArguments = []
    ) throws -> [MetadataRow] {
        try Row.fetchAll(db, sql: sql, arguments: arguments).map { MetadataRow(table, $0) }
    }

    static func all(
        of table: String, _ statement: Statement, _ arguments: StatementArguments
    ) throws -> [MetadataRow] {
        try Row.fetchAll(statement, arguments: arguments).map { MetadataRow(table, $0) }
    }

    static func first(
        of table: String, _ db: Database, sql: String, _ arguments: StatementArguments = []
    ) throws -> MetadataRow? {
        try first(of: table, db.cachedStatement(sql: sql), arguments)
    }

    static func first(
        of table: String, _ statement: Statement, _ arguments: StatementArguments = []
    ) throws -> MetadataRow? {
        try Row.fetchOne(statement, arguments: arguments).map { MetadataRow(table, $0) }
    }

    /// Passes each row to `body`, which must not keep it.
    static func each(
        of table: String, _ statement: Statement, _ arguments: StatementArguments,
        _ body: (MetadataRow) throws -> Void
    ) throws {
        let rows = try Row.fetchCursor(statement, arguments: arguments)
        while let row = try rows.next() { try body(MetadataRow(table, row)) }
    }

    // MARK: Values

    func value(_ column: String) throws -> DatabaseValue {
        guard row.hasColumn(column) else { throw damage(column, "is missing") }
        return row[column]
    }

    func number(
        _ column: String, in range: ClosedRange<Int64> = ProtocolNumber.range
    ) throws -> Int64 {
        guard let number = try numberIfAny(column, in: range) else {
            throw damage(column, "is NULL")
        }
        return number
    }

    func numberIfAny(
        _ column: String, in range: ClosedRange<Int64> = ProtocolNumber.range
    ) throws -> Int64? {
        switch try value(column).storage {
        case .null: return nil
        case .int64(let number) where range.contains(number): return number
        case let other:
            throw damage(
                column,
                "\(Self.words(for: other)), and not an integer between \(range.lowerBound) and "
                    + "\(range.upperBound)")
        }
    }

    /// A number that stands for one of the cases.
    func choice<Choice: RawRepresentable>(
        _ column: String, of type: Choice.Type = Choice.self
    ) throws -> Choice where Choice.RawValue == Int {
        let number = try number(column)
        guard let choice = Choice(rawValue: Int(number)) else {
            throw damage(column, "is \(number), which means nothing")
        }
        return choice
    }

    /// A word that stands for one of the cases.
    func word<Choice: RawRepresentable>(
        _ column: String, of type: Choice.Type = Choice.self
    ) throws -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: try text(column)) else {
            throw damage(column, "is a word that means nothing")
        }
        return choice
    }

    func flag(_ column: String) throws -> Bool { try number(column, in: 0...1) == 1 }

    func text(_ column: String) throws -> String {
        guard let text = try textIfAny(column) else { throw damage(column, "is NULL") }
        return text
    }

    func textIfAny(_ column: String) throws -> String? {
        switch try value(column).storage {
        case .null: return nil
        case .string(let text): return text
        case let other: throw damage(column, "\(Self.words(for: other)), and not text")
        }
    }

    /// Seconds since 1970.
    func time(_ column: String) throws -> Double {
        guard let time = try timeIfAny(column) else { throw damage(column, "is NULL") }
        return time
    }

    func timeIfAny(_ column: String) throws -> Double? {
        let time: Double
        switch try value(column).storage {
        case .null: return nil
        case .int64(let number): time = Double(number)
        case .double(let number): time = number
        case let other: throw damage(column, "\(Self.words(for: other)), and not a time")
        }
        guard Self.times.contains(time) else { throw damage(column, "is \(time), and not a time") }
        return time
    }

    /// Times that a clock can have told, in seconds around 1970: the years from 0 to 9999.
    static let times = -62_167_219_200.0...253_402_300_800.0

    // MARK: Damage

    /// - Parameter what: what the column is. It must not contain the app's data.
    func damage(_ column: String, _ what: String) -> SyncError {
        .damagedMetadata("\(table).\(column) \(what)")
    }

    private static func words(for storage: DatabaseValue.Storage) -> String {
        switch storage {
        case .null: "is NULL"
        case .int64(let number): "is \(number)"
        case .double: "is a real number"
        case .string: "is text"
        case .blob: "is a BLOB"
        }
    }
}
