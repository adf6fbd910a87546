import Model
import Postgres
import Sidecar

/// Which rows of a user's log a page's statement reads.
struct PageRange {
    let scope: NamedScope
    /// The rows' sequences are above this one, up to `until`.
    let after: Sequence64
    let until: Sequence64
    /// The largest number of rows.
    let count: Int
    /// The tables whose rows are read; nil reads those of all.
    let tables: [TableID]?
    /// A device whose own changes are left out, but for those of tables that have stored a row
    /// otherwise than a device sent it.
    let excluding: DeviceID?

    /// Rows of all tables and devices.
    var isWhole: Bool { tables == nil && excluding == nil }
}

extension DownloadStatements {
    /// A page of a user's log, and one row more, which tells whether there is another page.
    ///
    /// The answer is binary, and has a row's small numbers in one (`RowOrigin`): making text of
    /// times and numbers is a fifth of what PostgreSQL spends on such a page, and two columns more
    /// are a tenth.
    ///
    /// A payload that is large, or may be once it is unpacked, is left null: a page of such rows
    /// could have any size, and is read with ``ReadLargeRows``. Seeing how a value is stored costs
    /// nothing that can be measured.
    struct ReadPage: PageStatement {
        static let statement = pageStatement("download_page", payload: smallPayload)

        let range: PageRange
    }

    /// The same of all tables and devices: what it does not ask of each row is a twelfth of what
    /// PostgreSQL spends on a page of 100.
    struct ReadWholePage: PageStatement {
        static let statement = pageStatement(
            "download_whole_page", payload: smallPayload, isWhole: true)

        /// - Precondition: ``PageRange/isWhole``.
        let range: PageRange

        func bind(to bindings: inout Bindings) {
            range.bind(to: &bindings)
        }
    }

    /// Bytes of a payload as stored, up to which it comes with its page at once, compressed or not.
    private static let smallPayloadBytes = 512
    /// The same for a payload that is not compressed: a page of such rows stays in memory as a
    /// whole.
    private static let plainPayloadBytes = 8000
    private static let smallPayload = """
        CASE WHEN pg_column_size(l.payload) <= \(smallPayloadBytes)
                OR pg_column_size(l.payload) <= \(plainPayloadBytes)
                AND pg_column_compression(l.payload) IS NULL
            THEN l.payload END
        """

    /// The same with payloads of any size that devices can take, to be read row by row. A larger
    /// payload, which the log has from before capture refused such, is null.
    struct ReadLargeRows: PageStatement {
        static let statement = pageStatement(
            "download_large_rows",
            payload: """
                CASE WHEN octet_length(l.payload::text) <= \(WireLimits.largestRowBytes)
                    THEN l.payload END
                """)

        let range: PageRange
    }

    /// The rows of some tables, and of other devices than one.
    private static let choiceSQL = """

            AND ($6::int2[] IS NULL OR l.table_id = ANY ($6))
            AND ($7::text IS NULL OR l.source_no IS DISTINCT FROM (
                SELECT d.source_no FROM sync.source d
                WHERE d.scope_id = $1 AND d.device = $7)
                OR l.table_id = ANY (ARRAY(
                    SELECT r.table_id FROM sync.returned_table r
                    WHERE r.scope_id = $1 ORDER BY r.scope_id, r.table_id
                    LIMIT \(mostTables))))
        """

    /// As many as have numbers. Order and limit make the planner probe the index, also while it
    /// knows nothing of the table.
    private static let mostTables = Int16.max

    /// - Parameters:
    ///   - payload: the expression of the payload's column.
    ///   - isWhole: rows of all tables and devices are read.
    private static func pageStatement(
        _ name: String, payload: String, isWhole: Bool = false
    ) -> Statement {
        let choice: [PostgresType] = isWhole ? [] : [.int2Array, .text]
        return Statement(
            name: name,
            sql: """
                SELECT l.seq, \(RowOrigin.expression),
                    l.key, \(payload), l.version, l.source_change_id, l.ts
                FROM sync.change_log l
                WHERE l.scope_id = $1 AND \(NamedScope.isUsers)
                    AND l.seq > $3 AND l.seq <= $4\(isWhole ? "" : choiceSQL)
                ORDER BY l.seq LIMIT $5
                """,
            parameters: [.int8, .text, .int8, .int8, .int8] + choice, results: .binary)
    }
}

/// A statement that reads rows of a page.
protocol PageStatement: TypedStatement where Row == PageRow {
    var range: PageRange { get }
}

extension PageStatement {
    func bind(to bindings: inout Bindings) {
        range.bind(to: &bindings)
        range.bindChoice(to: &bindings)
    }

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> PageRow {
        try PageRow(&columns)
    }
}

extension PageRow {
    /// Reads the columns of a page's statement.
    init(_ columns: inout RowColumns) throws(PostgresError) {
        let sequence = try columns.next(Int64.self)
        let origin = try RowOrigin(packed: try columns.next(Int64.self))
        guard let key = try columns.nextUnsafeBytes() else {
            throw PostgresError(.decoding("a change without a key"))
        }
        let payload = try columns.nextUnsafeBytes()
        self.init(
            sequence: sequence, origin: origin, storedKey: key,
            payload: origin.operation == .delete ? nil : payload,
            version: try columns.next(Int64.self), changeID: try columns.next(Int64.self),
            microsecondsSince2000: try columns.next(PostgresTime.self).microsecondsSince2000)
    }
}

extension PageRange {
    fileprivate func bind(to bindings: inout Bindings) {
        scope.bind(to: &bindings)
        bindings.bind(after)
        bindings.bind(until)
        bindings.bind(Int64(count))
    }

    fileprivate func bindChoice(to bindings: inout Bindings) {
        if let tables {
            var ids = ArrayBinding(of: .int2)
            for table in tables { ids.append(table) }
            bindings.bind(ids)
        } else {
            bindings.bind(bytes: nil)
        }
        bindings.bind(excluding?.value)
    }
}
