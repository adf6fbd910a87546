import Digests

/// Changes of a page that are collected to be written together, because each is probably a row that
/// is new on this device.
///
/// They are written table by table in the order of their keys. Rows next to each other in the log
/// are usually far apart in the database's B-trees; rows with neighboring keys are not.
struct LikelyNewRows {
    /// Rows to write before checking again whether collecting pays off.
    static let rowsAtOnce = 512
    /// Collecting pays off as long as at most one in this many rows turns out to be known already.
    private static let rowsPerMiss = 8

    private var collected = Collected()
    private var tried = 0
    private var missed = 0

    var isEmpty: Bool { collected.rows.isEmpty }

    /// False once too many rows turned out to be known already.
    var areWorthTrying: Bool { missed * Self.rowsPerMiss <= tried + Self.rowsPerMiss }

    mutating func count(tried: Int, missed: Int) {
        self.tried += tried
        self.missed += missed
    }

    mutating func append(_ row: LikelyNewRow) { collected.rows.append(row) }

    mutating func take() -> Collected {
        defer { collected = Collected() }
        return collected
    }

    struct Collected {
        fileprivate(set) var rows: [LikelyNewRow] = []

        /// The places of one table's changes.
        struct Run {
            let tableID: Int64
            fileprivate(set) var places: [Int]
        }

        /// The places by table, in the order of the first bytes of the keys. Changes of the same
        /// key keep the order of the log.
        var runs: [Run] {
            let order = rows.indices.map { (rows[$0].tableID, Self.beginning(rows[$0].key), $0) }
                .sorted(by: <)
            var runs: [Run] = []
            for (tableID, _, place) in order {
                if runs.last?.tableID != tableID { runs.append(Run(tableID: tableID, places: [])) }
                runs[runs.count - 1].places.append(place)
            }
            return runs
        }

        func row(_ place: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> NewRow {
            let row = rows[place]
            return NewRow(
                key: row.key, version: row.version,
                payload: UnsafeBufferPointer(rebasing: bytes[row.payload]))
        }

        /// The first eight bytes of a key, as a number that sorts like the bytes.
        private static func beginning(_ key: DeviceRowKey) -> UInt64 {
            let bytes = key.wire.utf8.prefix(8)
            // A shorter key sorts before the keys that it is a prefix of.
            return bytes.reduce(0) { $0 << 8 | UInt64($1) } << UInt64(8 * (8 - bytes.count))
        }
    }
}

/// A row of a page that is probably unknown on this device.
struct NewRow {
    let key: DeviceRowKey
    let version: Int64
    /// A part of the page's bytes.
    let payload: UnsafeBufferPointer<UInt8>

    /// What the row adds to its table's digest.
    var term: Int64 { RowTerm.term(key: key.wire, version: version, payload: payload) }
}

/// A change of the log that is probably a new row on this device.
struct LikelyNewRow {
    let tableID: Int64
    let key: DeviceRowKey
    let version: Int64
    /// The range in the page's bytes.
    let payload: Range<Int>
    /// The change's index in its page.
    let index: Int
}
