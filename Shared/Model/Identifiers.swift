/// A text that is equal only to itself, byte for byte, as PostgreSQL compares it. Swift's own equality joins
/// all spellings of one Unicode text.
package struct ExactText: Hashable, Sendable, ExpressibleByStringLiteral {
    package let value: String

    package init(_ value: String) { self.value = value }
    package init(stringLiteral value: String) { self.value = value }

    package static func == (a: ExactText, b: ExactText) -> Bool {
        a.value.utf8.elementsEqual(b.value.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = value
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

/// The person whose rows are synced: the token's `sub`. All data is kept apart by it.
package struct UserID: Hashable, Sendable, ExpressibleByStringLiteral {
    private let text: ExactText
    package var value: String { text.value }
    package init(_ value: String) { text = ExactText(value) }
    package init(stringLiteral value: String) { self.init(value) }
}

/// One installation of an app: the token's `did`, the wire's `source_id`.
package struct DeviceID: Hashable, Sendable {
    private let text: ExactText
    package var value: String { text.value }
    package init(_ value: String) { text = ExactText(value) }
}

/// The number of a user's scope in the sidecar. After a restore it may be another user's.
package typealias ScopeID = Int64

/// The bounds of the numbers that devices send: change ids, row versions and cursors.
///
/// Devices bound what they receive in the same way. So neither end computes with a number that is
/// near the end of 64 bits, and clients that read numbers as doubles read all of them exactly.
package enum WireNumber {
    /// What a JSON number holds exactly.
    package static let maximum: Int64 = 1 << 53 - 1
}

/// The number a device gave a change; with the device it names the change for ever.
package typealias ChangeID = Int64

/// A place in a user's change log: dense from 1, in commit order. The wire's `server_id`.
package typealias Sequence64 = Int64

/// The version of one row: 0 means it does not exist, its first change makes it 1.
package typealias RowVersion = Int64

/// A registered table's number in the sidecar.
package typealias TableID = Int16

/// A table as the wire and `oversync.yaml` name it.
package struct TableName: Hashable, Sendable, CustomStringConvertible {
    package let schema: String
    package let table: String

    package init(schema: String, table: String) {
        self.schema = schema
        self.table = table
    }

    package var description: String { "\(schema).\(table)" }
}

/// One row of one registered table.
package struct RowID: Hashable, Sendable {
    package let table: TableID
    package let key: RowKey

    package init(table: TableID, key: RowKey) {
        self.table = table
        self.key = key
    }
}

/// What a change does to its row.
package enum Operation: String, Hashable, Sendable {
    case insert = "INSERT"
    case update = "UPDATE"
    case delete = "DELETE"

    /// Its letter in the change log.
    package var letter: UInt8 {
        switch self {
        case .insert: UInt8(ascii: "I")
        case .update: UInt8(ascii: "U")
        case .delete: UInt8(ascii: "D")
        }
    }

    package init?(letter: UInt8) {
        switch letter {
        case UInt8(ascii: "I"): self = .insert
        case UInt8(ascii: "U"): self = .update
        case UInt8(ascii: "D"): self = .delete
        default: return nil
        }
    }
}

/// Whether a text can name a user or a device: it is not empty, has no control characters, and at
/// most ``WireLimits/maximumIdentityBytes`` bytes.
package func isIdentity(_ text: String) -> Bool {
    (1...WireLimits.maximumIdentityBytes).contains(text.utf8.count) && text.hasNoControlCharacters
}

extension String {
    package var hasNoControlCharacters: Bool {
        !unicodeScalars.contains { $0.properties.generalCategory == .control }
    }
}
