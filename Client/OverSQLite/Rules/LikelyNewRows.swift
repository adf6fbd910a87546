/// Changes of the feed that wait to be written together, because each is likely a row that is new
/// here.
///
/// They are written by table and in the order of their keys: neighbours in the feed are strangers
/// in the database's trees, neighbours by key are not.
struct LikelyNewRows {
    /// Rows written before it is looked at again whether that is worth it.
    static let rowsAtOnce = 512
    /// One row in so many may turn out to be known, and so have been tried in vain.
    private static let rowsPerMiss = 8

    private var collected = Collected()
    private var tried = 0
    private var missed = 0

    var isEmpty: Bool { collected.rows.isEmpty }

    /// False once too many rows turned out to be known.
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

        /// Places of one table's changes.
        struct Run {
            let tableID: Int64
            fileprivate(set) var places: [Int]
        }

        /// The places by table, in the order of the keys' beginnings. Changes of one key stay in
        /// the feed's order.
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

        /// The first eight bytes of a key, as a number that sorts as they do.
        private static func beginning(_ key: DeviceRowKey) -> UInt64 {
            let bytes = key.wire.utf8.prefix(8)
            // Shorter keys come before what they begin.
            return bytes.reduce(0) { $0 << 8 | UInt64($1) } << UInt64(8 * (8 - bytes.count))
        }
    }
}

/// A row of a page of which likely nothing is known here.
struct NewRow {
    let key: DeviceRowKey
    let version: Int64
    /// In the page's bytes.
    let payload: UnsafeBufferPointer<UInt8>
}

/// A change of the feed that is likely a row that is new here.
struct LikelyNewRow {
    let tableID: Int64
    let key: DeviceRowKey
    let version: Int64
    /// In the page's bytes.
    let payload: Range<Int>
    /// Of the change in its page.
    let index: Int
}
