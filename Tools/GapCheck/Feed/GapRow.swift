import Model

/// One row of the gap checker's tables, in 17 bytes. Items have UUIDs, parts have numbers.
package struct GapRow: Hashable, Sendable, CustomStringConvertible {
    package let table: GapTable
    let high: UInt64
    let low: UInt64

    /// - Parameters:
    ///   - owner: the user, as it stands in the first two bytes of all its keys.
    ///   - writer: who makes the row.
    package init(
        _ table: GapTable, owner: UInt16, writer: UInt16, number: UInt32, low: UInt64
    ) {
        self.table = table
        high = UInt64(owner) << 48 | UInt64(writer) << 32 | UInt64(number)
        self.low = table == .items ? low : 0
    }

    /// Nil if `key` is not a key of the table.
    package init?(_ table: GapTable, key: String) {
        switch RowKey(key, kind: table.keyKind) {
        case .uuid(let high, let low): (self.high, self.low) = (high, low)
        case .integer(let number): (high, low) = (UInt64(bitPattern: number), 0)
        case .text, nil: return nil
        }
        self.table = table
    }

    package var owner: UInt16 { UInt16(high >> 48) }
    package var key: String {
        switch table {
        case .items: RowKey.uuid(high: high, low: low).text
        case .parts: RowKey.integer(Int64(bitPattern: high)).text
        }
    }
    package var description: String { "\(table.name) \(key)" }
}

/// What a row holds, as 64 bits: payloads are not kept.
package struct RowContent: Hashable, Sendable {
    private static let offset: UInt64 = 0xCBF2_9CE4_8422_2325
    private static let prime: UInt64 = 0x0000_0100_0000_01B3
    /// Between two columns; not used in the texts.
    private static let separator: UInt8 = 0x1F

    private var state = offset

    /// The columns as text. `item` is empty where there is none.
    package init(n: some Sequence<UInt8>, label: some Sequence<UInt8>, item: some Sequence<UInt8>) {
        append(n)
        append(label)
        append(item)
    }

    /// FNV-1a.
    private mutating func append(_ column: some Sequence<UInt8>) {
        for byte in column { state = (state ^ UInt64(byte)) &* Self.prime }
        state = (state ^ UInt64(Self.separator)) &* Self.prime
    }
}
