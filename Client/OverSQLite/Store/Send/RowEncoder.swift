import Foundation
import GRDB
import WireJSON

/// A row as it is sent.
enum RowContent {
    /// The payload's bytes.
    case payload([UInt8])
    /// There is no such row.
    case missing
    /// The row has a value that cannot be represented on the wire.
    case rejected(Rejection)
}

/// Encodes a row of an app table as the protocol's payload: the whole row, exactly.
struct RowEncoder {
    let db: Database

    /// - Parameter others: values that are sent in place of the row's, by wire name.
    func encode(
        _ table: TableSchema, local: DatabaseValue, key: DeviceRowKey, with others: RowValues = [:]
    ) throws -> RowContent {
        guard let row = try read(table, local) else { return .missing }
        if let (index, why) = row.unreadable {
            return .rejected(.unsendableValue(column: table.columns[index].wireName, why))
        }
        let exact = try SetAsideColumns(db: db).exact(table, key)
        var payload: [UInt8] = []
        for (index, column) in table.columns.enumerated() {
            let other = column.isKey ? nil : others[column.wireName]
            let value = other ?? row.values[index]
            payload.append(byte: index == 0 ? UInt8(ascii: "{") : UInt8(ascii: ","))
            payload.append(jsonString: column.wireName)
            payload.append(byte: UInt8(ascii: ":"))
            if column.isKey, table.keyForm == .uuidBlob {
                payload.append(jsonString: key.wire)
            } else if let key = Self.reference(value, of: column) {
                payload.append(jsonString: key.wire)
            } else if let kept = exact[column.wireName], kept.isStill(value) {
                payload.append(contentsOf: kept.wire)
            } else if let text = Self.json(value, after: exact[column.wireName]) {
                payload.append(contentsOf: text)
            } else if let rejection = Self.append(value, of: column, to: &payload) {
                return .rejected(rejection)
            }
        }
        try appendSetAside(table, key, to: &payload)
        payload.append(byte: UInt8(ascii: "}"))
        return .payload(payload)
    }

    /// A row as the database has it.
    private struct StoredValues {
        var values: [DatabaseValue] = []
        /// The first column with a text that cannot be read as it is, and why.
        var unreadable: (index: Int, why: String)?
    }

    private func read(_ table: TableSchema, _ local: DatabaseValue) throws -> StoredValues? {
        let names = table.columns.map(\.name.quotedIdentifier).joined(separator: ", ")
        let statement = try db.cachedStatement(
            sql: "SELECT \(names) FROM \(table.quotedName) WHERE \(table.quotedKey) IS ?")
        let rows = try Row.fetchCursor(statement, arguments: [local])
        guard let row = try rows.next() else { return nil }
        var found = StoredValues()
        for index in table.columns.indices {
            let value: DatabaseValue = row[index]
            found.values.append(value)
            guard found.unreadable == nil, case .string(let text) = value.storage else { continue }
            let why = try row.withUnsafeData(atIndex: index) { Self.loss(of: text, from: $0) }
            found.unreadable = why.map { (index, $0) }
        }
        return found
    }

    /// SQLite's texts may hold any bytes. A string made of them ends at the first zero byte and
    /// replaces what is not UTF-8 by other characters.
    ///
    /// - Returns: what the text would lose; nil if it is whole.
    private static func loss(of text: String, from data: Data?) -> String? {
        guard let data else { return nil }
        var text = text
        let isWhole = text.withUTF8 { text in
            data.withUnsafeBytes { $0.count == text.count && $0.elementsEqual(text) }
        }
        if isWhole { return nil }
        return data.contains(0)
            ? "the text contains U+0000, which PostgreSQL cannot store" : "the text is not UTF-8"
    }

    /// The key that a column refers to, for one that has several spellings here: the server may
    /// compare texts, so it gets the spelling that it knows. nil for any other value.
    private static func reference(_ value: DatabaseValue, of column: Column) -> DeviceRowKey? {
        if column.isKey || column.affinity == .blob { return nil }
        return column.reference?.key(of: value)
    }

    /// The text of a column that is not declared JSON and held a value of the server's that is no
    /// text before the app edited it, as JSON; nil if it is none.
    private static func json(
        _ value: DatabaseValue, after kept: SetAsideColumns.KeptValue?
    ) -> [UInt8]? {
        guard let first = kept?.wire.first, first != UInt8(ascii: "\""),
            case .string(let text) = value.storage
        else { return nil }
        var payload: [UInt8] = []
        let column = Column(name: "", affinity: .json, isKey: false)
        return append(json: text, of: column, to: &payload) == nil ? payload : nil
    }

    /// - Returns: why the value cannot be sent; nil if it was appended.
    static func append(_ value: DatabaseValue, of column: Column, to payload: inout [UInt8])
        -> Rejection?
    {
        switch value.storage {
        case .null: payload.append(literal: "null")
        case .int64(let number): payload.append(integer: number)
        case .double(let number):
            guard number.isFinite else {
                return .unsendableValue(column: column.wireName, "JSON cannot represent \(number)")
            }
            // Swift's description is the shortest text that reads back as the same number.
            payload.append(contentsOf: "\(number)".utf8)
        case .string(let text):
            guard column.affinity != .blob else {
                return .unsendableValue(
                    column: column.wireName, "the column is declared BLOB but holds text")
            }
            if column.affinity == .json { return append(json: text, of: column, to: &payload) }
            payload.append(jsonString: text)
        case .blob(let data):
            guard column.affinity == .blob else {
                return .unsendableValue(
                    column: column.wireName,
                    "the value is a BLOB, but the column is not declared BLOB")
            }
            payload.append(jsonString: data.base64EncodedString())
        }
        return nil
    }

    private static func append(
        json text: String, of column: Column, to payload: inout [UInt8]
    ) -> Rejection? {
        let isJSON = Array(text.utf8).withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            guard (try? reader.skipValue()) != nil, (try? reader.expectEnd()) != nil else {
                return false
            }
            payload.append(compacting: bytes)
            return true
        }
        return isJSON
            ? nil
            : .unsendableValue(
                column: column.wireName, "the column is declared JSON but holds other text")
    }

    /// Appends the server's values for columns that this table does not have.
    private func appendSetAside(
        _ table: TableSchema, _ key: DeviceRowKey, to payload: inout [UInt8]
    )
        throws
    {
        guard let object = try SetAsideColumns(db: db).object(table, key) else { return }
        let own = Set(table.columns.map(\.wireName))
        object.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            // The object comes from validated JSON, so no error can occur.
            try? reader.readObject { reader, name throws(JSONError) in
                let value = try reader.skipValue()
                guard let text = reader.text(of: name), !own.contains(text) else { return }
                payload.append(byte: UInt8(ascii: ","))
                payload.append(contentsOf: bytes[name.range])
                payload.append(byte: UInt8(ascii: ":"))
                payload.append(contentsOf: bytes[value.range])
            }
        }
    }
}
