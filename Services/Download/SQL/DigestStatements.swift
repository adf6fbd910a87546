import Digests
import Model
import Postgres
import Sidecar

/// The statements that sum what a user's log says last of each row (promise P8).
///
/// Terms are computed when they are asked for, from the log entry that a page would bring: there is
/// no stored hash that could be out of date.
extension DownloadStatements {
    /// How many rows of a table are live, and the sum of their terms; for some tables.
    struct ReadDigests: TypedStatement {
        static let statement = Statement(
            name: "download_digests",
            sql: """
                SELECT t.table_id, d.live, d.sum
                FROM unnest($3::int2[], $4::bool[]) AS t(table_id, is_uuid)
                CROSS JOIN LATERAL (
                    SELECT \(DigestSQL.totals) FROM \(DigestSQL.rows(of: "t.table_id", "t.is_uuid"))
                ) AS d
                """,
            parameters: [.int8, .text, .int2Array, .boolArray])

        let scope: NamedScope
        let tables: [RegisteredTable]

        struct Row {
            let table: TableID
            let total: DigestTotal
        }

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            var ids = ArrayBinding(of: .int2)
            var kinds = ArrayBinding(of: .bool)
            for table in tables {
                ids.append(table.id)
                kinds.append(table.keyKind == .uuid)
            }
            bindings.bind(ids)
            bindings.bind(kinds)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(table: try columns.next(Int16.self), total: try DigestTotal(&columns))
        }
    }

    /// The same of one table, in parts by the first bits of the keys' hashes. Parts without rows
    /// are left out.
    struct ReadBuckets: TypedStatement {
        static let statement = Statement(
            name: "download_digest_buckets",
            sql: """
                SELECT \(DigestSQL.bucket) AS bucket, \(DigestSQL.totals)
                FROM \(DigestSQL.rows(of: "$3", "$4")) GROUP BY 1
                """,
            parameters: [.int8, .text, .int2, .bool, .int4])

        let scope: NamedScope
        let table: RegisteredTable
        /// How many parts there are: one of `RowBuckets.counts`.
        let count: Int

        struct Row {
            let bucket: Int32
            let total: DigestTotal
        }

        func bind(to bindings: inout Bindings) {
            DigestSQL.bind(scope, table, count, to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(bucket: try columns.next(Int32.self), total: try DigestTotal(&columns))
        }
    }

    /// The live rows of some parts of a table, each with its version and term.
    struct ReadTerms: TypedStatement {
        static let statement = Statement(
            name: "download_digest_terms",
            sql: """
                SELECT k.key, k.version, e.term FROM \(DigestSQL.rows(of: "$3", "$4"))
                WHERE \(DigestSQL.bucket) = ANY ($6) LIMIT $7
                """,
            parameters: [.int8, .text, .int2, .bool, .int4, .int4Array, .int8],
            results: .binary)

        let scope: NamedScope
        let table: RegisteredTable
        let count: Int
        let buckets: [Int32]
        /// The largest number of rows.
        let limit: Int

        struct Row {
            let key: [UInt8]
            let version: RowVersion
            /// Nil of a row that devices cannot be sent.
            let term: Int64?
        }

        func bind(to bindings: inout Bindings) {
            DigestSQL.bind(scope, table, count, to: &bindings)
            var array = ArrayBinding(of: .int4, reserving: buckets.count)
            for bucket in buckets { array.append(bucket) }
            bindings.bind(array)
            bindings.bind(Int64(limit))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                key: try columns.next([UInt8].self), version: try columns.next(Int64.self),
                term: try columns.next(Int64?.self))
        }
    }
}

/// A number of live rows and the sum of their terms.
struct DigestTotal: Hashable, Sendable {
    var live: Int64 = 0
    var sum: Int64 = 0

    init() {}

    /// Reads `DigestSQL.totals`.
    init(_ columns: inout RowColumns) throws(PostgresError) {
        live = try columns.next(Int64.self)
        sum = try columns.next(Int64.self)
    }
}

/// The parts of the statements above.
enum DigestSQL {
    /// The first eight bytes of a hash, as a number of 62 bits.
    private static func number(_ hash: String) -> String {
        "('x' || encode(substring(\(hash) FROM 1 FOR 8), 'hex'))::bit(64)::int8 & \(RowTerm.mask)"
    }

    /// What `RowTerm` computes.
    ///
    /// - Parameters:
    ///   - key: the key's bytes on the wire.
    ///   - payload: JSON.
    static func term(key: String, version: String, payload: String) -> String {
        number(
            """
            sha256(\(key) || '\\x00'::bytea || int8send(\(version))
                || substring(sha256(convert_to(\(payload)::text, 'UTF8')) FROM 1 FOR 8))
            """)
    }

    /// A user's live rows of a table: `k` with the row's key, its bytes on the wire and its
    /// version, and `e` with its term; NULL where devices cannot be sent the row, for its size or
    /// for want of its log entry.
    ///
    /// - Parameters:
    ///   - table: its number.
    ///   - isUUID: whether its keys are.
    static func rows(of table: String, _ isUUID: String) -> String {
        """
        (
            SELECT r.key, r.version, r.seq, CASE WHEN \(isUUID)
                THEN convert_to(encode(r.key, 'hex')::uuid::text, 'UTF8') ELSE r.key END AS bytes
            FROM sync.row_state r
            WHERE r.scope_id = $1 AND r.table_id = \(table) AND NOT r.deleted
                AND \(NamedScope.isUsers)
        ) AS k
        LEFT JOIN LATERAL (
            SELECT \(term(key: "k.bytes", version: "l.version", payload: "l.payload")) AS term
            FROM sync.change_log l
            WHERE l.scope_id = $1 AND l.seq = k.seq AND l.op <> 'D'
                AND octet_length(l.payload::text) <= \(WireLimits.largestRowBytes)
            LIMIT 1
        ) AS e ON true
        """
    }

    /// The number of rows and the sum of terms. The sum of many is a `numeric`, which has no
    /// bounds.
    static let totals = """
        count(*) AS live, (coalesce(sum(e.term), 0) % \(RowTerm.mask + 1))::int8 AS sum
        """

    /// The part that a row belongs to, of `2 ^ $5`.
    static let bucket = """
        ('x' || encode(substring(sha256(k.bytes) FROM 1 FOR 2), 'hex'))::bit(16)::int4 >> 16 - $5
        """

    /// Binds `$1` to `$5`.
    static func bind(
        _ scope: NamedScope, _ table: RegisteredTable, _ count: Int, to bindings: inout Bindings
    ) {
        scope.bind(to: &bindings)
        bindings.bind(table.id)
        bindings.bind(table.keyKind == .uuid)
        bindings.bind(Int32(count.trailingZeroBitCount))
    }
}
