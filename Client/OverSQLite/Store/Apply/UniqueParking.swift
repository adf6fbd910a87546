import Foundation
import GRDB

/// Frees a row's value in a unique index by giving the row another value, which its final one or
/// its own replaces in the same transaction. Runs under apply mode, so that nothing of it is
/// captured.
struct UniqueParking {
    let db: Database
    let table: TableSchema
    /// The number of values that were used, so that each is another.
    private var used: Int64 = 0

    init(db: Database, table: TableSchema) {
        self.db = db
        self.table = table
    }

    struct Parked {
        /// The row's key, as the row spells it.
        let local: DatabaseValue
        let column: String
        let before: DatabaseValue
        let now: DatabaseValue
    }

    /// Tries the index's columns, and for each one NULL and then values that the table may not
    /// have.
    ///
    /// - Returns: nil if the table's constraints refuse all of them.
    mutating func park(_ local: DatabaseValue, in index: UniqueIndex) throws -> Parked? {
        for column in index.columns where column != table.key.name {
            guard let before = try value(of: column, local), !isReferredTo(column) else {
                continue
            }
            let candidates = try StandInValues(db: db, table: table).values(
                for: column, before, number: used)
            used += 1
            for candidate in [.null] + candidates where candidate != before {
                guard try set(column, candidate, local) else { continue }
                return Parked(local: local, column: column, before: before, now: candidate)
            }
        }
        return nil
    }

    /// Gives a row its own value back, unless the server's row has brought another.
    func giveBack(_ value: Parked) throws {
        guard try self.value(of: value.column, value.local) == value.now else { return }
        try update(value.column, value.before, value.local)
    }

    private func value(of column: String, _ local: DatabaseValue) throws -> DatabaseValue? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(column.quotedIdentifier) FROM \(table.quotedName)
                WHERE \(table.quotedKey) IS ?
                """)
        return try DatabaseValue.fetchOne(statement, arguments: [local])
    }

    /// - Returns: whether the table takes the value, as it is.
    private func set(
        _ column: String, _ value: DatabaseValue, _ local: DatabaseValue
    ) throws -> Bool {
        do { try update(column, value, local) } catch let error as DatabaseError
            where error.isOfTheRow || error.resultCode.primaryResultCode == .SQLITE_MISMATCH
        { return false }
        return true
    }

    private func update(
        _ column: String, _ value: DatabaseValue, _ local: DatabaseValue
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE OR ABORT \(table.quotedName) SET \(column.quotedIdentifier) = ?
                WHERE \(table.quotedKey) IS ?
                """
        ).execute(arguments: [value, local])
    }

    /// Whether a foreign key refers to the column. Its ON UPDATE would move rows that refer to one
    /// parent to another.
    private func isReferredTo(_ column: String) -> Bool {
        table.referrers.contains { referrer in
            referrer.parentColumns.contains { $0.lowercased() == column.lowercased() }
        }
    }
}

/// Values that can stand in for another for a while: like it, as CHECK constraints may ask for, and
/// probably free.
struct StandInValues {
    let db: Database
    let table: TableSchema
    /// How far beyond the table's numbers, for values that are not written one after the other.
    var offset: Int64 = 0

    /// - Parameter number: another one for each value that is needed at the same time.
    func values(
        for column: String, _ value: DatabaseValue, number: Int64
    ) throws -> [DatabaseValue] {
        switch value.storage {
        case .null:
            try presentValue(column).map { try values(for: column, $0, number: number) } ?? []
        case .int64: try integers(column, number)
        case .double(let real): [real - 1_000_000_007 - Double(number), -real].map(\.databaseValue)
        case .string(let text): Self.texts(text, number).map(\.databaseValue)
        case .blob(let data): [Self.bytes(data.count, number).databaseValue]
        }
    }

    /// A value of another row: an index's expression may make NULL one that is taken.
    private func presentValue(_ column: String) throws -> DatabaseValue? {
        let name = column.quotedIdentifier
        let statement = try db.cachedStatement(
            sql: "SELECT \(name) FROM \(table.quotedName) WHERE \(name) IS NOT NULL LIMIT 1")
        return try DatabaseValue.fetchOne(statement)
    }

    /// Beyond the table's least and greatest number, and the numbers of a truth value.
    private func integers(_ column: String, _ number: Int64) throws -> [DatabaseValue] {
        let name = column.quotedIdentifier
        let statement = try db.cachedStatement(
            sql: """
                SELECT min(\(name)), max(\(name)) FROM \(table.quotedName)
                WHERE typeof(\(name)) = 'integer'
                """)
        guard let row = try Row.fetchOne(statement), let least = row[0] as Int64?,
            let greatest = row[1] as Int64?
        else { return [] }
        let below = least.subtractingReportingOverflow(1 + offset)
        let above = greatest.addingReportingOverflow(1 + offset)
        return [above, below].filter { !$0.overflow }.map(\.partialValue.databaseValue)
            + [0, 1].map(\.databaseValue)
    }

    private static func texts(_ text: String, _ number: Int64) -> [String] {
        var texts: [String] = []
        if KeyForm.canonicalUUID(text) != nil {
            let digits = String(number, radix: 16)
            let zeros = String(repeating: "0", count: max(0, 12 - digits.count))
            texts.append("ffffffff-ffff-4fff-bfff-\(zeros)\(digits)")
        }
        if let date = date(like: text, number) { texts.append(date) }
        let length = text.unicodeScalars.count
        for alphabet in ["9876543210", "ZYXWVUTSRQPONMLKJIHGFEDCBA", "zyxwvutsrqponmlkjihgfedcba"] {
            let letters = Array(alphabet)
            if text.allSatisfy(letters.contains) {
                texts.append(counted(number, in: letters, length))
            }
        }
        return texts + ["~\(number)~\(text)", "\"~\(number)\""]
    }

    /// The number as a text of a length, in digits of an alphabet.
    private static func counted(_ number: Int64, in letters: [Character], _ length: Int) -> String {
        var (rest, text) = (Int(clamping: number), [Character]())
        for _ in 0..<length {
            text.append(letters[rest % letters.count])
            rest /= letters.count
        }
        return String(text.reversed())
    }

    /// A day that is far away, with the rest of the text after it.
    private static func date(like text: String, _ number: Int64) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[..<4].allSatisfy({ $0 &- UInt8(ascii: "0") < 10 })
        else { return nil }
        func padded(_ number: Int64, _ length: Int) -> String {
            String(repeating: "0", count: max(0, length - String(number).count)) + String(number)
        }
        let (daysPerMonth, monthsPerYear, lastYear): (Int64, Int64, Int64) = (28, 12, 9999)
        let day = 1 + number % daysPerMonth
        let month = 1 + number / daysPerMonth % monthsPerYear
        let year = max(1, lastYear - number / (daysPerMonth * monthsPerYear))
        let rest = String(decoding: bytes[10...], as: UTF8.self)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))\(rest)"
    }

    private static func bytes(_ count: Int, _ number: Int64) -> Data {
        var data = Data(repeating: 0xFF, count: max(count, 1))
        var rest = UInt64(clamping: number)
        for index in data.indices.reversed() where rest > 0 {
            data[index] = UInt8(truncatingIfNeeded: ~rest)
            rest >>= 8
        }
        return data
    }
}
