/// What a live row adds to its table's digest (promise P8): a number of 62 bits that stands for its
/// key, its version, and the payload of its newest change, byte for byte. Download computes the
/// same in SQL.
///
/// A deleted row has none.
package enum RowTerm {
    /// The bits of a term and of a sum: so the sum of two overflows neither here nor in PostgreSQL,
    /// nor in SQLite, which would make a floating-point number of it.
    package static let mask: Int64 = (1 << 62) - 1

    /// - Parameters:
    ///   - key: as the wire writes it.
    ///   - payload: the JSON text as the log has it.
    package static func term(
        key: String, version: Int64, payload: UnsafeBufferPointer<UInt8>
    ) -> Int64 {
        var hash = SHA256()
        hash.update(key.utf8)
        hash.update(CollectionOfOne(0))
        hash.update(bigEndian: UInt64(bitPattern: version))
        hash.update(bigEndian: SHA256.prefix(of: payload))
        return Int64(bitPattern: hash.prefix()) & mask
    }

    package static func add(_ first: Int64, _ second: Int64) -> Int64 { (first &+ second) & mask }
}

/// A part of a table's rows: rows are divided by the first bits of their keys' hash, since many
/// keys of one table begin alike.
package enum RowBuckets {
    /// How many parts a table may be divided into.
    package static let counts = [256, 4096]
    /// Up to this many rows the smaller number will do: a part then has some 200 rows.
    package static let rowsForFew = 50_000

    package static func count(forRows rows: Int) -> Int {
        rows <= rowsForFew ? counts[0] : counts[1]
    }

    /// - Parameters:
    ///   - key: as the wire writes it.
    ///   - count: one of ``counts``.
    /// - Returns: from 0 to `count - 1`.
    package static func bucket(of key: String, count: Int) -> Int {
        var hash = SHA256()
        hash.update(key.utf8)
        return Int(truncatingIfNeeded: hash.prefix() >> UInt64(64 - count.trailingZeroBitCount))
    }
}
