import Digests
import GRDB

/// What this device received of a table's live rows: of each the newest version, whether it is
/// written or held. Pending edits do not count, and neither do rows in version 0: the server lost
/// them, and their deletions wait to be sent again.
struct TableDigest {
    let db: Database
    let table: TableSchema

    private static let name = "_sync_rows"

    /// A row's key, version and term; a held version stands for the row if it is not older.
    private static let told = """
        SELECT r.key AS key, coalesce(h.version, r.version) AS version,
          CASE WHEN h.key IS NULL THEN r.term ELSE h.term END AS term
        FROM _sync_rows r
        LEFT JOIN _sync_held h ON h.tbl = r.tbl AND h.key = r.key AND h.version >= r.version
        WHERE r.tbl = :id AND coalesce(h.version, r.version) > 0
          AND CASE WHEN h.key IS NULL THEN r.deleted = 0 ELSE h.payload IS NOT NULL END
        UNION ALL
        SELECT h.key, h.version, h.term FROM _sync_held h
        WHERE h.tbl = :id AND h.payload IS NOT NULL AND NOT EXISTS (
          SELECT 1 FROM _sync_rows r WHERE r.tbl = h.tbl AND r.key = h.key)
        """

    /// The sum of all rows.
    ///
    /// SQLite's sum of integers fails beyond 64 bits, so the halves of the terms are summed.
    func total() throws -> DigestTotal {
        let halves = 31
        let statement = try db.cachedStatement(
            sql: """
                SELECT count(*) AS live, count(*) - count(term) AS unknown,
                  coalesce(sum(term >> \(halves)), 0) AS high,
                  coalesce(sum(term & \((1 << halves) - 1)), 0) AS low
                FROM (\(Self.told))
                """)
        guard let row = try MetadataRow.first(of: Self.name, statement, ["id": table.id]) else {
            return DigestTotal()
        }
        let (high, low) = (try row.number("high"), try row.number("low"))
        return DigestTotal(
            live: Int(try row.number("live")),
            sum: RowTerm.add(high << Int64(halves) & RowTerm.mask, low & RowTerm.mask),
            unknown: Int(try row.number("unknown")))
    }

    /// The sums of the table's parts.
    ///
    /// - Parameter count: how many there are.
    func buckets(_ count: Int) throws -> [DigestTotal] {
        var totals = Array(repeating: DigestTotal(), count: count)
        try each { key, row in
            totals[RowBuckets.bucket(of: key, count: count)].add(row.term)
        }
        return totals
    }

    /// The rows of some parts, by the bytes of their keys: Swift takes texts for equal that the
    /// server tells apart.
    ///
    /// - Parameter count: how many parts there are.
    func rows(of buckets: Set<Int>, count: Int) throws -> [[UInt8]: KnownTerm] {
        var rows: [[UInt8]: KnownTerm] = [:]
        try each { key, row in
            if buckets.contains(RowBuckets.bucket(of: key, count: count)) {
                rows[Array(key.utf8)] = row
            }
        }
        return rows
    }

    private func each(_ body: (String, KnownTerm) throws -> Void) throws {
        let statement = try db.cachedStatement(sql: Self.told)
        try MetadataRow.each(of: Self.name, statement, ["id": table.id]) { row in
            try body(
                try row.text("key"),
                KnownTerm(
                    version: try row.number("version"),
                    term: try row.numberIfAny("term", in: KnownRows.terms)))
        }
    }

    /// Compares the rows of some parts with the server's, and learns terms that are not known.
    ///
    /// Rows that the server has lost and that wait to be sent again are in doubt, like rows with a
    /// sent and unanswered change: they are already under way.
    ///
    /// - Parameters:
    ///   - there: the server's rows of these parts, by the bytes of their keys.
    ///   - count: how many parts there are.
    /// - Returns: the keys of the rows that differ, in a fixed order.
    func compare(
        with there: [[UInt8]: KnownTerm], in buckets: Set<Int>, count: Int
    ) throws -> [DeviceRowKey] {
        let here = try rows(of: buckets, count: count)
        let inDoubt = Set(
            try MetadataRow.all(
                of: "_sync_sent", db,
                sql: """
                    SELECT key FROM _sync_sent WHERE tbl = :id
                    UNION SELECT key FROM _sync_lost WHERE tbl = :id
                    """, ["id": table.id]
            ).map { Array(try $0.text("key").utf8) })
        var differing: [[UInt8]] = []
        for key in Set(here.keys).union(there.keys) {
            let name = DeviceRowKey(wire: String(decoding: key, as: UTF8.self))
            switch DigestRules.compare(here[key], there[key], isInDoubt: inDoubt.contains(key)) {
            case .same: continue
            case .differs: differing.append(key)
            case .learn(let term):
                let version = here[key]?.version ?? 0
                try KnownRows(db: db).setTerm(table, name, version: version, term)
                try HeldRows(db: db).setTerm(table, name, version: version, term)
            }
        }
        return differing.sorted { $0.lexicographicallyPrecedes($1) }.map {
            DeviceRowKey(wire: String(decoding: $0, as: UTF8.self))
        }
    }
}
